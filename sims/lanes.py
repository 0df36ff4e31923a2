"""The layout of every array here: matrices with the runs on the last axis, `(rows, columns, lanes)`.

A product of small matrices is then a handful of vector operations over the runs, where one BLAS call a run would spend its time on
the call. Sixteen float64 lanes fill two AVX-512 or four AVX2 registers and keep a network of a few hundred weights in the
first-level cache; wider blocks spill and are four times as slow (`make bench`). Every block has exactly this many lanes
and no operation mixes them, so a run gives the same bits in whatever block, and beside whatever other runs, it is computed.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import vmap

from common.arrays import Array, Float


def multiply(left: Float[Array, "rows inner lanes"], right: Float[Array, "inner columns lanes"]) -> Array:
    """The matrix product of every lane."""
    return (left[:, :, None] * right[None]).sum(1)


def transpose(matrix: Float[Array, "rows columns lanes"]) -> Float[Array, "columns rows lanes"]:
    """The transpose of every lane."""
    return matrix.swapaxes(0, 1)


def per_lane(build: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one run, mapped over lanes: its arguments have the lanes leading, its results have them last."""
    return vmap(build, in_axes=0, out_axes=-1)


def lane_sum(matrix: Float[Array, "*shape lanes"]) -> Float[Array, " lanes"]:
    """The sum over everything but the lanes."""
    return jnp.sum(matrix, axis=tuple(range(matrix.ndim - 1)))
