"""The D_post budget: conventions, the no-go, interior optima at unequal step sizes, and the derivative formulas."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.minima import minimise
from common.recipe import Recipe
from common.settings import WrongUse
from theory import Budget, exposure_curve, optimum, realise

MATCHED = Recipe(split="compute-matched")


@given(st.floats(0, 1), st.sampled_from(["add", "replace"]), st.floats(0.1, 5))
def test_conventions_spend_the_budget(exposure, mixing, ratio):
    budget = Budget(pre_time=30.0, post_time=2.0, step_ratio=ratio)
    got = realise(Recipe(split="compute-matched", mixing=mixing), budget, varied={"exposure": exposure})
    assert got["alpha"] * got["t_pre"] == pytest.approx(ratio * exposure * 2.0, abs=1e-12)
    assert got["t_post"] == pytest.approx((1 - exposure) * 2.0)
    assert got["t_pre"] == pytest.approx(30.0 if mixing == "replace" else 30.0 + ratio * exposure * 2.0)


def test_an_independent_split_leaves_stage_two_alone_and_may_repeat():
    got = realise(Recipe(exposure=2.5), Budget(pre_time=10.0, post_time=2.0))
    assert "t_post" not in got
    assert got["alpha"] == pytest.approx(5.0 / 15.0)


@pytest.mark.parametrize("exposure", [-0.1, float("nan"), 1.2])
def test_impossible_exposures_are_refused(exposure):
    with pytest.raises(WrongUse, match="exposure"):
        Recipe(exposure=exposure, split="compute-matched")
    if exposure > 1:
        with pytest.raises(WrongUse, match="exposure"):
            realise(MATCHED, Budget(), varied={"exposure": exposure})
        with pytest.raises(WrongUse, match="pre_time"):
            realise(Recipe(mixing="replace"), Budget(pre_time=1.0), varied={"exposure": exposure})


problems = st.fixed_dictionaries(
    {
        "n": st.just(3),
        "k": st.just(1),
        "sigma_inv": st.floats(0.5, 3),
        "sigma_pre": st.floats(0.05, 1),
        "sigma_post": st.floats(1, 2),
        "sigma_ft": st.floats(0.0, 1),
        "beta": st.floats(0.3, 2),
        "init_scale": st.sampled_from([1e-3, 0.05, 0.2]),
        "t_ft": st.floats(0, 5),
    }
)


@given(problems, st.sampled_from(["add", "replace"]), st.floats(0.2, 8), st.floats(8, 40))
def test_no_interior_optimum_at_equal_step_sizes(problem, mixing, post, pre):
    # corollary of the order theorem: s_ft <= s_post, delta^2 below every target, rho = 1
    for minimum in optimum(
        problem, Recipe(split="compute-matched", mixing=mixing), Budget(pre_time=pre, post_time=post)
    ):
        assert minimum.at_zero <= minimum.loss * (1 + 1e-9) + 1e-18


def test_the_corner_case_that_reverses_it():
    # s_pre = 0 < delta^2 in the replacing convention: L_im .0165, .0251, .0063 at lambda 0, .5, 1
    problem = {"n": 3, "k": 1, "sigma_pre": 0.0, "sigma_post": 1.0, "beta": 0.9, "sigma_inv": 3.0, "init_scale": 0.5}
    losses = exposure_curve(
        np.array([0.0, 0.5, 1.0]),
        problem,
        Recipe(split="compute-matched", mixing="replace"),
        Budget(pre_time=1.0, post_time=1.0),
    )
    assert np.allclose(losses.loss_im, [0.0165, 0.0251, 0.0063], atol=5e-5)


def test_an_interior_optimum_needs_larger_steps_in_stage_one():
    problem = {"n": 2, "k": 1}
    for ratio, interior in ((0.5, False), (1.0, False), (4.0, True), (8.0, True)):
        _, best = optimum(problem, MATCHED, Budget(step_ratio=ratio))
        assert bool(best.interior) == interior, ratio


def test_the_reported_minimum_is_the_minimum():
    problem = {"n": 2, "k": 1, "t_ft": np.array([0.05, 0.5, 2.0])[:, None], "beta": np.array([0.6, 0.9, 1.3])}
    _, best = optimum(problem, MATCHED, Budget(step_ratio=3.0))
    assert best.exposure.shape == (3, 3)
    ramp = np.linspace(0, 1, 20001)[:, None, None]
    curve = exposure_curve(ramp, problem, MATCHED, Budget(step_ratio=3.0)).loss_ret
    assert (best.loss <= curve.min(0) + 1e-12).all()
    assert np.allclose(best.exposure, ramp[curve.argmin(0), 0, 0], atol=1e-4)
    assert np.allclose(best.depth_below_zero, curve[0] - best.loss)
    assert np.allclose(best.depth_below_one, curve[-1] - best.loss)


def test_a_deep_minimum_of_next_to_nothing_is_no_finding():
    assert not minimise(lambda x: 1e-5 * ((x - 0.5) ** 2 + 1e-3), ()).interior
    assert minimise(lambda x: (x - 0.5) ** 2 + 1e-3, ()).interior
    assert not minimise(lambda x: 1e-4 * (x - 0.5) ** 2 + 1, ()).interior


def test_minimise_finds_narrow_and_boundary_minima():
    found = minimise(lambda x: (x - 0.123456789) ** 2, ())
    assert found.exposure == pytest.approx(0.123456789, abs=1e-8)
    assert minimise(lambda x: x * 0 + 1.0, ()).exposure == 0.0
    assert minimise(lambda x: -x, ()).exposure == 1.0


@settings(max_examples=15)
@given(st.floats(0.2, 5), st.floats(0.1, 3), st.floats(0.05, 0.95), st.floats(0.3, 1.8), st.floats(0.05, 2))
def test_derivative_formulas_match_autodiff(rho, budget_time, lam, beta, t3):
    # closed form of d loss / d lambda for inconsistent + specialised blocks, adding convention
    s_pre, s_post, s_ft, d2, pre, b = 0.4, 1.4, 0.6, 0.02**2, 5.0, budget_time
    x = rho * lam * b
    t1, s, t2 = pre + x, pre * s_pre + x * s_post, (1 - lam) * b
    e1, e2, e3 = np.exp(-4 * s), np.exp(-4 * s_post * t2), np.exp(-4 * s_ft * t3)
    b2 = beta / (1 + (beta / d2 - 1) * np.exp(-4 * beta * (x + t2)))
    u1 = e1 / d2 + (1 - e1) * t1 / s
    u2 = e2 * u1 + (1 - e2) / s_post
    u3 = e3 * u2 + (1 - e3) / s_ft
    d1 = rho * b * (-4 * s_post * e1 / d2 + 4 * s_post * e1 * t1 / s + (1 - e1) * (s - t1 * s_post) / s**2)
    dd2 = e2 * (4 * b * (s_post * u1 - 1) + d1)
    special = -8 * (rho - 1) * b * b2 * (beta - b2) ** 2
    immediate = special + 2 * (s_post - 1 / u2) / u2**2 * dd2
    retained = special + 2 * (s_post - 1 / u3) / u3**2 * e3 * dd2

    problem = {
        "n": 2,
        "k": 1,
        "sigma_pre": s_pre,
        "sigma_post": s_post,
        "sigma_ft": s_ft,
        "beta": beta,
        "init_scale": 0.02,
        "t_ft": t3,
    }
    budget = {"pre_time": pre, "post_time": b, "step_ratio": rho}
    for name, expected in (("loss_im", immediate), ("loss_ret", retained)):
        got = jax.grad(lambda value, name=name: getattr(exposure_curve(value, problem, MATCHED, budget), name))(lam)
        assert float(got) == pytest.approx(expected, rel=1e-7, abs=1e-8), name
