"""What tells the accounts of protection apart, measured on the weights of a linear network of two layers, seeds leading.

    rise       expected rise of a loss under Gaussian noise on the weights, exactly, to all orders
    step       rise after a step down another loss's gradient, and the second difference along it
    share      of a gradient's energy along some of the inputs
    matched    loss_ret where stage 3 has brought loss_ft to a level

With noise N_1, N_2 of variances u, v on the inner and the outer layer, theta moves by `N_2 W_1 + W_2 N_1 + N_2 N_1`, three parts that do
not correlate, so the squared error on inputs of covariance C rises by

    v outputs tr(W_1 C W_1') + u |W_2|^2 tr C + u v outputs width tr C

whatever the target; where weights are missing (separate units) the sums run over those that there are.
"""

from typing import Any

import numpy as np

from common.arrays import Array, Float
from sims.accounts import Task, Weights, there
from sims.setup import Setup

NO_GRADIENT = 1e-12
"""Norm below which there is no direction to step in."""


def loss(weights: Weights, task: Task) -> Float[np.ndarray, " seeds"]:
    """`|(theta - A) F|^2`."""
    return _squares((weights.theta - task.target) @ task.factor)


def sizes(setup: Setup, weights: Weights) -> tuple[Float[np.ndarray, " seeds"], Float[np.ndarray, " seeds"]]:
    """Mean square of the weights of each layer, of those that there are."""
    inner, outer = (_squares(layer) / mask.sum() for layer, mask in zip(weights, there(setup), strict=True))
    return inner, outer


def rise(setup: Setup, weights: Weights, task: Task, variances: tuple[Any, Any]) -> Float[np.ndarray, " seeds"]:
    """Expected rise of a loss under Gaussian noise on the weights.

    Args:
        setup: the network.
        weights: where it is.
        task: what the loss is of.
        variances: of the noise on the inner and on the outer layer; numbers, or one a seed.
    """
    inner, outer = there(setup)
    u, v = (np.asarray(one, dtype=float) for one in variances)
    hidden = ((weights.inner @ task.factor) ** 2).sum(2)  # tr(W_1 C W_1'), unit by unit
    shaken = inner @ (task.factor**2).sum(1)  # what noise of variance 1 on the inner layer does to a unit
    parts = v * (hidden @ outer.T).sum(1), u * (weights.outer**2 @ shaken).sum(1), u * v * (outer @ shaken).sum()
    made: Float[np.ndarray, " seeds"] = parts[0] + parts[1] + parts[2]
    return made


def step(weights: Weights, down: Weights, length: float, task: Task) -> tuple[Array, Array]:
    """Rise of a loss after a step of a length down a gradient, and its second difference along it over length squared, one per seed.

    Both are 0 where there is no gradient.
    """
    norm = np.sqrt(_squares(down.inner) + _squares(down.outer))
    along = np.where(norm > NO_GRADIENT, length / np.maximum(norm, NO_GRADIENT), 0.0)
    here, ahead, behind = (loss(weights.add(down, sign * along), task) for sign in (0.0, -1.0, 1.0))
    return ahead - here, (ahead + behind - 2 * here) / length**2


def share(made: Weights, features: Float[np.ndarray, " inputs"]) -> Float[np.ndarray, " seeds"]:
    """Share of the energy of a gradient of the inner layer along some of the inputs; 0 where there is no gradient."""
    part, whole = _squares(made.inner * features), _squares(made.inner)
    found: Float[np.ndarray, " seeds"] = np.where(whole > NO_GRADIENT**2, part / np.maximum(whole, NO_GRADIENT**2), 0.0)
    return found


def matched(loss_ft: Float[np.ndarray, "times seeds"], values: Float[np.ndarray, "times seeds"], level: Any) -> Array:
    """A value where loss_ft, falling along stage 3, first reaches a level; nan where it does not, the first where it begins below.

    Between two looks it is interpolated in the logarithm of loss_ft.

    Args:
        loss_ft: along stage 3.
        values: loss_ret, or another.
        level: one a seed.
    """
    found = np.full(loss_ft.shape[1], np.nan)
    for seed, (falling, one, bound) in enumerate(zip(loss_ft.T, values.T, level, strict=True)):
        below = np.flatnonzero(falling <= bound)
        if below.size and below[0] == 0:
            found[seed] = one[0]
        elif below.size:
            pair = slice(below[0] - 1, below[0] + 1)
            found[seed] = np.interp(-np.log(bound), -np.log(np.maximum(falling[pair], 1e-300)), one[pair])
    return found


def _squares(matrix: Array) -> Float[np.ndarray, " seeds"]:
    made: Float[np.ndarray, " seeds"] = (matrix**2).sum((1, 2))
    return made
