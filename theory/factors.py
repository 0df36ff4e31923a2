"""Stages of single modes that have no closed form, integrated; always in logarithms, because decay takes strengths below every float.

Weight decay mu of an unbalanced mode. With P = (w1 + w2)^2, Q = (w1 - w2)^2 and a = w1 w2 = (P - Q)/4

    d ln P/dt = 4 (g - c a - mu)        d ln Q/dt = -4 (g - c a + mu)

which is the flow of two separate pathways (`theory.pathways_flow`); kappa = w1^2 - w2^2 of size sqrt(P Q) decays as e^(-4 mu t).

Dropout in a basis where every mode lies equally on all m hidden units. The modes are coupled through P1 and P2:

    dw1/dt = 2 (g - c a) w2 - 2 (mu + gamma P2) w1            P1 = sum_i w1_i^2 / m
    dw2/dt = 2 (g - c a) w1 - 2 (mu + gamma v P1) w2          P2 = sum_i v_i w2_i^2 / m

gamma = p/(1 - p), v is the variance of the data and c also has the weight of a pull to the start of the stage. In polar
coordinates (w1, w2) = e^h (cos phi, sin phi), with F = g - c a and D1, D2 what multiplies -2 w1 and -2 w2:

    dh/dt = 2 (F sin 2 phi - D1 cos^2 phi - D2 sin^2 phi)      dphi/dt = 2 F cos 2 phi + (D1 - D2) sin 2 phi

Integrated with scipy's DOP853, many settings at a time, numpy only. (Radau accepts wrong steps here: a Jacobian from where a step
overshot hides the error.) Source: the gradient of the expected loss with inverted dropout, `gamma sum_j |W1[:, j]|^2 (W2 C W2^T)_jj`.
"""

from typing import NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, is_jax, namespace
from common.settings import WrongUse
from theory.pathways_flow import SEPARATE, Pull, flow
from theory.two_layer import Drive, State

RTOL, ATOL = 3e-12, 3e-12
"""Of h and phi: relative to the size of a mode's weights."""
EVALUATIONS = 25_000
"""Slopes after which a stage is given up, one or two seconds; ordinary ones need a few thousand."""
NOTHING = -1e30
"""Logarithm of zero: whatever grows, it stays nothing."""
CHUNK = 256
"""Settings integrated as one system: they share the step size, so more would not be faster."""


class Noise(NamedTuple):
    """Hidden dropout in an equal basis: gamma = p/(1 - p), the variance of the data, how many modes a row is, units."""

    gamma: Number
    variance: Number
    multiplicity: Number
    width: Number


def squares(strength: Number, imbalance: Number) -> tuple[Array, Array]:
    """`(w1 + w2)^2` and `(w1 - w2)^2` of a mode, without cancellation; their product is kappa^2."""
    xp = namespace(strength, imbalance)
    a, kappa2 = xp.asarray(strength, dtype=float), xp.asarray(imbalance, dtype=float) ** 2
    radius2 = kappa2 + 4 * a**2
    positive = radius2 > 0
    larger = 2 * xp.abs(a) + xp.where(positive, xp.sqrt(xp.where(positive, radius2, 1.0)), 0.0)
    smaller = xp.where(positive, kappa2 / xp.where(positive, larger, 1.0), 0.0)
    return xp.where(a >= 0, larger, smaller), xp.where(a >= 0, smaller, larger)


def decayed(
    state: State, drive: Drive, time: Number, *, imbalance: Number, decay: Number
) -> tuple[State, Float[Array, "modes *settings"]]:
    """Strength and shortfall of unbalanced modes after one stage with weight decay, and kappa, which decays as e^(-4 mu t).

    Args:
        state: before the stage, the modes leading.
        drive: mixture of the stage without weight decay: (c, g, r).
        time: flow time, >= 0.
        imbalance: kappa before the stage.
        decay: weight decay mu.
    """
    xp = namespace(*state[:2], *drive, time, imbalance, decay)
    larger, smaller = (
        xp.where(square > 0, xp.log(xp.where(square > 0, square, 1.0)), NOTHING)
        for square in squares(state.strength, imbalance)
    )
    c = xp.asarray(drive.variance, dtype=float) / 4
    up, down = flow(SEPARATE, larger, smaller, Pull(c, -c, c, drive.growth, -drive.growth, decay), time)
    after = (xp.exp(up) - xp.exp(down)) / 4
    return State(after, state.shortfall - (after - state.strength)), imbalance * xp.exp(-4 * decay * time)


def dropped(
    state: State, drive: Drive, time: Number, *, imbalance: Number, decay: Number, noise: Noise
) -> tuple[State, Float[np.ndarray, "modes *settings"]]:
    """Strength and shortfall after one stage with dropout in an equal basis, and kappa, which dropout does not conserve.

    Args:
        state: before the stage, the modes leading; with its logarithm where weight decay has taken a strength below every float.
        drive: mixture of the stage without weight decay and dropout: (c, g, r).
        time: flow time, >= 0.
        imbalance: kappa before the stage.
        decay: weight decay mu.
        noise: the dropout.

    Raises:
        WrongUse: a value is traced by JAX, or the integrator gave up.
    """
    log = np.nan if state.log is None else state.log
    inputs = (*state[:2], log, *drive, time, imbalance, decay, *noise)
    if is_jax(*inputs):
        raise WrongUse("A stage without a closed form is integrated by scipy and cannot be traced. Pass numpy values.")
    whole = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in inputs))
    shape = whole[0].shape
    flat = [value.reshape(shape[0], -1) for value in whole]
    a, _, log, c, g, _, t, kappa, mu, gamma, v, n, m = flat
    radius = np.hypot(kappa, 2 * a)  # w1^2 + w2^2
    h = np.where(radius > 0, np.log(np.where(radius > 0, radius, 1.0)), NOTHING) / 2
    h = np.where(log < np.log(np.where(a > 0, a, 1.0)) - 1e-9, (log + np.log(2.0)) / 2, h)  # a is no number any more
    angle = np.where(radius > 0, np.arctan2(2 * a, kappa), np.pi / 2) / 2
    rates = Rates(c, g, t, mu, gamma, v, n, m)
    for first in range(0, h.shape[1], CHUNK):
        here = slice(first, first + CHUNK)
        h[:, here], angle[:, here] = _dropped(h[:, here], angle[:, here], Rates(*(rate[:, here] for rate in rates)))
    size = np.exp(2 * h)
    after = (size * np.sin(2 * angle) / 2).reshape(shape)
    return State(after, whole[1] - (after - whole[0])), (size * np.cos(2 * angle)).reshape(shape)


class Rates(NamedTuple):
    """What moves a chunk of settings: variance, growth rate, time, decay and noise, each of shape (modes, settings)."""

    c: Array
    g: Array
    t: Array
    mu: Array
    gamma: Array
    v: Array
    n: Array
    m: Array


def _dropped(h: Array, angle: Array, r: Rates) -> tuple[Array, Array]:
    """A chunk of settings as one system, each over its own time (rescaled to [0, 1])."""
    from scipy.integrate import solve_ivp

    calls = 0

    def slope(_: float, y: Array) -> Array:
        nonlocal calls
        calls += 1
        if calls > EVALUATIONS:
            raise WrongUse(
                f"A stage with dropout in an equal basis needs more than {EVALUATIONS} evaluations for flow time = {r.t.max():g}. "
                "Lower t_post or t_ft, or the targets, or set dropout_basis to aligned."
            )
        level, phi = y.reshape(2, *h.shape)
        size, sine, cosine = np.exp(2 * level), np.sin(2 * phi), np.cos(2 * phi)
        first, second = size * (1 + cosine) / 2, size * (1 - cosine) / 2  # w1^2, w2^2
        force = r.g - r.c * size * sine / 2
        d1 = r.mu + r.gamma * (r.n * r.v * second / r.m).sum(0)
        d2 = r.mu + r.gamma * r.v * (r.n * first / r.m).sum(0)
        dh = 2 * force * sine - d1 * (1 + cosine) - d2 * (1 - cosine)
        return np.concatenate([(r.t * dh).ravel(), (r.t * (2 * force * cosine + (d1 - d2) * sine)).ravel()])

    start = np.concatenate([h.ravel(), angle.ravel()])
    with np.errstate(all="ignore"):  # a step that is too long overflows; it is refused and shortened
        done = solve_ivp(slope, (0.0, 1.0), start, method="DOP853", rtol=RTOL, atol=ATOL)
    if not done.success or not np.isfinite(done.y[:, -1]).all():
        raise WrongUse(
            f"A stage with dropout in an equal basis could not be integrated ({done.message}). Use shorter flow times or lower targets."
        )
    level, phi = done.y[:, -1].reshape(2, *h.shape)
    return level, phi
