"""Both factors of every mode, integrated: for stages that have no closed form.

    dw1/dt = 2 (c s - c a) w2 - 2 mu w1 - 2 gamma w1 P2            a = w1 w2
    dw2/dt = 2 (c s - c a) w1 - 2 mu w2 - 2 gamma v w2 P1

    P1 = sum_i w1_i^2 / m,   P2 = sum_i v_i w2_i^2 / m             (sums over all modes, m hidden units)

gamma = p/(1 - p) is hidden dropout in a basis where every mode lies equally on all units; v is the variance of the data and c
also has the weight of a pull to the start of the stage. The modes are coupled through P1 and P2 only. Integrated with scipy's
DOP853 at a relative tolerance of 1e-11, many settings at a time; numpy only. Source: the gradient of the expected loss with
inverted dropout, `gamma sum_j |W1[:, j]|^2 (W2 C W2^T)_jj`.
"""

from typing import NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, is_jax
from common.settings import WrongUse
from theory.two_layer import Drive, State

RTOL, ATOL = 1e-11, 1e-15
EVALUATIONS = 60_000
"""Slopes after which a stage is given up, some seconds; ordinary ones need a few thousand."""

CHUNK = 256
"""Settings integrated as one system: they share the step size, so more would not be faster."""


class Noise(NamedTuple):
    """Hidden dropout in an equal basis: gamma = p/(1 - p), the variance of the data, how many modes a row is, units."""

    gamma: Number
    variance: Number
    multiplicity: Number
    width: Number


def factors(strength: Number, imbalance: Number) -> tuple[Array, Array]:
    """`(w1, w2)` with w1 w2 = a and w1^2 - w2^2 = kappa, the larger of them not negative; no cancellation."""
    a, kappa = np.asarray(strength, dtype=float), np.asarray(imbalance, dtype=float)
    larger = np.sqrt((np.hypot(kappa, 2 * a) + np.abs(kappa)) / 2)
    smaller = np.where(larger > 0, a / np.where(larger > 0, larger, 1.0), 0.0)
    return np.where(kappa >= 0, larger, smaller), np.where(kappa >= 0, smaller, larger)


def integrate_factors(
    state: State,
    drive: Drive,
    time: Number,
    *,
    imbalance: Number = 0.0,
    decay: Number = 0.0,
    noise: Noise | None = None,
) -> tuple[State, Float[np.ndarray, "modes *settings"]]:
    """Strength and shortfall after one stage, and the imbalance kappa, which decay and dropout do not conserve.

    Args:
        state: before the stage, the modes leading.
        drive: mixture of the stage without weight decay: (c, c s, c s_ref - c s).
        time: flow time, >= 0.
        imbalance: kappa before the stage.
        decay: weight decay mu.
        noise: dropout, if any.

    Raises:
        WrongUse: a value is traced by JAX, or the integrator gave up.
    """
    gamma, variance, number, width = noise or Noise(0.0, 0.0, 0.0, 1.0)
    inputs = (*state[:2], *drive, time, imbalance, decay, gamma, variance, number, width)
    if is_jax(*inputs):
        raise WrongUse("A stage without a closed form is integrated by scipy and cannot be traced. Pass numpy values.")
    whole = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in inputs))
    shape = whole[0].shape
    flat = [value.reshape(shape[0], -1) for value in whole]
    strength, kappa = np.empty_like(flat[0]), np.empty_like(flat[0])
    for first in range(0, strength.shape[1], CHUNK):
        here = slice(first, first + CHUNK)
        a, _, c, g, _, t, before, mu, gam, v, n, m = (value[:, here] for value in flat)
        w1, w2 = _integrate(*factors(a, before), c, g, t, mu, gam, v, n, m)
        strength[:, here], kappa[:, here] = w1 * w2, w1**2 - w2**2
    after = strength.reshape(shape)
    return State(after, whole[1] - (after - whole[0])), kappa.reshape(shape)


def _integrate(
    w1: Array, w2: Array, c: Array, g: Array, t: Array, mu: Array, gamma: Array, v: Array, n: Array, m: Array
) -> tuple[Array, Array]:
    """One system for a chunk of settings, each over its own time (rescaled to [0, 1])."""
    from scipy.integrate import solve_ivp

    calls = 0

    def slope(_: float, y: Array) -> Array:
        nonlocal calls
        calls += 1
        if calls > EVALUATIONS:
            raise WrongUse(
                f"A stage without a closed form needs more than {EVALUATIONS} evaluations for flow time = {t.max():g}. "
                "Lower t_post or t_ft, or the targets, or set dropout_basis to aligned."
            )
        x1, x2 = y.reshape(2, *w1.shape)
        force = g - c * x1 * x2
        first = (n * x1 * x1 / m).sum(0)
        second = (n * v * x2 * x2 / m).sum(0)
        d1 = force * x2 - (mu + gamma * second) * x1
        d2 = force * x1 - (mu + gamma * v * first) * x2
        return np.concatenate([(2 * t * d1).ravel(), (2 * t * d2).ravel()])

    start = np.concatenate([w1.ravel(), w2.ravel()])
    done = solve_ivp(slope, (0.0, 1.0), start, method="DOP853", rtol=RTOL, atol=ATOL)
    if not done.success:
        raise WrongUse(f"A stage could not be integrated ({done.message}). Use shorter flow times.")
    one, two = done.y[:, -1].reshape(2, *w1.shape)
    return one, two
