"""The gradient of a stage's loss, for a block of runs: on moments, on pools of examples, or on batches.

It always has the same form: the derivative of the network, pulled back from a residual in its output. On moments the output is theta and
the residual `2 (theta C - M)`; on examples it is f(X) and `2 (f(X) - Y) / count`. Weight decay adds `2 mu W`, the pull to the start of the
stage `2 lam (theta - theta_0)`, expected dropout the gradient of its penalty; sampled dropout multiplies masks onto hidden units.
"""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from common.arrays import Array, Float
from sims.data import Data, Examples, Moments, fold, mix, sample_moments, take_mixed
from sims.lanes import lane_sum, multiply, per_lane
from sims.networks import Weights, effective, forward, product
from sims.setup import Setup


class Mixture(NamedTuple):
    """`(1 - weight) first + weight second`, the weight constant in pieces of the stage."""

    first: Data
    second: Data
    ends: Float[Array, "pieces lanes"]
    """Where each piece ends, as a fraction of the stage; the last at 1."""
    weights: Float[Array, "pieces lanes"]
    """The weight of `second` in each piece."""

    def weight(self, passed: Array) -> Float[Array, " lanes"]:
        """The weight when a fraction of the stage has passed."""
        if self.weights.shape[0] == 1:
            return self.weights[0]
        piece = jnp.minimum((passed >= self.ends).sum(0), self.ends.shape[0] - 1)
        return jnp.take_along_axis(self.weights, piece[None], axis=0)[0]


class Objective(NamedTuple):
    """What a stage descends; numbers have one entry a lane."""

    mixture: Mixture
    decay: Float[Array, " lanes"]
    """mu, for a penalty mu |W|^2 on every layer."""
    dropout: Float[Array, " lanes"]
    """p, for hidden units and inverted scaling."""
    pull: Float[Array, " lanes"]
    """lam, for lam |theta - theta_0|^2; on the weights themselves in a nonlinear network."""
    start: Any
    """theta_0, of shape (outputs, inputs, lanes); the matrices of a nonlinear network, with adapters added."""


@functools.partial(jax.jit, static_argnames=("setup",))
def anchor(setup: Setup, weights: Weights) -> Any:
    """What a pull to these weights pulls to."""
    return product(setup, weights) if setup.activation == "linear" else effective(setup, weights)


def gradient(setup: Setup, objective: Objective, weights: Weights, keys: Array, passed: Array) -> Weights:
    """The gradient when a fraction of the stage has passed; random parts draw with one key a lane."""
    masks = _masks(setup, objective.dropout, keys) if setup.dropout_masks == "sampled" else ()
    made, second = _data_gradient(setup, objective, weights, masks, keys, passed)
    if setup.dropout_masks == "expected":
        odds = objective.dropout / (1 - objective.dropout)
        extra = jax.grad(lambda w: jnp.sum(odds * dropout_penalty(w, second)))(weights)
        made = jax.tree.map(jnp.add, made, extra)
    if masks or not isinstance(objective.mixture.first, Moments):
        none = jax.tree.map(jnp.zeros_like, weights)
        pulls = jnp.any(objective.pull > 0)
        pulled = jax.lax.cond(pulls, lambda w: _pull(setup, objective, w), lambda _: none, weights)
        made = jax.tree.map(jnp.add, made, pulled)
    total: Weights = jax.tree.map(lambda g, w: g + 2 * objective.decay * w, made, weights)
    return total


def _data_gradient(
    setup: Setup, objective: Objective, weights: Weights, masks: Sequence[Array], keys: Array, passed: Array
) -> tuple[Weights, Array]:
    """The gradient of the squared error, and the inputs' second moment that it was taken on.

    On moments, without masks, the pull to the start acts like more data, C + lam I and M + lam theta_0, and costs nothing.
    """
    mixture = objective.mixture
    weight = mixture.weight(passed)
    if isinstance(mixture.first, Moments) and isinstance(mixture.second, Moments):
        moments = mix(mixture.first, mixture.second, weight)
        theta, pull_back = jax.vjp(lambda w: product(setup, w, masks), weights)
        second, cross = moments
        if not masks:
            second = second + objective.pull * jnp.eye(setup.inputs)[:, :, None]
            cross = cross + objective.pull * objective.start
        (made,) = pull_back(2 * (multiply(theta, second) - cross))
        return made, moments.second
    examples, shares = _examples(setup, mixture, weight, keys)
    answers, pull_back = jax.vjp(lambda w: forward(setup, w, examples.inputs, masks), weights)
    (made,) = pull_back(2 * shares * (answers - examples.labels))
    return made, sample_moments(examples).second


def _examples(setup: Setup, mixture: Mixture, weight: Array, keys: Array) -> tuple[Examples, Array]:
    """The examples of a step, and the share of each in the loss."""
    first, second = mixture.first, mixture.second
    if setup.batch:
        assert not isinstance(first, Moments)
        assert not isinstance(second, Moments)
        return take_mixed(setup, first, second, weight, keys), jnp.full((setup.batch, 1), 1 / setup.batch)
    assert isinstance(first, Examples)
    assert isinstance(second, Examples)
    parts = ((1 - weight, first.inputs.shape[1]), (weight, second.inputs.shape[1]))
    shares = [jnp.broadcast_to(part / size, (size, weight.shape[0])) for part, size in parts]
    return Examples(*(jnp.concatenate(pair, axis=1) for pair in zip(first, second, strict=True))), jnp.concatenate(
        shares
    )


def _masks(setup: Setup, probability: Array, keys: Array) -> tuple[Array, ...]:
    """A mask a hidden layer: 0 with probability p, else 1/(1 - p)."""

    def mask(layer: int) -> Array:
        uniform = per_lane(lambda key: jax.random.uniform(key, (setup.width,)))(fold(fold(keys, 5), layer))
        return jnp.where(uniform < probability, 0.0, 1 / (1 - probability))

    return tuple(mask(layer) for layer in range(setup.depth - 1))


def dropout_penalty(weights: Weights, second: Float[Array, "inputs inputs lanes"]) -> Float[Array, " lanes"]:
    """What dropping hidden units adds to the expected loss, over p/(1 - p): `sum_j |W_2[:, j]|^2 (W_1 C W_1')_jj`."""
    inner, outer = weights.layers
    return lane_sum((outer**2).sum(0) * (multiply(inner, second) * inner).sum(1))


def _pull(setup: Setup, objective: Objective, weights: Weights) -> Weights:
    here, pull_back = jax.vjp(lambda w: anchor(setup, w), weights)
    made: Weights = pull_back(jax.tree.map(lambda w, w0: 2 * objective.pull * (w - w0), here, objective.start))[0]
    return made
