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
from theory.fitting.assessment import Options, assess, drops, floors_only, problem_for
from theory.fitting.intervals import at_bounds, bootstrap
from theory.fitting.prediction import cross, decided, leave_one_out
from theory.fitting.solver import Effort


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
QUICK = Options(starts=3, replicates=0, equal_steps=True, groups=5)


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


def test_intervals_cover_the_truth_and_bounds_are_reported():
    points = planted("plain", PLAIN, noise=2e-3)
    problem = problem_for(points, "plain", False, QUICK)
    best = problem.refine(problem.logs(PLAIN), 100, 1e-8)
    found = problem.finish(problem.values(best.x))
    intervals = bootstrap(problem, found, 60, seed=1)
    covered = [low <= PLAIN[name] <= high for name, (low, high) in intervals.items()]
    assert set(intervals) == set(problem.names)
    assert np.mean(covered) >= 0.7
    assert intervals["beta"].high / intervals["beta"].low < 3
    assert at_bounds(problem, found.values | {"pre_time": 300.0, "beta": 0.01})["pre_time"] == "upper"
    assert at_bounds(problem, found.values | {"pre_time": 300.0, "beta": 0.01})["beta"] == "lower"
    assert bootstrap(problem, found, 0, seed=1) == {}


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
    left = leave_one_out(problem, problem.logs(PLAIN))
    assert left.rms is None
    assert set(left.curves.values()) == {None}


def test_forgetting_of_the_published_study():
    points = points_from(load(3))
    got = drops(points, points.loss)
    assert [round(got[size]["first_drop"], 3) for size in ("30M", "150M", "300M")] == [0.076, 0.058, 0.063]
    assert floors_only(points)["fitted_numbers"] == 3


def call(capsys, *arguments):
    code = run("theory", {"fit": FitCommand, "again": FitCommand}, "test", ["fit", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_writes_both_files_and_repeats_itself(capsys, tmp_path):
    options = ("--model", "plain", "--starts", "2", "--bootstrap", "3", "--groups", "4", "--json")
    code, text, _ = call(capsys, *options, "--out", str(tmp_path / "a"))
    assert code == 0
    document = json.loads(text)
    stored = json.loads((tmp_path / "a" / "fits.json").read_text())
    assert [entry["method"] for entry in stored["fits"]] == ["floors only", "plain", "plain+spectrum"]
    assert "--model plain --spectrum both" in stored["command"]
    fit_entry = stored["fits"][2]
    assert fit_entry["numbers"] == 60
    assert fit_entry["fitted_numbers"] == 16
    assert set(fit_entry["intervals"]) == set(fit_entry["parameters"]) - {"sigma_post"}
    assert set(fit_entry["cross"]) == {"independent", "compute-matched"}
    assert fit_entry["rmse"] < stored["fits"][0]["rmse"]
    table = results.read(tmp_path / "a" / "fits.parquet")
    assert table.num_rows == 2 * 6 * 101
    assert set(table["method"].to_pylist()) == {"plain", "plain+spectrum"}
    _, again, _ = call(capsys, *options, "--out", str(tmp_path / "b"))
    for entry, other in zip(document["fits"][1:], json.loads(again)["fits"][1:], strict=True):
        assert {**entry, "seconds": 0} == {**other, "seconds": 0}


def test_the_command_reads_any_lambda_study(capsys, tmp_path):
    path = results.write(load(3), tmp_path / "study.parquet")
    code, text, _ = call(
        capsys, str(path), "--model", "plain", "--spectrum", "without", "--halves", "independent", "--starts", "1",
        "--bootstrap", "0", "--out", str(tmp_path),
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
        (("--bootstrap", "-1"), "--bootstrap -1"),
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
