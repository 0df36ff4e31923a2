"""Interventions: closed forms against full matrices with the expected penalties, and their limits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from common.placement import placed
from theory import (
    LOSSES,
    Modes,
    modes_from_blocks,
    predict,
    solve,
)
from theory.dropout import threshold
from theory.factors import Noise, dropped
from theory.interventions import OFF
from theory.modes import Drive, State
from theory.stages import DEFAULTS

from .reference import orthogonal

N = 4
HADAMARD = np.array([[1.0]])
for _ in range(3):
    HADAMARD = np.kron(np.array([[1, 1], [1, -1]]), HADAMARD)
HADAMARD /= np.sqrt(8)


class Net:
    """theta = base + W1 W2 under gradient flow with every penalty of the interventions, dropout by its expected loss."""

    def __init__(self, w1, w2, base=0.0):
        self.w1, self.w2, self.base = w1, w2, base

    @property
    def theta(self):
        return self.base + self.w1 @ self.w2

    def flow(self, tasks, time, decay=0.0, dropout=0.0, l2=0.0):
        """tasks = [(weight, target, covariance)]."""
        if time == 0:
            return self
        start, gamma, split = self.theta, dropout / (1 - dropout), self.w1.size
        total = sum(weight * covariance for weight, _, covariance in tasks)

        def slope(_, flat):
            w1, w2 = flat[:split].reshape(self.w1.shape), flat[split:].reshape(self.w2.shape)
            theta = self.base + w1 @ w2
            error = sum(2 * weight * (theta - target) @ covariance for weight, target, covariance in tasks)
            error = error + 2 * l2 * (theta - start)
            one = error @ w2.T + 2 * decay * w1 + 2 * gamma * w1 * np.diag(w2 @ total @ w2.T)
            two = w1.T @ error + 2 * decay * w2 + 2 * gamma * (w1**2).sum(0)[:, None] * (w2 @ total)
            return -np.concatenate([one.ravel(), two.ravel()])

        flat = np.concatenate([self.w1.ravel(), self.w2.ravel()])
        end = solve_ivp(slope, (0, time), flat, method="DOP853", rtol=1e-12, atol=1e-14).y[:, -1]
        self.w1, self.w2 = end[:split].reshape(self.w1.shape), end[split:].reshape(self.w2.shape)
        return self


class Problem:
    """The blocks of a setting (n = 4, k = 1) in random singular bases."""

    def __init__(self, v, seed=0):
        generator = np.random.default_rng(seed)
        self.v = {**DEFAULTS, **OFF, **v, "n": N, "k": 1}
        modes = modes_from_blocks(self.v)
        repeat = np.array([2, 1, 1])
        self.sigma = [np.repeat(np.broadcast_to(row, (3,)), repeat) for row in modes.sigma]
        self.variance = [np.repeat(np.broadcast_to(row, (3,)), repeat) for row in modes.variance]
        self.u, self.right = orthogonal(generator, N), orthogonal(generator, N)
        self.targets = [(self.u * s) @ self.right.T for s in self.sigma]
        self.covariances = [(self.right * c) @ self.right.T for c in self.variance]

    def net(self, q, w1=None, w2=None, base=0.0):
        w = np.full(N, self.v["init_scale"])
        return Net((self.u * (w if w1 is None else w1)) @ q.T, (q * (w if w2 is None else w2)) @ self.right.T, base)

    def task(self, task, weight=1.0):
        return weight, self.targets[task], self.covariances[task]

    def loss(self, task, theta):
        gap = theta - self.targets[task]
        return float(np.trace(gap @ self.covariances[task] @ gap.T))

    def pretrain(self, net):
        v = self.v
        for fraction, alpha in placed(v["placement"], v["alpha"], v["window"]):
            net.flow([self.task(0, 1 - alpha), self.task(1, alpha)], fraction * v["t_pre"], v["decay_pre"])
        return net

    def post_train(self, net):
        v = self.v
        tasks = [self.task(0, v["replay"]), self.task(1, 1 - v["replay"])]
        return net.flow(tasks, v["t_post"], v["decay_post"], v["dropout"], v["l2_to_start"])

    def fine_tune(self, net):
        v = self.v
        return net.flow([self.task(2)], v["t_ft"], v["decay_ft"], v["dropout_ft"])

    def ends(self, middle, final):
        return [self.loss(1, middle), self.loss(1, final), self.loss(2, final), self.loss(0, final)]

    def by_matrices(self, q):
        net = self.pretrain(self.net(q))
        middle = self.post_train(net).theta
        return self.ends(middle, self.fine_tune(net).theta)


def agree(got, expected, tolerance):
    for name, one, two in zip(LOSSES, got, expected, strict=True):
        assert float(one) == pytest.approx(two, abs=tolerance), name


some = st.sampled_from([0.0, 0.1, 0.35])
pipelines = st.fixed_dictionaries(
    {
        "sigma_inv": st.floats(0.5, 2.5),
        "sigma_pre": st.floats(0.0, 0.8),
        "sigma_post": st.floats(0.8, 1.6),
        "sigma_ft": st.floats(0.0, 0.8),
        "beta": st.floats(0.3, 1.5),
        "leakage": st.sampled_from([0.0, 0.3]),
        "beta_ft": st.sampled_from([0.0, 0.4]),
        "init_scale": st.sampled_from([1e-3, 0.05, 0.3]),
        "alpha": st.floats(0, 0.25),
        "t_pre": st.floats(0, 5),
        "t_post": st.floats(0, 2.5),
        "t_ft": st.floats(0, 2.5),
    }
)
penalties = st.fixed_dictionaries(
    {
        "replay": some,
        "dropout": some,
        "dropout_ft": some,
        "l2_to_start": some,
        "decay_pre": some,
        "decay_post": some,
        "decay_ft": some,
        "placement": st.sampled_from(["uniform", "early", "late", "anneal"]),
        "window": st.floats(0.5, 1),
    }
)


@settings(max_examples=25)
@given(pipelines, penalties, st.integers(0, 10**6))
def test_everything_with_a_closed_form_combines(v, extra, seed):
    # replay, decay, aligned dropout, pull to the start and placement at once, in all three stages
    got = predict({**v, **extra, "n": N, "k": 1})
    agree(got, Problem(v | extra, seed).by_matrices(np.eye(6)[:, :N]), 1e-11)


@settings(max_examples=12)
@given(pipelines, penalties, st.integers(0, 10**6))
def test_dropout_in_an_equal_basis_agrees_with_matrices(v, extra, seed):
    # replay and leakage give the modes different variances, which breaks the balance of the layers
    v = v | extra | {"dropout_basis": "equal", "width": 8}
    if v["decay_pre"] > 0:
        v = v | {"init_scale": 0.3}
    agree(predict({**v, "n": N, "k": 1}), Problem(v, seed).by_matrices(HADAMARD[:, :N]), 1e-10)


def test_equal_basis_with_any_variances_and_start():
    generator = np.random.default_rng(4)
    w1, w2, c, s = generator.uniform(0.1, 1.2, (4, N))
    u, right = orthogonal(generator, N), orthogonal(generator, N)
    q = HADAMARD[:, :N]
    net = Net((u * w1) @ q.T, (q * w2) @ right.T).flow(
        [(1.0, (u * s) @ right.T, (right * c) @ right.T)], 1.3, dropout=0.4
    )
    a = w1 * w2
    noise = Noise(0.4 / 0.6, c, np.ones(N), 8)
    after, kappa = dropped(State(a, s - a), Drive(c, c * s, 0.0), 1.3, imbalance=w1**2 - w2**2, decay=0.0, noise=noise)
    found = u.T @ net.theta @ right
    assert np.allclose(found, np.diag(after.strength), atol=1e-10)
    assert np.allclose(
        np.diag(u.T @ net.w1 @ net.w1.T @ u) - np.diag(right.T @ net.w2.T @ net.w2 @ right), kappa, atol=1e-10
    )


def test_multiplicity_of_equal_modes_enters_the_coupling():
    v = {**DEFAULTS, **OFF, "n": 5, "k": 2, "dropout": 0.2, "dropout_basis": "equal", "replay": 0.2}
    block = modes_from_blocks(v)
    repeat = np.array([1, 2, 2])
    spread = [
        tuple(np.repeat(np.broadcast_to(x, (3,)), repeat) for x in part) for part in (block.variance, block.sigma)
    ]
    modes = Modes(*spread, np.ones(5), np.full(5, v["init_scale"] ** 2))
    for one, two in zip(solve(block, v).losses, solve(modes, v).losses, strict=True):
        assert float(one) == pytest.approx(float(two), rel=1e-8)


def test_soft_threshold_is_the_long_run_of_a_generic_basis():
    generator = np.random.default_rng(2)
    sigma, width, p = np.array([2.0, 1.0, 0.15]), 5, 0.4 / 1.4  # gamma = .4: the third mode ends at 0
    u, right, q = orthogonal(generator, 3), orthogonal(generator, 3), orthogonal(generator, 3, width)
    net = Net(0.7 * u @ q.T, 0.7 * q @ right.T).flow([(1.0, (u * sigma) @ right.T, np.eye(3))], 400.0, dropout=p)
    level = threshold(sigma, np.ones(3), p, width)
    assert float(level) == pytest.approx(0.4 * 3.0 / (width + 0.8), rel=1e-12)
    assert np.allclose(u.T @ net.theta @ right, np.diag(np.maximum(sigma - level, 0)), atol=5e-9)
    modes = Modes((np.ones(3),) * 3, (sigma,) * 3, np.ones(3), np.full(3, 0.01))
    v = {**DEFAULTS, "dropout": p, "dropout_basis": "equalised", "width": width, "t_ft": 0.0}
    assert np.allclose(solve(modes, v).strengths[2], np.maximum(sigma - level, 0), atol=1e-15)
    equal = solve(modes, v | {"dropout_basis": "equal", "t_post": 300.0}).strengths[2]
    assert np.allclose(equal, np.maximum(sigma - level, 0), atol=1e-8)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 3), st.integers(1, 4)), min_size=1, max_size=6),
    st.floats(0, 0.9),
    st.integers(1, 40),
)
def test_soft_threshold_solves_its_equation(rows, p, width):
    sigma, count = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    level, gamma = threshold(sigma, count, p, width), p / (1 - p)
    assert level == pytest.approx(gamma / width * (count * np.maximum(sigma - level, 0)).sum(), abs=1e-12)


@pytest.mark.parametrize("basis", ["aligned", "equal"])
def test_sampled_masks_follow_the_expected_flow(basis):
    generator = np.random.default_rng(5)
    p, sigma, rate, time, masks = 0.3, np.array([1.6, 1.0, 0.6, 0.3]), 0.002, 1.0, 400
    q = np.eye(N) if basis == "aligned" else HADAMARD[:4, :4] * np.sqrt(2)
    w1, w2 = 0.4 * q.T, 0.4 * q  # u = v = 1
    for _ in range(round(time / rate)):
        keep = (generator.random((masks, N)) > p) / (1 - p)
        error = 2 * (np.einsum("ij,bj,jk->bik", w1, keep, w2) - np.diag(sigma))
        one = np.einsum("bik,jk,bj->ij", error, w2, keep) / masks
        two = np.einsum("ij,bj,bik->jk", w1, keep, error) / masks
        w1, w2 = w1 - rate * one, w2 - rate * two
    modes = Modes((np.ones(N),) * 3, (sigma,) * 3, np.ones(N), np.full(N, 0.16))
    v = {**DEFAULTS, "t_pre": 0.0, "t_post": time, "t_ft": 0.0, "dropout": p, "dropout_basis": basis, "width": N}
    assert np.allclose(w1 @ w2, np.diag(solve(modes, v).strengths[2]), atol=4e-3)


def test_dropout_while_fine_tuning_erodes_what_has_no_variance_unless_aligned():
    # a mode at .80 without variance beside learned ones, p = .3 for t = 3
    sigma, c, start = np.array([2.0, 1.0, 0.6, 0.8]), np.array([1.0, 1, 1, 0]), np.array([2.0, 1.0, 0.6, 0.8])
    modes = Modes((c, c, c), (sigma,) * 3, np.ones(N), start)
    v = {**DEFAULTS, "t_pre": 0.0, "t_post": 0.0, "t_ft": 3.0, "dropout_ft": 0.3, "width": 4}
    left = {basis: solve(modes, v | {"dropout_basis": basis}).strengths[3][3] for basis in ("aligned", "equal")}
    assert left["aligned"] == pytest.approx(0.8, abs=1e-14)
    assert 0.05 < left["equal"] < 0.3
    u = np.eye(N)
    q = HADAMARD[:4, :4] * np.sqrt(2)
    net = Net((u * np.sqrt(start)) @ q.T, (q * np.sqrt(start)) @ u).flow(
        [(1.0, np.diag(sigma), np.diag(c))], 3.0, dropout=0.3
    )
    assert left["equal"] == pytest.approx(net.theta[3, 3], abs=1e-9)


adapters = st.fixed_dictionaries({"rank": st.integers(1, 4), "adapter_scale": st.sampled_from([0.02, 0.3]),
                                  "replay": some, "l2_to_start": some, "decay_pre": some, "decay_ft": some})  # fmt: skip


@settings(max_examples=20)
@given(pipelines, adapters, st.integers(0, 10**6))
def test_low_rank_agrees_with_the_matrices_of_base_and_adapter(v, extra, seed):
    # stage 2 moves B and A with W1 W2 frozen; stage 3 moves the wider network [W1 B] [W2; A]
    v = v | extra
    problem = Problem(v, seed)
    net = problem.pretrain(problem.net(np.eye(6)[:, :N]))
    a1 = np.diag(problem.u.T @ net.theta @ problem.right)
    c = v["replay"] * problem.variance[0] + (1 - v["replay"]) * problem.variance[1]
    cs = (
        v["replay"] * problem.variance[0] * problem.sigma[0]
        + (1 - v["replay"]) * problem.variance[1] * problem.sigma[1]
    )
    gain = (cs - c * a1) ** 2 / (c + v["l2_to_start"] + 1e-300)
    scale = np.zeros(N)
    scale[np.argsort(-gain, kind="stable")[: v["rank"]]] = v["adapter_scale"]
    adapter = problem.net(np.eye(N), np.zeros(N), scale, base=net.theta)
    middle = problem.post_train(adapter).theta
    wide = Net(np.hstack([net.w1, adapter.w1]), np.vstack([net.w2, adapter.w2]))
    assert np.allclose(wide.theta, middle)
    # where two modes tie, the rows of the table may pick the other one: the losses are the same
    agree(predict({**v, "n": N, "k": 1}), problem.ends(middle, problem.fine_tune(wide).theta), 1e-10)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_generic_adapter_converges_to_the_best_fit_of_its_rank(rank):
    generator = np.random.default_rng(rank)
    residual = np.array([1.4, 1.1, 0.9, 0.6])
    u, right = orthogonal(generator, N), orthogonal(generator, N)
    net = Net(np.zeros((N, rank)), 0.3 * generator.normal(size=(rank, N)))
    net.flow([(1.0, (u * residual) @ right.T, np.eye(N))], 60.0)
    converged = float(((net.theta - (u * residual) @ right.T) ** 2).sum())
    assert converged == pytest.approx(float((residual[rank:] ** 2).sum()), abs=4e-11)
    modes = Modes((np.ones(N),) * 3, (residual,) * 3, np.ones(N), np.full(N, 1e-30))
    v = {**DEFAULTS, "t_pre": 0.0, "t_post": 60.0, "rank": rank}
    assert float(solve(modes, v).losses.loss_im) == pytest.approx(converged, abs=4e-11)


@pytest.mark.parametrize("rank", [2, 3, 4])
def test_an_unmixed_model_spends_its_rank_on_the_inconsistent_block(rank):
    # k <= r <= 2k: loss_im is (2k - r) beta^2 unmixed and 0 mixed; the rank can be an array
    k, beta = 2, 0.6
    v = {"n": 6, "k": k, "beta": beta, "sigma_pre": 0.4, "sigma_post": 1.4, "t_pre": 60.0, "t_post": 80.0, "rank": rank}
    got = predict({**v, "alpha": np.array([0.0, 0.2])})
    # the inconsistent residual is 1 unmixed and .8 mixed, above beta both times
    assert np.allclose(got.loss_im, [(2 * k - rank) * beta**2, 0.0], atol=1e-9)
    several = predict({**v, "rank": np.array([2, 3, 4]), "alpha": 0.0}).loss_im
    assert several[rank - 2] == pytest.approx(got.loss_im[0], abs=1e-12)


def test_an_additive_adapter_learns_an_absent_feature_and_full_training_does_not():
    modes = Modes((np.ones(1),) * 3, (np.ones(1),) * 3, np.ones(1), np.zeros(1))
    v = {**DEFAULTS, "t_pre": 0.0, "t_post": 5.0}
    assert float(solve(modes, v).losses.loss_im) == 1.0
    assert float(solve(modes, {**v, "rank": 1}).losses.loss_im) < 1e-10


@given(st.floats(0.05, 2), st.floats(0.01, 1.5), st.floats(0.1, 2), st.floats(0, 2))
def test_the_pull_to_the_start_ends_at_a_weighted_mean(lam, start, sigma, c):
    modes = Modes((np.full(1, c),) * 3, (np.full(1, sigma),) * 3, np.ones(1), np.full(1, start))
    v = {**DEFAULTS, "t_pre": 0.0, "t_post": 1e4, "t_ft": 0.0, "l2_to_start": lam}
    assert solve(modes, v).strengths[2][0] == pytest.approx((c * sigma + lam * start) / (c + lam), rel=1e-9)
    deep = solve(modes._replace(depth=3), v | {"t_post": 0.7}).strengths[2][0]
    slope = lambda _, a: 6 * a ** (4 / 3) * (c * (sigma - a) + lam * (start - a))  # noqa: E731
    expected = solve_ivp(slope, (0, 0.7), [start], method="DOP853", rtol=1e-12, atol=1e-14).y[0, -1]
    assert deep == pytest.approx(expected, abs=1e-9)
