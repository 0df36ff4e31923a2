"""Gaussian tasks of one run: what D_pre, D_post and D_ft ask for, in full matrices.

    x = F z,  z ~ N(0, I),  C = F F'        y = R phi(V' x) (+ label noise)        linear: y = A x with A = R V'

R has a column and V a row for every feature; phi is the identity, or the nonlinearity of a teacher that the student shares.
Blocks have `R_t = exp(rotation K_t) U diag(s_t)` and `C_t = V diag(c_t) V'`, with a correlation between the inputs of inconsistent and
specialised modes where asked for; pathways have two features and one output. Source: arXiv 2605.12705 Definitions C.2 to
C.4, relaxed. Redundant features (`theory.laws.mechanism`) have an output per mode; what D_post
wants of it is written on the mode's own feature, and the shared ones come last.
"""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import expm

from common.arrays import Array, Float
from sims.lanes import per_lane
from sims.setup import Setup
from theory.features import TASKS
from theory.laws.mechanism import targets


class Task(NamedTuple):
    """One distribution. Of a single run the arrays are plain matrices; in a block the lanes are last."""

    readout: Float[Array, "outputs features ..."]
    """R: what each feature is worth."""
    factor: Float[Array, "inputs latents ..."]
    """F: a factor of the input covariance."""


class Problem(NamedTuple):
    """The three tasks of a run and the directions they are written in."""

    tasks: tuple[Task, Task, Task]
    """pre, post, ft."""
    features: Float[Array, "inputs features ..."]
    """V: the input direction of every feature."""
    outputs: Float[Array, "outputs modes ..."]
    """U: the output direction of every mode."""
    post_only: Float[Array, "inputs inputs ..."]
    """Projection onto the input directions that only D_post uses."""


def problems(setup: Setup, values: Mapping[str, Float[Array, " lanes"]]) -> Problem:
    """The tasks of a block of runs; their seeds decide rotations, and singular vectors where those are not chosen.

    Args:
        setup: which family, its size, and where its singular vectors come from.
        values: the settings of the runs.
    """
    if setup.problem == "pathways":
        return cast(Problem, _all_pathways(values))
    if setup.problem == "redundant":
        return cast(Problem, _all_redundant(setup.tasks, values))
    turns = np.broadcast_to(np.eye(setup.n), (values["seed"].shape[0], 3, setup.n, setup.n))
    if np.any(values["rotation"]):  # a matrix exponential a task costs more than all the rest, and most runs need none
        turns = _all_rotations(setup.n, values["rotation"], values["seed"])
    return cast(Problem, _all_blocks(setup.tasks, values, turns, _chosen(setup)))


def _chosen(setup: Setup) -> tuple[Float[np.ndarray, "n n"], ...]:
    """U and V where the setup says them, else nothing; as data, because compiled in they would be compiled anew every time."""
    if setup.given_vectors:
        return tuple(np.array(rows) for rows in setup.given_vectors)
    return (np.eye(setup.n), np.eye(setup.n)) if setup.vectors == "identity" else ()


def run_keys(seeds: Float[Array, " lanes"], number: int) -> Array:
    """One random key a lane, for one of the purposes that a run draws for."""
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed.astype(jnp.uint32)), number))(seeds)


@functools.partial(jax.jit, static_argnames=("n",))
def _all_rotations(n: int, angle: Array, seeds: Array) -> Array:
    return jax.vmap(functools.partial(_rotations, n))(angle, run_keys(seeds, 0))


@functools.partial(jax.jit, static_argnames=("setup",))
def _all_blocks(setup: Setup, values: Mapping[str, Array], turns: Array, chosen: tuple[Array, ...]) -> Any:
    return per_lane(functools.partial(_blocks, setup, chosen))(values, run_keys(values["seed"], 0), turns)


@jax.jit
def _all_pathways(values: Mapping[str, Array]) -> Any:
    return per_lane(_pathways)(values)


@functools.partial(jax.jit, static_argnames=("setup",))
def _all_redundant(setup: Setup, values: Mapping[str, Array]) -> Any:
    return per_lane(functools.partial(_redundant, setup))(values)


def _rotations(n: int, angle: Array, key: Array) -> Float[Array, "3 n n"]:
    """exp(angle K_t) of the three tasks; K = (G - G')/2, G with entries of variance 1/n, so that |K| does not grow with n."""
    noise = jax.random.normal(jax.random.fold_in(key, 2), (3, n, n)) / jnp.sqrt(n)
    return jax.vmap(expm)(angle * (noise - noise.swapaxes(1, 2)) / 2)


def orthogonal(key: Array, rows: int, columns: int) -> Float[Array, "rows columns"]:
    """Orthonormal columns, uniformly distributed."""
    return jnp.linalg.qr(jax.random.normal(key, (rows, columns)))[0]


def _blocks(
    setup: Setup, chosen: tuple[Array, ...], v: Mapping[str, Any], key: Array, turns: Float[Array, "3 n n"]
) -> Problem:
    n, k = setup.n, setup.k
    inv = n - 2 * k
    inconsistent, specialised = inv + jnp.arange(k), inv + k + jnp.arange(k)
    u, w = chosen or (orthogonal(jax.random.fold_in(key, i), n, n) for i in range(2))
    sigma = {
        "pre": (v["sigma_pre"], 0.0),
        "post": (v["sigma_post"], v["beta"]),
        "ft": (v["sigma_ft"], v["beta_ft"]),
    }
    variance = {"pre": 0.0, "post": 1.0, "ft": v["leakage"]}

    def task(index: int, name: str) -> Task:
        s = jnp.full(n, v["sigma_inv"]).at[inconsistent].set(sigma[name][0]).at[specialised].set(sigma[name][1])
        scale = jnp.ones(n).at[specialised].set(jnp.sqrt(variance[name]))
        factor = jnp.diag(scale)
        if name == "post":
            chi = v["correlation"]
            factor = (
                factor.at[specialised, inconsistent].set(chi).at[specialised, specialised].set(jnp.sqrt(1 - chi**2))
            )
        return Task(turns[index] @ u * s, w @ factor)

    seen = jnp.zeros(n).at[specialised].set(1.0)
    pre, post, ft = (task(index, name) for index, name in enumerate(TASKS))
    return Problem((pre, post, ft), w, u, (w * seen) @ w.T)


def _pathways(v: Mapping[str, Any]) -> Problem:
    chi = v["correlation"]
    only_first = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    correlated = jnp.array([[1.0, 0.0], [chi, jnp.sqrt(1 - chi**2)]])

    def readout(inconsistent: Any, specialised: Any) -> Array:
        return jnp.stack([jnp.asarray(inconsistent), jnp.asarray(specialised)])[None]

    pre, ft = (Task(readout(v[name], 0.0), only_first) for name in ("sigma_pre", "sigma_ft"))
    post = Task(readout(v["sigma_post"], v["beta"]), correlated)
    return Problem((pre, post, ft), jnp.eye(2), jnp.ones((1, 1)), jnp.diag(jnp.array([0.0, 1.0])))


def _redundant(setup: Setup, v: Mapping[str, Any]) -> Problem:
    n = setup.n
    rates, wanted = targets(v, n)
    sought = jnp.sqrt(wanted)
    shared = jnp.sqrt(v["overlap"] / (1 - v["overlap"]) * rates)
    none = jnp.zeros((n, n))
    post = Task(
        jnp.concatenate([jnp.diag(sought / jnp.sqrt(rates)), none], axis=1),
        jnp.concatenate([jnp.diag(jnp.sqrt(rates)), jnp.diag(shared)]),
    )
    other = Task(jnp.zeros((n, 2 * n)), jnp.concatenate([none, jnp.sqrt(v["hold"]) * jnp.eye(n)]))
    own = jnp.concatenate([jnp.ones(n), jnp.zeros(n)])
    return Problem((other, post, other), jnp.eye(2 * n), jnp.eye(n), jnp.diag(own))
