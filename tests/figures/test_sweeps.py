"""Facets and pairs of anybody's sweep: which settings were swept, which rows a line is drawn from, and a file of one's own."""

import csv

import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results
from common.console import run
from common.settings import WrongUse
from figures import style
from figures.bands import student_ends
from figures.commands import Make
from figures.make import picture
from figures.sweeps import facets, name_of, pairs, some, swept
from figures.tables import Rows
from theory.commands import commands
from theory.studies import STUDIES


@pytest.fixture(autouse=True)
def _look():
    style.apply()
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def example():
    return STUDIES["swept"]()


def test_a_line_is_the_rows_of_its_settings(example):
    figure = facets(example)
    shape = (3, 3)  # loss_pre equals loss_ft in the plain model
    panels = np.array(figure.axes).reshape(shape)
    assert [ax.get_ylabel() for ax in panels[:, 0]] == [style.AXES[loss] for loss in ("loss_im", "loss_ret", "loss_ft")]
    assert [ax.get_title(loc="left") or ax.get_title() for ax in panels[0]] == [
        f"{name_of('problem.beta')} = {beta:g}" for beta in (0.5, 0.9, 1.5)
    ]
    assert "equals" in figure.get_suptitle()
    here = Rows(example).where(problem__beta=0.9, t_ft=0.3)
    line = panels[1, 1].lines[1]
    assert line.get_xdata() == pytest.approx(here["alpha"])
    assert line.get_ydata() == pytest.approx(here["loss_ret"])
    assert panels[2, 1].get_xlabel() == style.AXES["alpha"]


def made(seeds=1, more=None):
    """Losses that say where they come from; three settings of 4, 3 and 2 values, held ones of `more`."""
    parts = [
        {
            "alpha": a,
            "t_ft": t,
            "problem.beta": b,
            "seed": s,
            **held,
            "loss_ret": a + 10 * t + 100 * b + s + sum(held.values()),
        }
        for a in (0.0, 0.1, 0.2, 0.3)
        for t in (1.0, 2.0, 3.0)
        for b in (0.5, 1.5)
        for s in range(seeds)
        for held in (more or [{}])
    ]
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    columns |= {"exposure": [part["alpha"] * 20 for part in parts]}
    about = {"engine": "theory", "study": "sweep", "config_hash": "0", "code_version": "0"}
    return results.table(columns | about, {name: "real" for name in columns if "." in name})


def test_settings_that_follow_from_others_are_not_swept():
    assert swept(Rows(made())) == ["alpha", "t_ft", "problem.beta"]
    spent = made().append_column("problem.step_ratio", [[2.0] * made().num_rows])
    assert swept(Rows(spent)) == ["exposure", "t_ft", "problem.beta"]
    with pytest.raises(WrongUse, match="theory sweep"):
        swept(Rows(made().slice(0, 1)))


def test_seeds_become_a_mean_with_students_interval():
    figure = facets(made(seeds=4))
    line = figure.axes[0].lines[0]
    assert line.get_ydata()[1] == pytest.approx(0.1 + 10 + 50 + 1.5)
    band = figure.axes[0].collections[0].get_paths()[0].vertices
    low, high = student_ends(0.1 + 10 + 50 + np.arange(4.0))
    assert sorted(set(band[np.isclose(band[:, 0], 0.1), 1].round(9))) == pytest.approx([low, high])


def test_a_fourth_setting_is_held_and_said():
    table = made(more=[{"problem.sigma_ft": 0.4}, {"problem.sigma_ft": 0.8}])
    figure = facets(table)
    held = next(name for name in ("problem.beta", "problem.sigma_ft") if name_of(name) in figure.get_suptitle())
    assert held == "problem.sigma_ft"
    assert "= 0.4" in figure.get_suptitle()
    assert figure.axes[0].lines[0].get_ydata()[0] == pytest.approx(10 + 50 + 0.4)


def test_pairs_show_every_loss_against_every_setting(example):
    figure = pairs(example)
    panels = np.array(figure.axes).reshape(3, 6)
    assert [ax.get_xlabel() for ax in panels[-1]][:3] == [r"$\alpha$", r"$t_\mathrm{ft}$", r"$\beta$"]
    points = panels[1, 0].collections[0].get_offsets()
    rows = Rows(example)
    assert {tuple(np.round(point, 9)) for point in np.asarray(points)} == {
        tuple(np.round(point, 9)) for point in zip(rows["alpha"], rows["loss_ret"], strict=True)
    }


def test_long_axes_are_thinned_from_end_to_end():
    assert some(list(range(9)), 5) == [0, 2, 4, 6, 8]
    assert some([1.0, 2.0], 5) == [1.0, 2.0]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_sweep_of_ones_own_is_drawn_from_its_file(kind, tmp_path):
    own = tmp_path / f"own.{kind}"
    arguments = ["sweep", "alpha=0:0.4:3", "t_ft=0.5,2", "--out", str(own)]
    assert run("theory", commands(arguments), "", arguments) == 0
    drawing = [
        "make",
        "sweep",
        "sweep_pairs",
        "--tables",
        str(own),
        "--out",
        str(tmp_path),
        "--formats",
        "csv",
        "--workers",
        "1",
    ]
    assert run("figures", {"make": Make, "other": Make}, "", drawing) == 0
    drawn = list(csv.DictReader((tmp_path / "sweep.csv").read_text().splitlines()))
    table = Rows(results.read(own))
    assert sorted(float(row["y"]) for row in drawn if row["panel"] == "1") == pytest.approx(sorted(table["loss_ret"]))
    assert picture("sweep", results.read(own)).axes
