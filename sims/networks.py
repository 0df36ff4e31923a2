"""Networks: a chain of weight matrices, linear or with one nonlinear hidden layer, and adapters beside them.

    theta = W_L ... W_1 (+ B A)          f(x) = (W_2 (+ B_2 A_2)) phi((W_1 (+ B_1 A_1)) x)

`initial` makes the weights of one run; `forward` maps a block of runs, lanes last. With inputs equal to the identity `forward` is theta
itself: a linear network is trained and measured through its product.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from common.arrays import Array, Float
from sims.lanes import multiply
from sims.setup import Setup
from sims.tasks import Problem, orthogonal

UNSEEN = 1e-9
"""Norm below which the inputs are taken to lack a direction (our choice: far above rounding); the adapter then starts along one input."""


class Weights(NamedTuple):
    """The trained parameters, lanes last in a block."""

    layers: tuple[Float[Array, "rows columns ..."], ...]
    """W_1 (next to the input) to W_L."""
    adapter: tuple[Float[Array, "rows columns ..."], ...]
    """(A, B) of a linear network's additive adapter; (A_1, B_1, A_2, B_2) of a nonlinear network's matrices; or nothing."""


def initial(setup: Setup, values: Mapping[str, Any], tasks: Problem, key: Array) -> Weights:
    """The weights of one run before stage 1; adapters, where there are any, are zero until stage 2.

    Aligned: every mode has strength init_scale^2 whatever the depth, and w1^2 - w2^2 = imbalance in a network of depth 2, where w1
    belongs to the layer next to the output, as in the closed form.
    """
    shapes, scale = setup.shapes, values["init_scale"]
    if setup.units == "separate":
        layers: tuple[Array, ...] = (scale * jnp.eye(setup.width), jnp.full((setup.outputs, setup.width), scale))
    elif setup.init == "random":
        keys = jax.random.split(key, setup.depth)
        layers = tuple(scale * jax.random.normal(k, shape) for k, shape in zip(keys, shapes, strict=True))
    elif setup.init == "identity":
        layers = tuple(scale ** (2 / setup.depth) * jnp.eye(*shape) for shape in shapes)
    else:
        layers = _aligned(setup, values, tasks, key)
    return Weights(layers, tuple(jnp.zeros(shape) for shape in adapter_shapes(setup)))


def adapter_shapes(setup: Setup) -> list[tuple[int, int]]:
    """Rows and columns of A and B of every adapter; a matrix of a smaller rank than asked gets an adapter of its own rank."""
    if setup.rank is None:
        return []
    ranks = [min(setup.rank, *shape) for shape in setup.adapted]
    return [s for (rows, columns), r in zip(setup.adapted, ranks, strict=True) for s in ((r, columns), (rows, r))]


def _aligned(setup: Setup, values: Mapping[str, Any], tasks: Problem, key: Array) -> tuple[Array, ...]:
    modes, strength = setup.modes, values["init_scale"] ** 2
    keys = jax.random.split(key, setup.depth)
    between = [hidden_basis(setup, k) for k in keys[1:]]
    bases = [tasks.features[:, :modes], *between, tasks.outputs[:, :modes]]
    sizes = [strength ** (1 / setup.depth)] * setup.depth
    if setup.depth == 2:
        kappa = values["imbalance"]
        square = jnp.sqrt(kappa**2 + 4 * strength**2)  # w1^2 + w2^2
        sizes = [jnp.sqrt((square - kappa) / 2), jnp.sqrt((square + kappa) / 2)]
    return tuple(size * new @ old.T for size, old, new in zip(sizes, bases, bases[1:], strict=False))


def hidden_basis(setup: Setup, key: Array) -> Float[Array, "width modes"]:
    """The hidden direction of every mode of an aligned start, orthonormal."""
    if setup.basis == "random":
        return orthogonal(key, setup.width, setup.modes)
    if setup.basis == "unit":
        return jnp.eye(setup.width, setup.modes)
    from scipy.linalg import hadamard

    return jnp.asarray(hadamard(setup.width)[:, : setup.modes] / setup.width**0.5)


def start_adapter(
    setup: Setup, values: Mapping[str, Any], residual: Array, factor: Array, key: Array
) -> tuple[Array, Array]:
    """The additive adapter of one linear network at the start of stage 2.

    B = 0; A has the scale `adapter_scale`, along the directions that help most, or random.

    Args:
        setup: its rank and kind of start.
        values: the settings of the run.
        residual: what the adapter could still fit, `(A_post - theta) F`, of shape (outputs, latents).
        factor: F of D_post, of shape (inputs, latents).
        key: for a random start.
    """
    rank = setup.rank or 0
    if setup.init == "random":
        rows = jax.random.normal(key, (rank, setup.inputs))
    else:
        directions = jnp.linalg.svd(residual, full_matrices=True)[2][:rank] @ factor.T
        norms = jnp.linalg.norm(directions, axis=1, keepdims=True)
        rows = jnp.where(norms > UNSEEN, directions / norms, jnp.eye(rank, setup.inputs))
    return values["adapter_scale"] * rows, jnp.zeros((setup.outputs, rank))


def start_adapters(setup: Setup, values: Mapping[str, Any], key: Array) -> tuple[Array, ...]:
    """The adapters of one nonlinear network at the start of stage 2: every B = 0, every A random of scale `adapter_scale`.

    Source: LoRA, arXiv 2106.09685 Sec. 4.1, with the scale as a setting.
    """
    inner = adapter_shapes(setup)[::2]
    outer = adapter_shapes(setup)[1::2]
    keys = jax.random.split(key, len(inner))
    rows = (values["adapter_scale"] * jax.random.normal(k, shape) for k, shape in zip(keys, inner, strict=True))
    return tuple(part for a, shape in zip(rows, outer, strict=True) for part in (a, jnp.zeros(shape)))


def effective(setup: Setup, weights: Weights) -> tuple[Float[Array, "rows columns lanes"], ...]:
    """The matrices of a nonlinear network with their adapters added, W_l + B_l A_l."""
    if not weights.adapter:
        return weights.layers
    pairs = zip(weights.layers, weights.adapter[::2], weights.adapter[1::2], strict=True)
    return tuple(layer + multiply(outer, inner) for layer, inner, outer in pairs)


@functools.partial(jax.jit, static_argnames=("setup",))
def merged(setup: Setup, weights: Weights) -> Weights:
    """The same nonlinear network with its adapters in the layers, and zero adapters, which nothing trains."""
    return Weights(effective(setup, weights), tuple(jnp.zeros_like(part) for part in weights.adapter))


def forward(
    setup: Setup, weights: Weights, inputs: Float[Array, "inputs examples lanes"], masks: Sequence[Array] = ()
) -> Float[Array, "outputs examples lanes"]:
    """What the networks of a block answer.

    Args:
        setup: its activation.
        weights: of the block.
        inputs: a column an example.
        masks: one array (width, lanes) a hidden layer, multiplied onto its units.
    """
    linear = setup.activation == "linear"
    layers = weights.layers if linear else effective(setup, weights)
    hidden = multiply(layers[0], inputs)
    for index, layer in enumerate(layers[1:]):
        hidden = activate(setup.activation, hidden)
        hidden = multiply(layer, hidden * masks[index][:, None] if masks else hidden)
    if linear and weights.adapter:
        return hidden + multiply(weights.adapter[1], multiply(weights.adapter[0], inputs))
    return hidden


def product(setup: Setup, weights: Weights, masks: Sequence[Array] = ()) -> Float[Array, "outputs inputs lanes"]:
    """theta of a linear network: the layers multiplied up, cheaper than `forward` on the identity."""
    theta = weights.layers[0]
    for index, layer in enumerate(weights.layers[1:]):
        theta = multiply(layer, theta * masks[index][:, None] if masks else theta)
    return theta + multiply(weights.adapter[1], weights.adapter[0]) if weights.adapter else theta


def activate(activation: str, values: Array) -> Array:
    """The nonlinearity, by name."""
    if activation == "relu":
        return jnp.maximum(values, 0.0)
    return jnp.tanh(values) if activation == "tanh" else values


def trainable(setup: Setup, gradient: Weights, *, adapting: bool) -> Weights:
    """A gradient with zeros where nothing is trained: only adapters in a low-rank stage 2, only the diagonal of separate units."""
    if adapting:
        return Weights(tuple(jnp.zeros_like(layer) for layer in gradient.layers), gradient.adapter)
    if setup.units == "separate":
        first = gradient.layers[0] * jnp.eye(setup.width)[:, :, None]
        return Weights((first, *gradient.layers[1:]), gradient.adapter)
    return gradient
