"""The measurements that would shrink the interval of the best exposure most.

Every draw of the ensemble says what a cell (split, size of D_post, lambda) would measure, loss_im and loss_ret, and where the best exposure
lies. What a measurement with noise s is worth is the part of the variance of the best exposure that a linear regression on it
explains; cells are taken one after the other, each given those before it:

    gain of a cell    c (C + s^2 1)^-1 c'    C: covariance of its two losses over the draws, c: that with the best exposure

This is the expected reduction of the interval of the optimum (Bayes linear), not D-optimality, which would spend runs on parameters
that the optimum does not depend on. It takes minimisers as if they were normal: where they pile up at an end it says too little.
"""

from typing import NamedTuple

import numpy as np

from common.settings import WrongUse
from theory.fitting.points import SPLITS
from theory.recommend.choice import GRID, Goal, Known, draws, objective, quantiles
from theory.recommend.members import Ensemble
from theory.recommend.plan import Plan

STUDY = dict(zip(SPLITS, ("fig3a", "fig3b"), strict=True))
"""The study of `python -m lm_experiments run` that a split is a part of."""
SCALE = "nano"
"""Size of the model in the commands where nothing says another: that of `python -m lm_experiments run`."""
SURE = 1e-6
"""Standard deviation of the best exposure below which nothing is left to be measured."""
STEPS = 9
"""Values of lambda that are considered, from 0 to 1."""


class Cell(NamedTuple):
    """A measurement to make."""

    split: str
    tokens_post: float
    exposure: float
    deviation: float
    """Standard deviation of the best exposure after it and those before it, as expected."""


class Design(NamedTuple):
    """What to measure next."""

    width: float
    """Of the 90 % interval of the best exposure now."""
    deviation: float
    """Standard deviation of the best exposure now."""
    cells: tuple[Cell, ...]
    commands: tuple[str, ...]

    @property
    def expected(self) -> float:
        """Width of the interval after all cells, as expected: it shrinks as the standard deviation does."""
        return self.width * (self.cells[-1].deviation / self.deviation if self.deviation and self.cells else 1.0)


def next_cells(
    ensemble: Ensemble,
    plan: Plan,
    goal: Goal,
    *,
    count: int = 4,
    noise: float = 0.01,
    sizes: tuple[float, ...] = (),
    seeds: int = 5,
    scale: str = SCALE,
    known: Known | None = None,
) -> Design:
    """The cells to measure, the most telling first.

    Args:
        ensemble: accounts with their draws.
        plan: what is to be decided.
        goal: what is to be low there.
        count: how many cells.
        noise: standard deviation of a cell's mean losses, nats.
        sizes: of D_post that may be measured, tokens; none for the plan's and a quarter of it.
        seeds: behind every cell, in the command.
        scale: size of the model, in the command.
        known: loss_pre along lambda, where it is weighted.

    Raises:
        WrongUse: count, noise, seeds or a size is not positive.
    """
    for name, value in (("cells", count), ("noise", noise), ("seeds", seeds), *(("sizes", size) for size in sizes)):
        if value <= 0:
            raise WrongUse(f"{name} = {value:g} is too small. Give a positive number.")
    exposure = np.linspace(0.0, plan.most, GRID)
    drawn = draws(ensemble, plan, exposure)
    best = exposure[objective(drawn.losses, exposure, goal, known).argmin(-1)]
    low, high = quantiles(best, drawn.chance)
    places, columns = [], [best]
    for split in SPLITS:
        for size in sizes or (plan.tokens_post / 4, plan.tokens_post):
            there = Plan(tokens_post=size, tokens_pre=plan.tokens_pre, split=split)  # type: ignore[arg-type]
            tried = np.linspace(0.0, 1.0, STEPS)
            losses = np.concatenate([one.losses(ensemble.here(there), tried) for one in ensemble.speaking(plan)])
            places += [(split, size, float(value)) for value in tried]
            columns += [losses[:, i, k] for i in range(STEPS) for k in range(2)]
    table = np.stack(columns, axis=1)
    table = table - drawn.chance @ table
    covariance = (table * drawn.chance[:, None]).T @ table
    before, made = float(np.sqrt(covariance[0, 0])), []
    for _ in range(min(count, len(places))):
        if covariance[0, 0] < SURE**2:
            break
        gains = []
        for i in range(len(places)):
            at = [1 + 2 * i, 2 + 2 * i]
            inner = covariance[np.ix_(at, at)] + noise**2 * np.eye(2)
            gains.append(float(covariance[0, at] @ np.linalg.solve(inner, covariance[at, 0])))
        i = int(np.argmax(gains))
        at = [1 + 2 * i, 2 + 2 * i]
        inner = covariance[np.ix_(at, at)] + noise**2 * np.eye(2)
        covariance = covariance - covariance[:, at] @ np.linalg.solve(inner, covariance[at])
        made.append(Cell(*places[i], float(np.sqrt(max(covariance[0, 0], 0.0)))))
    return Design(high - low, before, tuple(made), commands(made, seeds, scale))


def commands(cells: list[Cell], seeds: int, scale: str) -> tuple[str, ...]:
    """Command lines of `python -m lm_experiments run` that measure the cells: one a split and size."""
    groups: dict[tuple[str, float], set[float]] = {}
    for cell in cells:
        groups.setdefault((cell.split, cell.tokens_post), set()).add(cell.exposure)
    return tuple(
        f"python -m lm_experiments run {STUDY[split]} --scale {scale} "
        f"--axis recipe.exposure={','.join(f'{value:g}' for value in sorted(values))} "
        f"--axis tokens_post={size:.0f} --seeds {' '.join(map(str, range(seeds)))}"
        for (split, size), values in groups.items()
    )
