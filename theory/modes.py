"""One stage of one mode, for any depth and imbalance: picks the closed form.

`theory.two_layer` explains the state, the drive and the two-layer solutions, `theory.deep` the others.
"""

import numpy as np

from common.arrays import Array, Number, is_jax, namespace
from common.settings import WrongUse
from theory.deep import deep
from theory.two_layer import Drive, State, balanced, unbalanced

__all__ = ["Drive", "State", "advance", "balanced", "deep", "evolve", "learning_time", "unbalanced"]


def advance(
    state: State, drive: Drive, time: Number, *, depth: int = 2, imbalance: Number = 0.0, decaying: bool = False
) -> State:
    """One stage for any depth and imbalance: picks the closed form. Raises `WrongUse` where there is none."""
    is_balanced = not is_jax(imbalance) and not np.any(imbalance)
    if depth == 2 and is_balanced:
        return balanced(state, drive, time, decaying=decaying)
    if decaying:
        raise WrongUse(
            "weight decay together with depth > 2 or imbalance != 0 has no closed form. "
            "Set decay_pre, decay_post and decay_ft to 0, or depth to 2 and imbalance to 0."
        )
    if depth == 2:
        return unbalanced(state, drive, time, imbalance)
    if not is_balanced:
        raise WrongUse(f"depth = {depth} with imbalance != 0 has no closed form. Set imbalance to 0 or depth to 2.")
    return deep(state, drive, time, depth)


def evolve(
    strength: Number,
    *,
    variance: Number,
    sigma: Number,
    time: Number,
    weight_decay: Number = 0.0,
    depth: int = 2,
    imbalance: Number = 0.0,
) -> Array:
    """Strength of a mode after one stage on one task: `F(a0; c, s, t)` of docs/theory.md, section 1.1, or `G` with weight decay.

    Args:
        strength: a0, before the stage.
        variance: input variance c of the mode, >= 0.
        sigma: target singular value s, >= 0.
        time: flow time t, >= 0.
        weight_decay: mu of the penalty mu (|W1|^2 + |W2|^2), >= 0; depth 2, balanced only.
        depth: number of layers L >= 2.
        imbalance: kappa = w1^2 - w2^2; depth 2 only.

    Returns:
        Strength, in the broadcast shape of the arguments.

    Example:
        >>> float(evolve(0.25, variance=1.0, sigma=1.0, time=1.0).round(3))
        0.948
    """
    growth = variance * sigma - weight_decay
    drive = Drive(variance, growth, variance * sigma - growth)
    decaying = is_jax(weight_decay) or bool(np.any(weight_decay))
    after = advance(State(strength, sigma - strength), drive, time, depth=depth, imbalance=imbalance, decaying=decaying)
    return after.strength


def learning_time(start: Number, end: Number, *, variance: Number, sigma: Number) -> Array:
    """Flow time in which a balanced mode of depth two goes from `start` to `end`: ln[(s/a0 - 1)/(s/a - 1)]/(4 c s).

    Infinite or undefined (nan) where the mode never gets there: `end` must lie strictly between `start` and `sigma`.

    Example:
        >>> float(learning_time(1e-6, 0.5, variance=1.0, sigma=1.0).round(3))
        3.454
    """
    xp = namespace(start, end, variance, sigma)
    return xp.log((sigma / start - 1) / (sigma / end - 1)) / (4 * variance * sigma)
