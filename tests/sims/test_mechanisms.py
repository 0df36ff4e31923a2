"""The experiments that tell accounts apart: networks as the engine and the closed forms have them, probes against their definitions."""

import numpy as np
import pytest

from common import results
from common.claims import EXPERIMENTS
from sims import probes
from sims.accounts import Task, Weights, descend, gradient, moved, problem, pull_to, start, there, train
from sims.run import complete
from sims.setup import Setup
from sims.studies import mechanisms as study
from theory.laws.mechanism import solve
from theory.models import MODELS

RNG = np.random.default_rng(0)


def trained(model, seeds=1, **changed):
    account = study.ACCOUNTS[model]
    values = complete(account.half, dict(account.values) | changed)
    on = problem(account.half, values)
    return (
        account,
        values,
        on,
        train(account.setup, on, values, start(account.setup, values, range(seeds)), account.back),
    )


@pytest.fixture(scope="module")
def pathways():
    return trained("rp")


@pytest.fixture(scope="module")
def redundant():
    return trained("redundant")


def test_pathways_are_those_of_the_closed_form_twice(pathways):
    _, values, on, arms = pathways
    for arm, alpha in (("unmixed", 0.0), ("mixed", values["alpha"])):
        said = MODELS["rp"].predict({name: values[name] for name in ("t_pre", "t_post", "t_ft")} | {"alpha": alpha})
        found = float(probes.loss(arms[arm].path[-1], on.post)[0])
        assert found == pytest.approx(2 * float(said.loss_ret), abs=0.02)


def test_redundant_features_are_those_of_the_exact_solution_twice(redundant):
    _, values, on, arms = redundant
    rates = np.geomspace(0.03, 3.0, 4)
    weights = rates**0.25 * np.exp(-2 * rates * 0.3)
    weights /= weights.sum()
    tokens = {name: values[name] * 128 for name in ("t_pre", "t_post", "t_ft")}
    left = solve(
        rates,
        overlap=0.6,
        alpha=0.03,
        t_pre=tokens["t_pre"],
        t_post=tokens["t_post"],
        erased=1 - np.exp(-tokens["t_ft"]),
    )
    for weight, residual in ((arms["mixed"].post, left.second), (arms["mixed"].path[-1], left.third)):
        assert float(probes.loss(weight, on.post)[0]) == pytest.approx(2 * residual**2 @ weights, rel=0.03)


def test_descent_is_that_of_the_engine():
    """One half of it, through three stages; steps of the engine and steps here are the same."""
    from sims import simulate

    half = Setup(problem="redundant", n=2, width=2, steps=(60, 40, 30))
    given = {"alpha": 0.3, "t_pre": 0.2, "t_post": 0.05, "t_ft": 0.05, "imbalance": 4.0, "l2_to_start": 0.7}
    engine = simulate(half, given).losses
    values, both = complete(half, given), Setup(problem="redundant", n=4, width=4, steps=(60, 40, 30))
    on, weights = problem(half, values), start(both, values, [0])
    pre, post, ft = (task.moments for task in (on.pre, on.post, on.ft))
    mixture = tuple(0.7 * a + 0.3 * b for a, b in zip(pre, post, strict=True))
    for data, time, steps, pull in ((mixture, 0.2, 60, 0.0), (post, 0.05, 40, 0.7)):
        weights = descend(both, weights, data, time, steps, pull)[-1]
    assert float(probes.loss(weights, on.post)[0]) == pytest.approx(2 * float(engine.loss_im), rel=1e-9)
    weights = descend(both, weights, ft, 0.05, 30)[-1]
    assert float(probes.loss(weights, on.post)[0]) == pytest.approx(2 * float(engine.loss_ret), rel=1e-9)


@pytest.mark.parametrize("units", ["connected", "separate"])
def test_the_rise_under_noise_is_that_of_draws(units):
    setup = Setup(problem="redundant", n=2, width=4, units=units, init="random")
    masks = there(setup)
    weights = Weights(*(RNG.standard_normal((1, *mask.shape)) * mask for mask in masks))
    task = Task(RNG.standard_normal((2, 4)), RNG.standard_normal((4, 3)))
    noise = [sd * RNG.standard_normal((40_000, *mask.shape)) * mask for sd, mask in zip((0.5, 0.3), masks, strict=True)]
    shaken = Weights(*(layer + n for layer, n in zip(weights, noise, strict=True)))
    rises = probes.loss(shaken, task) - probes.loss(weights, task)
    found = float(probes.rise(setup, weights, task, (0.25, 0.09))[0])
    assert found == pytest.approx(rises.mean(), abs=4 * rises.std() / 200)
    assert 4 * rises.std() / 200 < 0.1 * found


def test_with_separate_units_the_rise_is_twice_the_sum_of_strengths(pathways):
    """s^2 (|W_2|^2 + tr W_1 C W_1') = 2 s^2 (a + b) a half, and every pathway that fits D_post has a + b = 2: exposure changes nothing."""
    account, _, on, arms = pathways
    for arm in ("unmixed", "mixed"):
        found = float(probes.rise(account.setup, arms[arm].post, on.post, (1e-6, 1e-6))[0])
        assert found == pytest.approx(1e-6 * 2 * 2 * 2, rel=1e-4)


def test_shares_are_known(redundant):
    """D_ft excites none of D_post's own features; with variance e there, the gradient is e theta there and hold theta elsewhere."""
    account, _, on, arms = redundant
    post, n = arms["mixed"].post, account.setup.n
    down = gradient(account.setup, post, on.ft.moments)
    assert float(probes.share(down, on.own)[0]) == 0.0
    assert float(probes.share(down, 1 - on.own)[0]) == 1.0
    leak = gradient(account.setup, post, on.ft.leaking(on.own, 0.01).moments)
    own, shared = (float((post.theta[..., part] ** 2).sum()) for part in (slice(n), slice(n, None)))
    assert float(probes.share(leak, on.own)[0]) == pytest.approx(1e-4 * own / (1e-4 * own + shared), rel=1e-6)


def test_a_step_down_a_gradient_has_its_length_and_a_quadratic_its_curvature():
    weights = Weights(np.eye(1)[None], np.eye(1)[None])
    task = Task(np.array([[0.5]]), np.array([[1.0]]))
    down = Weights(np.array([[[5.0]]]), np.zeros((1, 1, 1)))
    fall, bend = probes.step(weights, down, 0.1, task)
    assert float(fall[0]) == pytest.approx(0.4**2 - 0.5**2)
    assert float(bend[0]) == pytest.approx(2.0)
    fall, _ = probes.step(weights, Weights(0 * down.inner, down.outer), 0.1, task)
    assert float(fall[0]) == 0.0


def test_losses_are_matched_where_the_level_is_reached():
    falling = np.array([[1.0, 0.05, 1.0], [0.1, 0.04, 0.9], [0.01, 0.03, 0.8]])
    kept = np.array([[0.0, 7.0, 0.0], [1.0, 8.0, 1.0], [2.0, 9.0, 2.0]])
    found = probes.matched(falling, kept, [10**-1.5, 0.2, 0.1])
    assert found[:2] == pytest.approx([1.5, 7.0])
    assert np.isnan(found[2])


def test_a_held_stage_moves_as_far_as_asked(pathways):
    account, values, on, arms = pathways
    assert moved(arms["held"].pre, arms["held"].post) == pytest.approx(
        moved(arms["mixed"].pre, arms["mixed"].post), rel=1e-3
    )
    stage = (account.setup, arms["unmixed"].pre, on.post.moments, values["t_post"], account.setup.steps[1])
    assert pull_to(*stage, np.array([1e3])).tolist() == [0.0]  # farther than it goes by itself


def test_only_the_exposed_half_gains_where_units_are_separate(pathways):
    _, _, on, arms = pathways
    ret = [
        [float(probes.loss(arms[arm].path[-1], on.post.of_half(half))[0]) for half in (0, 1)]
        for arm in ("unmixed", "mixed", "half")
    ]
    assert ret[2][0] == pytest.approx(ret[1][0])
    assert ret[2][1] == pytest.approx(ret[0][1])
    assert ret[1][0] < 0.7 * ret[0][0]


def made(noise=0.0, level=0.5):
    """A table in which exposure lowers everything by half of the unmixed forgetting, give or take."""
    whole = []
    for model in study.ACCOUNTS:
        for arm in study.ARMS:
            seeds = np.arange(6)
            gain = level if arm in ("mixed", "half") else 0.0
            columns = {
                f"sims.{name}": 1.0 - gain + noise * seeds
                for name in ("loss_ret_matched", "moved_post", *study.QUANTITIES)
            }
            columns |= {
                "sims.loss_ret_a": 0.5 - gain / 2 + noise * seeds,
                "sims.loss_ret_b": np.full(6, 0.5),
                "sims.arm": arm,
                "seed": seeds,
            }
            fixed = {"engine": "sims", "study": "mechanisms", "config_hash": "0", "code_version": "v", "model": model}
            whole.append(results.table(fixed | columns | {"loss_im": np.zeros(6), "loss_ret": np.ones(6)}))
    import pyarrow as pa

    return pa.concat_tables(whole)


def test_verdicts_ask_for_the_sign_that_the_account_predicts():
    found = study.judge(made())
    assert {one.claim for one in found} == set(EXPERIMENTS)
    status = {(one.model, one.claim): one.status for one in found if not one.variant}
    falls = {"E1": "supported", "E2": "supported", "E3": "refuted", "E4": "supported"}
    for model, relearns in (("rp", "supported"), ("rp-shared", "supported"), ("redundant", "refuted")):
        assert {claim: status[model, claim] for claim in EXPERIMENTS} == falls | {"E5": relearns}
    assert {status["plain", claim] for claim in EXPERIMENTS} == {"refuted"}
    none = study.judge(made(level=0.0))
    assert {one.status for one in none if one.model == "plain"} == {"supported"}
    assert {one.status for one in none if one.model == "rp" and one.claim in ("E1", "E2", "E4", "E5")} == {"refuted"}


def test_the_checks_notice_a_stage_that_is_not_held_as_asked():
    assert [check.passed for check in study.report(made(level=0.0)).checks] == [True] * 8
    assert not all(check.passed for check in study.report(made()).checks)
