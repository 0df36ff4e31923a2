"""One stage of training, for a block of runs.

    weights <- weights - rate * optimiser(gradient),      rate = flow time / steps

The number of steps is not compiled in: all stages and all discretisations of a setup share one machine program.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from common.arrays import Array, Float
from sims.data import Evaluation, fold, measure
from sims.networks import Weights, trainable
from sims.objectives import Objective, gradient
from sims.setup import Setup

MOMENTUM = 0.9
"""Of the heavy ball."""


class Stage(NamedTuple):
    """One stage of a block; numbers have one entry a lane."""

    objective: Objective
    """What is descended."""
    rate: Float[Array, " lanes"]
    """Learning rate."""
    keys: Array
    """One random key a lane; step i draws with `fold(keys, i)`."""
    stop_at: Float[Array, " lanes"]
    """Loss on D_post at which a lane stops for good, where stopping is asked for."""
    watched: Evaluation
    """What that loss is measured on."""


class Progress(NamedTuple):
    """Where a stage is."""

    weights: Weights
    optimiser: Any
    active: Array
    """Lanes that have not stopped."""


def optimiser(setup: Setup) -> Any:
    """The optax transformation before its learning rate, which differs from lane to lane."""
    import optax

    kinds = {"gd": optax.identity, "momentum": lambda: optax.trace(MOMENTUM), "adam": optax.scale_by_adam}
    return kinds[setup.optimiser]()


@functools.partial(jax.jit, static_argnames=("setup",))
def begin(setup: Setup, weights: Weights) -> Progress:
    """The start of a stage: a fresh optimiser, all lanes active."""
    return Progress(weights, optimiser(setup).init(weights), jnp.ones(weights.layers[0].shape[-1], dtype=bool))


@functools.partial(jax.jit, static_argnames=("setup", "adapting", "stopping"))
def train(
    setup: Setup,
    stage: Stage,
    progress: Progress,
    first: Array,
    last: Array,
    total: Array,
    *,
    adapting: bool,
    stopping: bool,
) -> Progress:
    """Steps `first`, ..., `last` - 1 of a stage of `total` steps.

    Args:
        setup: without what `Setup.kernel` strips.
        stage: data and settings.
        progress: from `begin`, or from the steps before.
        first: whole number.
        last: whole number.
        total: whole number; decides where in the stage a step is.
        adapting: whether only the adapter is trained.
        stopping: whether lanes stop at `stage.stop_at`.
    """
    transformation = optimiser(setup)

    def step(index: Array, progress: Progress) -> Progress:
        weights, state, active = progress
        made = gradient(setup, stage.objective, weights, fold(stage.keys, index), (index + 0.5) / total)
        updates, state = transformation.update(trainable(setup, made, adapting=adapting), state, weights)
        rate = stage.rate
        if stopping:
            active = active & (measure(setup, stage.watched, weights)[1] > stage.stop_at)
            rate = jnp.where(active, rate, 0.0)
        return Progress(jax.tree.map(lambda w, u: w - rate * u, weights, updates), state, active)

    ended: Progress = jax.lax.fori_loop(first, last, step, progress)
    return ended
