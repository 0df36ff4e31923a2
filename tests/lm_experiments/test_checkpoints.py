"""What is read from a run folder, and what is refused. A hostile folder has checksums that match."""

import hashlib
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.settings import WrongUse
from lm_experiments import checkpoints, models
from tests.lm_experiments.test_training import interrupted
from tests.lm_experiments.tiny import SHAPE, run


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A stage that was interrupted after two checkpoints."""
    folder = tmp_path_factory.mktemp("begun")
    torch.set_num_threads(1)
    interrupted(folder, stop_on="stop", eval_every=6)
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "run")


def sign(checkpoint):
    """Make the manifest match what is there."""
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in checkpoint.iterdir()
        if path.name != "manifest.json"
    }
    (checkpoint / "manifest.json").write_text(json.dumps(files))


def resume(folder):
    return run(folder, stop_on="stop", eval_every=6)


def test_what_a_checkpoint_is_made_of(folder):
    assert list(checkpoints.numbered(folder, "checkpoint")) == [12, 16]
    assert list(checkpoints.numbered(folder, "best"))  # what they refer to
    newest = folder / "checkpoint-16"
    assert sorted(p.name for p in newest.iterdir()) == [
        "manifest.json",
        "model.safetensors",
        "optimizer.safetensors",
        "state.json",
    ]
    weights = checkpoints.weights(models.build(SHAPE, 0))
    assert set(load_file(newest / "model.safetensors")) == set(weights)
    moments = load_file(newest / "optimizer.safetensors")
    assert {name.rpartition(".")[2] for name in moments} == {"exp_avg", "exp_avg_sq", "step"}
    assert {float(moments[name]) for name in moments if name.endswith(".step")} == {16.0}


def change_tensor(change):
    def harm(folder):
        path = folder / "checkpoint-16" / "model.safetensors"
        tensors = load_file(path)
        change(tensors)
        save_file(tensors, path)
        sign(path.parent)

    return harm


def change_state(**entries):
    def harm(folder):
        path = folder / "checkpoint-16" / "state.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))
        sign(path.parent)

    return harm


def link_file(folder):
    path = folder / "checkpoint-16" / "model.safetensors"
    path.rename(folder.parent / "elsewhere")
    path.symlink_to(folder.parent / "elsewhere")


def link_folder(folder):
    shutil.move(folder / "checkpoint-16", folder.parent / "elsewhere")
    (folder / "checkpoint-16").symlink_to(folder.parent / "elsewhere")


def path_outside(folder):
    manifest = folder / "checkpoint-16" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "../../secret": {"bytes": 1, "sha256": ""}}))


def huge_json(folder):
    with (folder / "checkpoint-16" / "state.json").open("a") as file:
        file.write(" " * (checkpoints.LARGEST_JSON + 1))
    sign(folder / "checkpoint-16")


def huge_manifest(folder):
    with (folder / "checkpoint-16" / "manifest.json").open("a") as file:
        file.write(" " * (checkpoints.LARGEST_JSON + 1))


class Bomb:
    """Executes when unpickled."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def add_pickle(folder):
    (folder / "checkpoint-16" / "optimizer.pt").write_bytes(pickle.dumps(Bomb()))
    sign(folder / "checkpoint-16")


HARMS = {
    "dtype": (change_tensor(lambda t: t.update({"model.norm.weight": t["model.norm.weight"].half()})), "F16"),
    "shape": (change_tensor(lambda t: t.update({"model.norm.weight": torch.ones(3)})), r"shape \[3\]"),
    "missing": (change_tensor(lambda t: t.pop("model.norm.weight")), "is missing"),
    "foreign": (change_tensor(lambda t: t.update(evil=torch.ones(1))), "not expected"),
    "symlink": (link_file, "not an ordinary file"),
    "linked folder": (link_folder, "not an ordinary folder"),
    "outside": (path_outside, r"\.\./\.\./secret"),
    "huge state": (huge_json, "larger than"),
    "huge manifest": (huge_manifest, "larger than"),
    "pickle": (add_pickle, "no such file"),
    "foreign state": (change_state(evil=1), "state of a stage"),
    "typed state": (change_state(metrics="0"), "state of a stage"),
    "beyond": (change_state(step=10**9), "not one of this stage"),
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_folder_is_refused(folder, harm):
    change, named = HARMS[harm]
    change(folder)
    with pytest.raises(WrongUse, match=named):
        resume(folder)


@pytest.mark.parametrize("harm", ["pickle for weights", "deep json", "best"])
def test_damage_is_passed_over_without_being_executed(folder, harm):
    newest = folder / "checkpoint-16"
    if harm == "pickle for weights":
        (newest / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
        sign(newest)
    elif harm == "deep json":
        (newest / "state.json").write_text("[" * 100_000)
        sign(newest)
    else:
        state = json.loads((newest / "state.json").read_text())
        (folder / f"best-{state['best_step']}" / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="is damaged") as told:
        resume(folder)
    assert str(told[0].message).startswith("checkpoint-16")


@pytest.fixture
def finished(tmp_path):
    run(tmp_path, max_steps=3)
    return tmp_path


def edit(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"hidden_size": 32}, "shape"),
        ({"vocab_size": 10**9}, "shape"),
        ({"num_hidden_layers": 10**9}, "layers"),
        ({"num_hidden_layers": 3}, "missing"),
        ({"model_type": "auto", "auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "Llama"),
    ],
)
def test_weights_that_are_not_those_of_the_configuration_are_refused(finished, entries, named):
    edit(finished, **entries)
    with pytest.raises(WrongUse, match=named):
        checkpoints.load_model(finished)


def test_a_finished_model_that_was_cut_short_is_refused(finished):
    path = finished / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WrongUse, match="damaged"):
        checkpoints.load_model(finished)
    with pytest.raises(WrongUse, match="damaged"):
        run(finished, max_steps=3)


def test_a_failed_write_leaves_neither_a_file_nor_a_trace(tmp_path):
    target = tmp_path / "checkpoint-4"

    def fail():
        with checkpoints.publishing(target) as temporary:
            checkpoints.write_json(temporary / "state.json", {})
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="The disk is full"):
        fail()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="could not be written"):
        checkpoints.write_tensors(tmp_path / "absent" / "model.safetensors", {"a": torch.ones(2)})
