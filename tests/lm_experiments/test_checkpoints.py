"""What is read from a run folder, and what is refused. A hostile folder has checksums that match."""

import hashlib
import json
import pickle
import shutil
import warnings
from dataclasses import asdict, replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from common.settings import WrongUse
from lm_experiments import checkpoints, models, outcomes
from tests.lm_experiments.test_training import interrupted, same
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
}
FORGERIES = {
    "foreign": {"evil": 1},
    "typed": {"metrics": "0"},
    "beyond": {"step": 10**9},
    "backwards": {"metrics": -1},
    "future best": {"best_step": 17},
    "no best": {"best_loss": None},
    "infinite": {"ceiling": float("inf")},
    "pending": {"pending": [[1.0]]},
    "log": {"metrics_sha256": "0" * 64},
}


@pytest.mark.parametrize("harm", HARMS)
def test_a_hostile_folder_is_refused(folder, harm):
    change, named = HARMS[harm]
    change(folder)
    with pytest.raises(WrongUse, match=named):
        resume(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same stage, never interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    resume(folder)
    return folder


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_state_is_passed_over_in_words(folder, whole, forgery):
    change_state(**FORGERIES[forgery])(folder)
    with pytest.warns(UserWarning, match="checkpoint-16 is damaged"):
        resume(folder)
    assert same(whole, folder)


def test_an_altered_log_is_passed_over_in_words(folder, whole):
    log = folder / "metrics.jsonl"
    content = bytearray(log.read_bytes())
    content[content.index(b'"loss": ') + 8] ^= 1  # another digit, in a line that both checkpoints have behind them
    log.write_bytes(content)
    with pytest.warns(UserWarning, match=r"metrics\.jsonl was altered") as told:
        resume(folder)
    assert len(told) == 2
    assert same(whole, folder)


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
        ({"hidden_size": 32}, "hidden_size is 32, not 16"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers"),
        ({"model_type": "auto", "auto_map": {"AutoModelForCausalLM": "evil.Model"}}, "auto_map"),
        ({"attn_implementation": "kernels-community/flash-attn"}, "attn_implementation"),
        ({"_attn_implementation": "kernels-community/flash-attn"}, "_attn_implementation"),
        ({"dtype": "float16", "transformers_version": "0.0"}, "dtype"),
    ],
)
def test_a_configuration_that_is_not_that_of_the_spec_is_refused(finished, monkeypatch, entries, named):
    edit(finished, **entries)
    monkeypatch.setattr("transformers.LlamaConfig.from_dict", lambda *_, **__: pytest.fail("reached the loader"))
    with pytest.raises(WrongUse, match=named):
        checkpoints.load_model(finished, SHAPE)


def test_a_configuration_of_another_transformers_is_read_and_its_additions_ignored(finished):
    edit(finished, transformers_version="0.0", attn_implementation="kernels-community/flash-attn")
    assert checkpoints.load_model(finished, SHAPE).config._attn_implementation != "kernels-community/flash-attn"


def test_weights_of_another_shape_are_refused(finished):
    path = finished / "model.safetensors"
    save_file(load_file(path) | {"model.norm.weight": torch.ones(3)}, path)
    with pytest.raises(WrongUse, match=r"shape \[3\]"):
        checkpoints.load_model(finished, SHAPE)


def test_a_finished_model_that_was_cut_short_is_refused(finished):
    path = finished / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(WrongUse, match="damaged"):
        checkpoints.load_model(finished, SHAPE)


def forge_outcome(folder, **entries):
    """Another outcome, with checksums that match it."""
    outcome, _ = outcomes.read_outcome(folder)
    outcomes.write_outcome(folder, replace(outcome, **entries))


def flip(name):
    def harm(folder):
        content = bytearray((folder / name).read_bytes())
        content[-20] ^= 1
        (folder / name).write_bytes(content)

    return harm


def unvouched(folder):
    outcome, _ = outcomes.read_outcome(folder)
    checkpoints.write_json(folder / "outcome.json", asdict(outcome))


def other_weights(folder):
    path = folder / "model.safetensors"
    save_file({name: tensor * 1.1 for name, tensor in load_file(path).items()}, path)
    forge_outcome(folder)


ENDS = {
    "weights": flip("model.safetensors"),
    "configuration": flip("config.json"),
    "log": flip("metrics.jsonl"),
    "digits": lambda folder: (folder / "outcome.json").write_text(
        (folder / "outcome.json").read_text().replace('"best_step": 24', '"best_step": 23')
    ),
    "unvouched": unvouched,
    "other losses": lambda folder: forge_outcome(folder, losses={"stop": 0.1, "report": 0.1}),
    "other sets": lambda folder: forge_outcome(folder, losses={}),
    "other weights": other_weights,
    "more steps": lambda folder: forge_outcome(folder, steps=25, tokens=25 * 4 * 16),
    "fewer steps": lambda folder: forge_outcome(folder, steps=23, tokens=23 * 4 * 16, best_step=23),
    "no JSON": lambda folder: (folder / "outcome.json").write_text("{"),
}


@pytest.mark.parametrize(
    ("end", "checkpointed"), [*((end, True) for end in ENDS), ("weights", False), ("other weights", False)]
)
def test_an_end_that_does_not_hold_is_not_believed(begun, whole, tmp_path, end, checkpointed):
    """Between the outcome and the seal nothing vouches for a stage but itself; its checkpoints may be there still, or not."""
    folder = shutil.copytree(whole, tmp_path / "run")
    if checkpointed:
        for path in (*begun.glob("checkpoint-*"), *begun.glob("best-*")):
            shutil.copytree(path, folder / path.name)
    ENDS[end](folder)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        resume(folder)
    assert "is damaged" in str(told[0].message)
    assert same(whole, folder)


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


def test_a_folder_takes_the_place_of_what_a_killed_process_left(tmp_path):
    left = tmp_path / ".checkpoint-4.abc.partial"
    left.mkdir()
    with checkpoints.publishing(tmp_path / "checkpoint-4") as temporary:
        (temporary / "state.json").write_text("{}")
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint-4"}
    assert set(checkpoints.read_json(tmp_path / "checkpoint-4" / "manifest.json")) == {"state.json"}


def test_a_link_is_replaced_and_not_written_through(tmp_path):
    (tmp_path / "other.json").write_text("mine")
    (tmp_path / "state.json").symlink_to(tmp_path / "other.json")
    checkpoints.write_json(tmp_path / "state.json", {"step": 1})
    assert ((tmp_path / "other.json").read_text(), checkpoints.read_json(tmp_path / "state.json")) == (
        "mine",
        {"step": 1},
    )
