"""Three stages: closed form against full matrices with random singular vectors and hidden basis, and the theorems."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.losses import LOSSES
from theory import Modes, modes_from_blocks, predict, solve
from theory.stages import DEFAULTS
from theory.thresholds import exposure_time

from .reference import FullMatrix

blocks = st.fixed_dictionaries(
    {
        "sigma_inv": st.floats(0.5, 3),
        "sigma_pre": st.floats(0.0, 1.5),
        "sigma_post": st.floats(0.2, 2),
        "sigma_ft": st.floats(0.0, 1.5),
        "beta": st.floats(0.2, 2),
        "beta_ft": st.floats(0.0, 1),
        "leakage": st.sampled_from([0.0, 0.3]),
        "init_scale": st.sampled_from([1e-3, 0.03, 0.4]),
        "alpha": st.floats(0, 1),
        "t_pre": st.floats(0, 6),
        "t_post": st.floats(0, 3),
        "t_ft": st.floats(0, 3),
        "replay": st.sampled_from([0.0, 0.2]),
    }
)


def by_matrices(v, imbalance=0.0, seed=0):
    """The three stages and four losses by integrating W1 and W2."""
    n, k = 4, 1
    modes = modes_from_blocks({**DEFAULTS, **v, "n": n, "k": k})
    repeat = np.round(np.broadcast_to(modes.count, (3,))).astype(int)
    variance = [np.repeat(np.broadcast_to(c, (3,)), repeat) for c in modes.variance]
    sigma = [np.repeat(np.broadcast_to(s, (3,)), repeat) for s in modes.sigma]
    net = FullMatrix(np.full(n, v["init_scale"] ** 2), imbalance, hidden=6, seed=seed)
    pre, post, ft = (lambda w, i=i: (w, variance[i], sigma[i]) for i in range(3))
    net.flow([pre(1 - v["alpha"]), post(v["alpha"])], v["t_pre"], v.get("decay_pre", 0.0))
    net.flow([pre(v["replay"]), post(1 - v["replay"])], v["t_post"], v.get("decay_post", 0.0))
    immediate = net.loss(variance[1], sigma[1])
    net.flow([ft(1.0)], v["t_ft"], v.get("decay_ft", 0.0))
    return [
        immediate,
        net.loss(variance[1], sigma[1]),
        net.loss(variance[2], sigma[2]),
        net.loss(variance[0], sigma[0]),
    ]


@settings(max_examples=40)
@given(blocks, st.integers(0, 10**6))
def test_all_four_losses_agree_with_full_matrices(v, seed):
    got = predict({**v, "n": 4, "k": 1})
    for name, one, two in zip(LOSSES, got, by_matrices(v, seed=seed), strict=True):
        assert float(one) == pytest.approx(two, abs=1e-9), name


@settings(max_examples=15)
@given(blocks, st.floats(0.01, 0.5), st.integers(0, 10**6))
def test_unbalanced_networks_agree_with_full_matrices(v, imbalance, seed):
    got = predict({**v, "n": 4, "k": 1, "imbalance": imbalance})
    assert np.allclose([float(x) for x in got], by_matrices(v, imbalance, seed), atol=1e-9)


@settings(max_examples=15)
@given(blocks, st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 0.6), st.integers(0, 10**6))
def test_weight_decay_agrees_with_full_matrices(v, first, second, third, seed):
    v = v | {"decay_pre": first, "decay_post": second, "decay_ft": third}
    got = predict({**v, "n": 4, "k": 1})
    assert np.allclose([float(x) for x in got], by_matrices(v, seed=seed), atol=1e-9)


def test_the_explicit_block_formulas():
    # the 1/a form of the three chains, written out once more and independently
    v = {
        "sigma_inv": 2.0,
        "sigma_pre": 0.3,
        "sigma_post": 1.1,
        "sigma_ft": 0.5,
        "beta": 0.8,
        "init_scale": 0.01,
        "n": 5,
        "k": 1,
    }
    alpha, t1, t2, t3, d2 = 0.3, 4.0, 0.7, 0.9, 1e-4
    inv = [2.0 / (1 + (2.0 / d2 - 1) * np.exp(-8.0 * t)) for t in (t1 + t2, t1 + t2 + t3)]
    spec = 0.8 / (1 + (0.8 / d2 - 1) * np.exp(-3.2 * (alpha * t1 + t2)))
    mix = 0.7 * 0.3 + 0.3 * 1.1
    u1 = 1 / mix + (1 / d2 - 1 / mix) * np.exp(-4 * mix * t1)
    u2 = 1 / 1.1 + (u1 - 1 / 1.1) * np.exp(-4.4 * t2)
    u3 = 2.0 + (u2 - 2.0) * np.exp(-2.0 * t3)
    got = predict({**v, "alpha": alpha, "t_pre": t1, "t_post": t2, "t_ft": t3})
    assert got.loss_im == pytest.approx(3 * (inv[0] - 2) ** 2 + (1 / u2 - 1.1) ** 2 + (spec - 0.8) ** 2, abs=1e-14)
    assert got.loss_ret == pytest.approx(3 * (inv[1] - 2) ** 2 + (1 / u3 - 1.1) ** 2 + (spec - 0.8) ** 2, abs=1e-14)
    assert got.loss_ft == pytest.approx(3 * (inv[1] - 2) ** 2 + (1 / u3 - 0.5) ** 2, abs=1e-14)
    assert got.loss_pre == pytest.approx(3 * (inv[1] - 2) ** 2 + (1 / u3 - 0.3) ** 2, abs=1e-14)


def test_per_mode_problems_equal_blocks():
    v = {**DEFAULTS, "n": 5, "k": 2}
    block = modes_from_blocks(v)
    repeat = np.array([1, 2, 2])
    spread = [
        tuple(np.repeat(np.broadcast_to(row, (3,)), repeat) for row in part) for part in (block.variance, block.sigma)
    ]
    modes = Modes(*spread, np.ones(5), np.full(5, v["init_scale"] ** 2))
    for one, two in zip(solve(block, v).losses, solve(modes, v).losses, strict=True):
        assert float(one) == pytest.approx(float(two), rel=1e-13)


def test_broadcasting_equals_one_at_a_time():
    alpha, beta, t_ft, depth = (
        np.array([0.0, 0.3])[:, None, None, None],
        np.array([0.4, 0.9, 1.5])[:, None, None],
        np.array([0.1, 2.0])[:, None],
        np.array([2, 3]),
    )
    got = predict({"alpha": alpha, "beta": beta, "t_ft": t_ft, "depth": depth})
    assert got.loss_ret.shape == (2, 3, 2, 2)
    for index in np.ndindex(2, 3, 2, 2):
        one = predict(
            {
                "alpha": alpha[index[0], 0, 0, 0],
                "beta": beta[index[1], 0, 0],
                "t_ft": t_ft[index[2], 0],
                "depth": int(depth[index[3]]),
            }
        )
        for whole, single in zip(got, one, strict=True):
            assert whole[index] == pytest.approx(float(single), rel=1e-14)


def test_jax_compiles_and_differentiates_the_same_function():
    names = [
        "alpha",
        "t_pre",
        "t_post",
        "t_ft",
        "sigma_pre",
        "sigma_post",
        "sigma_ft",
        "beta",
        "sigma_inv",
        "init_scale",
    ]
    x = np.array([DEFAULTS[name] for name in names])

    def retained(x):
        return predict(dict(zip(names, x, strict=True))).loss_ret

    assert float(jax.jit(retained)(jnp.asarray(x))) == pytest.approx(float(retained(x)), rel=1e-12)
    got = np.asarray(jax.grad(retained)(jnp.asarray(x)))
    for i in range(len(x)):
        h = 1e-6 * max(x[i], 1e-3)
        up, down = x.copy(), x.copy()
        up[i], down[i] = up[i] + h, down[i] - h
        assert got[i] == pytest.approx((retained(up) - retained(down)) / (2 * h), rel=1e-4, abs=1e-6), names[i]


@given(blocks, st.integers(2, 5))
def test_exposure_law(v, depth):
    # the specialised mode depends on training through alpha t_pre + t_post alone, at any depth
    exposure = v["alpha"] * v["t_pre"] + v["t_post"]
    v = v | {"n": 2, "k": 1, "leakage": 0.0, "replay": 0.0}

    def specialised(alpha, t_pre, t_post):
        values = {**DEFAULTS, **v, "depth": depth, "alpha": alpha, "t_pre": t_pre, "t_post": t_post}
        return np.broadcast_to(solve(modes_from_blocks(values), values).strengths[2], (3,))[2]

    assert specialised(v["alpha"], v["t_pre"], v["t_post"]) == pytest.approx(
        specialised(1.0, exposure / 3, 2 * exposure / 3), rel=1e-8, abs=1e-9
    )


def test_exposure_time_is_where_half_is_learned():
    values = {**DEFAULTS, "alpha": 0.0, "t_post": float(exposure_time(DEFAULTS["beta"], DEFAULTS["init_scale"]))}
    half = np.broadcast_to(solve(modes_from_blocks(values), values).strengths[2], (3,))[2]
    assert half == pytest.approx(DEFAULTS["beta"] / 2, rel=1e-12)


@settings(max_examples=100)
@given(blocks, st.floats(0, 1))
def test_no_latent_bound(v, other):
    # |sqrt L_ret^u - sqrt L_ret^m| <= sqrt L_im^u + sqrt L_im^m once every mode that stage 3 moves is above half its target
    v = v | {"leakage": 0.0, "n": 4, "k": 1}
    roots = []
    for alpha in (v["alpha"], other):
        values = {**DEFAULTS, **v, "alpha": alpha}
        solution = solve(modes_from_blocks(values), values)
        learned = np.broadcast_to(solution.strengths[2], (3,))
        if learned[0] < v["sigma_inv"] / 2 or learned[1] < v["sigma_ft"] / 2:
            return
        roots.append([np.sqrt(float(loss)) for loss in solution.losses[:2]])
    (im_u, ret_u), (im_m, ret_m) = roots
    assert abs(ret_u - ret_m) <= im_u + im_m + 1e-12


@settings(max_examples=2)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 0.03, 0.4]))
def test_order_theorem(seed, start):
    # moving D_post later in a fixed amount of D_pre and D_post never lowers the inconsistent strength, at any depth
    generator = np.random.default_rng(seed)
    spans = {
        "sigma_pre": (0, 1.5),
        "sigma_post": (0.2, 2),
        "beta": (0.2, 2),
        "t_pre": (0, 6),
        "post": (0.5, 3.5),
        "share": (0, 1),
    }
    v = {name: generator.uniform(*span, 50) for name, span in spans.items()}
    post, share = v.pop("post"), v.pop("share")
    v |= {"n": 2, "k": 1, "init_scale": start, "sigma_pre": np.minimum(v["sigma_pre"], v["sigma_post"])}
    for depth in (2, 3, 4, 5):

        def inconsistent(early, depth=depth):
            t1 = v["t_pre"] + early * post
            values = {
                **DEFAULTS,
                **v,
                "depth": depth,
                "alpha": early * post / t1,
                "t_pre": t1,
                "t_post": (1 - early) * post,
            }
            return np.broadcast_to(solve(modes_from_blocks(values, 1), values).strengths[2], (3, 50))[1]

        assert np.all(inconsistent(0.0) >= inconsistent(share) - 1e-9)
        assert np.all(inconsistent(share / 2) >= inconsistent(share) - 1e-9)


def test_matched_immediate_loss_crossover():
    # stage 2 stopped at equal loss_im: mixing loses for short and wins for long fine-tuning; it crosses at t_ft = 1.245
    common = {
        "n": 2,
        "k": 1,
        "sigma_pre": 0.4,
        "sigma_post": 1.4,
        "sigma_ft": 0.4,
        "beta": 0.5,
        "init_scale": 1e-3,
        "t_pre": 60.0,
    }

    def gain(t_ft):
        unmixed = predict({**common, "alpha": 0.0, "t_post": 8.0, "t_ft": t_ft})
        mixed = predict({**common, "alpha": 0.2, "t_post": 0.7554, "t_ft": t_ft})
        assert float(unmixed.loss_im) == pytest.approx(7.09e-4, rel=5e-3)
        assert float(mixed.loss_im) == pytest.approx(7.09e-4, rel=5e-3)
        return float(unmixed.loss_ret - mixed.loss_ret)

    assert gain(0.1) == pytest.approx(-8.6e-3, rel=1e-2)
    assert abs(gain(1.245)) < 2e-5
    assert gain(50.0) == pytest.approx(7.09e-4, rel=1e-2)
