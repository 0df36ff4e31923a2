"""The numbers beside a picture, the paper's figures by source, one file as the table, and seaborn with our intervals."""

import csv

import numpy as np
import pytest
from matplotlib.figure import Figure

from common import results
from common.console import run
from common.published import RESULTS, load
from common.seeds import mean_interval
from common.settings import WrongUse
from figures.bands import student_ends
from figures.commands import Make
from figures.decoy_rates import ARM, CHANGE, RATE, changed
from figures.make import PICTURES, draw
from figures.of_the_paper import NUMBERS, SOURCES, picture_of
from figures.tables import Rows


def test_the_csv_holds_what_is_drawn(tmp_path):
    (path,) = draw("published_figure03", out=tmp_path, formats=("csv",))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    published = load(3)
    for loss in ("loss_im", "loss_ret"):
        drawn = {round(float(row["y"]), 9) for row in rows}
        assert {round(value, 9) for value in published[loss].to_pylist()} <= drawn
    assert {row["x_name"] for row in rows if row["x_name"]} == {r"early exposure $\lambda$"}


def test_every_format_is_drawn_once(tmp_path, monkeypatch):
    times = []
    drawing = Figure.draw
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: times.append(1) or drawing(self, renderer))
    draw("published_figure03", out=tmp_path, formats=("png", "svg", "csv"))
    assert len(times) == 2


def test_the_svg_is_the_same_twice(tmp_path):
    first, second = (draw("figure01", out=tmp_path / name, formats=("svg",))[0].read_bytes() for name in "ab")
    assert first == second


def test_every_source_names_pictures_that_exist_and_figure_numbers_may_have_one_digit():
    for source, shown in SOURCES.items():
        for number, name in shown.items():
            assert name in PICTURES
            assert picture_of(f"figure{number}", source) == picture_of(f"figure{number:02d}", source) == name
    assert set(SOURCES["published"]) == set(NUMBERS)


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("figure5", "lm:nano", "lm_experiments run fig5"),
        ("figure8", "sims", "published"),
        ("figure13", "theory", "1 to 12"),
        ("figure3", "nowhere", "lm:nano"),
    ],
)
def test_what_no_table_gives_is_refused_with_what_would(name, source, said):
    with pytest.raises(WrongUse, match=said):
        picture_of(name, source)


def test_one_file_is_enough_for_a_figure_of_one_table(tmp_path, capsys):
    stored = results.read(RESULTS / "lm" / "nano" / "controlled.parquet")
    chemistry = [pipeline.endswith("chemistry") for pipeline in stored["pipeline"].to_pylist()]
    own = tmp_path / "mine.parquet"
    results.write(stored.filter(chemistry), own)  # less than what is stored, so that the one cannot stand for the other
    arguments = ["make", "decoy_rates", "--tables", str(own), "--out", str(tmp_path / "out"), "--formats", "csv"]
    assert run("figures", {"make": Make}, "", arguments) == 0
    rows = list(csv.DictReader((tmp_path / "out" / "decoy_rates.csv").read_text().splitlines()))
    data = changed(Rows(results.read(own)))
    assert {row["panel"] for row in rows} == {"0"}
    assert {round(float(row["y"]), 9) for row in rows} >= {round(value, 9) for value in data[CHANGE]}
    arguments[1] = "controls"
    assert run("figures", {"make": Make}, "", arguments) == 2
    assert "drawn from 2 tables" in capsys.readouterr().err


def test_changes_are_paired_by_seed_and_intervals_are_students():
    table = Rows(results.read(RESULTS / "lm" / "nano" / "controlled.parquet"))
    data = changed(table)
    one = data[(data["pipeline"] == "general → instruction → chemistry") & (data[RATE] == data[RATE].min())]
    values = one[one[ARM] == one[ARM].iloc[0]][CHANGE].to_numpy()
    here = table.where(pipeline="general>instruction>chemistry", exposed="post", lr_ft=float(data[RATE].min()))
    by_seed = []
    for seed in here.distinct("seed"):
        mixed, unmixed = here.where(seed=seed, exposure=1.0), here.where(seed=seed, exposure=0.0)
        by_seed.append(float((mixed["loss_ret"] - mixed["loss_im"] - unmixed["loss_ret"] + unmixed["loss_im"])[0]))
    assert np.allclose(sorted(values), sorted(by_seed), atol=1e-12)
    found = mean_interval(values)
    assert student_ends(values) == (found.low, found.high)
    assert student_ends(values[:1]) == (values[0], values[0])
