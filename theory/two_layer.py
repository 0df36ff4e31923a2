"""One mode of a two-layer linear network under gradient flow, for one stage, in closed form.

A mode is the scalar `a = u^T theta v` that a pair of singular vectors carries; its *strength*. Gradient flow on the
un-halved loss `c (a - s)^2`, with input variance `c` and target singular value `s`, decouples the modes:

    balanced     da/dt = 4 c a (s - a)                                   logistic
    unbalanced   da/dt = 2 c (s - a) sqrt(kappa^2 + 4 a^2)               Riccati in (w1 + w2)^2

Flow time is learning rate x steps. Both maps act on a state `(strength, shortfall)`, where
`shortfall = s_ref - strength` is the distance to a reference target (the D_post target). Carrying it beside the strength keeps
losses accurate when they are far below machine epsilon. A stage is given by its mixture (see `theory.stages`):
`c = sum_t p_t c_t`, the growth rate `g = sum_t p_t c_t s_t - mu` (mu: weight decay) and the pull
`r = c s_ref - g`, which is exactly zero where all tasks of the stage agree with the reference.

Source: arXiv 2605.12705 App. C, corrected (its Eq. 2 has a wrong sign and power); Saxe et al. 2014 for the logistic.
"""

from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, is_jax, is_zero, namespace


class State(NamedTuple):
    """Strength `a` and shortfall `s_ref - a` of every mode; both broadcast to `(modes, *settings)`."""

    strength: Float[Array, "..."] | float
    shortfall: Float[Array, "..."] | float
    log: Any = None
    """ln a, kept from when weight decay has taken a strength below `LOST`, from where it can regrow; None: not needed."""


class Drive(NamedTuple):
    """What a stage does to a mode: variance c, growth rate g = c s - mu, pull r = c s_ref - g; see the module."""

    variance: Number
    growth: Number
    pull: Number


SMALLEST_INIT = 1e-75
"""Smallest initial scale of weights: a strength is its square, and the square of a strength must not underflow."""

LOST = 1e-150
"""Balanced strengths below this are followed by their logarithm: derivatives divide by their square."""

_DEEPEST = -708.0
"""exp of less would underflow, and a mode at exactly 0 would become 0/0; nothing else can tell the difference."""


def decay_factor(m: Number) -> tuple[Array, Array]:
    """`e^m` (never 0) and `(e^m - 1)/m` (1 at m = 0) for m <= 0, accurate to rounding; derivatives exact at 0 too."""
    xp = namespace(m)
    exponential = xp.exp(xp.maximum(m, _DEEPEST))
    if not is_jax(m):
        nonzero = m - 1e-300
        return exponential, np.expm1(nonzero) / nonzero
    small = m > -0.05  # nearer to 0 a derivative of the quotient would cancel
    series = 1 + m * (1 / 2 + m * (1 / 6 + m * (1 / 24 + m * (1 / 120 + m * (1 / 720 + m / 5040)))))
    nonzero = xp.where(small, -1.0, m)
    return exponential, xp.where(small, series, xp.expm1(nonzero) / nonzero)


def log_sum(*terms: tuple[Number, Number]) -> Array:
    """`ln sum_i f_i e^(l_i)` of terms (l, f), f >= 0 and not all 0; neither overflows nor has infinite derivatives at f = 0."""
    xp = namespace(*(value for term in terms for value in term))
    logs = [
        xp.where(xp.asarray(factor) > 0, log + xp.log(xp.where(xp.asarray(factor) > 0, factor, 1.0)), -xp.inf)
        for log, factor in terms
    ]
    largest = logs[0]
    for log in logs[1:]:
        largest = xp.maximum(largest, log)
    if xp is not np:
        from jax.lax import stop_gradient

        largest = stop_gradient(largest)
    return largest + xp.log(sum(factor * xp.exp(xp.minimum(log - largest, 700.0)) for log, factor in terms))


def log_logistic(log: Number, variance: Number, growth: Number, time: Number) -> Array:
    """`ln a` after `da/dt = 4 a (g - c a)`: `1/a' = e^-x/a + 4 c t phi(x)`, x = 4 g t, in logarithms throughout.

    Args:
        log: ln a before the stage, however small.
        variance: c, >= 0.
        growth: g, of any sign.
        time: flow time, >= 0.
    """
    xp = namespace(log, variance, growth, time)
    x = 4 * growth * xp.asarray(time, dtype=float)
    phi = decay_factor(-xp.abs(x))[1]
    fed = 4 * variance * time * phi
    rise, fall = -(xp.maximum(x, 0.0) + log), xp.minimum(x, 0.0)
    return fall - log_sum((rise, 1.0), (0.0, fed))


def balanced(state: State, drive: Drive, time: Number, *, decaying: bool = False) -> State:
    """Depth two, equal layers: `1/a` obeys a linear equation, so a stage is a linear-fractional map of `a`.

    With x = 4 g t and phi(x) = (1 - e^-x)/x the strength becomes `a / (e^-x + 4 c t a phi(x))` and the shortfall
    `(e^-x h + 4 t phi(x) a r) / (same denominator)`: sums of positive terms, so nothing overflows or cancels, at
    c = 0 (frozen), s = 0 (algebraic decay a/(1 + 4 c a t)), g < 0 and t -> infinity alike.

    Args:
        state: strengths (>= 0) and shortfalls before the stage.
        drive: mixture of the stage.
        time: flow time, >= 0.
        decaying: whether g may be negative (weight decay); costs two more passes over the data.
    """
    strength, shortfall = state[:2]
    xp = namespace(strength, time, *drive)
    if state.log is not None:  # what is lost is solved below; any strength serves here, and 0 would be 0/0
        strength = xp.where((state.log > -xp.inf) & (state.log < np.log(LOST)), 1.0, strength)
    exponent = (-4 * drive.growth) * xp.asarray(time, dtype=float)
    keep, phi = decay_factor(xp.where(exponent <= 0, exponent, -exponent) if decaying else exponent)
    gain = (4 * time) * phi * strength
    if decaying:  # where g < 0, the same map with numerator and denominator multiplied by e^x
        growing = exponent <= 0
        strength, keep = xp.where(growing, strength, keep * strength), xp.where(growing, keep, 1.0)
    scale = keep + drive.variance * gain
    rest = keep * shortfall if is_zero(drive.pull) else keep * shortfall + gain * drive.pull
    after = State(strength / scale, rest / scale)
    if state.log is None and not (decaying and (is_jax(after.strength) or np.any(after.strength < LOST))):
        return after
    return _regrowing(state, drive, time, after)


def _regrowing(state: State, drive: Drive, time: Number, plain: State) -> State:
    """The stage in logarithms for the strengths that are, or have been, below `LOST`; `plain` for the others."""
    xp = namespace(*plain, *drive, time)
    alive = xp.asarray(state.strength) > 0 if state.log is None else state.log > -xp.inf
    before = xp.log(xp.where(alive, state.strength, 1.0)) if state.log is None else xp.where(alive, state.log, 0.0)
    log = log_logistic(before, drive.variance, drive.growth, time)
    small = alive & (xp.minimum(before, log) < np.log(LOST))
    strength = xp.exp(log)
    x = 4 * drive.growth * xp.asarray(time, dtype=float)
    grown = xp.exp(xp.minimum(log - before - x, 0.0)) * state.shortfall
    grown = grown + 4 * time * decay_factor(-xp.abs(x))[1] * strength * drive.pull
    shortfall = xp.where(x >= 0, grown, state.shortfall + (state.strength - strength))
    return State(
        xp.where(small, strength, plain.strength),
        xp.where(small, shortfall, plain.shortfall),
        xp.where(alive, log, -xp.inf),
    )


def unbalanced(state: State, drive: Drive, time: Number, imbalance: Number) -> State:
    """Depth two, unequal layers: `kappa = w1^2 - w2^2` is conserved and `Q = (w1 + w2)^2` obeys a Riccati equation.

    Solution: `Q(t) = [Q0 (p + q E) + kappa^2 B] / [Q0 B + p E + q]` with R = sqrt(4 s^2 + kappa^2),
    E = e^(-2 c R t), B = (1 - E)/R and p, q = 1 +- 2 s/R; a = (Q - kappa^2/Q)/4. A negative mode is evolved as its
    mirror (a, s -> -a, -s). The shortfall is a plain difference here: accurate to machine epsilon of the target.

    Args:
        state: strengths (any sign) and shortfalls before the stage.
        drive: mixture of the stage, without weight decay (which does not conserve kappa).
        time: flow time, >= 0.
        imbalance: kappa, any sign; only its square enters the strength.
    """
    strength, shortfall = state[:2]
    xp = namespace(strength, time, imbalance, *drive)
    strength, kappa2 = xp.asarray(strength, dtype=float), xp.asarray(imbalance, dtype=float) ** 2
    active = drive.variance > 0
    target = xp.where(active, drive.growth / xp.where(active, drive.variance, 1.0), 0.0)
    mirror = xp.where(strength < 0, -1.0, 1.0)
    a, s = mirror * strength, mirror * target
    root2 = 4 * s**2 + kappa2
    root = xp.where(root2 > 0, xp.sqrt(xp.where(root2 > 0, root2, 1.0)), 0.0)
    safe = xp.where(root > 0, root, 1.0)
    large = 1 + 2 * xp.abs(s) / safe
    small = xp.where(root > 0, kappa2 / (safe * (safe + 2 * xp.abs(s))), 1.0)
    p, q = xp.where(s >= 0, large, small), xp.where(s >= 0, small, large)
    exponential, phi = decay_factor(-2 * drive.variance * root * time)
    b = 2 * drive.variance * time * phi
    radius2 = kappa2 + 4 * a**2
    total = 2 * a + xp.where(radius2 > 0, xp.sqrt(xp.where(radius2 > 0, radius2, 1.0)), 0.0)
    scale = total * b + p * exponential + q
    total = (total * (p + q * exponential) + kappa2 * b) / xp.where(scale > 0, scale, 1.0)
    after = mirror * xp.where(total > 0, total - kappa2 / xp.where(total > 0, total, 1.0), 0.0) / 4
    after = xp.where(active, after, strength)
    return State(after, shortfall - (after - strength))
