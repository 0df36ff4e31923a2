"""Every figure draws from its tables, is named, labelled, within its page, and the same twice; figures solve nothing."""

import json
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from common import results, verdict_table
from common.console import run
from common.published import RESULTS, load
from common.settings import WrongUse
from figures import style
from figures.commands import List, Make
from figures.make import GROUPS, PICTURES, draw, picture
from figures.tables import Rows
from theory.studies import STUDIES

FIGURES = Path(__file__).resolve().parents[2] / "figures"


@pytest.fixture(scope="session")
def tables(tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("tables")
    shutil.copytree(RESULTS, folder, dirs_exist_ok=True)  # what was measured lies beside what the theory makes
    for name in STUDIES:
        shutil.copy(study(name), folder)
    return folder


@pytest.mark.parametrize("name", [name for name, picture in PICTURES.items() if picture.drawable])
def test_every_figure_is_drawn_and_labelled(name, tables, tmp_path, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "close", shown.append)
    paths = draw(name, tables, tmp_path, ("png",))
    assert [path.name for path in paths] == [f"{name}.png"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == paths
    figure = shown[0]
    figure.canvas.draw()  # at screen resolution; what follows is measured in its pixels
    renderer = figure.canvas.get_renderer()
    visible = [ax for ax in figure.axes if ax.axison and ax.get_label() != "<colorbar>"]
    for ax in visible:
        assert ax.lines or ax.collections
        assert any(other.get_xlabel() for other in ax.get_shared_x_axes().get_siblings(ax))
        assert any(other.get_ylabel() for other in ax.get_shared_y_axes().get_siblings(ax))
    width, height = figure.canvas.get_width_height()
    for legend in figure.legends:
        box = legend.get_window_extent(renderer)
        assert box.x0 >= -1
        assert box.x1 <= width + 1
        assert box.y0 >= -1
    for ax in visible:
        for text in (ax.xaxis.label, ax.yaxis.label, ax.title):
            box = text.get_window_extent(renderer)
            if text.get_text():
                assert box.x0 >= -1
                assert box.x1 <= width + 1
                assert box.y0 >= -1
                assert box.y1 <= height + 1
    monkeypatch.undo()
    plt.close("all")


PAGES = {"verdicts", "simulated_placement", "decoy_rates", "sweep", "sweep_pairs"}
"""A layout of their own, or seaborn's."""
SINGLE = {"phase_alpha", "figure01"}


@pytest.mark.parametrize("name", [name for name, picture in PICTURES.items() if picture.drawable])
def test_axes_are_taken_by_every_figure_of_one_panel_and_refused_by_the_others(name, tables):
    own = [
        verdict_table.read(path) if study == "verdicts" else results.read(path)
        for study, path, _ in PICTURES[name].needed(tables)
    ]
    figure, (ax, other) = plt.subplots(1, 2)
    if name in SINGLE:
        assert picture(name, *own, ax=ax) is figure
        assert ax.get_children() != other.get_children()
        assert ax.collections or ax.patches
        assert not figure.legends
    else:
        said = "a page of its own" if name in PAGES else r"draws ([2-9]|\d\d) panels"
        with pytest.raises(WrongUse, match=rf"{name} .*{said}.*ax"):
            picture(name, *own, ax=ax)
        assert plt.get_fignums() == [figure.number]
        assert not ax.has_data()
    assert not other.has_data()
    plt.close("all")


@pytest.mark.parametrize(
    ("name", "file", "keep"),
    [
        ("simulated_curves", "compute-matched", {"model": "rp"}),
        ("simulated_optimum", "compute-matched", {"model": "plain"}),
        ("simulated_latent", "latent", {"model": "plain"}),
        ("published_figure08", None, {"published__panel": "a_left"}),
    ],
)
def test_a_figure_that_these_rows_bring_to_one_panel_takes_axes(name, file, keep):
    table = load(8) if file is None else results.read(RESULTS / "sims" / f"{file}.parquet")
    part = table.filter(Rows(table).where(**keep).mask)
    figure, ax = plt.subplots()
    assert picture(name, part, ax=ax) is figure
    assert figure.axes == [ax]
    assert ax.lines
    assert ax.get_legend() is not None
    assert not figure.legends
    assert figure.get_suptitle() == ""
    plt.close("all")


def test_the_same_table_gives_the_same_file(tables, tmp_path):
    one, two = (draw("frontiers", tables, tmp_path / place) for place in ("a", "b"))
    for left, right in zip(one, two, strict=True):
        assert left.read_bytes() == right.read_bytes()


def test_figures_neither_solve_nor_train():
    for path in FIGURES.glob("*.py"):
        text = "\n".join(line for line in path.read_text().splitlines() if not line.strip().startswith(">>>"))
        assert not re.search(r"^\s*(from|import) (jax|torch|scipy|sims|lm_experiments)\b", text, re.MULTILINE), path
        assert not re.search(r"\b(predict|solve|optimum|evaluate|fit)\(", text), path


def test_methods_differ_by_more_than_colour():
    seen = [value for name, value in style.METHODS.items() if not name.startswith("fft")]
    assert len(set(seen)) == len(seen)
    assert (
        len(
            {
                marker + dash
                for _, marker, dash in (style.METHODS[m] for m in ("mixed", "mixed+dropout", "mixed+replay"))
            }
        )
        == 3
    )


def test_the_command_draws_lists_and_refuses(tables, tmp_path, capsys):
    commands = {"make": Make, "list": List}
    arguments = [
        "make",
        "alpha_curves",
        "published_figure12",
        "--tables",
        str(tables),
        "--out",
        str(tmp_path),
        "--json",
    ]
    assert run("figures", commands, "test", arguments) == 0
    written = json.loads(capsys.readouterr().out)
    assert all(Path(path).exists() for paths in written.values() for path in paths)
    assert {Path(path).suffix for paths in written.values() for path in paths} == {".pdf", ".png", ".csv"}
    assert run("figures", commands, "test", ["list", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(PICTURES)
    assert run("figures", commands, "test", ["make", "figure99x"]) == 2
    assert "figure99x" in capsys.readouterr().err
    assert (
        run("figures", commands, "test", ["make", "theory", "--tables", str(tmp_path / "none"), "--out", str(tmp_path)])
        == 2
    )
    assert "python -m theory study" in capsys.readouterr().err
    assert all(set(group) < set(PICTURES) for group in GROUPS.values())


def test_a_missing_table_names_its_command(tmp_path):
    with pytest.raises(WrongUse, match="python -m theory study phase_beta"):
        draw("phase_beta", tmp_path, tmp_path)
