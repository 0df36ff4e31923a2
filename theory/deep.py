"""One mode of a balanced deep linear network, L >= 3 layers, for one stage: the implicit solution, inverted to rounding.

    da/dt = 2 L c a^q (s - a),    q = 2 - 2/L

With v = a/s and z = ln(v/|1 - v|) this is dz/dt = 2 L c s^q v^(q-1), whose antiderivative is elementary for integer L (sums over
the L-th roots of unity). Newton's method inverts it; one last Newton step outside the iteration carries exact first derivatives
through JAX. Escape from small a takes ~ a^-(1 - 2/L)/(2 L c s (1 - 2/L)) instead of ln(1/a)/(4 c s).
Source: arXiv 2605.12705 treats L = 2 only; the depth-L gradient flow is that of Saxe et al. 2014 for an un-halved loss.
"""

import math

import numpy as np

from common.arrays import Array, Number, is_jax, namespace
from theory.two_layer import Drive, State


def deep(state: State, drive: Drive, time: Number, depth: int) -> State:
    """Strength and shortfall after one stage; `a (1 + 2 L q c t a^q)^(-1/q)` where the target is 0.

    Args:
        state: strengths (>= 0) and shortfalls before the stage.
        drive: mixture of the stage, without weight decay.
        time: flow time, >= 0.
        depth: number of layers, >= 3.
    """
    strength, shortfall = state[:2]
    xp = namespace(strength, time, *drive)
    a, c, g = (xp.asarray(value, dtype=float) for value in (strength, drive.variance, drive.growth))
    q = 2 - 2 / depth
    toward_zero = a * (1 + 2 * depth * q * c * time * a**q) ** (-1 / q)
    negligible = g <= 1e-100 * a * c  # the target is 0, or as good as 0 beside a
    moving = (a > 0) & (c > 0) & ~negligible & (a * c != g)  # elsewhere: frozen, or on the way to zero
    c, g = xp.where(moving, c, 1.0), xp.where(moving, g, 1.0)
    s = g / c
    moving = moving & (a != s)
    start = xp.where(moving, a, s / 2)
    side = xp.where(start < s, 1.0, -1.0)
    below = xp.where(side > 0, s - start, 1.0)
    z0 = xp.where(side > 0, xp.log(start / below), -xp.log1p(-xp.minimum(s / start, 1 - 1e-16)))
    goal = _antiderivative(z0, side, depth) + 2 * depth * c * s**q * time
    z = _invert(goal, z0, side, depth)
    v = 1 / _over(z, side)
    tail = side * xp.exp(-z)
    resting = xp.where(negligible & (xp.asarray(drive.variance) > 0), toward_zero, a)
    gap = s * v * tail + xp.where(moving, drive.pull / c, 0.0)
    return State(
        xp.where(moving, s * v, resting),
        xp.where(moving, gap, shortfall - (resting - a)),
    )


def _over(z: Array, side: Array) -> Array:
    """`s/a = 1 + side e^-z`, without cancellation where a is far above s (side -1, z near 0)."""
    xp = namespace(z, side)
    return xp.where(side > 0, 1 + xp.exp(-z), -xp.expm1(-xp.where(side > 0, 1.0, z)))


def _antiderivative(z: Array, side: Array, depth: int) -> Array:
    """The scaled time to reach z: `int v^(1-q) dz`; far above the target by its power series, elsewhere in closed form."""
    xp = namespace(z, side)
    far = (side < 0) & (z < math.log(2.0))
    w = _over(xp.where(far, z, math.log(2.0)), -1.0 + 0.0 * z)
    meet = np.array(math.log(2.0)), np.array(-1.0)
    offset = _series(np.array(0.5), depth) - _closed(*meet, depth)  # the two differ by a constant; they meet at a = 2 s
    closed = _closed(xp.where(far, 1.0, z), side, depth) + xp.where(side < 0, offset, 0.0)
    return xp.where(far, _series(w, depth), closed)


def _series(w: Array, depth: int) -> Array:
    """`w^q sum_k w^k/(q + k)` with w = s/a <= 1/2, q = 2 - 2/L."""
    q = 2 - 2 / depth
    total = 0.0 * w
    for k in reversed(range(54)):
        total = total * w + 1 / (q + k)
    return w**q * total


def _closed(z: Array, side: Array, depth: int) -> Array:
    """`L [y^(2-L)/(2-L) + int_0^y x/(1 - x^L) dx]` with y^L = v = a/s.

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
        late = z - excess / _over(z, side) ** r
        early = xp.exp(-r * z) + r * excess / (1 + xp.exp(xp.minimum(z, 1.0))) ** r  # nearly linear in time
        escaping = -xp.log(xp.maximum(early, math.exp(-r))) / r
        return xp.maximum(xp.where((z < 0) & (side > 0), escaping, late), start)

    if not is_jax(goal, start):
        z = start
        for _ in range(60):
            previous, z = z, newton(z)
            if np.all(np.abs(z - previous) <= 4e-15 * np.abs(z)):
                break
        return z
    import jax

    fixed_goal, fixed_start = jax.lax.stop_gradient((goal, start))
    outer_goal, goal, start = goal, fixed_goal, fixed_start
    z = jax.lax.fori_loop(0, 60, lambda _, value: newton(value), start)
    z = jax.lax.stop_gradient(z)
    return z - (_antiderivative(z, side, depth) - outer_goal) / _over(z, side) ** r
