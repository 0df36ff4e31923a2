"""What recommendations would have cost where the answer was held back, beside the dullest rules.

Trials on the published Figure 3: a choice is among the lambdas that were measured, and its regret is the measured loss_ret there
minus the lowest measured one, nats.

    3a and one anchor -> 3b     all of 3a, and the run without exposure of 3b at 150M
    3a and anchors -> 3b        the same with such a run at every size
    30M, 150M -> 300M           both halves

Laws are fitted anew to what a trial may know, and weighted by what they predict out of sample within it. The linear models' fits
to 3a alone are the stored ones of `python -m theory fit`; they get no anchor, and are reported one by one.
"""

from typing import NamedTuple

import numpy as np

from common.arrays import Bool, Float
from common.published import load
from theory.fitting.models import GROUPS, model_losses
from theory.fitting.points import SPLITS, Curve, Points, points_from
from theory.recommend.choice import draws
from theory.recommend.members import fitted, stored
from theory.recommend.plan import Plan

RULES = {"lambda = 0": 0.0, "lambda = 0.5": 0.5, "lambda = 1": 1.0}


class Trial(NamedTuple):
    """One curve that was held back, and what was said about it."""

    name: str
    curve: str
    best: float
    """Lambda at which measured loss_ret is lowest."""
    spread: float
    """The largest regret there is."""
    chosen: dict[str, float]
    """By who chose: laws together, each account, each rule."""
    regret: dict[str, float]
    """Nats, by who chose."""


def trials(points: Points | None = None, seed: int = 0) -> list[Trial]:
    """All trials.

    Args:
        points: a study of both halves and sizes 30M, 150M, 300M; default: the published one.
        seed: of the draws.
    """
    real = points is None
    points = points_from(load(3)) if points is None else points
    independent, sizes = points.half(SPLITS[0]), points.sizes
    unexposed = ~independent & (points.exposure == 0)
    middle = unexposed & (points.tokens == sizes[len(sizes) // 2])
    made = []
    for name, known in (
        ("3a and one anchor -> 3b", independent | middle),
        ("3a and anchors -> 3b", independent | unexposed),
    ):
        asked = [curve for curve in points.curves if curve.split == SPLITS[1]]
        made += _trials(name, points, known, asked, seed, _linear(points) if real else {})
    large = points.tokens == sizes[-1]
    asked = [curve for curve in points.curves if curve.tokens == sizes[-1]]
    made += _trials(f"the smaller sizes -> {sizes[-1] / 1e6:g}M", points, ~large, asked, seed, {})
    return made


def _trials(
    name: str,
    points: Points,
    known: Bool[np.ndarray, "rows"],
    asked: list[Curve],
    seed: int,
    linear: dict[str, Float[np.ndarray, "rows"]],
) -> list[Trial]:
    kept = Points(*(column[known] for column in (points.exposure, points.tokens, points.matched, points.loss)))
    plan = Plan(tokens_post=asked[0].tokens, split=asked[0].split)  # type: ignore[arg-type]
    ensemble = fitted(kept, plan, name, seed, linear=False)
    made = []
    for curve in asked:
        here = points.of(curve)
        exposure, measured = points.exposure[here], points.loss[here, 1]
        chosen: dict[str, float] = {}
        if ensemble is not None:
            drawn = draws(ensemble, Plan(tokens_post=curve.tokens, split=curve.split), exposure)  # type: ignore[arg-type]
            retained = drawn.losses[..., 1]
            chosen["laws together"] = float(exposure[(drawn.chance @ retained).argmin()])
            for i, law in enumerate(drawn.names):
                chance = drawn.chance * (drawn.owner == i)
                chosen[law] = float(exposure[(chance @ retained).argmin()])
        chosen |= {model: float(exposure[loss[here].argmin()]) for model, loss in linear.items()}
        chosen |= {rule: float(exposure[np.abs(exposure - value).argmin()]) for rule, value in RULES.items()}
        chosen["best of what is nearest"] = _nearest(kept, curve)
        regret = {
            who: float(measured[np.abs(exposure - value).argmin()] - measured.min()) for who, value in chosen.items()
        }
        made.append(
            Trial(name, curve.name, float(exposure[measured.argmin()]), float(np.ptp(measured)), chosen, regret)
        )
    return made


def _nearest(kept: Points, curve: Curve) -> float:
    """The best measured lambda of the known curve most like this one: of its size in the other half, else of the next size in its half."""
    whole = [one for one in kept.curves if kept.of(one).sum() > 1]
    likest = min(whole, key=lambda one: (abs(np.log(one.tokens / curve.tokens)), one.split != curve.split))
    here = kept.of(likest)
    return float(kept.exposure[here][kept.loss[here, 1].argmin()])


def _linear(points: Points) -> dict[str, Float[np.ndarray, "rows"]]:
    """loss_ret, up to floors and scale, of the linear models as they were fitted to 3a alone."""
    made = {}
    for entry in stored():
        values = entry["cross"].get(SPLITS[0], {}).get("values")
        if values:
            groups = GROUPS if "strength_decay" in values else 1
            made[f"{entry['method']} from 3a"] = np.asarray(model_losses(values, points, entry["model"], groups))[:, 1]
    return made
