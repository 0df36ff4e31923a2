"""Settings per second: the closed form (numpy, JAX, grids) beside gradient descent and the bound that memory sets.

A setting is a three-block problem with all ten parameters drawn at random, solved for all four losses in float64.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from theory.grid import BLOCK, Grid, evaluate, parse_axis, recycle_memory
from theory.stages import predict

POINTS = 1_000_000
NAMES = ("alpha", "t_pre", "t_post", "t_ft", "sigma_inv", "sigma_pre", "sigma_post", "sigma_ft", "beta", "init_scale")
STEPS = 2_400
"""Gradient-descent steps of the three stages together."""


def best_of(call: Callable[[], Any], repeats: int) -> float:
    """Least wall time of several calls, seconds."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def scattered(points: int, seed: int = 0) -> dict[str, Any]:
    """Random settings, every parameter different in every one."""
    generator = np.random.default_rng(seed)
    return {name: generator.uniform(0.1, 1.0, points) for name in NAMES}


def numpy_scattered(repeats: int) -> float:
    """Settings per second of the numpy closed form in blocks, one thread per core."""
    values, out = scattered(POINTS), np.empty((4, POINTS))
    recycle_memory()

    def block(first: int) -> None:
        here = {name: value[first : first + BLOCK] for name, value in values.items()}
        for row, loss in zip(out, predict(here), strict=True):
            row[first : first + BLOCK] = loss

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return POINTS / best_of(lambda: list(pool.map(block, range(0, POINTS, BLOCK))), repeats)


def numpy_grid(repeats: int) -> float:
    """The same closed form on a grid, where stages 1 and 2 are shared by all stage-3 times."""
    grid = Grid([parse_axis(text) for text in ("alpha=0:1:100", "t_post=0:4:100", "t_ft=0.01:10:100:log")])
    out = np.empty((4, grid.size))
    return grid.size / best_of(lambda: evaluate(grid, out), repeats)


def jax_scattered(repeats: int) -> float:
    """The same function compiled by JAX, compilation not counted."""
    import jax

    with jax.enable_x64(True):
        values = {name: jax.numpy.asarray(value) for name, value in scattered(POINTS).items()}
        compiled = jax.jit(lambda v: predict(v))
        jax.block_until_ready(compiled(values))
        return POINTS / best_of(lambda: jax.block_until_ready(compiled(values)), repeats)


def memory_bound(repeats: int) -> float:
    """Settings per second if reading ten numbers and writing four were all: 112 bytes at the measured copy bandwidth."""
    source = np.ones(16 * POINTS)
    target = np.empty_like(source)
    halves = np.array_split(np.arange(len(source)), os.cpu_count() or 1)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def copy(part: Any) -> None:
            np.copyto(target[part[0] : part[-1] + 1], source[part[0] : part[-1] + 1])

        seconds = best_of(lambda: list(pool.map(copy, halves)), repeats)
    return 2 * source.nbytes / seconds / (8 * (len(NAMES) + 4))


def _tasks() -> tuple[Any, Any]:
    """Targets and variances of the default six-mode problem, with random singular vectors."""
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.normal(size=(6, 6)))[0] for _ in range(2))
    sigma = np.array([[3, 3, 3, 3, 0.4, 0], [3, 3, 3, 3, 1.4, 0.9], [3, 3, 3, 3, 0.4, 0]])
    variance = np.array([[1, 1, 1, 1, 1, 0], [1] * 6, [1, 1, 1, 1, 1, 0]], dtype=float)
    return np.einsum("ij,tj,kj->tik", u, sigma, v), np.einsum("ij,tj,kj->tik", v, variance, v)


def numpy_descent(settings: int = 8) -> float:
    """A plain numpy loop: gradient descent on W1 and W2, one setting after the other."""
    targets, covariances = _tasks()

    def run(alpha: float) -> Any:
        w1 = w2 = 1e-3 * np.eye(6)
        for stage in range(3):
            parts = {0: ((1 - alpha, 0), (alpha, 1)), 1: ((1.0, 1),), 2: ((1.0, 2),)}[stage]
            for _ in range(STEPS // 3):
                error = sum(weight * (w1 @ w2 - targets[task]) @ covariances[task] for weight, task in parts)
                w1, w2 = w1 - 0.02 * error @ w2.T, w2 - 0.02 * w1.T @ error
        return w1 @ w2

    start = time.perf_counter()
    for alpha in np.linspace(0, 1, settings):
        run(alpha)
    return settings / (time.perf_counter() - start)


def jax_descent(settings: int = 256) -> float:
    """The same gradient descent, vmapped over settings and compiled."""
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        targets, covariances = (jnp.asarray(value) for value in _tasks())

        def run(alpha: Any) -> Any:
            def stage(weights: Any, state: Any) -> Any:
                def step(state: Any, _: None) -> Any:
                    w1, w2 = state
                    error = jnp.einsum("t,tij,tjk->ik", weights, w1 @ w2 - targets, covariances)
                    return (w1 - 0.02 * error @ w2.T, w2 - 0.02 * w1.T @ error), None

                return jax.lax.scan(step, state, None, length=STEPS // 3)[0]

            state = (1e-3 * jnp.eye(6), 1e-3 * jnp.eye(6))
            for weights in (jnp.stack([1 - alpha, alpha, 0 * alpha]), jnp.array([0.0, 1, 0]), jnp.array([0.0, 0, 1])):
                state = stage(weights, state)
            return state[0] @ state[1]

        compiled = jax.jit(jax.vmap(run))
        alphas = jnp.linspace(0, 1, settings)
        compiled(alphas).block_until_ready()
        return settings / best_of(lambda: compiled(alphas).block_until_ready(), 2)


def measure() -> list[tuple[str, float]]:
    """What was run, and settings per second; fast ones interleaved so that they see the same machine."""
    fast = {
        "closed form, numpy, all parameters scattered": numpy_scattered,
        "closed form, numpy, grid of 100 x 100 x 100": numpy_grid,
        "closed form, JAX compiled, all parameters scattered": jax_scattered,
        "bound: memory bandwidth of the same arrays": memory_bound,
    }
    rounds = [{name: run(3) for name, run in fast.items()} for _ in range(3)]
    rows = [(name, max(result[name] for result in rounds)) for name in fast]
    rows.append((f"gradient descent, JAX vmapped, {STEPS} steps", jax_descent()))
    rows.append((f"gradient descent, numpy loop, {STEPS} steps", numpy_descent()))
    return rows
