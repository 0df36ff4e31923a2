"""Settings per second of gradient descent on matrices: `sims.simulate` beside plain alternatives and the bound that arithmetic sets.

A setting is n = m = 6 with its own random singular vectors, trained by full-batch descent through three stages of 800 steps, in float64.
The alternatives do the same arithmetic: moments mixed beforehand, four products of 6 x 6 matrices a step. They are handed
their tasks and weights and measure no losses, which counts in their favour.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.closed_form import best_of

SETTINGS = 4096
STAGE = 800
RATE = 0.02
FLOPS = 4 * 2 * 6**3 * 3 * STAGE
"""Additions and multiplications a setting: four products a step and nothing else."""


def moments(settings: int) -> tuple[Any, Any]:
    """C and M = A C of the three stages of random settings, of shape (settings, 3, 6, 6)."""
    generator = np.random.default_rng(0)
    u, v = (np.linalg.qr(generator.normal(size=(settings, 1, 6, 6)))[0] for _ in range(2))
    alpha = generator.uniform(0, 0.4, settings)[:, None]
    ones, none = np.ones((settings, 4)), np.zeros((settings, 1))
    variance = [np.hstack([ones, none + 1, alpha]), np.ones((settings, 6)), np.hstack([ones, none + 1, none])]
    sigma = [
        np.hstack([3 * ones, 0.4 + alpha, none + 0.9]),
        np.hstack([3 * ones, none + 1.4, none + 0.9]),
        np.hstack([3 * ones, none + 0.4, none]),
    ]
    c, s = (np.stack(part, axis=1)[..., None, :] for part in (variance, sigma))
    turned = v.swapaxes(2, 3)
    return (v * c) @ turned, (u * (s * c)) @ turned


def ours(settings: int = SETTINGS) -> Callable[[], float]:
    """`simulate` on all cores, from settings to losses, tasks and random weights included."""
    from sims import Setup, simulate

    setup = Setup(steps=(STAGE, STAGE, STAGE))
    values = {"alpha": np.linspace(0, 0.4, settings), "seed": np.arange(settings)}
    simulate(setup, {"alpha": np.linspace(0, 0.4, 2 * os.cpu_count() * 16)})
    return lambda: settings / best_of(lambda: simulate(setup, values), 1)


def plain_vmap(settings: int = SETTINGS // 8) -> Callable[[], float]:
    """One setting written with `@`, vmapped over a leading batch axis and compiled; all cores as XLA uses them."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

    def run(second: Any, cross: Any) -> Any:
        state = (1e-3 * jnp.eye(6), 1e-3 * jnp.eye(6))
        for c, m in zip(second, cross, strict=True):

            def step(_: Any, state: Any, c: Any = c, m: Any = m) -> Any:
                w1, w2 = state
                residual = 2 * (w2 @ w1 @ c - m)
                return w1 - RATE * w2.T @ residual, w2 - RATE * residual @ w1.T

            state = jax.lax.fori_loop(0, STAGE, step, state)
        return state

    compiled, data = jax.jit(jax.vmap(run)), [jnp.asarray(part) for part in moments(settings)]
    jax.block_until_ready(compiled(*data))
    return lambda: settings / best_of(lambda: jax.block_until_ready(compiled(*data)), 1)


def numpy_loop(settings: int = 8) -> Callable[[], float]:
    """A plain loop, one setting after the other on one core."""
    data = moments(settings)

    def run() -> None:
        for second, cross in zip(*data, strict=True):
            w1, w2 = 1e-3 * np.eye(6), 1e-3 * np.eye(6)
            for c, m in zip(second, cross, strict=True):
                for _ in range(STAGE):
                    residual = 2 * (w2 @ w1 @ c - m)
                    w1, w2 = w1 - RATE * w2.T @ residual, w2 - RATE * residual @ w1.T

    return lambda: settings / best_of(run, 1)


def flop_bound(size: int = 512) -> Callable[[], float]:
    """If the four products were all, at the speed of numpy's dgemm on square matrices in the cache, all cores on each."""
    left, right = np.random.default_rng(0).normal(size=(2, size, size))
    return lambda: 2 * size**3 / best_of(lambda: left @ right, 50) / FLOPS


def measure(rounds: int = 3) -> list[tuple[str, float]]:
    """What was run, and settings per second; interleaved, so that all see the same machine."""
    ways = {
        "sims.simulate, runs on the last axis": ours(),
        "JAX vmap of matrix products, batch leading": plain_vmap(),
        "numpy loop": numpy_loop(),
        "bound: arithmetic at the speed of dgemm": flop_bound(),
    }
    seen = [{name: run() for name, run in ways.items()} for _ in range(rounds)]
    return [(name, max(rates[name] for rates in seen)) for name in ways]
