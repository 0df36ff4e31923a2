"""Options that decide nothing about a result: each reaches the stages from the command line, does what it says, and changes no name."""

import dataclasses

import pytest

from common.console import run as command
from lm_experiments import checkpoints, models, saving, training
from lm_experiments.commands import COMMANDS
from lm_experiments.launch import GraphResult
from lm_experiments.processes import DistributedModel
from lm_experiments.stage_settings import Execution, refuse_absent
from tests.lm_experiments.tiny import SHAPE, Plain, lines, run

GIVEN = {
    "micro_batch": "2", "eval_batch": "3", "compile": "yes", "activation_checkpointing": "", "shard": "", "log_every": "7",
    "checkpoint_steps": "5", "checkpoint_seconds": "9", "trackers": "tensorboard", "liger": "no",
}  # fmt: skip
"""Option -> what is given for it."""
READ = {
    "compile": "yes",
    "shard": True,
    "activation_checkpointing": True,
    "trackers": ("tensorboard",),
    "checkpoint_seconds": 9.0,
    "liger": "no",
}


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The stages of the smoke study as they are handed over to be trained: plainly, and with every option."""
    found = []

    def caught(nodes, *_, **__):
        found.append([one for node in nodes for one in node.lineage])
        return GraphResult(outcomes={}, failures={}, seconds=0.0)

    options = [word for name, value in GIVEN.items() for word in (f"--{name.replace('_', '-')}", value) if word]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("run"))
        patch.setattr("lm_experiments.launch.run", caught)
        for more in ([], options, ["--precision", "bf16"]):
            with pytest.raises(SystemExit):  # nothing was trained, so the pipelines are not complete
                command("lm_experiments", COMMANDS, "test", ["run", "smoke", *more])
    return found


def test_every_option_is_tried():
    assert set(GIVEN) == {field.name for field in dataclasses.fields(Execution)}


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_reaches_every_stage(nodes, name):
    plain, given, _ = nodes
    assert len(given) == 6
    wanted = READ.get(name) or int(GIVEN[name])
    for node, usual in zip(given, plain, strict=True):
        assert getattr(node.settings, name) == wanted != getattr(usual.settings, name)


def test_options_change_no_name_and_precision_does(nodes):
    plain, given, bf16 = ([node.hash for node in of] for of in nodes)
    assert given == plain
    assert not set(bf16) & set(plain)
    assert {node.settings.precision for node in nodes[2]} == {"bf16"}


# What each does to a stage.


def test_micro_batches_are_cut(tmp_path, monkeypatch):
    seen, cut = [], DistributedModel.cut
    monkeypatch.setattr(DistributedModel, "cut", lambda self, windows: seen.append(cut(self, windows)) or seen[-1])
    run(tmp_path, max_steps=3, micro_batch=3)
    assert [list(map(len, pieces)) for pieces in seen] == [[3, 1]] * 3


def test_losses_are_measured_in_batches_of_that_size(tmp_path, monkeypatch):
    seen, measure = set(), training.measure
    monkeypatch.setattr(
        training, "measure", lambda module, sets, batch, one: seen.add(batch) or measure(module, sets, batch, one)
    )
    run(tmp_path, max_steps=3, eval_batch=5)
    assert seen == {5}


def test_activations_are_computed_again(tmp_path):
    model, seen = models.build(SHAPE, 0), []

    class Watched(Plain):
        def batch(self, step):
            seen.append(any(getattr(module, "gradient_checkpointing", False) for module in model.modules()))
            return super().batch(step)

    run(tmp_path / "again", Watched(), model=model, max_steps=2, warmup_steps=1, activation_checkpointing=True)
    run(tmp_path / "kept", Watched(), model=model, max_steps=2, warmup_steps=1)
    assert seen == [True, True, False, False]


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"checkpoint_steps": 7}, [7, 14, 21]), ({"checkpoint_steps": 0, "checkpoint_seconds": 0.0}, list(range(1, 24))),
     ({"checkpoint_steps": 0, "checkpoint_seconds": 600.0}, [])],
)  # fmt: skip
def test_checkpoints_come_as_often_as_asked(tmp_path, monkeypatch, changes, steps):
    seen, save = [], checkpoints.save
    monkeypatch.setattr(checkpoints, "save", lambda folder, step, *rest: seen.append(step) or save(folder, step, *rest))
    monkeypatch.setattr(saving, "LARGEST_SHARE", 1e9)
    run(tmp_path, **changes)
    assert seen == steps


def test_lines_come_as_often_as_asked(tmp_path):
    run(tmp_path, log_every=9)
    assert [line["step"] for line in lines(tmp_path)] == [9, 18, 24]


def test_trackers_are_told_which_stage_it_is(tmp_path, monkeypatch):
    told = {}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(
        "accelerate.Accelerator.init_trackers", lambda self, project, **more: told.update(more, project=project)
    )
    run(tmp_path / "0123", trackers=("wandb", "tensorboard"), max_steps=3)
    assert told == {"project": "early-exposure", "init_kwargs": {"wandb": {"name": "0123"}}}


def test_an_absent_tracker_is_refused_before_anything_is_made(outside, monkeypatch, capsys):
    monkeypatch.setattr("lm_experiments.conduct.conduct", lambda *_, **__: pytest.fail("it is refused before"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("wandb", "trackio") else name)
    assert command("lm_experiments", COMMANDS, "test", ["run", "smoke", "--trackers", "wandb"]) == 2
    said = capsys.readouterr().err
    assert "trackers = wandb is not installed" in said
    assert "tensorboard" in said.split("installed are")[1]
    assert list(outside.iterdir()) == []
    refuse_absent(("mlflow",))
