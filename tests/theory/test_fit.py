"""The least-squares fit: recovers a planted model, is reproducible, and meets the limits that theory sets it."""

import json

import numpy as np
import pytest

from common import results
from common.console import run
from common.published import load
from common.settings import WrongUse
from theory.commands.fit import FitCommand
from theory.fit import Points, fit, model_losses, points_from
from theory.fitting.assessment import Options, assess, assess_law, drops, nulls, problem_for
from theory.fitting.laws import EFFORT, law_losses, law_problem
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
    with pytest.raises(WrongUse, match="finite, in every row"):
        points_from(load(2))


def planted(model, true, noise=0.0, groups=1, sizes=(5e7, 2e8), exposure=(0.0, 0.25, 0.5, 0.75, 1.0)):
    """Both halves of a study that obeys a model, with floors 1.5 and 1.2 and scale 0.2."""
    rows = [(e, n, m) for m in (0, 1) for n in sizes for e in exposure]
    e, n, m = (np.array(column) for column in zip(*rows, strict=True))
    clean = Points(e, n, m, np.zeros((len(e), 2)))
    floor = np.where(n == sizes[0], 1.5, 1.2)[:, None]
    loss = floor + 0.2 * model_losses(true, clean, model, groups)
    return Points(e, n, m, loss + noise * np.random.default_rng(5).standard_normal(loss.shape))


PLAIN = {
    "sigma_post": 1.0,
    "pre_over_post": 0.3,
    "ft_over_post": 0.4,
    "beta": 0.9,
    "init_scale": 0.05,
    "pre_time": 6.0,
    "t_ft": 0.5,
    "pace": 1.0,
    "step_ratio": 1.0,
    "t_post_50M": 0.8,
    "t_post_200M": 1.6,
}
PAIR = PLAIN | {"beta": 1.0, "uncorrelated": 0.03, "pre_over_post": 0.9, "ft_over_post": 0.8}
QUICK = Options(starts=3, intervals=False, equal_steps=True, groups=5)


def test_a_planted_spectrum_is_recovered():
    points = planted("plain", PLAIN | {"strength_decay": 0.4, "frequency_decay": 1.0}, groups=5)
    without, found = assess(points, "plain", (False, True), QUICK)
    assert found.fit.rmse < without.fit.rmse / 2
    assert found.fit.aicc < without.fit.aicc
    assert found.fit.parameters == without.fit.parameters + 2
    assert found.report["leave_one_curve_out"]["rms"] < without.report["leave_one_curve_out"]["rms"]


@pytest.mark.parametrize(("model", "groups"), [("rp", 3), ("rp-shared", 0)])
def test_planted_pathways_are_recovered_and_the_jacobian_is_right(model, groups):
    import jax

    true = PAIR | ({"strength_decay": 0.3, "frequency_decay": 1.0} if groups else {})
    points = planted(model, true, exposure=(0.0, 0.3, 1.0), groups=max(groups, 1))
    problem = problem_for(points, model, groups > 0, Options(groups=groups, equal_steps=True))
    start = problem.logs(true | {name: true[name] * 1.4 for name in ("pace", "beta", "t_ft", "init_scale")})
    found = problem.finish(problem.values(problem.refine(start, 60, 1e-9).x))
    assert found.rmse < 1e-3
    assert found.scale == pytest.approx(0.2, rel=0.5)
    assert found.floors[5e7] == pytest.approx(1.5, abs=0.02)
    given = (points.loss, problem.everything)
    with jax.enable_x64(True):
        exact = np.asarray(problem.compiled[1](start, *given))
    steps = 1e-4 * np.eye(len(start))
    sides = [problem.residual(start + sign * steps, *given) for sign in (1, -1)]
    assert np.abs(exact.T - (sides[0] - sides[1]) / 2e-4).max() < 1e-5


def test_a_closed_form_is_differentiated_as_by_jax():
    import jax

    points = planted("plain", PLAIN)
    problem = problem_for(points, "plain", False, QUICK)
    start = problem.logs(PLAIN | {"pace": 1.3, "beta": 0.8})
    given = (points.loss, problem.everything)
    exact = np.asarray(jax.jacfwd(problem.residual)(start, *given))
    assert np.abs(problem.compiled[1](start, *given) - exact).max() < 1e-8 * np.abs(exact).max()


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


LAW = {
    "power": 0.3,
    "offset": 30.0,
    "post_worth": 2.5,
    "passes": 3.0,
    "floor": 0.8,
    "amplitude": 3.0,
    "constant": 0.15,
    "lost": 0.3,
}


def law_points(seed, noise=0.01):
    published = points_from(load(3))
    from theory.laws.forms import FORMS

    loss = law_losses(FORMS["S"], LAW, published)
    loss = loss + noise * np.random.default_rng(seed).standard_normal(loss.shape)
    return Points(published.exposure, published.tokens, published.matched, loss)


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


def call(capsys, *arguments):
    code = run("theory", {"fit": FitCommand, "again": FitCommand}, "test", ["fit", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_writes_both_files_and_repeats_itself(capsys, tmp_path):
    options = ("--model", "plain", "--starts", "2", "--groups", "4", "--json")
    code, text, _ = call(capsys, *options, "--out", str(tmp_path / "a"))
    assert code == 0
    document = json.loads(text)
    stored = json.loads((tmp_path / "a" / "fits.json").read_text())
    assert [entry["method"] for entry in stored["fits"]] == [
        "floors only",
        "curve means",
        "curve lines",
        "plain",
        "plain+spectrum",
    ]
    assert "--model plain --spectrum both" in stored["command"]
    fit_entry = stored["fits"][4]
    assert fit_entry["numbers"] == 60
    assert fit_entry["fitted_numbers"] == 16
    assert set(fit_entry["intervals"]) == set(fit_entry["parameters"]) - {"sigma_post"}
    assert set(fit_entry["cross"]) == {"independent", "compute-matched"}
    assert fit_entry["rmse"] < stored["fits"][0]["rmse"]
    table = results.read(tmp_path / "a" / "fits.parquet")
    assert table.num_rows == 2 * 6 * 101
    assert set(table["method"].to_pylist()) == {"plain", "plain+spectrum"}
    _, again, _ = call(capsys, *options, "--out", str(tmp_path / "b"))
    for entry, other in zip(document["fits"][3:], json.loads(again)["fits"][3:], strict=True):
        assert {**entry, "seconds": 0} == {**other, "seconds": 0}


def test_the_command_reads_any_lambda_study(capsys, tmp_path):
    path = results.write(load(3), tmp_path / "study.parquet")
    code, text, _ = call(
        capsys, str(path), "--model", "plain", "--spectrum", "without", "--halves", "independent", "--starts", "1",
        "--no-intervals", "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 0
    for word in ("AICc", "observed", "pre_time", "fits.json"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.parquet",), "cannot be read"),
        (("--model", "cubic"), "cubic"),
        (("--starts", "0"), "--starts 0"),
        (("--groups", "0"), "--groups 0"),
        (("a.parquet", "b.parquet"), "one at a time"),
    ],
)
def test_wrong_commands_exit_with_two(capsys, outside, arguments, says):
    code, _, errors = call(capsys, *arguments)
    assert code == 2
    assert says in errors
    assert list(outside.iterdir()) == []


def test_tables_without_curves_are_wrong_use(capsys, outside):
    results.write(load(2), outside / "frontier.parquet")
    assert call(capsys, "frontier.parquet")[0] == 2
    broken = load(3).drop_columns(["exposure"]).append_column("exposure", [[None] * 30])
    with pytest.raises(WrongUse, match="finite"):
        points_from(broken)
    unsized = load(3)
    where = unsized.column_names.index("tokens_post")
    with pytest.raises(WrongUse, match="tokens_post"):
        points_from(unsized.set_column(where, "tokens_post", [[0] * 30]))


def test_an_interrupt_ends_fits_that_run_side_by_side():
    import threading
    import time

    from theory.commands.fit import side_by_side

    ended = threading.Event()

    def forever(done):
        try:
            while True:
                time.sleep(0.01)
                done(1)
        finally:
            ended.set()

    def interrupted(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side([forever, interrupted], lambda _: None)
    assert ended.wait(2)
    assert side_by_side([lambda done: 1, lambda done: 2], lambda _: None) == [1, 2]
