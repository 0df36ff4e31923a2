"""A model of somebody else to begin with: where it enters, what names it, and what is refused before anything is trained."""

import dataclasses
import json
import shutil

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from common.console import Output, run
from common.gates import gates
from common.results import table
from common.settings import WrongUse
from lm_experiments import checkpoints, initial, models, paths
from lm_experiments.commands import COMMANDS
from lm_experiments.conduct import conduct
from lm_experiments.corpora import hub
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.pipeline import Pipeline
from lm_experiments.rows import EXTRA
from lm_experiments.stage_settings import Execution
from lm_experiments.stages import ensure, folder_of
from lm_experiments.studies.settings import Cell
from lm_experiments.studies.smoke import SMOKE
from lm_experiments.tokenizers import trained
from tests.lm_experiments.test_recipes import NANO, SHORT, Sized
from tests.lm_experiments.tiny import lines

REVISION = "0123456789012345678901234567890123456789"
STORED = ["903e73d3e9f94dd9", "4baa71327f19c4f9", "82d95aedcc3191c2"]


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    pass


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A nano model as somebody else leaves it: in bfloat16."""
    folder = tmp_path_factory.mktemp("given") / "model"
    models.build(NANO, 7).to(torch.bfloat16).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(given, tmp_path):
    return shutil.copytree(given, tmp_path / "copy")


def pipeline(execution=None, **changes):
    made = dataclasses.replace(SMOKE.base, **{**SHORT, **changes})
    return Pipeline(Cell(SMOKE, "", made, {}), lambda name: Sized(), execution)


def begun(folder, **changes):
    return pipeline(init_from=str(folder), **changes)


class Batch:
    """The windows of a step as a store."""

    def __init__(self, node):
        self.held = node.plan.open(dict.fromkeys((part.store for part in node.plan.parts), Sized())).batch(0)

    def windows(self, length):
        return len(self.held)

    def window(self, index, length):
        return self.held[index]


def first_loss(model, node):
    store = Batch(node)
    return evaluate(model, {"x": EvalSet(store=store, windows=len(store.held), length=128)}, 16)["x"]


def carried_out(made, root):
    outcomes = {}
    for node in made.nodes.values():
        outcomes[node.hash] = dataclasses.asdict(ensure(node, root, made.stores, lambda _: None))
    return outcomes


def loaded(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def test_stage_1_begins_with_the_given_weights(given, tmp_path):
    node = begun(given, execution=Execution(log_every=1)).nodes["pre"]
    outcome = ensure(node, tmp_path, lambda _: Sized(), lambda _: None)
    assert outcome.steps == node.plan.steps > 1
    assert lines(folder_of(node, tmp_path))[0]["loss"] == pytest.approx(first_loss(loaded(given), node), rel=1e-5)
    assert json.loads((folder_of(node, tmp_path) / "spec.json").read_text())["science"]["start"]["Start"] == {
        "fingerprint": node.start.fingerprint
    }


def test_stage_2_begins_with_the_given_model_and_nothing_is_pretrained(given, tmp_path):
    made = begun(given, begin_at="stage2", execution=Execution(log_every=1))
    outcomes = carried_out(made, tmp_path)
    pre, post = made.nodes["pre"], made.nodes["post"]
    model = loaded(given)
    kept = load_file(folder_of(pre, tmp_path) / "model.safetensors")
    assert all(torch.equal(kept[name], tensor) for name, tensor in checkpoints.weights(model).items())
    assert (outcomes[pre.hash]["steps"], outcomes[pre.hash]["tokens"]) == (0, 0)
    assert lines(folder_of(post, tmp_path))[0]["loss"] == pytest.approx(first_loss(model, post), rel=1e-5)
    row = made.row(outcomes)
    report = {"x": EvalSet(store=Sized(), windows=2, length=128)}
    assert row["lm.loss_post_after_pre"] == pytest.approx(evaluate(model, report, 16)["x"], rel=1e-5)
    assert (row["tokens_pre"], row["lr_pre"], row["lm.stage1.tokens"], row["lm.rare_post"]) == (None,) * 4
    assert row["lm.begin_at"] == "stage2"
    assert row["lm.init_from"] == f"model~{pre.start.fingerprint[:4]}"
    told = {gate.name: gate.passed for gate in gates(table({key: [row[key]] for key in row}, EXTRA), 1024, 200_000)}
    assert told["V6"] == told["V1"] == "not in the table"
    assert told["V3"] != "not in the table"
    (folder_of(pre, tmp_path) / "done").unlink()  # as if it had been killed before it was sealed
    assert ensure(pre, tmp_path, made.stores, lambda _: None).losses == outcomes[pre.hash]["losses"]


def test_what_stage_1_would_have_been_is_not_in_the_name(given):
    made = [begun(given, begin_at="stage2"), begun(given, begin_at="stage2", seed=3),
            begun(given, begin_at="stage2", stage1=dataclasses.replace(SMOKE.base.stage1, lr=1e-2))]  # fmt: skip
    assert len({one.nodes["pre"].hash for one in made}) == 1
    assert made[0].nodes["post"].hash == made[2].nodes["post"].hash != made[1].nodes["post"].hash


def test_the_name_is_that_of_the_content(given, copy, tmp_path):
    usual = begun(given).nodes["ft"].hash
    assert begun(copy).nodes["ft"].hash == usual
    models.build(NANO, 7).to(torch.bfloat16).save_pretrained(tmp_path / "parts", max_shard_size="50KB")
    assert (tmp_path / "parts" / initial.INDEX).exists()
    assert begun(tmp_path / "parts").nodes["ft"].hash == usual
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][3] += 1
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert begun(copy).nodes["ft"].hash not in (usual, pipeline().nodes["ft"].hash)
    assert begun(given, begin_at="stage2").nodes["ft"].hash != usual


def test_stages_of_before_keep_their_names():
    """As they were stored before there was a model to begin with, a precision, or options of execution."""
    made = Pipeline(next(iter(SMOKE.cells())), lambda _: Sized(60_000), Execution(micro_batch=2, compile="yes"))
    assert [node.hash for node in made.nodes.values()] == STORED


def edited(folder, **changes):
    told = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(told | changes))


def retensored(folder, change):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")


SPOILT = {
    "vocabulary": (lambda f: edited(f, vocab_size=2_048), "does not fit nano: vocab_size is 2048, not 1024"),
    "context": (lambda f: edited(f, max_position_embeddings=64), "max_position_embeddings is 64, not 128"),
    "architecture": (lambda f: edited(f, num_hidden_layers=2), "num_hidden_layers is 2, not 3"),
    "rotation": (lambda f: edited(f, rope_parameters={"rope_type": "default", "rope_theta": 1e4}), "rope_parameters is"),
    "kind": (lambda f: edited(f, model_type="gpt2"), "model_type 'gpt2'. Give a Llama"),
    "nonsense": (lambda f: edited(f, hidden_size="wide"), "does not describe a Llama decoder"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json is missing"),
    "pickle": (pickled, r"as a pickle, pytorch_model\.bin"),
    "nothing": (lambda f: (f / "model.safetensors").unlink(), r"lacks model\.safetensors"),
    "truncated": (lambda f: (f / "model.safetensors").write_bytes(b"\0" * 99), "no complete safetensors"),
    "missing": (lambda f: retensored(f, lambda w: w.pop("model.norm.weight")), "model.norm.weight is missing"),
    "too many": (lambda f: retensored(f, lambda w: w.update(adapter=torch.ones(2))), "adapter is not expected"),
    "shape": (lambda f: retensored(f, lambda w: w.update({"model.norm.weight": torch.ones(2)})), r"of shape \[2\]"),
    "head": (lambda f: retensored(f, lambda w: w.update({"lm_head.weight": torch.ones(1024, 64)})), "two different ones"),
    "index": (lambda f: (f / initial.INDEX).write_text('{"weight_map": {"x": "../x"}}'), "names no files of this folder"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_what_does_not_fit_is_refused_by_name(copy, tmp_path, monkeypatch, case):
    spoil, says = SPOILT[case]
    spoil(copy)
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    with pytest.raises(WrongUse, match=says):
        conduct([SMOKE.changed({"init_from": str(copy)})], tmp_path / "runs", 1, Output(True))
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "cache" / "tokenizers").exists()


def test_a_scale_that_fits_is_named(given):
    with pytest.raises(WrongUse, match=r"does not fit micro.*Choose --scale nano"):
        initial.check(str(given), models.PRESETS["micro"])


def test_a_head_that_is_the_embedding_is_welcome(given, copy):
    retensored(copy, lambda held: held.update({"lm_head.weight": held["model.embed_tokens.weight"].clone()}))
    assert initial.start(str(copy), NANO).fingerprint == initial.start(str(given), NANO).fingerprint


def test_the_model_s_own_tokenizer_is_asked_for(copy, tmp_path):
    own = trained()
    shutil.copy(own.folder / "tokenizer.json", copy)
    assert initial.check_tokenizer("x", tmp_path, "") is False
    with pytest.raises(WrongUse, match="names no end-of-text token"):
        initial.check_tokenizer("x", copy, "")
    shutil.copy(own.folder / "tokenizer_config.json", copy)
    with pytest.raises(WrongUse, match=r"a BPE that is trained for the study.*Give --tokenizer x"):
        initial.check_tokenizer("x", copy, "")
    with pytest.raises(WrongUse, match="comes with a tokenizer of its own"):
        initial.check_tokenizer("x", copy, str(trained(["general"], 512).folder))
    assert initial.check_tokenizer("x", copy, str(own.folder))


def test_a_model_that_changes_after_planning_is_refused(copy, tmp_path):
    node = begun(copy).nodes["pre"]
    retensored(copy, lambda held: held["model.norm.weight"].add_(1))
    with pytest.raises(WrongUse, match="its weights have changed"):
        ensure(node, tmp_path, lambda _: Sized(), lambda _: None)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"begin_at": "stage2"}, "begin_at = stage2 needs the model"),
        ({"begin_at": "stage2", "init_from": "x", "recipe.exposure": 0.5}, r"exposure = 0\.5 with begin_at = stage2.*--exposures 0"),
        ({"begin_at": "stage2", "init_from": "x", "recipe.sam_pre": 0.1}, r"recipe\.sam_pre = 0\.1"),
    ],
)  # fmt: skip
def test_what_nobody_can_change_any_more_is_refused(changes, says):
    study = SMOKE.changed({"recipe.exposure": 0.0})
    with pytest.raises(WrongUse, match=says):
        study.changed(changes)


def test_the_hub(given, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for name, says in (("a/b", "needs its revision"), ("./a/b", "no model folder"), ("nano", "no model folder")):
        with pytest.raises(WrongUse, match=says):
            initial.check(name, NANO)

    def silent(*_, **__):
        raise OSError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", silent)
    with pytest.raises(ConnectionError, match=r"cannot be reached for a/b .*give the folder of a local copy"):
        initial.check(f"a/b@{REVISION}", NANO)
    shutil.copytree(given, tmp_path / "models--a--b" / "snapshots" / REVISION)
    assert initial.start(f"a/b@{REVISION}", NANO).fingerprint == initial.start(str(given), NANO).fingerprint
    assert hub.local(str(given), "model") == given


def test_a_plan_counts_no_stage_1_where_there_is_none(given, capsys):
    words = ["plan", "smoke", "--exposures", "0", "--init-from", str(given), "--accelerator", "a100", "--json"]
    found = []
    for more in (["--begin-at", "stage1"], ["--begin-at", "stage2"]):
        assert run("lm_experiments", COMMANDS, "test", [*words, *more]) == 0
        found.append(json.loads(capsys.readouterr().out)["by_stage"])
    assert [one["stage 1"]["tokens"] for one in found] == [20_480, 0]
    assert found[0]["stage 2"] == found[1]["stage 2"]


def test_a_plan_reads_no_weights(given, monkeypatch):
    monkeypatch.setattr(initial, "_tensors", lambda *_: pytest.fail("read"))
    initial.planned(str(given), NANO)
    initial.planned(f"a/b@{REVISION}", NANO)
    with pytest.raises(WrongUse, match="does not fit"):
        initial.planned(str(given), models.PRESETS["micro"])
