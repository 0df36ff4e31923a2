"""The redundant pathways through one hidden direction, against whole networks and their own closed laws."""

from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq

from theory.pathways import DEFAULTS, Strengths, fine_tuning_pull, post_training_pull, pretraining_pull
from theory.pathways_flow import Pull
from theory.pathways_shared import Polar, fine_tuned, predict_shared, shared_stage, solve_shared, strengths


def full_stage(weights: np.ndarray, pull: Pull, time: float, gamma: float = 0.0, covariance: Any = None) -> np.ndarray:
    """A stage of the whole network: rows w1, wa, wb of width m. Dropout as its expectation over masks."""
    matrix, target = np.array([[pull.m_aa, pull.m_ab], [pull.m_ab, pull.m_bb]]), np.array([pull.r_a, pull.r_b])
    shape = weights.shape

    def velocity(_: float, flat: np.ndarray) -> np.ndarray:
        w1, w2 = flat.reshape(shape)[0], flat.reshape(shape)[1:]
        gradient = matrix @ (w2 @ w1) - target
        d1, d2 = -2 * gradient @ w2, -2 * np.outer(gradient, w1)
        if gamma:
            spread = covariance @ w2
            d1, d2 = d1 - 2 * gamma * w1 * (w2 * spread).sum(0), d2 - 2 * gamma * w1**2 * spread
        return np.concatenate([d1, d2.ravel()])

    return solve_ivp(velocity, (0, time), weights.ravel(), "LSODA", rtol=1e-9, atol=1e-12).y[:, -1].reshape(shape)


def full_pipeline(weights: np.ndarray, v: dict[str, Any]) -> tuple[float, float, np.ndarray]:
    """loss_im, loss_ret and the strengths after stage 2, at correlation 1."""
    v = {**DEFAULTS, **v}
    gamma = v["dropout"] / (1 - v["dropout"])
    weights = full_stage(weights, pretraining_pull(v), v["t_pre"])
    pull = post_training_pull({**v, "dropout": 0.0}, Strengths(0.0, 0.0), shared=True)
    covariance = np.array([[pull.m_aa, pull.m_ab], [pull.m_ab, pull.m_bb]])
    weights = full_stage(weights, pull, v["t_post"], gamma, covariance)
    between = weights[1:] @ weights[0]
    weights = full_stage(weights, fine_tuning_pull(v), v["t_ft"])
    total = v["sigma_post"] + v["beta"]
    return (between.sum() - total) ** 2, ((weights[1:] @ weights[0]).sum() - total) ** 2, between


SHORT = {"t_pre": 30.0, "t_post": 10.0, "t_ft": 5.0}


def test_shared_direction_is_an_exact_reduction() -> None:
    hidden = np.random.default_rng(4).normal(size=8)
    hidden /= np.linalg.norm(hidden)
    v = {**SHORT, "alpha": 0.02, "t_post": 0.5, "t_ft": 0.3, "sigma_pre": 0.8, "beta": 1.3}
    loss_im, loss_ret, between = full_pipeline(np.outer([0.02, 0.02, 0.0], hidden), v)
    solution = solve_shared({**v, "init_scale": 0.02})
    np.testing.assert_allclose(solution.strengths[2], between, rtol=1e-6)
    np.testing.assert_allclose(solution.losses[:2], (loss_im, loss_ret), rtol=1e-5)


def test_shared_unmixed_by_its_conserved_quantity() -> None:
    solution = solve_shared({**SHORT, "alpha": 0.0, "t_ft": 60.0})
    y = brentq(lambda y: np.hypot(1 + y, y) * (1 + 2 * y) - 2, 0, 1)
    b2 = np.hypot(1 + y, y) * y
    b3 = y * np.sqrt((y**2 + np.sqrt(y**4 + 4)) / 2)
    assert solution.strengths[2].specialised == pytest.approx(b2, abs=1e-8)
    assert solution.strengths[3].specialised == pytest.approx(b3, abs=1e-8)
    assert (b2, b3, float(solution.losses.loss_ret)) == pytest.approx((0.351, 0.275, 0.526), abs=6e-4)
    assert solution.losses.loss_im < 1e-20


def test_shared_small_exposure_law() -> None:
    """db/dE = 4 (g - b)(s^2 + b^2)^(3/2)/(2 s^2 + b^2) after convergence on D_pre, for small alpha."""
    s, g, alpha = 1.0, 1.0, 0.005
    start = Polar(np.log(s), 0.0)
    pull = pretraining_pull({**DEFAULTS, "alpha": alpha})
    exposure = np.array([0.05, 0.2, 0.6])
    b = strengths(shared_stage(start, pull, exposure / alpha)).specialised

    def slope(_: float, b: np.ndarray) -> np.ndarray:
        return 4 * (g - b) * (s**2 + b**2) ** 1.5 / (2 * s**2 + b**2)

    law = solve_ivp(slope, (0, 0.6), [0.0], t_eval=exposure, rtol=1e-10, atol=1e-12).y[0]
    np.testing.assert_allclose(b, law, rtol=0.01)


def test_shared_fine_tuning_in_closed_form() -> None:
    rng = np.random.default_rng(5)
    start = Polar(rng.uniform(-2, 0.5, 40), rng.uniform(-0.3, 0.9, 40))
    sigma, time = rng.uniform(0, 2, 40), rng.uniform(0, 5, 40)
    integrated = strengths(shared_stage(start, fine_tuning_pull({"sigma_ft": sigma, "decay_ft": 0.0}), time))
    for mine, theirs in zip(strengths(fine_tuned(start, sigma, time)), integrated, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=2e-8)


@pytest.mark.parametrize("width", [16, 64])
def test_shared_against_random_networks(width: int) -> None:
    """Small random weights: the losses of the table in the theory, and those of the reduction within what the rest of W allows."""
    table = {0.0: 0.521, 0.01: 0.150, 0.03: 0.005, 0.1: 0.000}
    weights = np.random.default_rng(1).normal(size=(3, width)) * 0.01
    start = np.linalg.norm(weights[0] + weights[1]) / 2  # the part of the start that grows
    for alpha, printed in table.items():
        loss_im, loss_ret, _ = full_pipeline(weights, {**SHORT, "alpha": alpha})
        reduced = predict_shared({**SHORT, "alpha": alpha, "init_scale": start})
        assert loss_im < 1e-12
        assert loss_ret == pytest.approx(printed, abs=0.014)
        assert loss_ret == pytest.approx(float(reduced.loss_ret), rel=0.04, abs=1e-5)


def test_interventions_shared() -> None:
    v = {**SHORT, "alpha": 0.0}
    assert predict_shared({**v, "replay": 0.2}).loss_ret == pytest.approx(0.003, abs=6e-4)
    for units, printed in ((1, 0.598), (4, 0.544)):  # one unit, and a direction spread equally over four
        gamma = 0.1 / 0.9 / units
        reduced = predict_shared({**v, "dropout": gamma / (1 + gamma)}).loss_ret
        full = full_pipeline(np.outer([1e-3, 1e-3, 0.0], np.ones(units) / units**0.5), {**v, "dropout": 0.1})[1]
        assert reduced == pytest.approx(full, abs=1e-6)
        assert reduced == pytest.approx(printed, abs=6e-4)
        assert reduced > predict_shared(v).loss_ret


def test_dropout_lowers_the_retained_loss_of_random_networks() -> None:
    """An uneven hidden direction is torn apart by dropout, so that a random network gains where one unit loses."""
    for which in range(3):
        weights = np.random.default_rng(which).normal(size=(3, 16)) * 0.01
        plain, dropped = (full_pipeline(weights, {**SHORT, "alpha": 0.0, "dropout": p})[1] for p in (0.0, 0.1))
        assert -0.06 < dropped - plain < -0.005
