"""The language-model figure: everything measured is on it, at its place; one seed has no band; it stays within its page."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results
from common.console import run
from common.published import load
from common.seeds import mean_interval
from figures import style
from figures.commands import Make
from figures.language_effects import effects
from figures.language_models import language_models
from figures.make import PICTURES
from figures.tables import Rows
from lm_experiments.rows import EXTRA

LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZES, RATES = (32_768, 98_304), (1e-4, 3e-4, 1e-3)


def made(study, split, seeds=5):
    rng = np.random.default_rng(0)
    rows = [
        (size, seed, exposure, rate, 2.9 + 0.02 * rng.normal(), 3 + 500 * rate - 0.3 * exposure + 0.05 * rng.normal())
        for size in SIZES
        for seed in range(seeds)
        for exposure in LAMBDAS
        for rate in RATES
    ]
    names = ("tokens_post", "seed", "exposure", "lr_ft", "loss_im", "loss_ret")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    about = {"engine": "lm", "study": study, "scale": "nano", "split": split, "config_hash": "0", "code_version": "0"}
    return results.table(columns | about)


@pytest.fixture
def tables():
    return made("fig3a", "independent"), made("fig3b", "compute-matched")


def test_means_and_seeds_are_where_the_table_says(tables):
    style.apply()
    figure = language_models(load(3), *tables)
    assert len(figure.axes) == 4 * (1 + len(SIZES))
    retained = figure.axes[4 + 1]  # first size, (a), after fine-tuning
    rows = [row for row in tables[0].to_pylist() if row["tokens_post"] == SIZES[0] and row["lr_ft"] == RATES[1]]
    lines = [line for line in retained.lines if len(line.get_xdata()) == len(LAMBDAS)]
    *seeds, mean = lines[6:12]  # of the second learning rate: five seeds and their mean
    start = {row["seed"]: row["loss_ret"] for row in rows if row["exposure"] == 0.0}
    changes = sorted(row["loss_ret"] - start[row["seed"]] for row in rows)
    assert sorted(np.concatenate([line.get_ydata() for line in seeds])) == pytest.approx(changes)
    at_half = [row["loss_ret"] - start[row["seed"]] for row in rows if row["exposure"] == 0.5]
    assert mean.get_ydata()[2] == pytest.approx(np.mean(at_half))
    band = retained.collections[1].get_paths()[0].vertices
    found = mean_interval(np.array(at_half))
    assert sorted(band[band[:, 0] == 0.5, 1])[0] == pytest.approx(found.low)
    assert len(figure.axes[4].lines) == 5 + 1 + 1  # loss_im does not depend on stage 3: seeds, mean, zero
    row = Rows(load(3)).where(split="independent", tokens_post=30_000_000)
    assert figure.axes[1].lines[0].get_ydata() == pytest.approx(row["loss_ret"] - row["loss_ret"][row["exposure"] == 0])
    plt.close(figure)


def test_one_seed_has_no_band():
    style.apply()
    figure = language_models(load(3), made("fig3a", "independent", 1), made("fig3b", "compute-matched", 1))
    assert not any(ax.collections for ax in figure.axes)
    plt.close(figure)


def test_the_two_panels_of_a_half_share_their_scale(tables):
    style.apply()
    figure = language_models(load(3), *tables)
    for i in range(0, len(figure.axes), 2):
        assert figure.axes[i].get_ylim() == figure.axes[i + 1].get_ylim()
    figure.canvas.draw()
    width, height = figure.canvas.get_width_height()
    for text in [*(ax.title for ax in figure.axes), *(ax.yaxis.label for ax in figure.axes)]:
        box = text.get_window_extent()
        assert box.x0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1
    plt.close(figure)


def test_it_is_drawn_by_default_only_where_it_was_measured(tables, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("figures.make.RESULTS", tmp_path)
    assert not PICTURES["language_models"].drawable
    commands = {"make": Make, "other": Make}
    assert run("figures", commands, "test", ["make", "language_models", "--out", str(tmp_path)]) == 2
    assert "python -m lm_experiments run fig3a" in capsys.readouterr().err
    for measured, table in zip(PICTURES["language_models"].measured, tables, strict=True):
        results.write(table, measured.file)
    assert PICTURES["language_models"].drawable
    arguments = ["make", "language_models", "--out", str(tmp_path), "--formats", "png"]
    assert run("figures", commands, "test", arguments) == 0
    assert (tmp_path / "language_models.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "lm/nano/fig3b.parquet").unlink()
    arguments = ["make", "--out", str(tmp_path), "--tables", str(tmp_path)]
    monkeypatch.setattr(
        "figures.commands.PICTURES", {name: PICTURES[name] for name in ("language_models", "published_figure12")}
    )
    assert run("figures", commands, "test", arguments) == 0
    heard = capsys.readouterr()
    assert "language_models is left out" in " ".join(heard.err.split())
    assert "published_figure12" in heard.out
    assert run("figures", commands, "test", [arguments[0], "language_models", *arguments[1:]]) == 2, "asked for by name"
    assert "python -m lm_experiments run fig3b" in capsys.readouterr().err


def test_effects_are_those_of_the_table(tables):
    """One row per study and size; the change of loss_im and loss_ret at each rate, and the published ones above."""
    style.apply()
    about = {"replay": 0.0, "lm.loss_pre_after_pre": 3.8, "lm.loss_pre_after_post": 6.0}
    rows = [row | about for row in tables[0].to_pylist()]
    table = results.table({name: [row[name] for row in rows] for name in rows[0]}, EXTRA)
    figure = effects(load(3), table)
    change, kept = figure.axes
    assert len(change.get_yticklabels()) == 3 + len(SIZES)
    drawn = {round(float(line.get_xdata()[0]), 9) for line in change.lines if len(line.get_xdata()) == 1}
    for size in SIZES:
        for rate in RATES:
            at = {
                exposure: np.mean([
                    row["loss_ret"] for row in rows
                    if (row["tokens_post"], row["lr_ft"], row["exposure"]) == (size, rate, exposure)
                ])
                for exposure in (0.0, 1.0)
            }  # fmt: skip
            assert round(float(at[1.0] - at[0.0]), 9) in drawn
    assert {float(line.get_xdata()[0]) for line in kept.lines if len(line.get_xdata()) == 1} == {3.8, 6.0}
    plt.close(figure)
