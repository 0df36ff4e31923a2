"""What a fit is worth: profiles, what is left out, nulls; and the laws, fitted."""

import numpy as np
import pytest

from common.published import load
from tests.theory.planted import LAW, PLAIN, QUICK, planted
from theory.fit import Points, points_from
from theory.fitting.assessment import Options, assess_law, drops, nulls, problem_for
from theory.fitting.laws import EFFORT, bounded, law_losses, law_problem
from theory.fitting.solver import Effort, best_fit
from theory.fitting.worth import (
    at_bounds,
    cross,
    curves_of,
    decided,
    leave_out,
    odd_rows,
    profile,
    sizes_of,
    threshold,
    walk,
)


def test_coefficients_are_the_best_that_are_not_negative():
    """Against scipy, where none, one or both of two are bound; in one call as alone."""
    from scipy.optimize import lsq_linear

    rng = np.random.default_rng(5)
    columns, target, weight = (
        rng.standard_normal((12, 7, 2, 3)),
        rng.standard_normal((7, 2)),
        np.array([1.0, 1, 0, 1, 1, 1, 1]),
    )
    found = bounded(columns, target, weight, [0, 2])
    assert len({tuple(one[[0, 2]] > 0) for one in found}) == 4
    for mine, one in zip(found, columns, strict=True):
        kept = np.repeat(weight, 2) > 0
        best = lsq_linear(one.reshape(14, 3)[kept], target.reshape(14)[kept], ([0, -np.inf, 0], np.inf), tol=1e-14)
        assert mine == pytest.approx(best.x, abs=1e-6)
        assert bounded(one, target, weight, [0, 2]) == pytest.approx(mine, abs=1e-9)


def test_profiles_cover_the_truth_and_bounds_are_reported():
    points = planted("plain", PLAIN, noise=2e-3)
    problem = problem_for(points, "plain", False, QUICK)
    best = problem.refine(problem.logs(PLAIN), 100, 1e-8)
    found = problem.finish(problem.values(best.x))
    intervals = profile(problem, best.x, found)
    assert set(intervals) == set(problem.names)
    covered = [(low or 0) <= PLAIN[name] <= (high or np.inf) for name, (low, high) in intervals.items()]
    assert np.mean(covered) >= 0.8
    assert at_bounds(problem, found.values | {"pre_time": 300.0, "beta": 0.01})["pre_time"] == "upper"
    assert at_bounds(problem, found.values | {"pre_time": 300.0, "beta": 0.01})["beta"] == "lower"


def test_a_profile_ends_where_the_sum_of_squares_has_risen():
    """For a line through noise the profile interval is Student's; where the bound comes first there is no end."""
    assert threshold(20, 2, 0.9) == pytest.approx(1 + 1.734064**2 / 18, rel=1e-5)
    cost = lambda x: 3.0 + (x - 2.0) ** 2  # noqa: E731
    assert walk(cost, 2.0, 3.0, 1.5, 0.01, 50.0, 10) == pytest.approx(2 + np.sqrt(1.5), abs=0.01)
    assert walk(cost, 2.0, 3.0, 1.5, 9.0, -50.0, 10) == pytest.approx(2 - np.sqrt(1.5), abs=0.01)
    assert walk(cost, 2.0, 3.0, 1.5, 0.01, 2.5, 10) is None


def law_points(seed, noise=0.01):
    published = points_from(load(3))
    from theory.laws.forms import FORMS

    loss = law_losses(FORMS["S"], LAW, published)
    loss = loss + noise * np.random.default_rng(seed).standard_normal(loss.shape)
    return Points(published.exposure, published.tokens, published.matched, loss)


@pytest.mark.usefixtures("unchecked")
def test_known_laws_are_recovered_under_noise():
    """Forty draws of noise at the size of the residuals: no bias beyond its error, and profiles cover as they say."""
    found, covered = [], []
    effort = Effort(starts=2, screened=200, evaluations=(20, 60), tolerances=(1e-5, 1e-9), finals=1)
    for seed in range(40):
        problem = law_problem(law_points(seed), "S")
        best = best_fit(problem, effort, 0, also=[LAW])
        fitted = problem.finish(problem.values(best))
        found.append(fitted.values)
        if seed < 12:
            ranges = profile(problem, best, fitted, tries=6, evaluations=20)
            covered += [(low or 0) <= LAW[name] <= (high or np.inf) for name, (low, high) in ranges.items()]
    for name in ("lost", "post_worth", "passes", "constant"):
        values = np.array([one[name] for one in found])
        assert abs(np.median(values) - LAW[name]) < 0.6 * values.std(), name
        assert values.std() < 0.35 * LAW[name], name
    assert np.mean(covered) >= 0.75


@pytest.mark.usefixtures("unchecked")
def test_the_laws_fit_the_published_study_as_the_reference_says():
    """rms, AICc and what was left out, against an independent fit: see the module of the laws."""
    points = points_from(load(3))
    report = assess_law(points, "S", Options(intervals=False)).report
    assert (round(report["rmse"], 4), round(report["aicc"]), report["fitted_numbers"]) == (0.0295, -401, 8)
    assert round(report["leave_one_curve_out"]["rms"], 3) == 0.039
    assert report["parameters"] == pytest.approx(
        {"floor": 0.915, "amplitude": 3.80, "power": 0.257, "offset": 40.7, "post_worth": 2.6, "passes": 3.22, "constant": 0.170,
         "lost": 0.246}, rel=3e-3)  # fmt: skip
    odd = report["without_odd"]
    assert (round(odd["rmse"], 4), round(odd["aicc"]), round(odd["leave_one_curve_out"]["rms"], 3)) == (
        0.0192,
        -437,
        0.028,
    )
    assert odd["share_of_squares"] > 0.4
    where = np.flatnonzero(odd_rows(points))
    assert [(points.exposure[i], points.tokens[i], points.matched[i]) for i in where] == [(0.75, 3e7, 1)]
    assert report["leave_one_size_out"]["rms"] == pytest.approx(0.06, abs=0.004)
    for name, numbers, rms in (("null", 7, 0.0440), ("S5", 9, 0.0277), ("S8", 9, 0.0286)):
        problem = law_problem(points, name)
        best = problem.finish(problem.values(best_fit(problem, EFFORT, 0)))
        assert (best.parameters, round(best.rmse, 4)) == (numbers, rms)


def test_a_law_fitted_to_one_half_counts_only_what_it_decides():
    points = law_points(0)
    half = points.half("independent")
    alone = Points(*(column[half] for column in (points.exposure, points.tokens, points.matched, points.loss)))
    problem = law_problem(alone, "S5")
    assert problem.held == {"passes": 1.0}
    assert problem.finish(problem.values(problem.logs(LAW))).parameters == 7
    assert curves_of(alone) == {}
    assert set(sizes_of(alone)) == {"30M", "150M", "300M"}


def test_held_out_rows_do_not_matter():
    points = planted("plain", PLAIN)
    problem = problem_for(points, "plain", False, QUICK)
    here = points.of(points.curves[2])
    spoilt = points.loss + here[:, None] * 7.0
    logs, weight = problem.logs(PLAIN | {"pace": 2.0}), 1.0 - here
    assert np.allclose(problem.residual(logs, points.loss, weight), problem.residual(logs, spoilt, weight), atol=1e-12)
    found = problem.finish(PLAIN, spoilt, weight)
    assert found.floors == pytest.approx({5e7: 1.5, 2e8: 1.2}, abs=1e-9)
    assert np.abs(found.residuals[~here]).max() < 1e-9


def test_a_half_predicts_the_other_where_the_model_is_right():
    """At unequal step sizes the compute-matched half decides all that an independent one at convergence needs."""
    true = PLAIN | {"step_ratio": 3.0, "t_post_50M": 300.0, "t_post_200M": 300.0}
    points = planted("plain", true)
    problem = problem_for(points, "plain", False, Options())
    got = cross(problem, "compute-matched", Effort(starts=0), 0, also=[true | {"pace": 1.2, "beta": 0.8}])
    assert got.rms_fitted < 2e-4
    assert got.rms_predicted < 1e-2 < np.std(points.loss[points.half("independent")]) / 10
    assert got.rms_shape < 1e-3


def test_equal_step_sizes_hide_the_specialised_block_of_the_plain_model():
    """The exposure law: under one pass at equal step sizes any beta gives the same curves, up to floors."""
    points = planted("plain", PLAIN)
    problem = problem_for(points, "plain", False, QUICK)
    matched = points.half("compute-matched").astype(float)
    for beta in (0.1, 0.5, 2.0):
        left = problem.finish(PLAIN | {"beta": beta}, weight=matched).residuals[matched > 0]
        assert np.abs(left).max() < 1e-9


def test_what_a_half_does_not_decide_is_filled_in():
    assert decided(PLAIN | {"step_ratio": 2.0}, "independent")["pace"] == 2.0
    assert decided(PLAIN, "compute-matched")["t_post_50M"] == 300.0
    independent = planted("plain", PLAIN).half("independent")
    points = planted("plain", PLAIN)
    alone = Points(*(column[independent] for column in (points.exposure, points.tokens, points.matched, points.loss)))
    assert "step_ratio" in problem_for(alone, "plain", False, Options()).held
    problem = problem_for(alone, "plain", False, QUICK)
    left = leave_out(problem, problem.logs(PLAIN), sizes_of(alone))
    assert left.rms is None
    assert set(left.each.values()) == {None}
    assert left.shape < 1e-2


def test_forgetting_of_the_published_study():
    points = points_from(load(3))
    got = drops(points, points.loss)
    assert [round(got[size]["first_drop"], 3) for size in ("30M", "150M", "300M")] == [0.076, 0.058, 0.063]
    assert [entry["fitted_numbers"] for entry in nulls(points)] == [3, 12, 24]
