"""What a run looks like from inside while it trains: mode strengths, alignment, and where the gradient goes."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from common.arrays import Array, Float
from sims.data import Evaluation, fold, measure
from sims.lanes import lane_sum, multiply, transpose
from sims.networks import Weights, product, trainable
from sims.objectives import gradient
from sims.setup import Setup
from sims.tasks import Problem
from sims.training import Stage


class Snapshot(NamedTuple):
    """One moment of a block of runs."""

    losses: Float[Array, "3 lanes"]
    """On D_pre, D_post and D_ft."""
    strengths: Float[Array, "modes lanes"]
    """`a_i = u_i' theta v_i`; not a number in nonlinear networks."""
    alignment: Float[Array, " lanes"]
    """Share of |theta|^2 that lies on the modes: 1 where theta = U diag(a) V'."""
    post_only_energy: Float[Array, " lanes"]
    """Share of the squared gradient of the input layer that lies along directions that only D_post uses; of the layer itself, also
    where an adapter is trained in its stead."""


@functools.partial(jax.jit, static_argnames=("setup",))
def snapshot(
    setup: Setup, problem: Problem, on: Evaluation, stage: Stage, weights: Weights, step: Array, total: Array
) -> Snapshot:
    """Look at a block at one step of a stage of `total` steps."""
    made = gradient(setup, stage.objective, weights, fold(stage.keys, step), (step + 0.5) / total)
    inner = trainable(setup, made, adapting=False).layers[0]
    energy = lane_sum(inner**2)
    along = lane_sum(multiply(inner, problem.post_only) ** 2)
    share = jnp.where(energy > 0, along / jnp.where(energy > 0, energy, 1.0), 0.0)
    modes = min(problem.outputs.shape[1], problem.features.shape[1])
    if setup.activation == "linear":
        theta = product(setup, weights)
        turned = multiply(transpose(problem.outputs[:, :modes]), theta)
        strengths = (turned * transpose(problem.features[:, :modes])).sum(1)
        alignment = lane_sum(strengths**2) / lane_sum(theta**2)
    else:
        strengths, alignment = jnp.full((modes, energy.shape[0]), jnp.nan), jnp.full_like(energy, jnp.nan)
    return Snapshot(measure(setup, on, weights), strengths, alignment, share)


def moments(setup: Setup, durations: Sequence[float]) -> list[tuple[str, float]]:
    """Stage and flow time of every recorded point of a run, in order.

    Args:
        setup: with `record` points.
        durations: flow time of the three stages.
    """
    made = [
        (stage, edge * duration / steps)
        for stage, duration, steps in zip(("pre", "post"), durations, setup.steps, strict=False)
        for edge in edges(steps, setup.record)[:-1]
    ]
    return made + [("ft", fraction * durations[2]) for fraction in (0.0, *setup.observe)]


def edges(steps: int, parts: int) -> list[int]:
    """Where the parts of a stage begin and end, in steps."""
    return [round(i * steps / parts) for i in range(parts + 1)]
