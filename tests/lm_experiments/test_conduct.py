"""Studies end to end: the smoke study down the whole path, and failures that stay local."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from common import results
from common.console import Output, run
from common.settings import WrongUse
from lm_experiments import checkpoints, launch, paths
from lm_experiments.commands.run import Run
from lm_experiments.conduct import conduct
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.ledger import Disagreement
from lm_experiments.models import PRESETS
from lm_experiments.pipeline import Pipeline, StoreFactory
from lm_experiments.stages import folder_of
from lm_experiments.studies.settings import COLUMNS
from lm_experiments.studies.smoke import SMOKE
from tests.lm_experiments.test_stages import STORES, first, second

COMMANDS = {"run": Run, "other": Run}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke study, carried out through the command line."""
    folder = tmp_path_factory.mktemp("smoke")
    arguments = ["run", "smoke", "--workers", "1", "--out", str(folder), "--runs", str(folder / "runs"), "--json"]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    return folder


def test_smoke_goes_down_the_whole_path(smoke):
    rows = results.read(smoke / "smoke.parquet").to_pylist()
    assert [row["exposure"] for row in rows] == [0.0, 1.0]
    for row in rows:
        assert all(0 < row[loss] < 8 for loss in ("loss_im", "loss_ret", "loss_ft", "loss_pre"))
        assert row["engine"] == "lm"
        assert row["pipeline"] == "general>music>chemistry"
        assert row["code_version"] == results.code_version()
    plain, mixed = rows
    assert (plain["lm.exposed_tokens"], mixed["lm.exposed_tokens"]) == (0, 8192)
    assert mixed["tokens_pre"] - plain["tokens_pre"] == 8192
    assert mixed["lm.loss_post_after_pre"] < plain["lm.loss_post_after_pre"]  # it has seen music
    remarks = json.loads((smoke / "smoke.json").read_text())
    assert remarks["stages"] == {"pre": 2, "post": 2, "ft": 2}
    assert remarks["command"].startswith("python -m lm_experiments run smoke")
    assert remarks["stage_2"]["with_early_stopping"] == 2
    ledgers = [json.loads(path.read_text()) for path in (smoke / "runs").glob("*/ledger.json")]
    assert remarks["tokens_trained"] == sum(one["tokens"] for one in ledgers)


def test_a_row_is_what_its_saved_models_give(smoke):
    """Every loss of a row, measured again on the models that lie in the folders: no column holds another's number."""
    row = next(row for row in results.read(smoke / "smoke.parquet").to_pylist() if row["exposure"] == 1)
    made = next(one for one in _smoke_pipelines() if one.settings.recipe.exposure == 1)
    models_of = {
        kind: checkpoints.load_model(folder_of(node, smoke / "runs"), PRESETS["nano"])
        for kind, node in made.nodes.items()
    }
    for column, kind, corpus in (
        ("loss_im", "post", "music"),
        ("loss_ret", "ft", "music"),
        ("loss_ft", "ft", "chemistry"),
        ("loss_pre", "ft", "general"),
        ("lm.loss_post_after_pre", "pre", "music"),
        ("lm.loss_pre_after_post", "post", "general"),
        ("lm.loss_ft_after_post", "post", "chemistry"),
    ):
        chosen = EvalSet(store=made.stores(f"{corpus}/report"), windows=16, length=128)
        assert row[column] == pytest.approx(evaluate(models_of[kind], {"x": chosen}, 16)["x"], rel=1e-5), column
    assert len({round(row[name], 4) for name in ("loss_im", "loss_ret", "loss_ft", "loss_pre")}) == 4


def test_a_finished_study_is_only_read(smoke, monkeypatch, capsys):
    def tables():
        return results.read(smoke / "smoke.parquet").to_pylist()

    before = tables()
    stamps = {path: path.stat().st_mtime_ns for path in (smoke / "runs").glob("[0-9a-f]*/*")}
    arguments = ["run", "smoke", "--workers", "2", "--out", str(smoke), "--runs", str(smoke / "runs")]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    assert tables() == before
    assert {path: path.stat().st_mtime_ns for path in (smoke / "runs").glob("[0-9a-f]*/*")} == stamps
    heard = capsys.readouterr()
    assert "Means over seeds" in heard.out
    assert "done at step" not in heard.err


def test_reading_a_finished_study_loads_no_torch(smoke):
    program = (
        "import sys; from common.console import run; from lm_experiments.commands import COMMANDS; "
        "sys.exit(run('lm_experiments', COMMANDS, 'test', sys.argv[1:]) or 2 * ('torch' in sys.modules))"
    )
    arguments = ["run", "smoke", "--out", smoke, "--runs", smoke / "runs"]
    done = subprocess.run([sys.executable, "-c", program, *map(str, arguments)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_killed_study_ends_with_the_same_bits(smoke, tmp_path):
    """Only the launcher is killed: its workers must go with it, or they would hold their folders against the second run."""
    command = [
        sys.executable,
        *f"-m lm_experiments run smoke --exposures 1 --workers 2 --out {tmp_path} --runs {tmp_path}/runs".split(),
    ]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while launcher.poll() is None and not any((tmp_path / "runs").glob("*/done")):  # others are at work then
        time.sleep(0.02)
    launcher.kill()
    assert launcher.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "smoke.parquet").exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert again.returncode == 0, again.stderr
    for name in ("model.safetensors", "metrics.jsonl", "ledger.json"):
        found = {path.parent.name: path.read_bytes() for path in (tmp_path / "runs").glob(f"*/{name}")}
        assert len(found) == 3
        assert found == {folder: (smoke / "runs" / folder / name).read_bytes() for folder in found}


def test_a_row_says_every_setting(smoke):
    row = results.read(smoke / "smoke.parquet").to_pylist()[0]
    assert {name: row[name] for name in COLUMNS} == SMOKE.base.columns
    assert row["lm.stage2.batch"] == 8


def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    for changes, says in (
        ({"post": "file:nowhere.txt"}, "is nothing to read"),
        ({"ft": "c4"}, "Give --max-tokens"),
        ({"scale": "nana"}, "Did you mean nano"),
        ({"vocabulary": 49_152}, "or --scale 135m or 135m-untied or 1b"),
        ({"length": 1_024}, "or --scale 135m or 135m-untied or 1b"),
    ):
        with pytest.raises(WrongUse, match=says):
            conduct([SMOKE.changed(changes)], tmp_path / "runs", 1, Output(True))
    assert not (tmp_path / "cache" / "tokenizers").exists()
    assert not (tmp_path / "runs").exists()


def broken_stores():
    """Stores of which one kills the process that opens it, and one raises."""

    def open_named(name):
        if name == "a/report":
            os._exit(9)
        if name == "b/report":
            raise OSError("unreadable")
        return STORES[name]

    return open_named


def test_a_failure_stays_with_its_descendants(tmp_path):
    good = first(measured=(), data=(("a/train", "f"), ("b/train", "f")))
    killed = first(measured=(), data=(*good.data, ("a/report", "f")))
    raising = first(measured=(), data=(*good.data, ("b/report", "f")))
    nodes = [second(killed), second(raising), raising, good]
    heard = []
    found = launch.run(nodes, tmp_path, broken_stores, 1, Output(True), {}, lambda node, _: heard.append(node.hash))
    assert set(found.outcomes) == {good.hash} == set(heard)
    assert set(found.failures) == {killed.hash, raising.hash}
    assert "exit code 9" in found.failures[killed.hash].message
    assert "unreadable" in found.failures[raising.hash].message
    assert found.failures[killed.hash].folder == folder_of(killed, tmp_path)


def test_a_failed_pipeline_is_named_and_the_exit_code_is_1(smoke, tmp_path, capsys):
    """A damaged stage 2 of one lambda: the other is tabled, beside the whole table; the message names the folder."""
    pipeline = next(pipeline for pipeline in _smoke_pipelines() if pipeline.settings.recipe.exposure == 1)
    runs = tmp_path / "runs"
    runs.mkdir()
    for path in (smoke / "runs").iterdir():
        if path.is_dir():
            (runs / path.name).mkdir()
            for file in path.iterdir():
                os.link(file, runs / path.name / file.name)
    outcome = folder_of(pipeline.nodes["post"], runs) / "outcome.json"
    outcome.unlink()
    outcome.write_text("{}")
    whole = (smoke / "smoke.parquet").read_bytes()
    (tmp_path / "smoke.parquet").write_bytes(whole)
    arguments = ["run", "smoke", "--workers", "1", "--out", str(tmp_path), "--runs", str(runs)]
    with pytest.raises(SystemExit) as stop:
        run("lm_experiments", COMMANDS, "test", arguments)
    assert stop.value.code == 1
    heard = " ".join(capsys.readouterr().err.split())
    assert pipeline.nodes["post"].hash in heard
    assert "1 pipelines are not complete" in heard
    assert results.read(tmp_path / "smoke.partial.parquet")["exposure"].to_pylist() == [0.0]
    assert len(json.loads((tmp_path / "smoke.partial.json").read_text())["failed"]) == 1
    assert (tmp_path / "smoke.parquet").read_bytes() == whole


def _smoke_pipelines():
    stores = StoreFactory.of(SMOKE.base)()
    return [Pipeline(cell, stores) for cell in SMOKE.cells()]


def test_wrong_use_trains_nothing(tmp_path, capsys):
    arguments = ["run", "smoke", "--out", str(tmp_path), "--runs", str(tmp_path / "runs"), "--workers", "0"]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 2
    other = dataclasses.replace(SMOKE.changed({"tokenizer_corpora": ("music",)}), name="other")
    with pytest.raises(WrongUse, match="different tokenizers"):
        conduct([SMOKE, other], tmp_path / "runs", 1, Output(True))
    assert not Path(tmp_path / "runs").exists()


def test_a_ledger_that_disagrees_ends_the_run_before_any_row(smoke, monkeypatch):
    def disagree(*_):
        raise Disagreement("stage 1: counted otherwise")

    monkeypatch.setattr("lm_experiments.pipeline.check_ledger", disagree)
    monkeypatch.setattr(Pipeline, "row", lambda *_: pytest.fail("a row was made"))
    with pytest.raises(Disagreement, match="counted otherwise"):
        conduct([SMOKE], smoke / "runs", 1, Output(True))
