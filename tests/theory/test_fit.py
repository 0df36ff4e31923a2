"""The least-squares fit: recovers a planted model, is reproducible, and meets the limits that theory sets it."""

import numpy as np
import pytest

from theory import WrongUse
from theory.fit import Points, fit, model_losses, points_from
from theory.published import load


@pytest.fixture(scope="module")
def matched():
    return fit(points_from(load(3), ["compute-matched"]), fixed={"step_ratio": 1.0}, starts=4)


def test_a_planted_model_is_recovered():
    true = {
        "sigma_post": 1.2,
        "pre_over_post": 0.3,
        "ft_over_post": 0.4,
        "beta": 0.9,
        "init_scale": 0.01,
        "pre_time": 8.0,
        "t_ft": 0.4,
        "pace": 2.0,
        "step_ratio": 3.0,
    }
    exposure = np.tile([0.0, 0.25, 0.5, 0.75, 1.0], 2)
    tokens = np.repeat([5e7, 2e8], 5)
    points = Points(exposure, tokens, np.ones(10, dtype=int), np.zeros((10, 2)))
    observed = 1.5 + 0.2 * model_losses(true, points)
    found = fit(Points(exposure, tokens, points.matched, observed), starts=8)
    assert found.rmse < 2e-4
    assert found.curve(exposure[:5], 5e7, True) == pytest.approx(observed[:5], abs=2e-3)


def test_the_same_seed_gives_the_same_fit(matched):
    again = fit(points_from(load(3), ["compute-matched"]), fixed={"step_ratio": 1.0}, starts=4)
    assert again.values == matched.values
    assert again.rmse == matched.rmse


def test_no_fit_at_equal_step_sizes_has_an_interior_minimum(matched):
    ramp = np.linspace(0, 1, 201)
    for size in matched.floors:
        assert matched.curve(ramp, size, True)[:, 1].argmin() == 0
    assert matched.rmse > 0.03  # while the published curves dip by 0.06 nats and more below lambda = 0
    assert min(matched.floors.values()) >= 0
    assert matched.scale >= 0


def test_residuals_are_observed_minus_curve(matched):
    points = points_from(load(3), ["compute-matched"])
    size = points.sizes[1]
    here = points.tokens == size
    assert np.allclose(
        points.loss[here] - matched.curve(points.exposure[here], size, True), matched.residuals[here], atol=1e-12
    )


def test_wrong_requests_are_named():
    points = points_from(load(3), ["independent"])
    with pytest.raises(WrongUse, match="'speed' is no parameter"):
        fit(points, fixed={"speed": 1.0})
    with pytest.raises(WrongUse, match="no rows"):
        points_from(load(2))
