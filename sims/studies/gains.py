"""What the studies of relaxations read out of their tables: gains and strengths a seed, and what they lose in stage 3."""

from typing import Any

import numpy as np

from sims.study import by_seed
from theory.allocation import NOTABLE_DEPTH, NOTABLE_GAIN
from theory.results import column
from theory.seeds import Interval, interval

SEEDS = 24
"""Seeds of everything random."""
NOTABLE = 0.01
"""A loss of less than this fraction of a strength, or of a gain, is not called one."""


def gain(table: Any, keep: Any, axis: str, loss: str = "loss_ret") -> tuple[Any, Any]:
    """A loss unmixed minus mixed: values of the axis, and the gain of every seed at each, shape (seeds, values).

    The kept rows must hold one unmixed (alpha = 0) and one mixed run for every seed and value.
    """
    alpha = column(table, "alpha")
    points, unmixed = by_seed(table, keep & (alpha == 0), axis, loss)
    _, mixed = by_seed(table, keep & (alpha > 0), axis, loss)
    return points, unmixed - mixed


def lost(table: Any, keep: Any, axis: str) -> tuple[Any, Any]:
    """Share of the specialised modes' strength that stage 3 took: values of the axis, and (seeds, values)."""
    points, before = by_seed(table, keep, axis, "sims.specialised_im")
    _, after = by_seed(table, keep, axis, "sims.specialised")
    return points, 1 - after / before


def mean_at(values: Any, points: Any, at: float) -> Interval:
    """The mean over seeds at the point of the axis nearest to a value."""
    index = int(np.argmin(np.abs(points - at)))
    return interval(lambda sample: sample.mean(1), values[:, index])


def noticeable(measured: Interval, level: float = NOTABLE) -> bool:
    """Whether a number is at least a level and, by its interval, above 0."""
    return measured.value >= level and (measured.low is None or measured.low > 0)


NOTICEABLE = f"at least {NOTABLE:g} and interval above 0"
"""The criterion of `noticeable` in words."""


def best_shift(points: Any, losses: Any) -> tuple[float, Interval]:
    """How much moving D_post exposure into stage 1 lowers a loss: the best share to move, and the mean fall there.

    Args:
        points: shares of the exposure in stage 1, in rising order from 0.
        losses: shape (seeds, shares).

    Returns:
        The share above 0 with the lowest mean, and the loss without early exposure minus the loss there.
    """
    index = 1 + int(np.argmin(losses[:, 1:].mean(0)))
    return float(points[index]), interval(lambda sample: sample.mean(1), losses[:, 0] - losses[:, index])


def refutes_law(fall: Interval, losses: Any) -> bool:
    """Whether that fall is a gain from early exposure at equal exposure, which the exposure law excludes."""
    return noticeable(fall, max(NOTABLE_GAIN, NOTABLE_DEPTH * float(losses[:, 0].mean())))


LAWFUL = f"less than {NOTABLE_GAIN:g}, or {NOTABLE_DEPTH:.0%} of loss_ret, or not above 0 by its interval"
"""The criterion of the exposure law in words."""
