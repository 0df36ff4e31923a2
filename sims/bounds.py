"""The learning rate above which gradient descent cannot stay at a stage's solution.

At a converged balanced mode the loss has curvature `2 L c s^(2 - 2/L)`, so a step multiplies a deviation by `1 - 2 eta L c s^(2 - 2/L)`:
stable iff `eta < 1/(L c s^(2 - 2/L))`, which is `1/(2 c s)` in two layers. Beyond it the mode cycles or diverges.
"""

from collections.abc import Mapping

import jax.numpy as jnp

from sims.data import linear_target, mix, population
from sims.setup import Setup
from sims.tasks import Problem
from theory.arrays import Array, Float


def step_bounds(setup: Setup, problem: Problem, values: Mapping[str, Array]) -> Float[Array, "3 lanes"]:
    """The bound of every stage; exact for aligned modes, otherwise from the spectral norms of M = A C and of A F.

    Infinite for other optimisers and for nonlinear networks, where it does not apply.
    """
    lanes = values["alpha"].shape[0]
    if setup.optimiser != "gd" or setup.activation != "linear":
        return jnp.full((3, lanes), jnp.inf)
    pre, post, ft = (population(task, problem.features) for task in problem.tasks)
    moments = (mix(pre, post, values["alpha"]), mix(pre, post, 1 - values["replay"]), ft)
    targets = [
        jnp.linalg.norm(jnp.moveaxis(linear_target(task, problem.features), -1, 0), ord=2, axis=(1, 2))
        for task in problem.tasks
    ]
    largest = (jnp.maximum(targets[0], targets[1]), jnp.maximum(targets[0], targets[1]), targets[2])
    crosses = [jnp.linalg.norm(jnp.moveaxis(m.cross, -1, 0), ord=2, axis=(1, 2)) for m in moments]
    depth = setup.depth
    return jnp.stack(
        [1 / (depth * cross * top ** (1 - 2 / depth)) for cross, top in zip(crosses, largest, strict=True)]
    )
