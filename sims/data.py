"""What a stage of a block is trained on, and what its losses are measured on.

Moments     a linear network sees a distribution only through C = E x x' and M = E y x': infinitely many examples at once
Examples    a pool: a finite sample, or one large enough to stand for a distribution that a nonlinear network is trained on
Fresh       an endless source of new examples
"""

import functools
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from common.arrays import Array, Float
from sims.lanes import lane_sum, multiply, per_lane, transpose
from sims.networks import Weights, activate, forward, product
from sims.setup import Setup
from sims.tasks import Problem, Task


class Moments(NamedTuple):
    """Second moments; the squared error is, but for a constant, <theta C - 2 M, theta>."""

    second: Float[Array, "inputs inputs lanes"]
    """C."""
    cross: Float[Array, "outputs inputs lanes"]
    """M."""


class Examples(NamedTuple):
    """Inputs and labels, an example a column."""

    inputs: Float[Array, "inputs examples lanes"]
    labels: Float[Array, "outputs examples lanes"]


class Fresh(NamedTuple):
    """A distribution to draw from."""

    task: Task
    features: Float[Array, "inputs features lanes"]
    noise: Float[Array, " lanes"]
    """Standard deviation of the label noise."""


Data: TypeAlias = Moments | Examples | Fresh


def linear_target(task: Task, features: Array) -> Float[Array, "outputs inputs lanes"]:
    """A = R V'."""
    return multiply(task.readout, transpose(features))


def population(task: Task, features: Array) -> Moments:
    """The moments of the whole distribution."""
    second = multiply(task.factor, transpose(task.factor))
    return Moments(second, multiply(linear_target(task, features), second))


def sample_moments(examples: Examples) -> Moments:
    """The moments of a sample."""
    turned = transpose(examples.inputs) / examples.inputs.shape[1]
    return Moments(multiply(examples.inputs, turned), multiply(examples.labels, turned))


def mix(first: Moments, second: Moments, weight: Array) -> Moments:
    """`(1 - weight) first + weight second`, a weight a lane."""
    return Moments(*(a + weight * (b - a) for a, b in zip(first, second, strict=True)))


def normal(keys: Array, shape: tuple[int, ...]) -> Float[Array, "*shape lanes"]:
    """Standard normal numbers, from one key a lane."""
    return per_lane(lambda key: jax.random.normal(key, shape))(keys)


def fold(keys: Array, number: int | Array) -> Array:
    """One new key a lane."""
    return jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)


def draw(setup: Setup, source: Fresh, keys: Array, count: int) -> Examples:
    """New examples: `x = F z`, `y = R phi(V' x) + noise`."""
    task = source.task
    inputs = multiply(task.factor, normal(fold(keys, 0), (task.factor.shape[1], count)))
    labels = multiply(task.readout, activate(setup.activation, multiply(transpose(source.features), inputs)))
    return Examples(inputs, labels + source.noise * normal(fold(keys, 1), labels.shape[:2]))


def take(setup: Setup, source: Examples | Fresh, keys: Array, count: int) -> Examples:
    """A batch: new examples, or some of a pool with replacement."""
    if isinstance(source, Fresh):
        return draw(setup, source, keys, count)
    size = source.inputs.shape[1]
    index = per_lane(lambda key: jax.random.randint(key, (count,), 0, size))(keys)
    return Examples(*(jnp.take_along_axis(part, index[None], axis=1) for part in source))


def take_mixed(setup: Setup, first: Examples | Fresh, second: Examples | Fresh, weight: Array, keys: Array) -> Examples:
    """A batch in which every example comes from the second source with probability `weight`."""
    chosen = per_lane(lambda key: jax.random.uniform(key, (setup.batch,)))(fold(keys, 2)) < weight
    batches = (take(setup, source, fold(keys, 3 + i), setup.batch) for i, source in enumerate((first, second)))
    return Examples(*(jnp.where(chosen[None], b, a) for a, b in zip(*batches, strict=True)))


class Evaluation(NamedTuple):
    """How the losses on D_pre, D_post and D_ft are measured, without label noise.

    Linear networks: exactly, `|(theta - A) F|^2`. Nonlinear ones: the mean over pools that no training sees.
    """

    targets: tuple[Array, ...]
    """A of each task, or the labels of its pool."""
    inputs: tuple[Array, ...]
    """F of each task, or the inputs of its pool."""


def evaluation(setup: Setup, problem: Problem, keys: Array) -> Evaluation:
    """What to measure the losses of a block on."""
    if setup.activation == "linear":
        targets = tuple(linear_target(task, problem.features) for task in problem.tasks)
        return Evaluation(targets, tuple(task.factor for task in problem.tasks))
    silent = jnp.zeros(keys.shape[0])
    sources = (Fresh(task, problem.features, silent) for task in problem.tasks)
    pools = [draw(setup, source, fold(keys, index), setup.population) for index, source in enumerate(sources)]
    return Evaluation(tuple(pool.labels for pool in pools), tuple(pool.inputs for pool in pools))


@functools.partial(jax.jit, static_argnames=("setup",))
def measure(setup: Setup, on: Evaluation, weights: Weights) -> Float[Array, "3 lanes"]:
    """The losses on D_pre, D_post and D_ft."""
    if setup.activation == "linear":
        theta = product(setup, weights)
        return jnp.stack([lane_sum(multiply(theta - a, f) ** 2) for a, f in zip(*on, strict=True)])
    errors = [lane_sum((forward(setup, weights, x) - y) ** 2) for y, x in zip(*on, strict=True)]
    return jnp.stack(errors) / setup.population
