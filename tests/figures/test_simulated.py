"""Figures of the simulations, drawn from small made-up tables: complete, within the page, at any length."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results, verdict_table
from common.losses import LOSSES
from common.published import load
from common.settings import WrongUse
from common.verdicts import Verdict
from figures import style
from figures.drawn import rows as rows_drawn
from figures.simulated_frontiers import FEW, GAINS, SHOWN, attainment, beside, hypervolumes
from figures.simulated_optimum import NAMES, compute_matched, curves
from figures.simulation_checks import WAYS, verified
from figures.style import NETWORKS as MODELS
from figures.tables import Rows
from figures.verdicts import STATUSES, TALLEST, verdicts

METHODS = sorted({method for pair in GAINS.values() for method in pair})


@pytest.fixture(autouse=True)
def _look():
    style.apply()
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def sweeps():
    """Every model and method at 3 x 3 times with three seeds; nonlinear models have no low rank, plain one seed."""
    draw = np.random.default_rng(0)
    parts = []
    for model in MODELS:
        for method in [m for m in METHODS if not (model.startswith("relu") and m.startswith("lora"))]:
            for seed in range(1 if model == "plain" else 3):
                for t_post in (0.3, 1.0, 3.0):
                    for t_ft in (0.1, 1.0, 3.0):
                        end = {"model": model, "method": method, "seed": seed, "t_post": t_post, "t_ft": t_ft}
                        parts.append(end | dict(zip(("loss_ft", "loss_ret", "loss_pre"), draw.random(3), strict=True)))
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    return results.table(columns | {"engine": "sims", "study": "frontier", "config_hash": "0", "code_version": "0"})


def inside(figure):
    """Whether every text lies on the page."""
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    width, height = figure.canvas.get_width_height()
    texts = [text for ax in figure.axes if ax.axison for text in (ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts)]
    boxes = [text.get_window_extent(renderer) for text in texts if text.get_text().strip()]
    return all(b.x0 >= -1 and b.x1 <= width + 1 and b.y0 >= -1 and b.y1 <= height + 1 for b in boxes)


@pytest.mark.parametrize("number", [2, 4, 6, 7])
def test_models_stand_beside_the_published_figure(number, sweeps):
    figure = beside(load(number), sweeps)
    views, methods = SHOWN[f"figure{number}"]
    drawn = [ax for ax in figure.axes if ax.axison]
    titles = [ax.get_title(loc="left") for ax in drawn if ax.get_title(loc="left")]
    assert len(drawn) == len(views) * len(titles) <= 8
    shown = [name for name, title in MODELS.items() if title in titles]
    published = [ax for ax in drawn if ax.get_title(loc="left").startswith("published")]
    if number == 2:
        assert shown == [name for name in MODELS if name in FEW]
        assert len(published) == 1
    else:
        assert shown == [name for name in MODELS if number != 7 or not name.startswith("relu")]
        assert len(published) == 2
        assert all(len(ax.lines) == len(methods) for ax in published), "dropout and replay in one panel"
    assert inside(figure)
    table = Rows(sweeps).where(model=shown[0], method=methods[-1].removeprefix("fft_"))
    x, y = views[0]
    ax = next(ax for ax in drawn if ax.get_title(loc="left") == MODELS[shown[0]])
    assert style.AXES[x] in ax.get_xlabel()
    means = {
        round(float(table.where(t_post=post, t_ft=ft)[y].mean()), 9)
        for post in (0.3, 1.0, 3.0)
        for ft in (0.1, 1.0, 3.0)
    }
    assert {round(float(value), 9) for value in ax.collections[-1].get_offsets()[:, 1]} == means


def test_a_published_point_that_two_panels_repeat_is_drawn_once(sweeps):
    figure = beside(load(4), sweeps)
    left = Rows(load(4)).where(published__panel="a_left", method="unmixed")
    assert len(figure.axes[0].collections[0].get_offsets()) == len(left)


def test_attainment_differences_are_those_of_the_seeds(sweeps):
    figure = attainment(sweeps)
    assert inside(figure)
    model = next(name for name in MODELS if name != "plain")  # plain has a single seed and is left out
    ax = figure.axes[1]
    assert figure.axes[0].get_title(loc="left") == MODELS[model]
    (drawn,) = (one for one in ax.collections if one.get_array() is not None)
    rows = Rows(sweeps).where(model=model)
    points = {
        method: [
            np.stack([rows.where(method=method, seed=seed)[loss] for loss in ("loss_ft", "loss_ret")], 1)
            for seed in range(3)
        ]
        for method in ("mixed", "unmixed")
    }
    (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
    seen = 0
    for path, share in zip(drawn.get_paths(), drawn.get_array(), strict=True):
        middle = path.vertices[:4].mean(0)
        if x0 < middle[0] < x1 and y0 < middle[1] < y1:
            attained = {
                method: np.mean([(seed <= middle).all(1).any() for seed in sets]) for method, sets in points.items()
            }
            assert share == pytest.approx(attained["mixed"] - attained["unmixed"])
            seen += 1
    assert seen > 5
    assert {row[-1] for row in rows_drawn(figure) if row[4] == "map"} <= {i / 3 for i in range(-3, 4)}


def test_methods_with_other_numbers_of_points_are_not_compared(sweeps):
    fewer = [row for row in sweeps.to_pylist() if (row["method"], row["t_ft"]) != ("unmixed", 3.0)]
    table = results.table({name: [row[name] for row in fewer] for name in fewer[0]})
    with pytest.raises(WrongUse, match="same settings and seeds"):
        attainment(table)


def optimum_rows(shift):
    """Three networks; loss_ret is lowest at lambda = .5 for every time, and flat up to it where `shift` seeds agree."""
    parts = []
    for model in ("plain", "relu"):
        for time in (0.2, 1.0, 5.0):
            for seed in range(5):
                for exposure in (0.0, 0.25, 0.5, 0.75, 1.0):
                    loss = 1.0 + (exposure - 0.5) ** 2 + shift * (seed - 2) * (exposure == 0.25)
                    parts.append({"model": model, "t_ft": time, "seed": seed, "exposure": exposure, "loss_ret": loss,
                                  "loss_im": 0.1 + exposure, "sims.question": "ratio", "problem.step_ratio": 1.0})  # fmt: skip
    about = {"engine": "sims", "study": "compute-matched", "config_hash": "0", "code_version": "0"}
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    return results.table(columns | about, {"sims.question": "text", "problem.step_ratio": "real"})


@pytest.mark.parametrize(("shift", "first"), [(0.0, 0.5), (0.2, 0.25)])
def test_a_bar_spans_the_exposures_that_are_not_told_from_the_best(shift, first):
    figure = compute_matched(optimum_rows(shift))
    bars = next(line for line in figure.axes[0].lines if line.get_linewidth() == 3)
    assert bars.get_ydata()[:2].tolist() == [first, 0.5]
    best = [float(line.get_ydata()[0]) for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert best == [0.5] * 3
    assert [ax.get_title(loc="left") for ax in figure.axes] == [NAMES["plain"], NAMES["relu"]]
    flat = [line.get_xdata() for line in curves(optimum_rows(shift)).axes[0].lines if line.get_linewidth() == 3.5]
    assert [line.tolist() for line in flat[1:]] == [[first, 0.5][first == 0.5 :]] * 3


def test_errors_of_the_closed_form_stand_in_their_row():
    steps = (1.0, 0.5, 0.25)
    parts = [{"method": method, "sims.rate": step} for method in ("plain", "of my own") for step in steps]
    for i, part in enumerate(parts):
        for j, loss in enumerate(LOSSES):
            part |= {loss: 1.0, f"sims.theory_{loss}": 1.0 + 1e-3 * part["sims.rate"] * (1 + i // 3 + 10 * j)}
        part |= {f"sims.steps_{stage}": 400.0 for stage in ("pre", "post", "ft")}
    columns = {name: [part[name] for part in parts] for name in parts[0]}
    about = {"engine": "sims", "study": "verify", "config_hash": "0", "code_version": "0"}
    figure = verified(results.table(columns | about, {name: "real" for name in columns if "." in name}))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [WAYS["plain"], "of my own"]
    for j, ax in enumerate(figure.axes):
        drawn = [line.get_xdata().tolist() for line in ax.lines]
        for step, found in zip(steps, drawn, strict=False):
            assert found == pytest.approx([1e-3 * step * (1 + 10 * j), 1e-3 * step * (2 + 10 * j)])
        assert drawn[3] == pytest.approx(drawn[2]), "first order: the tick is where the smallest is"


def test_gains_in_hypervolume_show_an_interval_only_where_there_are_seeds(sweeps):
    figure = hypervolumes(sweeps)
    assert inside(figure)
    spans = [line for line in figure.axes[0].lines if line.get_marker() in ("None", "") and len(line.get_xdata()) == 2]
    lows = [line for line in spans if line.get_ydata()[0] == line.get_ydata()[1] and line.get_linewidth() == 1.0]
    several = (len(MODELS) - 1) * len(GAINS) - 2 * 2  # all but plain; two networks lack both low-rank rows
    assert len(lows) == several


def verdict_rows(count):
    row = Verdict(
        claim="P1", model="rp-shared", effect="a share of $x_1$ " * 8, variant="random start, width 32", criterion="at least 0.5",
        supported_from=0.5, value=1e4, low=3.0, high=2e4, n=8, status="supported", exploratory=True,
    )  # fmt: skip
    made = [replace(row, claim=f"P{1 + i % 16}", status=list(STATUSES)[i % 2]) for i in range(count)]
    made.append(replace(row, status="refuted", supported_from=0.0))
    made.append(replace(row, status="refuted", supported_from=None, supported_to=1.0, low=None, high=None, n=None))
    made.append(replace(row, status="undecided", supported_to=1.0))
    silent = dict.fromkeys(("value", "low", "high", "n")) | {"effect": "", "model": "", "variant": ""}
    return [*made, replace(row, **silent, status="missing"), replace(row, **silent, status="not testable here")]


@pytest.mark.parametrize("count", [1, 40, 110])
def test_all_verdicts_fit_on_one_page(count, tmp_path):
    path = verdict_table.write(verdict_rows(count), tmp_path / "verdicts.parquet")
    figure = verdicts(verdict_table.read(path))
    width, height = figure.get_size_inches()
    assert width <= style.PAGE
    assert height <= TALLEST
    assert inside(figure)
    marks = [line.get_marker() for line in figure.axes[0].lines]
    assert {"X", "D", "_"} <= set(marks)
