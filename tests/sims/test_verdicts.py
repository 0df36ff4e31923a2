"""`python -m sims verdicts`: every study judged from its table, corrected, marked, and never written over what is tracked."""

import json
from pathlib import Path

import numpy as np
import pytest

from common import results, verdict_table
from common.claims import EXPERIMENTS, PREDICTIONS, THEOREMS
from common.console import run
from common.verdicts import within
from sims.commands import commands
from sims.commands import verdicts as command
from sims.effects import judged, mean
from sims.study import Study

STORED = Path("paper/results/sims")


def call(*arguments):
    return run("sims", commands(), "test", ["verdicts", *map(str, arguments)])


def table(path, offset=0.0, seeds=6):
    """A study's table: a loss that is `offset` away from 0.5."""
    made = {"engine": "sims", "study": "one", "config_hash": "0", "code_version": "v1", "seed": np.arange(seeds)}
    results.write(results.table(made | {"loss_im": 0.5 + offset + 0.01 * np.arange(seeds)}), path)


def study(level, name="one"):
    def judge(made):
        losses = results.column(made, "loss_im")
        said = f"at most {level:g}"
        return [
            judged("P1", "plain", "a loss", mean(losses), said, at_most=level),
            judged("P1", "plain", "a loss", mean(losses), said, "[red]", at_most=level),
            within("P8", "rp", "a sum", float(losses[0]), "at least 0.1", at_least=0.1),
        ]

    return Study(name, "a study", lambda: [], judge)


@pytest.fixture
def one(monkeypatch):
    def put(level):
        monkeypatch.setattr(command, "STUDIES", {"one": study(level), "other": study(level, "other")})

    put(0.6)
    return put


def test_tables_are_judged_and_every_prediction_is_listed(tmp_path, capsys, one):
    table(tmp_path / "one.parquet")
    assert call("--results", tmp_path, "--out", tmp_path / "new", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["predictions"]["P1"] == {"supported": 2}
    assert said["predictions"]["P2"] == {"missing": 1}
    assert said["without_table"] == ["other"]
    rows = verdict_table.load(tmp_path / "new" / "verdicts.parquet")
    assert {row.claim for row in rows} == set(PREDICTIONS | THEOREMS | EXPERIMENTS)
    assert {(row.engine, row.study, row.code_version) for row in rows if row.study} == {("sims", "one", "v1")}
    assert [row.n for row in rows[:3]] == [6, 6, None]
    assert not (tmp_path / "verdicts.parquet").exists()
    assert call("--results", tmp_path, "--out", tmp_path / "new") == 0
    assert "plain ([red])" in capsys.readouterr().out  # text is not markup


def test_by_default_everything_is_under_out(tmp_path, capsys, monkeypatch, one):
    monkeypatch.chdir(tmp_path)
    table(Path("out/sims/one.parquet"))
    assert call() == 0
    assert Path("out/sims/verdicts.parquet").exists()
    assert not Path("paper").exists()


def test_a_criterion_that_changes_on_the_same_seeds_is_exploratory(tmp_path, one):
    def marks(folder="new"):
        assert call("--results", tmp_path, "--out", tmp_path / folder) == 0
        rows = verdict_table.load(tmp_path / folder / "verdicts.parquet")
        return [row.exploratory for row in rows if row.claim == "P1"]

    table(tmp_path / "one.parquet")
    assert marks() == [False, False]
    assert marks() == [False, False]
    one(0.7)
    assert marks() == [True, True]
    assert marks() == [True, True]  # and stays so
    table(tmp_path / "one.parquet", offset=0.01)
    assert marks() == [True, True]  # simulating the same seeds again makes no new data
    table(tmp_path / "one.parquet", seeds=8)
    assert marks() == [False, False]  # other seeds do


def test_verdicts_on_one_prediction_are_corrected_for_their_number(tmp_path, one):
    losses = 0.5 + 0.01 * np.arange(6)
    edge = float(losses.mean() + 2.8 * losses.std(ddof=1) / 6**0.5)  # p = .038 alone, .076 of two
    one(edge)
    table(tmp_path / "one.parquet")
    assert call("--results", tmp_path, "--out", tmp_path) == 0
    rows = [row for row in verdict_table.load(tmp_path / "verdicts.parquet") if row.claim == "P1"]
    assert [row.status for row in rows] == ["undecided", "undecided"]
    assert "Holm" in rows[0].criterion


def test_a_folder_without_tables_and_a_damaged_table_are_refused(tmp_path, capsys, one):
    assert call("--results", tmp_path) == 2
    assert f"python -m sims all --out {tmp_path}" in capsys.readouterr().err
    (tmp_path / "one.parquet").write_text("PAR1")
    assert call("--results", tmp_path, "--out", tmp_path) == 2
    assert "one.parquet" in capsys.readouterr().err
    assert not (tmp_path / "verdicts.parquet").exists()


def test_the_stored_verdicts_are_whole_decided_by_intervals_and_say_where_they_come_from():
    rows = [row for row in verdict_table.load(STORED / "verdicts.parquet") if row.status != "missing"]
    assert {row.claim for row in rows} >= set(PREDICTIONS | THEOREMS | EXPERIMENTS)
    bounded = [
        row.low is not None and row.high is not None for row in rows if row.n is not None and row.status != "undecided"
    ]
    assert all(bounded)  # an undecided ratio may have no end
    assert all((STORED / f"{row.study}.parquet").exists() and row.data for row in rows)
    assert not any(row.status == "not testable here" for row in rows)
