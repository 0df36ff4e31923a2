"""The redundant-pathway model against full matrices, the plain model, and its own closed laws."""

from typing import Any

import numpy as np
import pytest

from common.minima import Minimum, minimise
from common.recipe import Recipe
from theory.models import model_named
from theory.pathways import (
    DEFAULTS,
    Logs,
    Strengths,
    _integrated,
    post_training_pull,
    predict_separate,
    pretraining_pull,
    separate_stage,
    solve_separate,
)
from theory.pathways_flow import SEPARATE, Pull
from theory.pathways_shared import solve_shared
from theory.realise import Budget, realise
from theory.stages import predict

SOLVERS = {"rp": solve_separate, "rp-shared": solve_shared}


def pathway_predict(values, variant):
    return model_named(variant).predict(values)


SPANS = {
    "sigma_pre": (0, 3),
    "sigma_post": (0, 3),
    "sigma_ft": (0, 3),
    "beta": (0, 3),
    "correlation": (0, 1),
    "init_scale": (1e-3, 0.3),
    "alpha": (0, 1),
    "t_pre": (0, 60),
    "t_post": (0, 10),
    "t_ft": (0, 10),
    "replay": (0, 1),
    "dropout": (0, 0.8),
    "l2_to_start": (0, 2),
    "decay_pre": (0, 0.3),
    "decay_post": (0, 0.3),
    "decay_ft": (0, 0.3),
}
"""Ranges for random settings: every field of the model."""


def draw(count: int, which: int) -> dict[str, Any]:
    """Random settings, a tenth of each exactly at either end of its range."""
    rng = np.random.default_rng(which)
    out = {}
    for name, (low, high) in SPANS.items():
        value, place = rng.uniform(low, high, count), rng.random(count)
        out[name] = np.where(place < 0.1, low, np.where(place > 0.9, high, value))
    return out


def staged(start: Strengths, pull: Pull, time: Any, solution: Any = separate_stage) -> Strengths:
    """A stage in strengths; the model itself passes logarithms on."""
    return solution(Logs(*map(np.log, start)), pull, time).exp()


def test_correlation_zero_is_the_plain_model() -> None:
    v = {name: value for name, value in draw(200, 2).items() if name not in ("l2_to_start", "dropout")}
    plain = predict({**v, "n": 2, "k": 1, "correlation": 0.0})
    for mine, theirs in zip(predict_separate({**v, "correlation": 0.0}), plain, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-14)


def test_ratio_law_by_integrator_and_closed_form() -> None:
    rng = np.random.default_rng(3)
    start = Strengths(*10 ** rng.uniform(-6, 0.3, (2, 50)))
    v = {**DEFAULTS, "sigma_post": rng.uniform(0, 2, 50), "beta": rng.uniform(0.1, 2, 50), "decay_post": 0.05}
    pull, time = post_training_pull(v, start, shared=False), rng.uniform(0, 5, 50)
    integrated, closed = staged(start, pull, time, _integrated), staged(start, pull, time)
    np.testing.assert_allclose(
        integrated.inconsistent / integrated.specialised, start.inconsistent / start.specialised, rtol=1e-8
    )
    for mine, theirs in zip(integrated, closed, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-8)
    total = v["sigma_post"] + v["beta"]
    ended = staged(start, pull._replace(decay=0.0), np.full(50, 60.0))
    expected = total * start.specialised / (start.inconsistent + start.specialised)
    np.testing.assert_allclose(ended.specialised, expected, rtol=1e-8)


@pytest.mark.parametrize("correlation", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("alpha", [0.05, 0.3])
def test_growth_exponents(correlation: float, alpha: float) -> None:
    v = {**DEFAULTS, "sigma_pre": 0.8, "sigma_post": 1.1, "beta": 0.9, "correlation": correlation, "alpha": alpha}
    seed_b = 1e-12  # small enough that b does not act back on a
    pull = pretraining_pull(v)
    early = staged(Strengths(0.8, seed_b), pull, 8.0)
    late = staged(early, pull, 2.0)
    measured = np.log(late.specialised / early.specialised) / 2
    inner = 0.9 * (1 - alpha * correlation**2) + correlation * (1 - alpha) * (1.1 - 0.8)
    assert measured == pytest.approx(4 * alpha * inner, rel=1e-3)
    pull = post_training_pull(v, late, shared=False)
    early = staged(Strengths(1.1 + correlation * 0.9, seed_b), pull, 1.0)
    late = staged(early, pull, 1.0)
    measured = np.log(late.specialised / early.specialised)
    assert measured == pytest.approx(4 * 0.9 * (1 - correlation**2), rel=1e-3, abs=1e-9)


def test_fixed_points_of_dropout_and_replay() -> None:
    gamma = 0.2 / 0.8
    dropped = solve_separate({"alpha": 0.1, "dropout": 0.2, "t_post": 200.0})
    assert np.array(dropped.strengths[2]) == pytest.approx([2 / (2 + gamma)] * 2, abs=1e-8)
    assert dropped.losses.loss_im == pytest.approx((gamma * 2 / (2 + gamma)) ** 2, abs=1e-8)
    replayed = solve_separate({"sigma_pre": 0.7, "replay": 0.2, "t_post": 200.0})
    assert np.array(replayed.strengths[2]) == pytest.approx([0.7, 1.3], abs=1e-10)
    assert replayed.losses.loss_im < 1e-20
    shared = solve_shared({"sigma_pre": 0.7, "replay": 0.2, "t_post": 200.0})
    assert np.array(shared.strengths[2]) == pytest.approx([0.7, 1.3], abs=1e-8)


def test_what_moves_the_ratio_at_full_correlation() -> None:
    a, b, a1, b1 = 1.3, 0.2, 1.0, 0.05
    at = np.log(a), np.log(b)

    def ratio_rate(**choices: float) -> float:
        pull = post_training_pull({**DEFAULTS, **choices}, Strengths(a1, b1), shared=False)
        fx, fy = SEPARATE.velocity(*at, pull)
        return float(fy - fx)

    assert ratio_rate() == pytest.approx(0, abs=1e-14)
    assert ratio_rate(decay_post=0.3) == pytest.approx(0, abs=1e-14)
    assert ratio_rate(dropout=0.2) == pytest.approx(4 * 0.25 * (a - b))
    assert ratio_rate(l2_to_start=0.3) == pytest.approx(4 * 0.3 * ((b1 - b) - (a1 - a)))
    replay = {**DEFAULTS, "replay": 0.2, "beta": 1.3}  # once a has settled, b grows at 4 r (1 - r) g
    pull = post_training_pull(replay, Strengths(a1, b1), shared=False)
    settled = staged(Strengths(1.0, 1e-12), pull, 6.0)
    grown = staged(settled, pull, 1.0)
    assert np.log(grown.specialised / settled.specialised) == pytest.approx(4 * 0.2 * 0.8 * 1.3, rel=1e-3)


def test_latent_benefit() -> None:
    alpha = np.array([0, 0.02, 0.03, 0.04, 0.05])
    solution = solve_separate({"alpha": alpha, "t_pre": 100.0, "t_post": 5.0, "t_ft": 5.0})
    table = [1.000, 0.987, 0.562, 0.004, 0.000]
    np.testing.assert_allclose(solution.losses.loss_ret, table, atol=6e-4)
    assert solution.losses.loss_im.max() < 1e-22
    damage = (solution.strengths[2].inconsistent - 1) ** 2  # L_pre after stage 2, here g = sigma_ft = 1
    np.testing.assert_allclose(damage, table, atol=6e-4)
    np.testing.assert_allclose(damage, (2 - 1 - solution.strengths[2].specialised) ** 2, atol=1e-12)


def test_onset_is_a_threshold_apart_and_linear_when_shared() -> None:
    apart = solve_separate({"alpha": np.array([0.01, 0.02, 0.04]), "t_pre": 100.0}).strengths[1].specialised
    assert apart[0] < 1e-4
    assert apart[2] > 0.5  # alpha t_pre = ln(1/delta^2)/(4 (1 - alpha) g) is 3.6 here
    exposure = 100 * np.array([1e-5, 2e-5, 4e-5])
    together = solve_shared({"alpha": exposure / 100, "t_pre": 100.0}).strengths[1].specialised
    np.testing.assert_allclose(together, 2 * exposure, rtol=0.05)  # b = 2 g sigma_pre E


def test_interventions_apart() -> None:
    v = {"t_pre": 100.0, "t_post": 8.0, "t_ft": 5.0, "alpha": np.array([0.0, 0.02])}
    np.testing.assert_allclose(predict_separate(v).loss_ret, [1.0000, 0.987], atol=6e-4)
    np.testing.assert_allclose(predict_separate({**v, "replay": 0.2}).loss_ret, [0.9995, 0.337], atol=6e-4)
    np.testing.assert_allclose(predict_separate({**v, "dropout": 0.1}).loss_ret[1], 0.134, atol=6e-4)


def test_dropout_against_sampled_masks() -> None:
    """Gradient descent with fresh masks on both units against the expected flow."""
    rng = np.random.default_rng(6)
    p, step, time, batch = 0.2, 1e-3, 2.0, 256
    w = np.sqrt(np.array([1.0, 0.02]))  # balanced units: a = w^2
    for _ in range(round(time / step)):
        mask = (rng.random((batch, 2)) > p) / (1 - p)
        error = mask @ (w * w) - 2  # correlation 1: one residual, a + b - S
        w = w - step * 2 * (mask * error[:, None]).mean(0) * w
    pull = post_training_pull({**DEFAULTS, "dropout": p}, Strengths(0.0, 0.0), shared=False)
    expected = staged(Strengths(1.0, 0.02), pull, time)
    np.testing.assert_allclose(w * w, expected, atol=3e-3)


def compute_matched(variant: str, t_ft: list[float], **v: float) -> Minimum:
    """The minimum of loss_ret over lambda, one for each length of fine-tuning."""
    budget = Budget(pre_time=60.0, post_time=2.0) if variant == "rp" else Budget(pre_time=30.0, post_time=0.3)
    recipe = Recipe(split="compute-matched")

    def loss(exposure: Any) -> Any:
        return pathway_predict(
            {**realise(recipe, budget, varied={"exposure": exposure}), "t_ft": np.array(t_ft), **v}, variant
        ).loss_ret

    return minimise(loss, (len(t_ft),), points=41, zooms=1)


def test_compute_matched_apart() -> None:
    found = compute_matched("rp", [0.03, 0.1, 0.2, 0.5, 1.0, 5.0])
    printed = [0.1, 0.25, 0.4, 0.6, 0.85, 1.0]  # on a grid of 0.05
    np.testing.assert_allclose(found.exposure, printed, atol=0.026)
    np.testing.assert_allclose(
        (found.at_zero[3], found.loss[3], found.at_one[3]), (0.8601, 0.8598, 0.9844), atol=1.1e-4
    )
    assert found.depth.max() < 0.01  # shallow: never a notable one


def test_compute_matched_shared() -> None:
    start = 0.01 * 8**0.5  # width 16, weights of scale 0.01: |w1 + wa|/2
    found = compute_matched("rp-shared", [0.05, 0.1, 0.2, 0.5, 5.0], init_scale=start)
    assert np.all(np.diff(found.exposure) > 0)
    np.testing.assert_allclose(found.exposure, [0.07, 0.30, 0.52, 0.81, 0.97], atol=0.01)
    np.testing.assert_allclose((found.at_zero[2], found.loss[2], found.at_one[2]), (0.260, 0.195, 0.286), atol=2.5e-3)
    np.testing.assert_allclose((found.at_zero[3], found.loss[3], found.at_one[3]), (0.461, 0.275, 0.289), atol=2.5e-3)
    assert found.depth[2] > 0.2  # deep
    coarse = compute_matched_on_fifths([0.05, 0.1, 0.2, 0.5, 5.0], start)
    np.testing.assert_allclose(coarse, [0.0, 0.2, 0.6, 0.8, 1.0])  # the printed table, on a grid of 0.2


def compute_matched_on_fifths(t_ft: list[float], start: float) -> Any:
    """argmin of loss_ret over lambda = 0, 0.2, ..., 1."""
    grid = np.linspace(0, 1, 6)
    budget, recipe = Budget(pre_time=30.0, post_time=0.3), Recipe(split="compute-matched")
    v = {**realise(recipe, budget, varied={"exposure": grid[:, None]}), "t_ft": np.array(t_ft), "init_scale": start}
    return grid[pathway_predict(v, "rp-shared").loss_ret.argmin(0)]


@pytest.mark.parametrize("variant", SOLVERS)
def test_immediate_loss_rises_with_exposure_at_matched_compute(variant: str) -> None:
    budget = Budget(pre_time=60.0, post_time=2.0) if variant == "rp" else Budget(pre_time=30.0, post_time=0.3)
    v = realise(Recipe(split="compute-matched"), budget, varied={"exposure": np.linspace(0, 1, 41)})
    loss = pathway_predict(v, variant).loss_im
    above = loss[1:] > 1e-25
    assert np.all(np.diff(loss)[above] > 0)
    if variant == "rp-shared":
        v["init_scale"] = 0.01 * 8**0.5
        assert pathway_predict(v, variant).loss_im[[0, -1]] == pytest.approx([0.0034, 0.268], rel=0.06)


def test_a_plain_stage_two_conserves_the_ratio() -> None:
    quiet = {"correlation": 1.0, "replay": 0.0, "dropout": 0.0, "l2_to_start": 0.0}
    _, before, after, _ = solve_separate({**draw(100, 8), **quiet}).strengths
    np.testing.assert_allclose(
        before.inconsistent * after.specialised, before.specialised * after.inconsistent, rtol=1e-9
    )
