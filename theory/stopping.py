"""Early stopping: the time at which a loss that falls monotonically reaches a given value.

Where one mode dominates the time has a closed form (`theory.modes.learning_time`); for a sum of modes it is found by bisection
on the closed-form loss, down to rounding. Under gradient flow the loss of a stage on D_post alone never rises. With a
regulariser or replay a mode may move away from its D_post target: then "the first time" is not what bisection finds, and
`check_monotone` refuses. In JAX a Newton step after the bisection carries the exact derivatives.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from common.arrays import Array, Number, is_jax, namespace
from common.settings import WrongUse

HALVINGS = 64
"""Bisections: the time is good to t_post x 2^-64, or to where the loss changes by rounding."""


def stopping_time(loss: Callable[[Array], Array], level: Number, longest: Number) -> Array:
    """The time in [0, longest] at which `loss(time)` has fallen to `level`; `longest` where it never does.

    Args:
        loss: a loss that does not rise with time, evaluated setting by setting.
        level: where to stop; 0 is not reached.
        longest: latest time.

    Returns:
        Time, in the broadcast shape of the loss, `level` and `longest`.
    """
    at_start = loss(0.0 * namespace(longest).asarray(longest))
    xp = namespace(level, longest, at_start)
    shape = np.broadcast_shapes(np.shape(level), np.shape(longest), np.shape(at_start))
    level, longest = xp.asarray(level, dtype=float), xp.broadcast_to(xp.asarray(longest, dtype=float), shape)
    reached = loss(longest) <= level
    if xp is np:
        low, high = np.zeros(shape), longest
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = loss(middle) > level
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        return np.where(reached, high, longest)
    return _traced(loss, level, longest, reached, at_start > level)


def _traced(loss: Callable[[Array], Array], level: Array, longest: Array, reached: Array, moves: Array) -> Array:
    jax = sys.modules["jax"]
    xp = jax.numpy

    def halve(_: Any, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2
        above = loss(middle) > level
        return xp.where(above, middle, low), xp.where(above, high, middle)

    _, time = jax.lax.fori_loop(0, HALVINGS, halve, (0.0 * longest, longest))
    time = jax.lax.stop_gradient(time)
    value, slope = jax.jvp(loss, (time,), (xp.ones_like(time),))
    crossed = reached & moves & (slope < 0)
    # a root of loss(t, x) = level moves by -(d loss / d x)/(d loss / d t); the value itself is already there
    newton = (value - jax.lax.stop_gradient(value) - level + jax.lax.stop_gradient(level)) / jax.lax.stop_gradient(
        xp.where(crossed, slope, -1.0)
    )
    return xp.where(reached, xp.where(crossed, time - newton, time), longest)


def check_monotone(gaps: Iterable[tuple[Array, Array]]) -> None:
    """Raise `WrongUse` where a mode does not approach its D_post target all the way through stage 2.

    A mode moves in one direction throughout a stage, so its loss never rises iff the shortfall keeps its sign and does not grow.

    Args:
        gaps: shortfalls of the modes that D_post sees, before and after the whole of stage 2.
    """
    for before, after in gaps:
        if is_jax(before, after):
            raise WrongUse(
                "stop_at under JAX needs stage 2 to be D_post alone. Set replay, decay, dropout and l2 to 0."
            )
        slack = 1e-12
        if np.any(np.abs(after) > np.abs(before) + slack) or np.any(np.minimum(before * after, 0) < -slack):
            raise WrongUse(
                "stop_at > 0 needs a loss_im that only falls in stage 2, but here a mode moves past or away from its D_post "
                "target. Set stop_at to 0, or lower replay, decay_post, dropout or l2_to_start."
            )
