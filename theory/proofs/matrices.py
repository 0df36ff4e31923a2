"""The slow, obvious reference: two-layer linear networks as matrices, without any mode decomposition.

Loss (not halved) `E|W1 W2 x - A x|^2 = tr[(W1 W2 - A) C (W1 W2 - A)^T]` for x ~ N(0, C), n x m times m x n.
Proofs and errata compare closed forms, and what the paper prints, with these.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from scipy.integrate import solve_ivp

from common.arrays import Float

Square: TypeAlias = Float[np.ndarray, "n n"]
"""A task's target or covariance, or a basis."""
Modes: TypeAlias = Float[np.ndarray, "n"]
"""One number per mode."""
Layers: TypeAlias = tuple[Float[np.ndarray, "n m"], Float[np.ndarray, "m n"]]
"""W1 and W2."""
State: TypeAlias = Float[np.ndarray, "size"]
"""What an integrator moves."""


def orthogonal(rng: np.random.Generator, n: int, columns: int | None = None) -> Float[np.ndarray, "_ _"]:
    """A random n x n orthogonal matrix (Haar), or its first columns."""
    q, r = np.linalg.qr(rng.standard_normal((n, n)))
    return np.asarray((q * np.sign(np.diag(r)))[:, : columns or n])


def aligned(u: Square, v: Square, q: Float[np.ndarray, "m n"], w1: Modes, w2: Modes) -> Layers:
    """`W1 = U diag(w1) Q^T`, `W2 = Q diag(w2) V^T`."""
    return (u * w1) @ q.T, (q * w2) @ v.T


def integrate(velocity: Callable[..., Any], start: Any, time: float, rtol: float = 1e-11) -> State:
    """The state of an ordinary differential equation after a time, by DOP853 with an absolute tolerance of 1e-14."""
    return np.asarray(solve_ivp(velocity, (0.0, time), start, method="DOP853", rtol=rtol, atol=1e-14).y[:, -1])


def gradients(layers: Layers, target: Square, covariance: Square) -> Layers:
    """The gradients of the loss in W1 and W2."""
    w1, w2 = layers
    error = 2 * (w1 @ w2 - target) @ covariance
    return error @ w2.T, w1.T @ error


def loss(theta: Square, target: Square, covariance: Square) -> float:
    """The population loss of a linear map."""
    error = theta - target
    return float(np.trace(error @ covariance @ error.T))


def flow(layers: Layers, stages: Iterable[tuple[Square, Square, float]], rtol: float = 1e-11) -> Layers:
    """Gradient flow through stages `(target, covariance, time)`, integrated with DOP853."""
    shapes = layers[0].shape, layers[1].shape
    size = layers[0].size
    state = np.concatenate([layers[0].ravel(), layers[1].ravel()])

    def unpack(flat: State) -> Layers:
        return flat[:size].reshape(shapes[0]), flat[size:].reshape(shapes[1])

    for target, covariance, time in stages:

        def velocity(_: float, flat: State, target: Square = target, covariance: Square = covariance) -> State:
            first, second = gradients(unpack(flat), target, covariance)
            return -np.concatenate([first.ravel(), second.ravel()])

        if time > 0:
            state = integrate(velocity, state, time, rtol)
    return unpack(state)


def descend(layers: Layers, target: Square, covariance: Square, step: float, steps: int) -> Layers:
    """Gradient descent: `steps` steps of size `step` on the population loss."""
    w1, w2 = layers
    for _ in range(steps):
        first, second = gradients((w1, w2), target, covariance)
        w1, w2 = w1 - step * first, w2 - step * second
    return w1, w2


def descend_dropout(layers: Layers, target: Square, gamma: float, step: float, steps: int) -> Layers:
    """Gradient descent on the expected loss with hidden dropout, C = I: plus gamma sum_j |W1[:, j]|^2 |W2[j]|^2."""
    w1, w2 = layers
    identity = np.eye(target.shape[1])
    for _ in range(steps):
        first, second = gradients((w1, w2), target, identity)
        columns, rows = (w1**2).sum(axis=0), (w2**2).sum(axis=1)
        w1, w2 = w1 - step * (first + 2 * gamma * w1 * rows), w2 - step * (second + 2 * gamma * w2 * columns[:, None])
    return w1, w2


def fine_tuning_changes(seed: int) -> tuple[float, float, float, float]:
    """Change of theta v over fine-tuning (T3 = 3), n = 4, v without variance: random layers (relative), aligned layers
    and an arbitrary target (absolute), aligned layers plus 0.1 noise (relative), everything aligned (relative)."""
    rng = np.random.default_rng(seed)
    n = 4
    u, v, q = (orthogonal(rng, n) for _ in range(3))
    sigma, root = np.array([2.0, 1.0, 0.6, 0.0]), np.sqrt([2.0, 1.5, 0.3, 0.8])
    covariance = (v * np.array([1.0, 1.0, 1.0, 0.0])) @ v.T
    target, arbitrary = (u * sigma) @ v.T, rng.standard_normal((n, n))
    start = aligned(u, v, q, root, root)
    random = rng.standard_normal((n, n)), rng.standard_normal((n, n))
    noisy = start[0] + 0.1 * rng.standard_normal((n, n)), start[1] + 0.1 * rng.standard_normal((n, n))

    def change(layers: Layers, goal: Square) -> tuple[float, float]:
        after = flow(layers, [(goal, covariance, 3.0)], rtol=1e-10)
        before = layers[0] @ layers[1] @ v[:, -1]
        moved = float(np.linalg.norm(after[0] @ after[1] @ v[:, -1] - before))
        return moved, moved / float(np.linalg.norm(before))

    return change(random, target)[1], change(start, arbitrary)[0], change(noisy, target)[1], change(start, target)[1]
