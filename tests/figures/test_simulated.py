"""Figures of the simulations, drawn from small made-up tables: complete, within the page, at any length."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results, verdict_table
from common.published import load
from common.verdicts import Verdict
from figures import style
from figures.simulated_frontiers import COLUMNS, GAINS, beside, hypervolumes
from figures.style import NETWORKS as MODELS
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
def test_every_model_stands_beside_the_published_figure(number, sweeps):
    figure = beside(load(number), sweeps)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.get_title(loc="left")]
    assert sum(title.startswith("published") for title in titles) == 2
    shown = [name for name, title in MODELS.items() if title in titles]
    assert shown == [name for name in MODELS if number != 7 or not name.startswith("relu")]
    drawn = [ax for ax in figure.axes if ax.axison]
    assert len(drawn) == len(COLUMNS[f"figure{number}"]) * len(titles)
    assert all(len(ax.lines) >= 2 for ax in drawn)
    assert inside(figure)


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
