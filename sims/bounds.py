"""The learning rate above which gradient descent cannot stay at a stage's solution.

At a converged balanced mode the loss has curvature `2 L c s^(2 - 2/L)`, so a step multiplies a deviation by `1 - 2 eta L c s^(2 - 2/L)`:
stable iff `eta < 1/(L c s^(2 - 2/L))`, which is `1/(2 c s)` in two layers. Beyond it the mode cycles or diverges. (Unbalanced
solutions are steeper; descent that cannot stay there moves to flatter ones, and the balanced one is the flattest.) A pull lam
to the start makes c s into `c s + lam a_start`. Weight decay lowers a mode, but not the slope of directions between two equal modes,
so it is left out: the bound is then on the safe side. Momentum beta bears `1 + beta` times the learning rate (heavy ball on a
quadratic: eta h < 2 (1 + beta)).
"""

from collections.abc import Mapping

import jax.numpy as jnp

from common.arrays import Array, Float
from sims.data import Data, Moments, linear_target, mix, population
from sims.lanes import multiply, transpose
from sims.setup import Setup
from sims.tasks import Problem
from sims.training import MOMENTUM

STABLE = {"gd": 1.0, "momentum": 1.0 + MOMENTUM}
"""Bound of the learning rate as a multiple of that of gradient descent."""


def step_bounds(
    setup: Setup,
    problem: Problem,
    values: Mapping[str, Array],
    data: tuple[Data, Data, Data],
    weights: Float[Array, "pieces lanes"],
) -> Float[Array, "3 lanes"]:
    """The bound of every stage; exact for converged aligned modes, otherwise from the spectral norms of M = A C and of A.

    Infinite for other optimisers and for nonlinear networks, where it does not apply.

    Args:
        setup: kind of network.
        problem: the tasks.
        values: settings of the runs.
        data: what D_pre, D_post and D_ft are trained on; the whole distribution counts where that is drawn in batches.
        weights: of D_post in the pieces of stage 1; the steepest piece counts.
    """
    lanes = values["alpha"].shape[0]
    if setup.optimiser not in STABLE or setup.activation != "linear":
        return jnp.full((3, lanes), jnp.inf)
    pre, post, ft = (
        part if isinstance(part, Moments) else population(task, problem.features)
        for part, task in zip(data, problem.tasks, strict=True)
    )
    first = [mix(pre, post, weight).cross for weight in weights]
    norms = _spectral([*first, mix(pre, post, 1 - values["replay"]).cross, ft.cross])
    top = _spectral([linear_target(task, problem.features) for task in problem.tasks])
    before = jnp.maximum(top[0], top[1])
    slopes = jnp.stack([norms[:-2].max(0), norms[-2] + values["l2_to_start"] * before, norms[-1]])
    return _bound(setup, setup.depth, slopes, jnp.stack([before, before, top[2]]))


def adapter_bound(setup: Setup, residual: Array, factor: Array) -> Float[Array, " lanes"]:
    """The bound of a stage 2 that trains an adapter: its target is what the frozen weights leave over.

    Args:
        setup: kind of network.
        residual: `(A_post - theta) F`, of shape (outputs, latents, lanes).
        factor: F of D_post, of shape (inputs, latents, lanes).
    """
    if setup.optimiser not in STABLE:
        return jnp.full(residual.shape[-1], jnp.inf)
    slope = _spectral([multiply(residual, transpose(factor))])[0]
    return _bound(setup, 2, slope, slope)


def _bound(setup: Setup, depth: int, slope: Array, top: Array) -> Array:
    return STABLE[setup.optimiser] / (depth * slope * top ** (1 - 2 / depth))


def _spectral(matrices: list[Float[Array, "rows columns lanes"]]) -> Float[Array, "matrices lanes"]:
    return jnp.linalg.norm(jnp.moveaxis(jnp.stack(matrices), -1, 1), ord=2, axis=(2, 3))
