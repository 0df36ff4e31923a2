"""The exposure to choose: where the predicted loss is lowest on average over accounts and their draws.

    objective_j(lambda)    w_im loss_im + w_ret loss_ret + w_pre loss_pre of draw j
    lambda                 minimises the weighted mean of the objective, which also minimises the expected regret
    interval               90 % of the minimisers of the draws, each of which is one way in which the world may be
    as good                every lambda whose mean objective is within `tolerance` of the best: what is not worth deciding

No account knows loss_pre in nats: it comes from what a study measured, interpolated in lambda, and is not known otherwise.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from common.arrays import Array, Bool, Float, Int
from common.settings import Settings, WrongUse, setting
from theory.crosscheck.reading import Curve
from theory.recommend.members import Ensemble
from theory.recommend.plan import Plan

GRID = 101
LEVEL = 0.90


@dataclass(frozen=True, kw_only=True)
class Goal(Settings):
    """What is to be low."""

    weight_ret: float = setting(1.0, low=0)
    """Weight of loss_ret."""
    weight_im: float = setting(0.0, low=0)
    """Weight of loss_im."""
    weight_pre: float = setting(0.0, low=0)
    """Weight of loss_pre; needs a study that measured it."""
    tolerance: float = setting(0.01, low=0)
    """Nats within which exposures count as equally good."""


class Known(NamedTuple):
    """loss_pre along lambda as a study measured it."""

    exposure: Float[np.ndarray, "points"]
    loss: Float[np.ndarray, "points"]


class Ranged(NamedTuple):
    """A mean with the ends of its 90 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        """Signed, three decimals."""
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


class Opinion(NamedTuple):
    """What one account recommends."""

    name: str
    weight: float
    """Normalised."""
    error: float
    """Out of sample, nats."""
    draws: int
    exposure: float
    """Where its mean objective is lowest."""
    low: float
    high: float
    gain: float
    """Objective there minus at lambda = 0, nats."""


@dataclass(frozen=True)
class Recommendation:
    """A choice, how sure it is, and what it costs."""

    exposure: float
    low: float
    high: float
    """90 % interval of the best exposure, over parameters and accounts."""
    good: tuple[tuple[float, float], ...]
    """Exposures within the tolerance of the best, as intervals."""
    most: float
    """The largest exposure there can be."""
    regret: dict[str, float]
    """Expected loss over the best that is possible, nats: of the choice and of 0, .5 and 1."""
    ret: Ranged
    """loss_ret minus loss_ret at lambda = 0."""
    im: Ranged
    """The same of loss_im."""
    pre: float | None
    """The same of loss_pre, where it was measured."""
    better: float
    """Probability that the choice is better than no exposure."""
    opinions: tuple[Opinion, ...]

    @property
    def sentence(self) -> str:
        """The answer in words."""
        spans = " or ".join(f"{low:.2f} to {high:.2f}" if high > low else f"{low:.2f}" for low, high in self.good)
        if any(high > low for low, high in self.good):
            low, high = self.good[0]
            if len(self.good) == 1 and low == 0 and high >= self.most:
                return "Exposure does not matter here: any lambda is within the tolerance."
            return f"Any lambda from {spans}."
        return f"lambda = {self.exposure:.2f}."


def recommend(ensemble: Ensemble, plan: Plan, goal: Goal, known: Known | None = None) -> Recommendation:
    """The exposure to choose.

    Args:
        ensemble: accounts with their draws.
        plan: what is trained, tokens of the study.
        goal: what is to be low.
        known: loss_pre along lambda.

    Raises:
        WrongUse: loss_pre is weighted and not known, nothing is weighted, or no account can express the plan.
    """
    exposure = np.linspace(0.0, plan.most, GRID)
    drawn = draws(ensemble, plan, exposure)
    score = objective(drawn.losses, exposure, goal, known)
    mean = drawn.chance @ score
    at = int(mean.argmin())
    best = score.min(-1)
    where = exposure[score.argmin(-1)]
    low, high = quantiles(where, drawn.chance)
    rules = {"choice": at, "0": 0, "0.5": int(np.abs(exposure - 0.5).argmin()), "1": GRID - 1}
    change = drawn.losses[:, at] - drawn.losses[:, 0]
    opinions = []
    for i, member in enumerate(drawn.names):
        here = drawn.owner == i
        chance = drawn.chance[here] / max(drawn.chance[here].sum(), 1e-300)
        mine = chance @ score[here]
        ends = quantiles(where[here], chance)
        place = int(mine.argmin())
        opinions.append(
            Opinion(
                member, float(drawn.chance[here].sum()), drawn.errors[i], int(here.sum()), float(exposure[place]), *ends,
                float(mine[place] - mine[0]),
            )
        )  # fmt: skip
    return Recommendation(
        exposure=float(exposure[at]), low=low, high=high, good=spans(exposure, mean <= mean[at] + goal.tolerance), most=plan.most,
        regret={name: float(drawn.chance @ (score[:, i] - best)) for name, i in rules.items()},
        im=ranged(change[:, 0], drawn.chance), ret=ranged(change[:, 1], drawn.chance),
        pre=None if known is None else float(np.interp(exposure[at], *known) - np.interp(0.0, *known)),
        better=float(drawn.chance @ (score[:, at] < score[:, 0])),
        opinions=tuple(sorted(opinions, key=lambda one: -one.weight)),
    )  # fmt: skip


def contradicted(curves: Iterable[Curve], plan: Plan, goal: Goal, found: Recommendation) -> str:
    """What measurements of the plan itself say against the interval of the best exposure; empty where they do not.

    Args:
        curves: of the study, of one fine-tuning rate.
        plan: what is trained, tokens of the study.
        goal: what is to be low; loss_pre does not count.
        found: the recommendation.
    """
    for curve in (one for one in curves if one.split == plan.split and one.tokens == plan.tokens_post):
        loss = goal.weight_im * curve.im.mean(0) + goal.weight_ret * curve.ret.mean(0)
        best = curve.exposure[loss.argmin()]
        gained = float(np.interp(found.exposure, curve.exposure, loss) - loss.min())
        if gained > goal.tolerance and not found.low <= best <= found.high:
            return (
                f"The measurements disagree: their lowest is at lambda = {best:g}, {gained:.3f} nats below that at {found.exposure:.2f} "
                f"({len(curve.ret)} {'run' if len(curve.ret) == 1 else 'runs'} each). Either that is noise or no account here has such an "
                "optimum; the interval knows nothing of what all accounts lack."
            )
    return ""


class Drawn(NamedTuple):
    """All draws of an ensemble, one after the other."""

    names: list[str]
    errors: list[float]
    owner: Int[Array, "draws"]
    """Index of the account."""
    chance: Float[Array, "draws"]
    """Of each draw, accounts weighted; they sum to 1."""
    losses: Float[Array, "draws exposures 2"]


def draws(ensemble: Ensemble, plan: Plan, exposure: Float[np.ndarray, "exposures"]) -> Drawn:
    """The losses that every draw of every account predicts. Raises `WrongUse` where no account can express the plan."""
    members = ensemble.speaking(plan)
    total = sum(one.weight for one in members)
    if not total:
        raise WrongUse(
            "No law could be fitted to these measurements. Give more of them, or let the published study speak."
        )
    here = ensemble.here(plan)
    return Drawn(
        [one.name for one in members],
        [one.error for one in members],
        np.repeat(np.arange(len(members)), [len(one.chance) for one in members]),
        np.concatenate([one.chance * one.weight / total for one in members]),
        np.concatenate([one.losses(here, exposure) for one in members]),
    )


def objective(
    losses: Float[Array, "draws exposures 2"], exposure: Float[Array, "exposures"], goal: Goal, known: Known | None
) -> Float[Array, "draws exposures"]:
    """The weighted loss along lambda. Raises `WrongUse` where loss_pre is weighted and not known, or nothing is weighted."""
    if goal.weight_pre and known is None:
        raise WrongUse(
            f"weight_pre = {goal.weight_pre:g}, but no account predicts loss_pre. Give a table with a column loss_pre, or leave it 0."
        )
    if not goal.weight_im + goal.weight_ret + goal.weight_pre:
        raise WrongUse("weight_im, weight_ret and weight_pre are all 0. Weight at least one loss.")
    found = goal.weight_im * losses[..., 0] + goal.weight_ret * losses[..., 1]
    return found if known is None else found + goal.weight_pre * np.interp(exposure, *known)


def quantiles(
    values: Float[Array, "draws"], chance: Float[Array, "draws"], level: float = LEVEL
) -> tuple[float, float]:
    """The central interval of weighted draws."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(chance[order])
    ends = [np.searchsorted(below, q * below[-1]) for q in ((1 - level) / 2, (1 + level) / 2)]
    low, high = (float(values[order[min(int(end), len(values) - 1)]]) for end in ends)
    return low, high


def ranged(values: Float[Array, "draws"], chance: Float[Array, "draws"]) -> Ranged:
    """Mean and interval of weighted draws."""
    return Ranged(float(chance @ values), *quantiles(values, chance))


def spans(exposure: Float[np.ndarray, "grid"], good: Bool[np.ndarray, "grid"]) -> tuple[tuple[float, float], ...]:
    """Where a condition holds along a grid, as closed intervals."""
    edges = [i for i, (one, other) in enumerate(pairwise([False, *good.tolist(), False])) if one != other]
    return tuple((float(exposure[a]), float(exposure[b - 1])) for a, b in zip(edges[::2], edges[1::2], strict=True))
