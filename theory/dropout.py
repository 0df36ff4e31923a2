"""Hidden dropout in one stage: inverted scaling, expected loss, for three ways in which modes lie in the hidden layer.

Dropping a hidden unit with probability p adds `gamma sum_j |W1[:, j]|^2 (W2 C W2^T)_jj` to the loss, gamma = p/(1 - p).

    aligned     a unit each: c -> c/(1-p), s -> (1-p) s at the same growth rate c s. Exact. A saddle under hidden rotation.
    equal       every mode equally on all m units (a Hadamard basis): modes are coupled. Integrated, see `theory.factors`.
    equalised   generic basis, c = 1, endless stage: the soft threshold (s - nu)_+. Exact, and a limit only.

Dropout leaves a specialised deficit (p beta, or nu) that fine-tuning without variance there does not repair, so in the plain
model it never lowers loss_ret at fixed times. Source: the question is arXiv 2605.12705 Sec. 4; the solutions are ours.
"""

import numpy as np

from common.arrays import Array, Number, is_jax, is_zero, namespace
from common.settings import WrongUse
from theory.two_layer import Drive, State


def aligned_dropout(drive: Drive, probability: Number, variance: Number, sigma_post: Number) -> Drive:
    """The drive of a stage with dropout in the aligned basis: variance more by gamma c, growth unchanged.

    Args:
        drive: of the stage without dropout.
        probability: p; gamma = p/(1 - p).
        variance: c of the data (without the weight of a pull to the start).
        sigma_post: D_post targets, to which the shortfall refers.
    """
    if is_zero(probability):
        return drive
    more = variance * (probability / (1 - probability))
    return Drive(drive.variance + more, drive.growth, drive.pull + more * sigma_post)


def threshold(sigma: Number, count: Number, probability: Number, width: Number) -> Array:
    """The level nu of the equalised solution: `nu = gamma S/(m + gamma r)`, S and r the sum and number of targets above nu.

    It is the largest value of that expression over the r largest targets, for any r.

    Args:
        sigma: targets, the modes leading.
        count: how many modes a row stands for.
        probability: p; gamma = p/(1 - p).
        width: m, hidden units.

    Returns:
        nu, without the modes' axis.
    """
    xp = namespace(sigma, count, probability, width)
    sigma, count = xp.broadcast_arrays(xp.asarray(sigma, dtype=float), xp.asarray(count, dtype=float))
    order = xp.argsort(-sigma, axis=0)
    sigma, count = (xp.take_along_axis(values, order, axis=0) for values in (sigma, count))
    gamma = probability / (1 - probability)
    levels = gamma * xp.cumsum(count * sigma, axis=0) / (width + gamma * xp.cumsum(count, axis=0))
    return levels.max(0)


def equalised(state: State, drive: Drive, sigma: Number, level: Number) -> State:
    """Modes at the end of an endless stage with dropout in a generic basis: `(s - nu)_+`, shortfall `min(s, nu)`.

    Args:
        state: before the stage; only that every strength is above 0 matters.
        drive: of the stage; must be D_post alone with variance 1 everywhere.
        sigma: D_post targets.
        level: nu.

    Raises:
        WrongUse: a variance is not 1, or a strength is 0.
    """
    xp = namespace(*state, sigma, level)
    if not is_jax(drive.variance) and np.any(np.asarray(drive.variance) != 1):
        raise WrongUse("dropout_basis = equalised needs variance 1 under D_post in every mode. Use the equal basis.")
    if not is_jax(state.strength) and np.any(np.asarray(state.strength) <= 0):
        raise WrongUse("dropout_basis = equalised needs every mode to start above 0. Use the equal basis.")
    return State(xp.maximum(sigma - level, 0.0), xp.minimum(sigma, level))
