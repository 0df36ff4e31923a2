"""The laws: what they say, that they are models like the others, and their closed optimum."""

import json

import jax
import numpy as np
import pytest

from common import results
from common.console import run
from common.minima import minimise
from common.settings import WrongUse
from theory import predict
from theory.commands import commands
from theory.laws.forms import FORMS, PREDICTED, Seen, form_named, losses
from theory.laws.optimum import best_exposure, interior, smallest_corpus
from theory.models import LINEAR, MODELS

LAW = {"floor": 0.9, "amplitude": 3.8, "power": 0.25, "offset": 40.0, "post_worth": 2.6, "passes": 3.0, "constant": 0.2}
SPENT = {"pre_time": 8700.0, "post_time": 150.0, "split": "compute-matched"}


def left(exposure):
    return 0.9 + 3.8 * (exposure + 40.0) ** -0.25


def test_what_the_laws_say():
    x, y = 0.25 * 150, 150.0
    stage = {"alpha": 0.01, "t_pre": 100 * x, "t_post": y}
    known = x + 2.6 * 3 * y
    assert predict(LAW | stage, model="null").loss_ret == pytest.approx(left(known) + 0.2)
    s = predict(LAW | stage | {"lost": 0.3}, model="S")
    assert s.loss_im == pytest.approx(left(known))
    assert s.loss_ret == pytest.approx(0.7 * left(known) + 0.3 * left(x) + 0.2)
    assert np.isnan(s.loss_ft)
    assert np.isnan(s.loss_pre)
    again = predict(LAW | stage | {"lost": 0.3, "repetition": 0.07}, model="S5")
    assert again.loss_ret == pytest.approx(s.loss_ret + 0.07)
    single = LAW | stage | {"passes": 1.0, "lost": 0.3}
    assert predict(single | {"repetition": 0.07}, model="S5").loss_ret == predict(single, model="S").loss_ret
    free = predict(LAW | stage | {"slope": 0.06, "share": 0.2, "corpus": 150.0}, model="S8")
    assert free.loss_ret == pytest.approx(left(known) + 0.2 + 0.06 * np.log(1 + 2.6 * 3 * y / (x + 30)))
    larger = predict(LAW | stage | {"lost": 0.3}, model="Smax")
    assert larger.loss_im == pytest.approx(left(2.6 * 3 * y))
    linear = predict(LAW | stage | {"undone": 0.4}, model="Slin")
    assert linear.loss_im == pytest.approx(left(known))
    half = left(x + 2.6 * 3 * y / 2)
    assert linear.loss_ret == pytest.approx(0.36 * left(known) + 0.48 * half + 0.16 * left(x) + 0.2)


@pytest.mark.parametrize("name", FORMS)
def test_a_law_is_a_model_like_the_others(name):
    exposure = np.linspace(0, 1, 5)
    found = predict(exposure=exposure, model=name, **SPENT)
    assert found.loss_ret.shape == (5,)
    assert name not in LINEAR
    assert MODELS[name].losses == PREDICTED
    slope = jax.jacfwd(lambda lam: predict(exposure=lam, model=name, **SPENT).loss_ret)(0.6)
    sides = predict(exposure=np.array([0.6 - 1e-5, 0.6 + 1e-5]), model=name, **SPENT).loss_ret
    assert float(slope) == pytest.approx((sides[1] - sides[0]) / 2e-5, rel=1e-6)
    assert form_named(name).numbers == {"null": 7, "S": 8, "S5": 9, "S8": 9, "Smax": 8, "Slin": 8}[name]


def test_the_closed_optimum_is_what_a_search_finds():
    worth, power, offset, corpus = 2.6, 0.257, 40.7, np.array([20.0, 60.0, 150.0, 1e5])
    lost = np.array([[0.1], [0.25], [0.5], [0.9]])
    values = {
        "power": power,
        "offset": offset,
        "post_worth": worth,
        "passes": 1.0,
        "lost": lost,
        "floor": 0.0,
        "amplitude": 1.0,
    }

    def retained(exposure):
        seen = Seen(exposure * corpus, worth * (1 - exposure) * corpus, corpus, 0.0)
        return losses(FORMS["S"], values | {"constant": 0.0}, seen)[1]

    found = minimise(retained, (4, 4))
    best = best_exposure(lost, worth, power, offset, corpus)
    assert best == pytest.approx(found.exposure, abs=2e-4)
    assert np.array_equal(interior(lost, worth, power, worth * corpus / offset), (best > 0) & (best < 1))
    assert best_exposure(0.25, 1.0, power, offset, 150.0) == 1
    smallest = float(smallest_corpus(0.246, worth, power, offset))
    assert smallest == pytest.approx(40, abs=1)
    assert best_exposure(0.246, worth, power, offset, smallest * np.array([0.99, 1.01])).tolist()[0] == 0
    assert best_exposure(0.246, worth, power, offset, smallest * 1.01) > 0


def call(capsys, *arguments):
    code = run("theory", commands(arguments), "test", list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_commands_know_laws(capsys, outside):
    options = ("--model", "S", "--pre-time", "8700", "--split", "compute-matched")
    code, text, _ = call(capsys, "solve", *options, "--exposure", "0.5", "--post-time", "150", "--json")
    document = json.loads(text)
    assert code == 0
    assert set(document["losses"]) == set(PREDICTED)
    known = [document["strengths"][stage][0] for stage in ("start", "pre", "post", "ft")]
    assert known[1] == pytest.approx(75)
    assert known[1] < known[3] < known[2]
    assert call(capsys, "sweep", "exposure=0:1:5", *options, "--out", "s.parquet")[0] == 0
    table = results.read(outside / "s.parquet")
    assert table["loss_ft"].null_count == 5
    assert table["loss_ret"].null_count == 0
    code, text, _ = call(capsys, "optimum", "post_time=30,300", "--model", "S", "--pre-time", "8700", "--json")
    assert [row["loss_ret"]["interior"] for row in json.loads(text)] == [False, True]


def test_what_a_law_cannot_express_is_named():
    with pytest.raises(WrongUse, match="replay"):
        predict(exposure=0.5, replay=0.1, model="S", **SPENT)
    with pytest.raises(WrongUse, match="'lost' is no setting of the null model"):
        predict(lost=0.3, model="null")
    with pytest.raises(WrongUse, match="law = 'T'"):
        form_named("T")


def test_the_map_has_its_boundaries():
    from theory.studies.laws import law_optimum

    rows = law_optimum().to_pandas()
    inside = rows[rows["problem.boundary"].isna()]
    reach, lost, worth, power = (
        inside[f"problem.{name}"].to_numpy() for name in ("reach", "lost", "post_worth", "power")
    )
    deep = inside["problem.depth_of_minimum"].to_numpy() > 1e-9
    assert np.mean(deep == interior(lost, worth, power, reach)) > 0.99
    edge = rows[rows["problem.boundary"] == "smallest corpus"]
    x, y = edge["problem.lost"].to_numpy(), edge["problem.reach"].to_numpy()
    assert not interior(x, worth[0], power[0], y * 0.99).any()
    assert interior(x, worth[0], power[0], y * 1.01)[x < 1 - 1 / worth[0]].all()
