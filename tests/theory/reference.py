"""Slow, obvious references: full matrices with random singular vectors, integrated or stepped."""

import numpy as np
from scipy.integrate import solve_ivp


def orthogonal(generator, n, m=None):
    """A random n x n orthogonal matrix, or n orthonormal columns in R^m."""
    return np.linalg.qr(generator.normal(size=(m or n, n)))[0]


class FullMatrix:
    """theta = W1 W2 trained on `E |theta x - A x|^2` with A = U diag(s) V', covariance V diag(c) V'."""

    def __init__(self, strength, imbalance=0.0, *, hidden=None, seed=0):
        generator = np.random.default_rng(seed)
        strength = np.asarray(strength, dtype=float)
        n = len(strength)
        m = hidden or n
        self.u, self.v, self.q = orthogonal(generator, n), orthogonal(generator, n), orthogonal(generator, n, m)
        square = np.sqrt(imbalance**2 + 4 * strength**2)  # w1^2 + w2^2
        w1, w2 = np.sqrt((square + imbalance) / 2), np.sqrt((square - imbalance) / 2)
        self.w1 = self.u @ np.diag(w1) @ self.q.T
        self.w2 = self.q @ np.diag(np.where(strength < 0, -w2, w2)) @ self.v.T

    def gradients(self, w1, w2, variance, sigma, decay=0.0):
        target = self.u @ np.diag(sigma) @ self.v.T
        covariance = self.v @ np.diag(variance) @ self.v.T
        error = 2 * (w1 @ w2 - target) @ covariance
        return error @ w2.T + 2 * decay * w1, w1.T @ error + 2 * decay * w2

    def flow(self, parts, time, decay=0.0):
        """Gradient flow on a weighted sum of tasks: parts = [(weight, variance, sigma)]."""
        if time == 0:
            return self
        shapes, split = (self.w1.shape, self.w2.shape), self.w1.size

        def slope(_, flat):
            w1, w2 = flat[:split].reshape(shapes[0]), flat[split:].reshape(shapes[1])
            total = np.zeros_like(flat)
            for weight, variance, sigma in parts:
                g1, g2 = self.gradients(w1, w2, variance, sigma)
                total -= weight * np.concatenate([g1.ravel(), g2.ravel()])
            return total - 2 * decay * flat

        start = np.concatenate([self.w1.ravel(), self.w2.ravel()])
        end = solve_ivp(slope, (0, time), start, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        self.w1, self.w2 = end[:split].reshape(shapes[0]), end[split:].reshape(shapes[1])
        return self

    def step(self, variance, sigma, rate, steps):
        """Plain gradient descent."""
        for _ in range(steps):
            g1, g2 = self.gradients(self.w1, self.w2, variance, sigma)
            self.w1, self.w2 = self.w1 - rate * g1, self.w2 - rate * g2
        return self

    @property
    def strength(self):
        """u_i' theta v_i."""
        return np.diag(self.u.T @ self.w1 @ self.w2 @ self.v)

    def loss(self, variance, sigma):
        """E |theta x - A x|^2."""
        gap = self.w1 @ self.w2 - self.u @ np.diag(sigma) @ self.v.T
        return float(np.trace(gap @ self.v @ np.diag(variance) @ self.v.T @ gap.T))


def integrate(slope, start, time):
    """A scalar equation, to about 1e-12."""
    return solve_ivp(lambda _, a: slope(a), (0, time), [start], method="DOP853", rtol=1e-12, atol=1e-15).y[0, -1]
