"""Recommendations: planted optima are found, weights and measurements count, and what is asked for next is what tells most."""

import json

import numpy as np
import pandas as pd
import pytest

from common.console import run
from common.published import load
from common.settings import WrongUse
from tests.theory.planted import LAW as planted_law
from theory.commands import commands
from theory.crosscheck.reading import read_study
from theory.fitting.laws import law_losses, law_problem
from theory.fitting.points import Points, points_from
from theory.laws.forms import FORMS, losses
from theory.laws.optimum import best_exposure
from theory.recommend import members, sampling
from theory.recommend.cells import next_cells
from theory.recommend.choice import Goal, Known, contradicted, quantiles, recommend, spans
from theory.recommend.held_out import _trials
from theory.recommend.members import Ensemble, Member, fitted
from theory.recommend.plan import Plan
from theory.recommend.updating import updated

LAW = planted_law | {"lost": 0.4}
PLAN = Plan(tokens_post=150e6, split="compute-matched")
BEST = float(best_exposure(LAW["lost"], LAW["post_worth"], LAW["power"], LAW["offset"], 150.0))


@pytest.fixture
def short(monkeypatch):
    """Chains of a few steps, and few laws."""
    monkeypatch.setattr(sampling, "STEPS", 80)
    monkeypatch.setattr(sampling, "SETTLED", 40)
    monkeypatch.setattr(members, "FORMS", {name: FORMS[name] for name in ("null", "S")})


@pytest.fixture
def few(short, monkeypatch):
    """Stored fits of some models only."""
    stored = [one for one in members.stored() if one["method"] in ("null", "S", "plain", "rp", "rp-shared+spectrum")]
    monkeypatch.setattr(members, "stored", lambda: stored)


def planted(noise=0.003):
    """The layout of the published study, obeying S."""
    points = points_from(load(3))
    loss = law_losses(FORMS["S"], LAW, points) + noise * np.random.default_rng(1).standard_normal((30, 2))
    return Points(points.exposure, points.tokens, points.matched, loss)


def account(name="S", minima=(0.5,), weight=1.0, error=0.02, chance=None, shift=0.0):
    """Draws whose loss_ret is a parabola about their minima, and whose loss_im rises with lambda."""

    def columns(v, plan, exposure):
        at = v["at"]
        unrelated = (-1.0) ** np.arange(len(at))[:, None]
        im = np.broadcast_to(0.1 * exposure + shift, (len(at), len(exposure)))
        ret = (exposure - at) ** 2 if plan.split == "compute-matched" else 5 * unrelated * np.ones_like(exposure)
        return np.stack([im, ret + shift], axis=-1)[..., None]

    at = np.array(minima, dtype=float)[:, None]
    share = np.full(len(at), 1 / len(at)) if chance is None else np.array(chance)
    return Member(name, error, weight, {"at": at}, ("constant",), np.ones((len(at), 1)), columns, share)


def of(*accounts):
    return Ensemble(accounts, "a test", "nothing")


def test_the_planted_optimum_is_found_inside_its_interval(short):
    ensemble = fitted(planted(), PLAN, "planted", linear=False)
    found = recommend(ensemble, PLAN, Goal(tolerance=0.002))
    assert found.exposure == pytest.approx(BEST, abs=0.04)
    assert found.low <= BEST <= found.high
    assert found.high - found.low < 0.25
    assert any(low <= BEST <= high for low, high in found.good)
    assert found.opinions[0].name == "S"
    assert found.opinions[0].weight > 0.95
    first = {one.name: one for one in found.opinions}
    assert first["null"].exposure == 0
    known = law_losses(FORMS["S"], LAW, PLAN.points(np.array([0.0, found.exposure])))
    assert found.ret.mean == pytest.approx(np.diff(known[:, 1])[0], abs=0.004)
    assert found.im.low <= np.diff(known[:, 0])[0] <= found.im.high
    assert found.better > 0.95


def test_a_larger_error_out_of_sample_widens_the_draws(short):
    problem = law_problem(planted(), "S")
    best = problem.logs(LAW)
    drawn = [sampling.sample(problem, best, error, np.random.default_rng(0)) for error in (0.002, 0.02, 0.02)]
    assert (drawn[1].std(0) > 3 * drawn[0].std(0)).all()
    assert np.array_equal(drawn[1], drawn[2])
    high = problem.box[1]
    assert (sampling.sample(problem, best, 0.1, np.random.default_rng(0)) <= high).all()


def test_accounts_count_by_their_weight_and_draws_by_their_chance():
    two = recommend(of(account("S", (0.2,), 3.0), account("S8", (0.6,), 1.0)), PLAN, Goal())
    assert two.exposure == pytest.approx(0.3, abs=0.01)  # the mean of parabolas is lowest at their mean
    assert [(one.name, one.weight) for one in two.opinions] == [("S", 0.75), ("S8", 0.25)]
    assert (two.low, two.high) == pytest.approx((0.2, 0.6))
    assert two.regret["choice"] == pytest.approx(0.75 * 0.01 + 0.25 * 0.09, abs=1e-3)
    one = recommend(of(account("S", (0.2, 0.8), chance=(0.99, 0.01))), PLAN, Goal())
    assert one.high == pytest.approx(0.2)
    assert quantiles(np.array([3.0, 1.0, 2.0]), np.array([0.01, 0.01, 0.98])) == (2.0, 2.0)


def test_what_is_not_worth_deciding_is_said():
    found = recommend(of(account(minima=(0.4,))), PLAN, Goal(tolerance=0.0401))
    assert found.sentence == "Any lambda from 0.20 to 0.60."
    assert recommend(of(account(minima=(0.4,))), PLAN, Goal(tolerance=0.0)).sentence == "lambda = 0.40."
    assert "does not matter" in recommend(of(account(minima=(0.4,))), PLAN, Goal(tolerance=1.0)).sentence
    assert spans(np.linspace(0, 1, 5), np.array([1, 0, 1, 1, 0], dtype=bool)) == ((0.0, 0.0), (0.5, 0.75))


def test_weighted_losses_move_the_choice():
    ensemble = of(account(minima=(0.5,)))
    assert recommend(ensemble, PLAN, Goal(weight_im=2.0)).exposure == pytest.approx(0.4)
    pre = Known(np.array([0.0, 1.0]), np.array([3.0, 3.2]))
    found = recommend(ensemble, PLAN, Goal(weight_pre=1.0), pre)
    assert found.exposure == pytest.approx(0.4)
    assert found.pre == pytest.approx(0.08)
    with pytest.raises(WrongUse, match="weight_pre = 1"):
        recommend(ensemble, PLAN, Goal(weight_pre=1.0))
    with pytest.raises(WrongUse, match="are all 0"):
        recommend(ensemble, PLAN, Goal(weight_ret=0.0))


def test_a_plan_spends_the_budget_as_it_says():
    v = {name: np.array([[LAW[name]]]) for name in ("post_worth", "passes")}
    exposure = np.array([0.0, 0.5])

    def second(**options):
        return Plan(tokens_post=100e6, **options).seen(v, exposure).second.tolist()

    assert second() == [[2.5 * 3 * 100]]
    assert second(passes=2.0) == [[2.5 * 2 * 100]]
    assert second(passes=9.0) == second()  # no more than early stopping makes of them
    assert second(split="compute-matched") == [[250.0, 125.0]]
    assert second(split="compute-matched", budget=2e8) == [[500.0, 375.0]]
    half = Plan(tokens_post=100e6, split="compute-matched", budget=3e7)
    assert half.most == 0.3
    with pytest.raises(WrongUse, match="budget = 3e"):
        Plan(tokens_post=1e8, budget=3e7)
    with pytest.raises(WrongUse, match="passes = 2"):
        Plan(tokens_post=1e8, passes=2.0, split="compute-matched")
    same = FORMS["S"].terms(LAW, PLAN.seen(LAW, exposure))
    assert len(same) == 4
    retained = losses(FORMS["S"], LAW, PLAN.seen(LAW, exposure))[1]
    assert retained == pytest.approx(law_losses(FORMS["S"], LAW, PLAN.points(exposure))[:, 1])


def test_own_measurements_choose_among_draws_and_accounts():
    ensemble = of(account("S", (0.2, 0.8), 1.0, 0.003), account("S8", (0.9,), 1.0, 0.003))
    exposure = np.array([0.0, 0.2, 1.0])
    loss = np.stack([0.1 * exposure, (exposure - 0.2) ** 2], axis=1)
    own = Points(exposure, np.full(3, 150e6), np.ones(3, dtype=int), loss)
    after = updated(ensemble, own, PLAN, 0.01, copies=1)
    assert recommend(ensemble, PLAN, Goal()).exposure > 0.5
    assert recommend(after, PLAN, Goal()).exposure < 0.5
    assert after.members[0].weight > after.members[1].weight


def test_the_next_cell_is_the_one_that_knows_the_optimum():
    minima = np.linspace(0.3, 0.7, 21)
    found = next_cells(of(account(minima=minima)), PLAN, Goal(), count=2, noise=0.01)
    assert (
        found.cells[0].split == "compute-matched"
    )  # the other half varies more, and does not know where the optimum is
    assert found.cells[0].exposure in (0.0, 1.0)  # where losses of draws differ most
    assert found.cells[0].deviation < 0.2 * found.deviation
    assert found.expected < found.width / 4
    assert found.commands[0].startswith("python -m lm_experiments run fig3b --scale nano --axis recipe.exposure=")
    assert "--axis tokens_post=" in found.commands[0]
    noisy = next_cells(of(account(minima=minima)), PLAN, Goal(), count=1, noise=5.0)
    assert noisy.cells[0].deviation > 0.9 * noisy.deviation
    assert next_cells(of(account(minima=(0.5,))), PLAN, Goal()).cells == ()
    with pytest.raises(WrongUse, match="noise = 0"):
        next_cells(of(account()), PLAN, Goal(), noise=0.0)


def test_what_was_held_back_is_recommended_without_it(short):
    points = planted(0.001)
    matched = points.half("compute-matched")
    spoilt = points.loss + 5.0 * (matched & (points.exposure > 0) & (points.exposure < 1))[:, None]
    points = Points(points.exposure, points.tokens, points.matched, spoilt)  # what is held back says the opposite
    asked = points.curves[4:]
    middle, large = _trials("a test", points, ~matched | (points.exposure == 0), asked, 0, {"own": -points.exposure})
    nearest = min((0.0, 0.25, 0.5, 0.75, 1.0), key=lambda value: abs(value - BEST))
    assert 0 < nearest < 1
    assert middle.chosen["S"] == middle.chosen["laws together"] == nearest
    assert middle.regret["S"] > 4
    assert middle.regret["lambda = 0"] < 0.1
    assert (middle.chosen["own"], middle.chosen["lambda = 0.5"]) == (1, 0.5)
    here = points.of(points.curves[2])
    assert large.chosen["best of what is nearest"] == points.exposure[here][points.loss[here, 1].argmin()]


def call(capsys, *arguments):
    code = run("theory", commands(arguments), "test", list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_answers_for_the_published_study(few, capsys, outside):
    code, text, _ = call(
        capsys, "recommend", "--tokens-post", "1.5e8", "--split", "compute-matched", "--json", "--out", "a.json"
    )
    assert code == 0
    document = json.loads(text)
    found = document["recommendation"]
    assert 0.1 < found["exposure"] < 0.5
    assert found["low"] < found["exposure"] < found["high"]
    assert found["ret"]["mean"] < 0 < found["im"]["mean"]
    assert {one["name"] for one in found["opinions"]} == {"null", "S", "plain", "rp-shared+spectrum"}
    assert document["left_out"] == ["rp (the same fit as plain)"]
    assert sum(one["weight"] for one in found["opinions"]) == pytest.approx(1)
    assert json.loads((outside / "a.json").read_text())["answer"] == document["answer"]


def test_a_few_rows_of_ones_own_correct_the_published_accounts(few, capsys, outside, monkeypatch):
    laws = members.stored()[-2:]
    monkeypatch.setattr(members, "stored", lambda: laws)
    (outside / "own.csv").write_text("exposure,loss_im,loss_ret,loss_pre\n0,2.9,3.3,3\n0.5,2.92,3.2,3.01\n")
    code, text, _ = call(capsys, "recommend", "own.csv", "--tokens-post", "3e7", "--json")
    document = json.loads(text)
    assert code == 0
    assert "your own measurements" in document["source"]
    assert document["recommendation"]["pre"] == pytest.approx(0.01)
    code, text, _ = call(capsys, "next", "own.csv", "--tokens-post", "3e7", "--cells", "2")
    assert code == 0
    assert "python -m lm_experiments run fig3" in text
    assert "studies fig3a (independent) and fig3b (compute-matched) at scale nano, as own.csv names none" in text
    assert "--scale micro --axis" in call(capsys, "next", "own.csv", "--tokens-post", "3e7", "--scale", "micro")[1]
    assert "may be wider than without measurements" in call(capsys, "recommend", "own.csv", "--tokens-post", "3e7")[1]
    published = call(capsys, "next", "--tokens-post", "1.5e8", "--split", "compute-matched", "--cells", "1")[1]
    assert "at scale 135m, as in the published Figure 3" in published
    assert "--scale 135m --axis" in published
    assert "wider" not in call(capsys, "recommend")[1]


def test_measurements_that_no_account_can_follow_are_said():
    """Exposure 0.5 is measured to be best by 0.05, where every draw says 1."""
    data = {"exposure": [0.0, 0.5, 1.0], "loss_im": [2.0, 2.0, 2.0], "loss_ret": [3.0, 2.85, 2.9]}
    curves = read_study(data=pd.DataFrame(data), tokens_post=150e6, split="compute-matched").curves
    found = recommend(of(account(minima=(1.0,))), PLAN, Goal())
    assert (found.low, found.high) == (1, 1)
    assert "lowest is at lambda = 0.5, 0.050 nats below that at 1.00 (1 run each)" in contradicted(
        curves, PLAN, Goal(), found
    )
    assert contradicted(curves, PLAN, Goal(tolerance=0.06), found) == ""
    assert contradicted(curves, Plan(tokens_post=150e6), Goal(), found) == ""
    middle = recommend(of(account(minima=(0.3, 0.7))), PLAN, Goal())
    assert contradicted(curves, PLAN, Goal(), middle) == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("recommend", "--measured", "0:1"), "--measured 0:1 is not understood"),
        (("recommend", "--measured", "2:1:1"), "--measured 2:1:1"),
        (("recommend", "--noise", "0"), "noise = 0"),
        (("recommend", "--passes", "2", "--split", "compute-matched"), "passes = 2"),
        (("recommend", "own.csv", "--held-out"), "--held-out is about the published study"),
        (("recommend", "own.csv"), "Give --tokens-post"),
        (("recommend", "--lr-ft", "3"), "fine-tuning rates 5e-05"),
        (("next", "--tokens-post", "-1"), "tokens_post = -1"),
    ],
)
def test_wrong_requests_are_named(capsys, outside, arguments, says):
    (outside / "own.csv").write_text("exposure,loss_im,loss_ret\n0,2,2\n1,2,2\n")
    code, _, errors = call(capsys, *arguments, *(("--out", "made.json") if arguments[0] == "recommend" else ()))
    assert code == 2
    assert says in errors
    assert not (outside / "made.json").exists()


def test_a_small_table_corrects_the_published_accounts_and_is_not_contradicted(tmp_path, capsys):
    """Five exposures decide no law once one is left out: the prediction has to hold what was measured."""
    rows = [(0.0, 1.80, 2.035), (0.25, 1.81, 1.985), (0.5, 1.82, 1.978), (0.75, 1.84, 2.009), (1.0, 1.87, 2.054)]
    table = tmp_path / "own.csv"
    table.write_text("\n".join(["exposure,loss_im,loss_ret", *(",".join(map(str, row)) for row in rows)]))
    options = ["recommend", str(table), "--tokens-post", "1.5e8", "--split", "compute-matched", "--json"]
    assert run("theory", commands(options), "", options) == 0
    document = json.loads(capsys.readouterr().out)
    change = document["recommendation"]["ret"]
    assert change["low"] < min(ret for _, _, ret in rows) - rows[0][2] < change["high"]
    table.write_text(table.read_text().replace("0.25,", "25,"))
    assert run("theory", commands(options), "", options) == 2
    assert "exposure = 25" in capsys.readouterr().err
