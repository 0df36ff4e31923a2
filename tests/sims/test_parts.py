"""Parts of a study: found again by the same sources, not by others."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import sims.study
from common import results
from common.console import Failed
from common.losses import Losses
from common.parts import folder_for
from sims.cases import Case
from sims.run import Simulation
from sims.setup import Setup
from sims.study import SOURCES, Study, part_name, run_study

CASE = Case("plain", Setup(steps=(60, 40, 30)), {"t_pre": 4.0, "t_post": 2.0, "init_scale": 0.3, "alpha": [0.0, 0.3]})


def test_the_rooms_that_decide_a_result_name_its_parts():
    assert {folder.name for folder in SOURCES} == {"common", "sims", "theory"}
    assert all((folder / "__init__.py").exists() for folder in SOURCES)


@pytest.mark.parametrize("changed", ["training.py", "studies/depth.py"])
def test_a_study_does_not_go_on_with_parts_of_other_sources(changed, tmp_path, monkeypatch):
    folders = [tmp_path / "one" / "sims", tmp_path / "two" / "sims"]
    for folder in folders:
        shutil.copytree(Path(sims.study.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folders[1] / changed).write_text((folders[1] / changed).read_text() + "\n")
    ran, simulate_all = [], sims.study.simulate

    def interrupted(setup, values, **more) -> Simulation:
        if len(ran) % 2:
            ran.append("interrupted")
            raise KeyboardInterrupt
        ran.append("done")
        return simulate_all(setup, values, **more)

    monkeypatch.setattr(sims.study, "simulate", interrupted)
    study = Study(
        "trial", "a trial", lambda: [CASE, CASE._replace(values={**CASE.values, "beta": 0.5})], lambda table: []
    )
    names = []
    for folder in folders:
        monkeypatch.setattr(sims.study, "SOURCES", (folder,))
        names.append(part_name("trial", CASE))
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "out")
    assert len(set(names)) == 2
    assert ran == ["done", "interrupted"] * 2  # the second begins anew ...
    assert len(list((tmp_path / "out" / ".trial.parts").glob("*.parquet"))) == 2
    monkeypatch.setattr(sims.study, "simulate", simulate_all)
    monkeypatch.setattr(sims.study, "SOURCES", (folders[0],))
    assert results.read(run_study(study, tmp_path / "out").table).num_rows == 4  # ... and the first goes on


class Killed(BaseException):
    """In the place of SIGKILL."""


STEPS = ("replace", "rename", "unlink", "rmdir")
"""What changes names on the disk; between two of these a kill leaves what one of them has left."""


def kill_after(steps: int, patch: pytest.MonkeyPatch) -> list[str]:
    """From the given step on nothing is done any more, as after a kill; returns the steps that are taken."""
    taken: list[str] = []

    def counted(name, step):
        def call(*args, **more):
            if len(taken) >= steps:
                raise Killed
            taken.append(name)
            return step(*args, **more)

        return call

    for name in STEPS:
        patch.setattr(os, name, counted(name, getattr(os, name)))
    return taken


def test_a_study_killed_at_any_point_loses_nothing(tmp_path, monkeypatch):
    """Three cases, one of which leaves no rows: after every kill the same command ends with the whole table."""

    def simulated(setup, values, **more):
        size = len(values["alpha"])
        good = np.full(size, values["beta"] < 5)
        losses = Losses(*np.full((4, size), values["beta"]))
        return Simulation(losses, good, np.zeros((3, size)), np.ones((3, size)), None)

    monkeypatch.setattr(sims.study, "simulate", simulated)
    cases = [CASE._replace(values={**CASE.values, "beta": beta}) for beta in (0.5, 0.6, 5.0)]
    study = Study("trial", "a trial", lambda: cases, lambda table: [])
    whole = results.read(run_study(study, tmp_path / "whole").table)
    steps, ended = 0, False
    while not ended:
        out = tmp_path / str(steps)
        with monkeypatch.context() as patch:
            taken = kill_after(steps, patch)
            try:
                run_study(study, out)
                ended = True
            except Killed:
                pass
        done = run_study(study, out)
        made = results.read(done.table)
        names = [name for name in whole.column_names if name != "wall_seconds"]
        assert made.select(names).equals(whole.select(names)), f"killed after {taken}"
        assert len(done.diverged) == 1
        assert {path.name for path in out.iterdir() if not path.name.endswith(".partial")} == {
            "trial.parquet",
            "trial.json",
        }
        steps += 1
    assert steps > 12  # seven files put in place, the folder renamed, its files and itself deleted


DAMAGES = {
    "table gone": lambda note, table: table.unlink(),
    "table changed": lambda note, table: table.write_bytes(table.read_bytes()[:-9] + b"x" + table.read_bytes()[-8:]),
    "note cut": lambda note, table: note.write_text(note.read_text()[:-20]),
    "note of no table": lambda note, table: note.write_text(re.sub('256": ".*"', '256": null', note.read_text())),
    "note of old": lambda note, table: note.write_text(json.dumps({"seconds": 1.0, "diverged": None})),
}  # fmt: skip


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A study of two cases that was interrupted when both were done; how often it simulates from now on."""
    cases = [CASE, CASE._replace(values={**CASE.values, "beta": 0.5})]
    with pytest.raises(ZeroDivisionError):
        run_study(Study("trial", "a trial", lambda: cases, lambda table: [1 / 0]), tmp_path)
    calls, simulate_all = [], sims.study.simulate
    monkeypatch.setattr(sims.study, "simulate", lambda *given, **more: calls.append(1) or simulate_all(*given, **more))
    return Study("trial", "a trial", lambda: cases, lambda table: []), tmp_path, calls


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_part_is_told_and_done_again(damage, interrupted):
    study, folder, calls = interrupted
    note = next(path for path in (folder / ".trial.parts").glob("*.json") if path.stem != "owner")
    DAMAGES[damage](note, note.with_suffix(".parquet"))
    told = []
    done = run_study(study, folder, say=told.append)
    assert (len(calls), len(told), done.rows) == (1, 1, 4)
    assert "damaged" in told[0]


def test_parts_that_changed_places_are_told_and_done_again(interrupted):
    study, folder, calls = interrupted
    one, two = (path for path in (folder / ".trial.parts").glob("*.json") if path.stem != "owner")
    for first, second in ((one, two), (one.with_suffix(".parquet"), two.with_suffix(".parquet"))):
        first.rename(folder / "held")
        second.rename(first)
        (folder / "held").rename(second)
    told = []
    run_study(study, folder, say=told.append)
    assert (len(calls), len(told)) == (2, 2)


def test_two_processes_do_not_make_the_same_table(tmp_path):
    table, other = tmp_path / "trial.parquet", tmp_path / "other.parquet"
    with folder_for(table):
        with pytest.raises(Failed, match=f"process {os.getpid()} on"), folder_for(table):
            raise AssertionError("the block must not run")
        with folder_for(other):
            pass
    with folder_for(table) as parts:
        assert parts.exists()
    assert list(tmp_path.iterdir()) == []
