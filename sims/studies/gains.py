"""What the studies of relaxations read out of their tables: strengths a seed, what they lose in stage 3, and changes that must be none."""

from typing import Any

import numpy as np

from common.curves import paired
from common.minima import NOTABLE_DEPTH, NOTABLE_GAIN
from common.seeds import Interval, interval
from sims.verdict import ends

SEEDS = 24
"""Seeds of everything random."""
NOTABLE = 0.01
"""A loss of less than this fraction of a strength, or of a gain, is not called one."""


def lost(table: Any, keep: Any, axis: str) -> tuple[Any, Any]:
    """Share of the specialised modes' strength that stage 3 took: values of the axis, and (seeds, values)."""
    points, (before, after) = paired(table, axis, (keep, "sims.specialised_im"), (keep, "sims.specialised"))
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


def specialised_loss(table: Any, keep: Any, axis: str) -> tuple[Any, Any]:
    """What the specialised modes miss after stage 2, `(beta - b2)^2`: values of the axis, and (seeds, values).

    It is what the exposure law speaks of; loss_ret also holds the inconsistent modes, which the split of the exposure does move.
    """
    points, (strength, beta) = paired(table, axis, (keep, "sims.specialised_im"), (keep, "problem.beta"))
    return points, (beta - strength) ** 2


def largest_change(points: Any, losses: Any) -> tuple[float, Interval]:
    """How much moving D_post exposure into stage 1 changes a loss at most: the share moved, and the mean change there.

    Args:
        points: shares of the exposure in stage 1, in rising order from 0.
        losses: shape (seeds, shares).

    Returns:
        The share above 0 whose mean is furthest from that without early exposure, and the loss there minus the loss without.
    """
    changes = losses[:, 1:] - losses[:, :1]
    index = int(np.abs(changes.mean(0)).argmax())
    return float(points[1 + index]), interval(lambda sample: sample.mean(1), changes[:, index])


def lawful(change: Interval, losses: Any) -> bool | None:
    """Whether that change is none, as the exposure law says: all of its interval is small, up or down.

    None where the interval reaches beyond what is small and holds 0 as well: a wide interval neither supports nor refutes.
    """
    tolerance = max(NOTABLE_GAIN, NOTABLE_DEPTH * float(losses[:, 0].mean()))
    low, high = ends(change)
    if max(abs(low), abs(high)) <= tolerance:
        return True
    return None if low <= 0 <= high or abs(change.value) <= tolerance else False


LAWFUL = f"whole interval within {NOTABLE_GAIN:g}, or within {NOTABLE_DEPTH:.0%} of that loss, of 0"
"""The criterion of the exposure law in words."""
