"""When in stage 1 the D_post exposure happens: alpha as a piecewise constant function of time, at fixed total exposure.

    weight of D_post
     uniform     ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂        alpha everywhere
     early       ████                    alpha/window in the first window of stage 1, 0 afterwards
     late                    ████        alpha/window in the last window
     anneal                  ▁▃▅█        rising in equal steps through the last window, alpha/window on average

A stage is one map and a pipeline their composition, so every placement is as exact as the uniform one. In the plain model a
specialised mode depends on the total exposure only (exposure law), and an inconsistent one is the stronger the later the
exposure comes (order theorem): the best placement is the latest one. Source: the question is arXiv 2605.12705's "early".
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from common.arrays import Number, is_jax
from common.settings import WrongUse

Placement: TypeAlias = Literal["uniform", "early", "late", "anneal"]

PLACEMENTS: tuple[str, ...] = ("uniform", "early", "late", "anneal")
STEPS = 8
"""Steps of the ramp (our choice: finer ones change the losses by less than the placement does)."""


class Piece(NamedTuple):
    """A part of stage 1 with constant mixture; both may be arrays over the settings."""

    fraction: Number
    """Share of the flow time of stage 1."""
    alpha: Number
    """Weight of D_post in it."""


def placed(placement: str, alpha: Number, window: Number) -> list[Piece]:
    """The pieces of a named placement, in order; their exposures add up to `alpha`.

    Args:
        placement: uniform, early, late or anneal.
        alpha: mean weight of D_post over stage 1.
        window: fraction of stage 1 that holds the exposure (not used by uniform).

    Raises:
        WrongUse: the window is too small to hold the exposure, because a weight would exceed 1.
    """
    if placement == "uniform":
        return [Piece(1.0, alpha)]
    if placement not in PLACEMENTS:
        raise WrongUse(f"placement = {placement!r} is not known. Choose one of {', '.join(PLACEMENTS)}.")
    inside = alpha / window
    steps = [(2 * j + 1) / STEPS for j in range(STEPS)] if placement == "anneal" else [1.0]
    if not is_jax(inside) and np.any(np.asarray(steps[-1] * inside) > 1 + 1e-12):
        raise WrongUse(
            f"placement = {placement} with alpha = {np.max(alpha):g} in window = {np.min(window):g} of stage 1 needs a weight of "
            f"{np.max(steps[-1] * inside):.3g} for D_post. Widen the window, lower alpha, or lengthen stage 1."
        )
    outside = Piece(1 - window, 0.0 * inside)
    exposed = [Piece(window / len(steps), step * inside) for step in steps]
    return [*exposed, outside] if placement == "early" else [outside, *exposed]


def check_pieces(pieces: Sequence[Piece]) -> None:
    """Raise `WrongUse` where pieces of one's own do not make a stage: fractions must add up to 1, weights lie in [0, 1]."""
    if is_jax(*(value for piece in pieces for value in piece)):
        return
    total = np.asarray(sum((np.asarray(piece.fraction, dtype=float) for piece in pieces), np.zeros(())))
    if np.any(np.abs(total - 1) > 1e-9) or any(np.any(np.asarray(piece.fraction) < 0) for piece in pieces):
        raise WrongUse(f"The pieces of stage 1 add up to {total.flat[0]:g}. Give fractions >= 0 that add up to 1.")
    for piece in pieces:
        weights = np.asarray(piece.alpha, dtype=float)
        if not np.all((weights >= 0) & (weights <= 1)):
            raise WrongUse(f"A piece of stage 1 has alpha = {weights.flat[0]:g}. Choose every alpha inside [0, 1].")
