"""One implementation for numpy and JAX: which array module to compute with, and the shapes we name.

Nothing here imports JAX. A function of this package computes in numpy until it is handed a JAX array
(or a tracer), and then in `jax.numpy`, so that the same lines are swept, compiled and differentiated.
Results have the precision of the input: enable `jax_enable_x64` before comparing with numpy.
"""

import sys
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Int",
    "Number",
    "Shaped",
    "is_jax",
    "is_traced",
    "is_zero",
    "lead_with_modes",
    "namespace",
]

Array: TypeAlias = Any
"""A numpy or JAX array; the shape and dtype are in the jaxtyping annotation around it."""

Number: TypeAlias = Shaped[Any, "..."] | float | int
"""A Python number or an array that broadcasts against the other arguments."""


def is_jax(*values: object) -> bool:
    """Whether any value is a JAX array or tracer. False, without importing JAX, where JAX was never imported."""
    jax = sys.modules.get("jax")
    return jax is not None and any(isinstance(value, jax.Array) for value in values)


def is_traced(*values: object) -> bool:
    """Whether any value is a JAX tracer, which has a shape and no number yet."""
    jax = sys.modules.get("jax")
    return jax is not None and any(isinstance(value, jax.core.Tracer) for value in values)


def namespace(*values: object) -> Any:
    """The array module to compute with: `jax.numpy` as soon as one value is a JAX array, else `numpy`."""
    return sys.modules["jax"].numpy if is_jax(*values) else np


def is_zero(value: object) -> bool:
    """Whether a setting is the plain number zero, so that its term can be left out rather than added."""
    return isinstance(value, int | float) and bool(value == 0)


def lead_with_modes(rows: list[Number], ndim: int) -> Shaped[Any, "modes ..."]:
    """Stack one row per mode along a leading axis, padded so that it broadcasts against `ndim` axes of settings.

    Rows of shape `S` give `(modes, 1, ..., 1, *S)`. Only the axes that the rows really have are expanded: on a
    grid, what depends on two axes is computed on those two.
    """
    xp = namespace(*rows)
    stacked = xp.stack(xp.broadcast_arrays(*[xp.asarray(row, dtype=float) for row in rows]))
    return stacked.reshape(stacked.shape[0], *(1,) * (ndim + 1 - stacked.ndim), *stacked.shape[1:])
