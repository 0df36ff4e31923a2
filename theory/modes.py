"""One mode of a linear network under gradient flow, for one stage, in closed form.

A mode is the scalar `a = u^T theta v` that a pair of singular vectors carries; its *strength*. Gradient flow on the
un-halved loss `c (a - s)^2`, with input variance `c` and target singular value `s`, decouples the modes:

    depth 2, balanced     da/dt = 4 c a (s - a)                                   logistic
    depth 2, unbalanced   da/dt = 2 c (s - a) sqrt(kappa^2 + 4 a^2)               Riccati in (w1 + w2)^2
    depth L, balanced     da/dt = 2 L c a^(2 - 2/L) (s - a)                       implicit, solved to rounding

Flow time is learning rate x steps. All three maps below act on a state `(strength, shortfall)`, where
`shortfall = s_ref - strength` is the distance to a reference target (the D_post target). Carrying it beside the strength keeps
losses accurate when they are far below machine epsilon. A stage is given by its mixture (see `theory.stages`):
`c = sum_t p_t c_t`, the growth rate `g = sum_t p_t c_t s_t - mu` (mu: weight decay) and the pull
`r = c s_ref - g`, which is exactly zero where all tasks of the stage agree with the reference.

Source: arXiv 2605.12705 App. C, corrected (its Eq. 2 has a wrong sign and power); Saxe et al. 2014 for the logistic.
"""

import math
from typing import NamedTuple

import numpy as np

from theory.arrays import Array, Float, Number, is_jax, is_zero, namespace
from theory.settings import WrongUse


class State(NamedTuple):
    """Strength `a` and shortfall `s_ref - a` of every mode; both broadcast to `(modes, *settings)`."""

    strength: Float[Array, "..."] | float
    shortfall: Float[Array, "..."] | float


class Drive(NamedTuple):
    """What a stage does to a mode: variance c, growth rate g = c s - mu, pull r = c s_ref - g; see the module."""

    variance: Number
    growth: Number
    pull: Number


_DEEPEST = -700.0
"""exp of less would underflow; clamped there, 0/0 cannot arise and nothing else can tell the difference."""


def _decay(exponent: Number) -> tuple[Array, Array]:
    """`e^m` and `(e^m - 1)/m` (1 at m = 0) for m <= 0, accurate to rounding; derivatives exact at 0 too."""
    xp = namespace(exponent)
    m = xp.maximum(exponent, _DEEPEST)
    if not is_jax(m):
        nonzero = m - 1e-300
        return np.exp(m), np.expm1(nonzero) / nonzero
    small = m > -0.05  # nearer to 0 a derivative of the quotient would cancel
    series = 1 + m * (1 / 2 + m * (1 / 6 + m * (1 / 24 + m * (1 / 120 + m * (1 / 720 + m / 5040)))))
    nonzero = xp.where(small, -1.0, m)
    return xp.exp(m), xp.where(small, series, xp.expm1(nonzero) / nonzero)


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
    strength, shortfall = state
    xp = namespace(strength, time, *drive)
    exponent = (-4 * drive.growth) * xp.asarray(time, dtype=float)
    keep, phi = _decay(xp.where(exponent <= 0, exponent, -exponent) if decaying else exponent)
    gain = (4 * time) * phi * strength
    if decaying:  # where g < 0, the same map with numerator and denominator multiplied by e^x
        growing = exponent <= 0
        strength, keep = xp.where(growing, strength, keep * strength), xp.where(growing, keep, 1.0)
    scale = keep + drive.variance * gain
    rest = keep * shortfall if is_zero(drive.pull) else keep * shortfall + gain * drive.pull
    return State(strength / scale, rest / scale)


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
    strength, shortfall = state
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
    exponential, phi = _decay(-2 * drive.variance * root * time)
    b = 2 * drive.variance * time * phi
    radius2 = kappa2 + 4 * a**2
    total = 2 * a + xp.where(radius2 > 0, xp.sqrt(xp.where(radius2 > 0, radius2, 1.0)), 0.0)
    scale = total * b + p * exponential + q
    total = (total * (p + q * exponential) + kappa2 * b) / xp.where(scale > 0, scale, 1.0)
    after = mirror * xp.where(total > 0, total - kappa2 / xp.where(total > 0, total, 1.0), 0.0) / 4
    after = xp.where(active, after, strength)
    return State(after, shortfall - (after - strength))


def deep(state: State, drive: Drive, time: Number, depth: int) -> State:
    """Depth L >= 3, balanced layers (a = w^L): the implicit solution, inverted to rounding.

    With v = a/s, `z = ln(v/|1 - v|)` obeys dz/dt = 2 L c s^q v^(q-1), q = 2 - 2/L. The antiderivative is elementary
    for integer L (roots of unity, see `_antiderivative`); Newton's method inverts it, and one last Newton step
    outside the iteration carries exact first derivatives through JAX. s = 0: `a (1 + 2 L q c t a^q)^(-1/q)`.
    Escape from small a takes ~ a^-(1 - 2/L) / (2 L c s (1 - 2/L)) instead of ln(1/a)/(4 c s).

    Args:
        state: strengths (>= 0) and shortfalls before the stage.
        drive: mixture of the stage, without weight decay.
        time: flow time, >= 0.
        depth: number of layers, >= 3.
    """
    strength, shortfall = state
    xp = namespace(strength, time, *drive)
    a, c, g = (xp.asarray(value, dtype=float) for value in (strength, drive.variance, drive.growth))
    q = 2 - 2 / depth
    toward_zero = a * (1 + 2 * depth * q * c * time * a**q) ** (-1 / q)
    negligible = g <= 1e-16 * a * c  # the target is 0, or cannot be told from 0 beside a
    moving = (a > 0) & (c > 0) & ~negligible & (a * c != g)  # elsewhere: frozen, or on the way to zero
    c, g = xp.where(moving, c, 1.0), xp.where(moving, g, 1.0)
    s = g / c
    start = xp.where(moving, a, s / 2)
    side = xp.where(start < s, 1.0, -1.0)
    z0 = xp.log(start / xp.abs(s - start))
    goal = _antiderivative(z0, side, depth) + 2 * depth * c * s**q * time
    tail = side * xp.exp(-_invert(goal, z0, side, depth))
    resting = xp.where(negligible & (xp.asarray(drive.variance) > 0), toward_zero, a)
    gap = s * tail / (1 + tail) + xp.where(moving, drive.pull / c, 0.0)
    return State(
        xp.where(moving, s / (1 + tail), resting),
        xp.where(moving, gap, shortfall - (resting - a)),
    )


def _antiderivative(z: Array, side: Array, depth: int) -> Array:
    """`L [y^(2-L)/(2-L) + int_0^y x/(1 - x^L) dx]` with y^L = v = 1/(1 + side e^-z): the time to reach z, up to scale.

    The integral is `-(1/L) sum_k w^2 ln|1 - y/w|` over the L-th roots of unity w; the root w = 1, singular as v -> 1, is
    taken from z so that it stays exact.
    """
    xp = namespace(z, side)
    log_v = -xp.log1p(side * xp.exp(-z))
    y = xp.exp(log_v / depth)
    near = xp.minimum(z, 30.0)
    log_gap = xp.log(xp.abs(xp.expm1(-xp.log1p(side * xp.exp(-near)) / depth)))
    total = -xp.where(z > 30.0, -z - math.log(depth), log_gap)
    for k in range(1, (depth + 1) // 2):
        angle = 2 * math.pi * k / depth
        modulus = 0.5 * xp.log(1 - 2 * y * math.cos(angle) + y**2)
        phase = xp.arctan2(y * math.sin(angle), 1 - y * math.cos(angle))
        total = total - 2 * (math.cos(2 * angle) * modulus - math.sin(2 * angle) * phase)
    if depth % 2 == 0:
        total = total - xp.log1p(y)
    return total - depth / (depth - 2) * y ** (2 - depth)


def _invert(goal: Array, start: Array, side: Array, depth: int) -> Array:
    """The z >= start with `_antiderivative(z) = goal`: Newton in z once learned, in e^(-(1-2/L) z) before escape."""
    xp = namespace(goal, start, side)
    r = 1 - 2 / depth

    def newton(z: Array) -> Array:
        excess = _antiderivative(z, side, depth) - goal
        late = z - excess / (1 + side * xp.exp(-z)) ** r
        early = xp.exp(-r * z) + r * excess / (1 + xp.exp(xp.minimum(z, 1.0))) ** r  # nearly linear in time
        escaping = -xp.log(xp.maximum(early, math.exp(-r))) / r
        return xp.maximum(xp.where((z < 0) & (side > 0), escaping, late), start)

    if not is_jax(goal, start):
        z = start
        for _ in range(60):
            previous, z = z, newton(z)
            if np.all(np.abs(z - previous) <= 4e-15 * np.maximum(1.0, np.abs(z))):
                break
        return z
    import jax

    fixed_goal, fixed_start = jax.lax.stop_gradient((goal, start))
    outer_goal, goal, start = goal, fixed_goal, fixed_start
    z = jax.lax.fori_loop(0, 60, lambda _, value: newton(value), start)
    z = jax.lax.stop_gradient(z)
    return z - (_antiderivative(z, side, depth) - outer_goal) / (1 + side * xp.exp(-z)) ** r


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
    """Strength of a mode after one stage on one task: theory's `F(a0; c, s, t)`, or `G` with weight decay.

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
    """
    growth = variance * sigma - weight_decay
    drive = Drive(variance, growth, variance * sigma - growth)
    decaying = is_jax(weight_decay) or bool(np.any(weight_decay))
    after = advance(State(strength, sigma - strength), drive, time, depth=depth, imbalance=imbalance, decaying=decaying)
    return after.strength


def learning_time(start: Number, end: Number, *, variance: Number, sigma: Number) -> Array:
    """Flow time in which a balanced mode of depth two goes from `start` to `end`: ln[(s/a0 - 1)/(s/a - 1)]/(4 c s).

    Infinite or undefined (nan) where the mode never gets there: `end` must lie strictly between `start` and `sigma`.
    """
    xp = namespace(start, end, variance, sigma)
    return xp.log((sigma / start - 1) / (sigma / end - 1)) / (4 * variance * sigma)
