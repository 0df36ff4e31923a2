"""Where the closed forms are approximate: random small initialisation, and a finite set of D_post samples seen to convergence."""

import numpy as np
import pytest

from theory import evolve

from .reference import FullMatrix, orthogonal


@pytest.mark.parametrize(("width", "tolerance"), [(6, 0.06), (16, 0.02), (64, 0.02)])
def test_random_small_init_acts_like_an_effective_strength(width, tolerance):
    # a0 = |P (W1' u + W2 v)|^2 / 4, P removing the hidden directions of the faster modes; the strength at half time tells
    sigma, scale = np.array([2.0, 0.8]), 1e-4
    errors = []
    for seed in range(6):
        generator = np.random.default_rng(seed)
        net = FullMatrix(np.ones(2), seed=seed)
        net.w1, net.w2 = generator.normal(0, scale, (2, width)), generator.normal(0, scale, (width, 2))
        hidden = net.w1.T @ net.u + net.w2 @ net.v  # one column a mode
        fast, slow = hidden.T
        slow = slow - fast * (fast @ slow) / (fast @ fast)
        start = np.array([fast @ fast, slow @ slow]) / 4
        half = np.log(sigma / start - 1) / (4 * sigma)
        for i in np.argsort(half):
            net_at = FullMatrix(np.ones(2), seed=seed)
            net_at.w1, net_at.w2 = net.w1.copy(), net.w2.copy()
            got = net_at.flow([(1.0, np.ones(2), sigma)], half[i]).strength[i]
            errors.append(abs(got / evolve(start[i], variance=1.0, sigma=sigma[i], time=half[i]) - 1))
    assert np.median(errors) < tolerance


def test_the_mean_effective_strength():
    # (m - r) zeta^2 / 2 with r faster modes
    generator = np.random.default_rng(0)
    for width, faster in ((6, 0), (6, 3), (16, 2)):
        vectors = generator.normal(size=(20000, width)) + generator.normal(size=(20000, width))
        keep = orthogonal(generator, width)[:, faster:]
        assert ((vectors @ keep) ** 2).sum(1).mean() / 4 == pytest.approx((width - faster) / 2, rel=0.02)


@pytest.mark.parametrize(("alpha", "directions"), [(1e-4, 1), (1.0, 6)])
def test_repetition_leaves_the_noise_floor(alpha, directions):
    # N unique noisy D_post samples to convergence: specialised excess n_out tau^2 k/(N - k - 1) for small alpha,
    # n_out tau^2 k/(N - n - 1) at alpha = 1, where all directions together have n_out tau^2 n/(N - n - 1)
    n, k, outputs, samples, tau, draws = 6, 1, 3, 24, 0.5, 4000
    generator = np.random.default_rng(1)
    x = generator.normal(size=(draws, samples, n))
    noise = tau * generator.normal(size=(draws, samples, outputs))
    pre = np.diag([1.0] * (n - k) + [0.0] * k)
    system = (1 - alpha) * pre + alpha * np.einsum("dsi,dsj->dij", x, x) / samples
    gap = np.linalg.solve(system, alpha * np.einsum("dsi,dso->dio", x, noise) / samples)
    special, total = (gap[:, -k:] ** 2).sum((1, 2)).mean(), (gap**2).sum((1, 2)).mean()
    assert special == pytest.approx(outputs * tau**2 * k / (samples - directions - 1), rel=0.04)
    if alpha == 1.0:
        assert total == pytest.approx(outputs * tau**2 * n / (samples - n - 1), rel=0.03)
