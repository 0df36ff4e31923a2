"""What the studies of relaxations read out of their tables: strengths a seed, what they lose in stage 3, and changes that must be none."""

from typing import Any

import numpy as np

from common.curves import paired
from common.minima import NOTABLE_DEPTH, NOTABLE_GAIN
from common.verdicts import Verdict
from sims.effects import Effect, judged, largest_size, mean

SEEDS = 24
"""Seeds of everything random."""
NOTABLE = 0.01
"""A loss of less than this fraction of a strength, or of a gain, is not called one."""
LEAST = NOTABLE_GAIN / NOTABLE_DEPTH
"""Shares of a loss are of this where it is smaller ..."""
SMALL = f"of {LEAST:g} where that loss is smaller"
"""... as the words of effects say."""


def lost(table: Any, keep: Any, axis: str) -> tuple[Any, Any]:
    """Share of the specialised modes' strength that stage 3 took: values of the axis, and (seeds, values)."""
    points, (before, after) = paired(table, axis, (keep, "sims.specialised_im"), (keep, "sims.specialised"))
    return points, 1 - after / before


def mean_at(values: Any, points: Any, at: float) -> Effect:
    """The mean over seeds at the point of the axis nearest to a value."""
    return mean(values[:, int(np.argmin(np.abs(points - at)))])


def noticed(prediction: str, effect: str, found: Effect, variant: str, *, expected: bool = True) -> Verdict:
    """Whether something of the plain model is there, by its whole interval; or, where none is expected, that it is not."""
    level = {"at_least": NOTABLE} if expected else {"at_most": NOTABLE}
    said = f"{'at least' if expected else 'at most'} {NOTABLE:g}"
    return judged(prediction, "plain", effect, found, said, variant, **level)


def specialised_loss(table: Any, keep: Any, axis: str) -> tuple[Any, Any]:
    """What the specialised modes miss after stage 2, `(beta - b2)^2`: values of the axis, and (seeds, values).

    It is what the exposure law speaks of; loss_ret also holds the inconsistent modes, which the split of the exposure does move.
    """
    points, (strength, beta) = paired(table, axis, (keep, "sims.specialised_im"), (keep, "problem.beta"))
    return points, (beta - strength) ** 2


def lawful(model: str, points: Any, losses: Any, what: str, variant: str) -> Verdict:
    """P1: moving D_post exposure into stage 1 does not change a loss: whatever share is moved, the whole interval is small, up or down.

    Args:
        model: what the verdict calls it.
        points: shares of the exposure in stage 1, in rising order from 0.
        losses: shape (seeds, shares).
        what: further words about the effect.
        variant: what differs from the model's usual setup.
    """
    changes, scale = losses[:, 1:] - losses[:, :1], max(float(losses[:, 0].mean()), LEAST)
    found = largest_size(changes, scale)
    moved = points[1 + found.cell % changes.shape[1]]
    effect = f"largest change of the specialised loss, by moving {moved:g} of D_post into stage 1{what}; share, {SMALL}"
    criterion = f"no share of D_post moves it by more than {NOTABLE_DEPTH:g}, up or down"
    return judged("P1", model, effect, found, criterion, variant, at_most=NOTABLE_DEPTH, equivalence=True)
