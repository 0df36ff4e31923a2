"""plan, status, history, rerun, cancel, prune and doctor, on a graph of tiny stages."""

import json
import time

import pyarrow as pa
import pytest

from common.console import Output, run
from common.settings import WrongUse
from lm_experiments import journal, launch, stages
from lm_experiments.commands import COMMANDS
from lm_experiments.commands.plan import core_flops, flops_per_token
from lm_experiments.commands.shown import losses
from lm_experiments.models import PRESETS
from lm_experiments.stages import ensure, finished, folder_of
from tests.lm_experiments.test_launch import stores
from tests.lm_experiments.test_stages import STORES, first, second


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Two stages, carried out."""
    root = tmp_path_factory.mktemp("graph") / "runs"
    root.mkdir()
    launch.run([second(first())], root, stores, 1, Output(True), {}, lambda *_: None, name="tiny")
    return root


def told(capsys, *arguments):
    assert run("lm_experiments", COMMANDS, "test", [*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plan_says_what_is_shared_and_what_it_costs(capsys, monkeypatch):
    monkeypatch.setattr("lm_experiments.commands.plan.core_flops", lambda: 5e10)
    began = time.monotonic()
    found = told(capsys, "plan", "fig3a", "--seeds", "0", "--tokens_post", "65536", "--workers", "2")
    assert time.monotonic() - began < 10
    assert found["pipelines"] == 15
    assert [found["by_stage"][f"stage {i}"]["stages"] for i in (1, 2, 3)] == [5, 5, 15]
    assert found["together"]["unshared_stages"] == 45
    total = sum(one["tokens"] for one in found["by_stage"].values())
    assert found["together"]["flops"] == pytest.approx(total * flops_per_token(PRESETS["nano"], 128))
    assert found["together"]["hours"] == pytest.approx(found["together"]["flops"] / (2 * 5e10 * 0.4) / 3600)
    assert found["together"]["hours"] == pytest.approx(sum(one["hours"] for one in found["by_stage"].values()))
    assert 0.3 < found["saved"] < 0.9
    large = told(capsys, "plan", "fig3a", "--scale", "135m")
    assert large["together"]["hours"] == pytest.approx(large["together"]["flops"] / (989e12 * 0.4) / 3600)


def test_a_core_does_a_billion_operations_a_second_at_least():
    assert 1e9 < core_flops() < 1e13


@pytest.mark.parametrize(("precision", "peak"), [("fp32", 19.5e12), ("bf16", 312e12)])
def test_hours_are_those_at_the_peak_of_the_precision(capsys, precision, peak):
    found = told(capsys, "plan", "smoke", "--precision", precision, "--accelerator", "a100", "--mfu", "0.5")["together"]
    assert found["hours"] == pytest.approx(found["flops"] / (peak * 0.5) / 3600)


def test_status_and_history(root, capsys, tmp_path):
    assert told(capsys, "status", "--runs", str(root))["counts"] == {"done": 2}
    assert [line["event"] for line in told(capsys, "history", "--runs", str(root))][:2] == ["started", "ended"]
    assert run("lm_experiments", COMMANDS, "test", ["status", "fig9", "--runs", str(root)]) == 2
    assert run("lm_experiments", COMMANDS, "test", ["status", "--runs", str(tmp_path)]) == 2
    assert "Nothing was launched in" in capsys.readouterr().err


def test_points_of_a_sweep_are_not_taken_for_seeds(capsys):
    columns = {
        "lm.variant": ["", "", "", ""], "split": ["independent"] * 4, "tokens_post": [1] * 4, "lr_ft": [1.0] * 4, "exposure": [0.0] * 4,
        "lr_post": [1e-3, 1e-3, 3e-3, 3e-3], "seed": [0, 1, 0, 1], "lm.stopped_early": [0] * 4, "loss_im": [1.0, 2.0, 5.0, 6.0],
        **{name: [1.0] * 4 for name in ("loss_ret", "loss_ft", "loss_pre")},
        **{f"lm.recall_{name}": pa.nulls(4) for name in ("after_pre", "im", "ret")},
    }  # fmt: skip
    losses(pa.table(columns), Output(False))
    said = [line.split() for line in capsys.readouterr().out.splitlines() if "independent" in line]
    assert [(words[4], words[5], words[-1]) for words in said] == [("0.001", "1.5", "2"), ("0.003", "5.5", "2")]


def test_cancel_marks_what_was_going_on(root, capsys):
    (root / ".jobs").mkdir(exist_ok=True)
    assert told(capsys, "cancel", "--runs", str(root)) == {"stages": [], "jobs": [], "drivers": []}


def test_a_pruned_stage_is_done_and_trained_again_where_its_model_is_needed(root, capsys):
    leaf, parent = second(first()), first()
    before = (folder_of(parent, root) / "model.safetensors").read_bytes()
    assert told(capsys, "prune", "--runs", str(root))["stages"] == [leaf.hash]
    assert (folder_of(leaf, root) / "model.safetensors").exists()
    found = told(capsys, "prune", "--runs", str(root), "--parents", "--yes")
    assert set(found["stages"]) == {leaf.hash, parent.hash}
    assert found["bytes"] > 2 * len(before) - 1
    assert told(capsys, "status", "--runs", str(root))["counts"] == {"done": 2}
    assert finished(parent, root) is not None
    assert finished(parent, root, whole=True) is None
    ensure(second(first(), lr=3e-2), root, STORES.__getitem__, lambda _: None)
    assert (folder_of(parent, root) / "model.safetensors").read_bytes() == before
    assert not (folder_of(parent, root) / stages.PRUNED).exists()
    (folder_of(leaf, root) / stages.PRUNED).write_text("{}")
    with pytest.raises(WrongUse, match="belongs to another stage"):
        finished(leaf, root)


def test_rerun_repeats_the_command_and_removes_what_is_asked_for(root, monkeypatch, capsys):
    monkeypatch.setattr("lm_experiments.commands.run.Run.run", lambda self, _: list(self.names))
    graph = journal.describe([first(), second(first())], {}, "again", ["smoke", "--workers", "1"])
    with journal.launched(root, graph, "local"):
        pass
    assert told(capsys, "rerun", "again", "--runs", str(root), "--stages", second(first()).hash) == ["smoke"]
    assert not folder_of(second(first()), root).exists()
    assert folder_of(first(), root).exists()
    assert run("lm_experiments", COMMANDS, "test", ["rerun", "again", "--runs", str(root), "--stages", "nix"]) == 2


def test_the_doctor_says_what_each_missing_thing_prevents(monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("PATH", "")
    found = {one["what"]: one for one in told(capsys, "doctor")}
    assert not found["Hugging Face hub"]["there"]
    assert "c4" in found["Hugging Face hub"]["prevents"]
    assert "--executor slurm" in found["Slurm"]["prevents"]
    assert "torch cannot compile" in found["C++ compiler"]["prevents"]
    assert found["tokenizers"]["there"]
    assert found["tokenizers"]["prevents"] == ""
