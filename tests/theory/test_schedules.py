"""Stopping, leakage, depth and placement: limits and theorems on many settings; JAX, broadcasting, recipes, refusals."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import hyp2f1

from common.placement import Piece, placed
from tests.theory.test_interventions import N, pipelines
from theory import (
    Budget,
    Modes,
    Recipe,
    WrongUse,
    evolve,
    learning_time,
    modes_from_blocks,
    predict,
    realise,
    solve,
)
from theory.interventions import OFF, Interventions
from theory.stages import DEFAULTS
from theory.stages import predict as unchecked
from theory.thresholds import mixing_window


@settings(max_examples=60)
@given(pipelines, st.floats(-6, 0.3), st.integers(2, 4), st.sampled_from([None, 2]))
def test_stopping_early_reaches_the_loss_or_the_end(v, exponent, depth, rank):
    v = v | {"n": N, "k": 1, "depth": 2 if rank else depth, "rank": rank}
    level = 10.0**exponent
    got, whole, none = predict({**v, "stop_at": level}), predict(v), predict({**v, "t_post": 0.0})
    expected = np.clip(level, whole.loss_im, none.loss_im)
    assert float(got.loss_im) == pytest.approx(float(expected), rel=1e-8, abs=1e-13)


def test_stopping_time_of_one_mode_is_the_learning_time():
    modes = Modes((np.ones(1),) * 3, (np.ones(1),) * 3, np.ones(1), np.full(1, 1e-6))
    v = {**DEFAULTS, "t_pre": 0.0, "t_ft": 0.8, "t_post": 30.0, "stop_at": 0.01}
    stopped = solve(modes, v)
    plain = solve(modes, {**v, "stop_at": 0.0, "t_post": learning_time(1e-6, 0.9, variance=1.0, sigma=1.0)})
    assert float(stopped.losses.loss_ret) == pytest.approx(float(plain.losses.loss_ret), rel=1e-10)


def test_stopping_is_refused_only_where_it_is_asked_for():
    # dropout pulls learned modes back, so a path to a loss level does not exist; without a level it does not matter
    got = predict({"dropout": 0.2, "stop_at": np.array([0.0, 0.0])})
    assert np.allclose(got.loss_im, float(predict({"dropout": 0.2}).loss_im))
    replayed = predict({"replay": 0.1, "stop_at": np.array([0.0, 0.1])})
    assert replayed.loss_im[1] == pytest.approx(0.1, rel=1e-9)


def test_stopping_at_matched_loss_gives_the_crossover():
    # mixing loses for short fine-tuning and wins for long; crossing at t_ft = 1.245, now without setting the times by hand
    v = {"n": 2, "k": 1, "beta": 0.5, "t_pre": 60.0, "t_post": 50.0, "stop_at": 7.09e-4}
    got = predict({**v, "alpha": np.array([0.0, 0.2]), "t_ft": np.array([0.1, 1.245, 50.0])[:, None]})
    assert np.allclose(got.loss_im, 7.09e-4, rtol=1e-10)
    gain = got.loss_ret[:, 0] - got.loss_ret[:, 1]
    assert gain[0] == pytest.approx(-8.6e-3, rel=1e-2)
    assert abs(gain[1]) < 2e-5
    assert gain[2] == pytest.approx(7.09e-4, rel=1e-2)


@given(st.floats(0.05, 1), st.floats(0.2, 2), st.floats(0, 4), st.integers(1, 3))
def test_leakage_erodes_the_gain_algebraically(leakage, beta, t_ft, k):
    x = 4 * leakage * beta * t_ft
    v = {"n": 2 * k, "k": k, "beta": beta, "leakage": leakage, "t_pre": 0.0, "t_post": 400.0, "t_ft": t_ft}
    common = {"sigma_post": 1.0, "sigma_ft": 1.0, "sigma_pre": 1.0}
    lost = float(predict({**v, **common}).loss_ret)
    assert k * beta**2 - lost == pytest.approx(k * beta**2 * (1 + 2 * x) / (1 + x) ** 2, abs=1e-11)
    half = (1 + np.sqrt(2)) / (4 * leakage * beta)
    assert float(predict({**v, **common, "t_ft": half}).loss_ret) == pytest.approx(k * beta**2 / 2, abs=1e-11)
    matched = predict({**v, **common, "beta_ft": beta})
    assert float(matched.loss_ret) == pytest.approx(0, abs=1e-20)


def test_finite_pretraining_has_a_window_and_stage_two_leaves_it_quickly():
    v = {**DEFAULTS, "alpha": 0.3, "beta": 1.5, "sigma_pre": 0.1, "sigma_post": 0.6, "init_scale": 1e-6}
    opens, closes = mixing_window(0.3, 0.1, 0.6, 1.5, 1e-6)
    assert opens < 20 < closes < 40
    for t_pre, expected in ((20.0, (5e-4, 1.499)), (40.0, (0.250, 1.500))):
        values = v | {"t_pre": t_pre}
        assert np.allclose(solve(modes_from_blocks(values), values).strengths[1][1:], expected, atol=1e-3)
    assert float(learning_time(1e-6, 0.5, variance=1.0, sigma=1.0)) == pytest.approx(3.45, abs=0.01)


@given(st.integers(3, 6), st.floats(-5, -0.5), st.floats(0.05, 0.95), st.floats(0.2, 2), st.floats(0.2, 2))
def test_depth_learns_in_the_time_of_the_hypergeometric_formula(depth, exponent, share, c, s):
    q, start = 2 - 2 / depth, 10.0**exponent
    end = start + share * (s - start) if start < s else s
    if start >= 0.9 * s:
        return
    psi = lambda x: x ** (1 - q) / (1 - q) * hyp2f1(1, 1 - q, 2 - q, x)  # noqa: E731
    time = s**-q * (psi(end / s) - psi(start / s)) / (2 * depth * c)
    assert evolve(start, variance=c, sigma=s, time=time, depth=depth) == pytest.approx(end, rel=1e-6)


def strengths(v, stage, pieces=None):
    values = {**DEFAULTS, **OFF, **v}
    return np.broadcast_to(solve(modes_from_blocks(values), values, pieces).strengths[stage], (3,))


def many(seed, spans, size=200):
    """Settings side by side, uniform in their spans: one call of the solver instead of hundreds."""
    generator = np.random.default_rng(seed)
    return {name: generator.uniform(*span, size) for name, span in spans.items()}


def side_by_side(v, size):
    """Strengths after every stage, (modes, settings), of settings given as arrays."""
    values = {**DEFAULTS, **OFF, **v}
    return [np.broadcast_to(one, (3, size)) for one in solve(modes_from_blocks(values, 1), values).strengths]


SEEDS = st.integers(0, 2**32 - 1)
PIPELINES = {
    "sigma_inv": (0.5, 2.5), "sigma_pre": (0, 0.8), "sigma_post": (0.8, 1.6), "sigma_ft": (0, 0.8), "beta": (0.3, 1.5),
    "alpha": (0, 0.125), "t_pre": (0, 5), "t_post": (0, 2.5), "t_ft": (0, 2.5), "window": (0.3, 1),
}  # fmt: skip


@settings(max_examples=2)
@given(SEEDS, st.sampled_from([1e-3, 0.05, 0.3]))
def test_placement_moves_the_inconsistent_mode_and_not_the_specialised_one(seed, start):
    for depth in (2, 3, 4):
        v = many(seed, PIPELINES, 100) | {"init_scale": start, "depth": depth, "n": 2, "k": 1}
        after = {}
        for name in ("early", "uniform", "anneal", "late"):
            after[name] = side_by_side({**v, "placement": name}, 100)[2]
        for one in after.values():
            np.testing.assert_allclose(one[2], after["uniform"][2], rtol=1e-7, atol=1e-9)
        shared = np.array([after[name][1] for name in ("early", "uniform", "late")])
        assert np.all(np.diff(shared, axis=0) >= -1e-8)  # the later the exposure, the stronger
        assert np.all(after["anneal"][1] >= shared[1] - 1e-8)


@given(st.lists(st.tuples(st.floats(0.05, 1), st.floats(0, 1)), min_size=1, max_size=6), pipelines)
def test_any_pieces_are_composed_and_repetition_is_more_exposure(rows, v):
    shares, weights = (np.array(column) for column in zip(*rows, strict=True))
    shares /= shares.sum()
    pieces = [Piece(float(x), float(y)) for x, y in zip(shares, weights, strict=True)]
    v = v | {"n": 2, "k": 1, "leakage": 0.0}
    mean = float(shares @ weights)
    one, two = strengths(v, 2, pieces), strengths({**v, "alpha": min(mean, 1.0)}, 2)
    assert one[2] == pytest.approx(two[2], rel=1e-9)
    v.pop("alpha")  # which the pieces say
    got = predict(v, [Piece(np.array([0.25, 0.5]), 0.4), Piece(np.array([0.75, 0.5]), 0.0)])
    single = predict(v, [Piece(0.25, 0.4), Piece(0.75, 0.0)])
    assert got.loss_ret[0] == pytest.approx(float(single.loss_ret), rel=1e-13)


def test_exposure_above_one_pass_is_repetition():
    budget = Budget(pre_time=20.0, post_time=2.0)
    stages = realise(Recipe(exposure=2.5, placement="late", window=0.5), budget)
    assert stages["alpha"] * stages["t_pre"] == pytest.approx(5.0)
    total = sum(p.fraction * p.alpha for p in placed("late", stages["alpha"], 0.5))
    assert total == pytest.approx(stages["alpha"])
    late, uniform = predict(stages), predict(stages | {"placement": "uniform"})
    assert float(late.loss_im) <= float(uniform.loss_im)


ORDERED = {
    "sigma_inv": (0.3, 3), "sigma_post": (0.3, 2), "beta": (0.2, 2), "alpha": (0, 1), "t_pre": (0, 40), "t_post": (0, 8), "t_ft": (0, 8),
    "sigma_pre": (0.02, 1), "sigma_ft": (0.02, 1), "share": (0, 1),
}  # fmt: skip
RISES = 1e-12


def ordered(seed):
    """Settings whose shared features D_post has strongest, and a share for each."""
    v, generator = many(seed, ORDERED, 300), np.random.default_rng([seed, 1])
    share = v.pop("share")
    for name in ("sigma_pre", "sigma_ft"):
        v[name] *= v["sigma_post"]
    v["init_scale"], v["leakage"] = generator.choice([1e-4, 1e-2, 0.1], 300), generator.choice([0.0, 0.3], 300)
    return v | {"n": 3, "k": 1}, share


@settings(max_examples=2)
@given(SEEDS)
def test_replay_dropout_and_decay_never_lower_the_retained_loss(seed):
    v, share = ordered(seed)
    plain = predict(v)
    for name in ("replay", "dropout", "decay_post"):
        changed = predict({**v, name: 0.9 * share})
        assert np.all(changed.loss_ret >= plain.loss_ret - RISES), name
        assert np.all(changed.loss_im >= plain.loss_im - RISES), name


@settings(max_examples=4)
@given(SEEDS)
def test_exposure_never_raises_a_loss_at_fixed_times(seed):
    v, share = ordered(seed)
    less, more = predict({**v, "alpha": share * v["alpha"]}), predict(v)
    assert np.all(more.loss_im <= less.loss_im + RISES)
    assert np.all(more.loss_ret <= less.loss_ret + RISES)


@settings(max_examples=4)
@given(SEEDS)
def test_replay_at_matched_exposure_keeps_the_specialised_and_lowers_the_inconsistent_mode(seed):
    v, share = ordered(seed)
    replay = 0.8 * share
    changed = v | {"replay": replay, "t_post": v["t_post"] / (1 - replay)}
    (_, before, plain, _), (_, _, replayed, _) = side_by_side(v, 300), side_by_side(changed, 300)
    above = before[1] >= v["sigma_pre"]
    assert above.mean() > 0.3
    np.testing.assert_allclose(replayed[2], plain[2], rtol=1e-9)
    assert np.all(replayed[1, above] <= plain[1, above] + 1e-12)


def test_derivatives_in_jax_match_finite_differences():
    base = {"alpha": 0.1, "t_post": 0.8, "sigma_pre": 0.3}
    cases = [
        ({"dropout": 0.2, "dropout_ft": 0.1, "l2_to_start": 0.3, "leakage": 0.2}, ()),
        ({"window": 0.6}, (("placement", "late"),)),
        ({"adapter_scale": 0.3, "beta": 0.7}, (("rank", 2),)),
        ({"stop_at": 0.3, "alpha": 0.1, "beta": 0.7}, (("t_post", 6.0),)),
        ({"dropout": 0.25, "width": 9.0, "beta": 0.7}, (("dropout_basis", "equalised"),)),
    ]  # fmt: skip
    for numbers, options in cases:
        names = list(numbers)

        def retained(x, names=names, options=options):
            return unchecked(
                {**base, **dict(options), **dict(zip(names, x, strict=True))}
            ).loss_ret  # a width between units

        x = np.array([numbers[name] for name in names])
        assert float(jax.jit(retained)(jnp.asarray(x))) == pytest.approx(float(retained(x)), rel=1e-9), names
        got = np.asarray(jax.grad(retained)(jnp.asarray(x)))
        for i in range(len(x)):
            h = 1e-6 * x[i]
            up, down = x.copy(), x.copy()
            up[i], down[i] = x[i] + h, x[i] - h
            expected = (float(retained(up)) - float(retained(down))) / (2 * h)
            assert got[i] == pytest.approx(expected, rel=2e-5, abs=1e-7), (names[i], options)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout_basis": "equal"},
        {"dropout_basis": "equalised"},
        {"rank": 2},
        {"placement": "anneal", "window": 0.9},
    ],
)
def test_broadcasting_equals_one_at_a_time(options):
    alpha, dropout = np.array([0.0, 0.2, 0.4])[:, None], np.array([0.0, 0.1])
    if "rank" in options:
        dropout = 0.0
    shape = np.broadcast_shapes(np.shape(alpha), np.shape(dropout))
    whole = predict({**options, "alpha": alpha, "dropout": dropout, "t_post": 0.7})
    for index in np.ndindex(*shape):
        one = {
            "alpha": float(np.broadcast_to(alpha, shape)[index]),
            "dropout": float(np.broadcast_to(dropout, shape)[index]),
        }
        got = predict({**options, **one, "t_post": 0.7})
        expected = [loss[index] for loss in whole]
        assert np.allclose([float(x) for x in got], expected, rtol=1e-7, atol=1e-9)


def test_switched_off_is_exactly_the_plain_pipeline():
    plain = predict({"alpha": 0.3})
    assert plain == predict({"alpha": 0.3, **OFF})
    near = predict({"alpha": 0.3, "dropout": np.zeros(1), "l2_to_start": np.zeros(1), "stop_at": np.zeros(1)})
    for one, two in zip(plain, near, strict=True):
        assert float(one) == pytest.approx(float(two[0]), rel=1e-13)


def test_a_recipe_sets_the_stages():
    recipe = Recipe(exposure=0.5, replay=0.1, dropout=0.2, rank=2, placement="late", window=0.4)
    got = realise(replace(recipe, exposure=0.5), Budget())
    assert {name: got[name] for name in ("replay", "dropout", "rank", "placement", "window")} == {
        "replay": 0.1, "dropout": 0.2, "rank": 2, "placement": "late", "window": 0.4}  # fmt: skip
    assert set(realise(Recipe(exposure=0.5), Budget())) == {"alpha", "t_pre", "replay"}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"dropout": 0.1, "depth": 3}, "dropout together with depth = 3"),
        ({"dropout_ft": 0.1, "depth": 3}, "dropout_ft together with depth = 3"),
        ({"rank": 2, "depth": 3}, "rank together with depth = 3"),
        ({"rank": 2, "dropout": 0.1}, "rank together with dropout"),
        ({"rank": 2, "decay_post": 0.1}, "rank together with decay_post"),
        ({"dropout": 0.1, "dropout_basis": "equal", "stop_at": 0.1}, "stop_at together with"),
        ({"dropout": 0.1, "dropout_basis": "equal", "width": 5}, "width = 5 is too narrow for 6"),
        ({"dropout": 0.1, "dropout_basis": "equalised", "replay": 0.1}, "equalised together with replay"),
        ({"dropout": 0.1, "dropout_basis": "equalised", "imbalance": 0.1}, "equalised together with imbalance"),
        ({"dropout_basis": "equalised", "depth": 3}, "equalised together with depth = 3"),
        ({"dropout_basis": "equalised", "rank": 1}, "rank together with dropout_basis = equalised"),
        ({"dropout": 0.1, "dropout_basis": "hadamard"}, "dropout_basis = 'hadamard'"),
        ({"dropout": 0.3, "stop_at": 0.1}, "only falls"),
        ({"dropout": 0.1, "decay_post": 0.1, "imbalance": 0.1}, "imbalance"),
        ({"placement": "late", "alpha": 0.5, "window": 0.1}, "Widen the window"),
        ({"placement": "middle"}, "placement = 'middle'"),
    ],
)
def test_impossible_combinations_are_refused(values, says):
    with pytest.raises(WrongUse, match=says):
        predict(values)


def test_wrong_values_are_refused():
    with pytest.raises(WrongUse, match="rank = 0"):
        Interventions(rank=0)
    with pytest.raises(WrongUse, match=r"dropout = 1\.5"):
        Interventions(dropout=1.5)
    with pytest.raises(WrongUse, match="add up to"):
        predict({}, [Piece(0.5, 0.1)])
    with pytest.raises(WrongUse, match=r"alpha = 1\.5"):
        predict({}, [Piece(1.0, 1.5)])
    with pytest.raises(WrongUse, match="traced"):
        jax.grad(lambda p: predict({"dropout": p, "dropout_basis": "equal"}).loss_ret)(0.1)
    with pytest.raises(WrongUse, match="under JAX"):
        jax.grad(lambda r: predict({"replay": r, "stop_at": 0.1}).loss_ret)(0.1)
