"""The network behind the law Slin: its exact solution against integration, its reduction to the law, its minimum along lambda."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from common.published import load
from theory import predict
from theory.fit import points_from
from theory.fitting.assessment import Options, assess_law
from theory.laws.forms import Redundant
from theory.laws.mechanism import law_values, losses, solve, spectrum
from theory.laws.optimum import interior_redundant

STAGES = {"overlap": 0.6, "t_post": 0.8, "step_ratio": 2.0, "erased": 0.7}


def integrated(rate, overlap, alpha, t_pre, t_post, step_ratio, erased, hold):
    """The three stages of one mode by numbers alone: own and shared feature."""
    own, shared = rate, rate * overlap / (1 - overlap)

    def one(p, q):
        r = 1 - p - q
        return alpha * own * r, alpha * shared * r - (1 - alpha) * hold * q

    def two(p, q):
        r = 1 - p - q
        return step_ratio * own * r, step_ratio * shared * r

    state, missing = (0.0, 0.0), []
    for flow, time in ((one, t_pre), (two, t_post)):
        found = solve_ivp(lambda _, y, flow=flow: flow(*y), (0, time), state, rtol=1e-10, atol=1e-13, method="LSODA")
        state = tuple(found.y[:, -1])
        missing.append(1 - sum(state))
    return [*missing, 1 - state[0] - (1 - erased) * state[1]]


def between(low, high):
    """Numbers that an integrator can take: none of 1e-300."""
    return st.integers(0, 100).map(lambda part: low + (high - low) * part / 100)


@given(
    rate=between(0.05, 3.0), overlap=between(0.0, 0.95), alpha=between(0.01, 0.9), t_pre=between(0.0, 8.0),
    t_post=between(0.0, 3.0), step_ratio=between(0.2, 4.0), erased=between(0.0, 1.0), hold=between(0.0, 5.0),
)  # fmt: skip
def test_the_stages_are_those_of_an_integration(**settings):
    assert list(solve(**settings)) == pytest.approx(integrated(**settings), abs=2e-8)


def test_equal_rates_of_both_directions_have_their_limit():
    equal = {"rate": 1.0, "overlap": 0.0, "alpha": 0.5, "t_post": 0.0, "hold": 1.0}
    assert solve(t_pre=2.0, **equal).first == pytest.approx(np.exp(-1.0), abs=1e-9)


@pytest.mark.parametrize(("power", "offset"), [(0.15, 3.0), (0.25, 40.0), (1.0, 10.0), (2.5, 100.0)])
def test_the_spectrum_has_the_learning_curve(power, offset):
    rates, weights = spectrum(power, offset)
    for exposure in (0.0, 1.0, 300.0, 1e4):
        assert weights @ np.exp(-2 * rates * exposure) == pytest.approx((exposure + offset) ** -power, rel=1e-11)


def test_rare_d_post_gives_the_law_and_its_error_falls_with_alpha():
    power, offset, exposure = 0.25, 40.0, np.array([0.0, 0.3, 1.0, 2.0]) * 150
    values = law_values(0.6, 1.0, 0.7)
    law = predict(
        alpha=exposure / 1e6, t_pre=1e6, t_post=150.0, model="Slin", power=power, offset=offset, floor=0.0, amplitude=1.0,
        constant=0.0, **values,
    )  # fmt: skip
    errors = []
    for alpha in (1e-2, 1e-3):
        start, im, ret = losses(
            power, offset, overlap=0.6, alpha=alpha, t_pre=exposure / alpha, t_post=150.0, erased=0.7
        )
        assert im == pytest.approx(law.loss_im, rel=2e-5)
        assert start == pytest.approx((exposure + offset) ** -power, rel=5e-5)
        errors.append(np.abs(ret / law.loss_ret - 1).max())
    assert 8 < errors[0] / errors[1] < 12
    assert errors[0] < 1e-4


def test_the_interior_condition_is_where_a_search_finds_the_minimum():
    rng = np.random.default_rng(0)
    undone, worth = rng.uniform(0.02, 0.98, 500), np.exp(rng.uniform(-0.5, 2.5, 500))
    power, reach = rng.uniform(0.1, 1.5, 500), np.exp(rng.uniform(-2, 5, 500))
    ramp = np.linspace(0, 1, 2001)[:, None]
    offset = 1.0
    size = reach * offset / worth
    first, second = ramp * size, worth * (1 - ramp) * size
    parts = [(first + share * second + offset) ** -power for share in (1.0, 0.5, 0.0)]
    loss = (1 - undone) ** 2 * parts[0] + 2 * undone * (1 - undone) * parts[1] + undone**2 * parts[2]
    best = loss.argmin(0)
    inside = (best > 0) & (best < 2000)
    said = interior_redundant(undone, worth, power, reach)
    near = np.isin(best, (0, 1, 1999, 2000))  # the search cannot tell the first step from the end
    assert np.array_equal(said[~near], inside[~near])
    assert not said[(best == 0) & (loss[1] - loss[0] > 1e-6)].any()
    assert not said[(best == 2000) & (loss[1999] - loss[2000] > 1e-6)].any()
    assert 0.2 < said.mean() < 0.8


def test_at_equal_step_sizes_everything_in_stage_one_is_never_best():
    for overlap in (0.1, 0.5, 0.9):
        values = law_values(overlap, 1.0, 0.9)
        found = predict(
            exposure=np.array([0.99, 1.0]),
            model="Slin",
            split="compute-matched",
            pre_time=9000.0,
            post_time=150.0,
            **values,
        )
        assert found.loss_ret[0] < found.loss_ret[1]


def test_the_fit_to_the_published_study_and_the_defaults():
    """Eight numbers, as S; kappa stays below the bound that the network sets, 1 - 1/m at equal step sizes."""
    report = assess_law(points_from(load(3)), "Slin", Options(intervals=False)).report
    assert (round(report["rmse"], 4), round(report["aicc"]), report["fitted_numbers"]) == (0.0295, -401, 8)
    assert report["leave_one_curve_out"]["rms"] == pytest.approx(0.0368, abs=2e-4)
    assert round(report["without_odd"]["aicc"]) == -440
    defaults = Redundant()
    fitted = report["parameters"]
    assert {name: getattr(defaults, name) for name in fitted if name != "passes"} == pytest.approx(
        {name: value for name, value in fitted.items() if name != "passes"}, rel=2e-3
    )
    assert fitted["undone"] < 1 - 1 / fitted["post_worth"]
