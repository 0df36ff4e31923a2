"""liger-kernel: used where it is there and the model is on CUDA, refused where it is asked for and cannot be, and undone."""

import importlib.util
import sys
from types import ModuleType

import pytest
import torch
from transformers.models.llama import modeling_llama

from common.console import run as command
from common.settings import WrongUse
from lm_experiments import liger, models
from lm_experiments.commands import COMMANDS
from lm_experiments.liger import applied
from lm_experiments.loss import LossOf
from tests.lm_experiments.tiny import SHAPE, run, windows


@pytest.fixture
def absent(monkeypatch):
    usual = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "liger_kernel" else usual(name))


def test_where_it_is_absent_auto_does_without_and_yes_is_refused(absent, outside, monkeypatch, capsys):
    model = models.build(SHAPE, 0)
    with applied(model, "auto", "cuda") as used:
        assert not used
    with pytest.raises(WrongUse, match="is not installed"), applied(model, "yes", "cuda"):
        pass
    monkeypatch.setattr("lm_experiments.conduct.conduct", lambda *_, **__: pytest.fail("it is refused before"))
    assert command("lm_experiments", COMMANDS, "test", ["run", "smoke", "--liger", "yes"]) == 2
    assert "pip install liger-kernel" in " ".join(capsys.readouterr().err.split())
    assert list(outside.iterdir()) == []


def test_it_is_looked_for_by_the_name_that_it_is_imported_by(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name if name == "liger_kernel" else None)
    assert liger.installed()


def test_yes_on_a_cpu_is_refused_by_training(tmp_path, monkeypatch):
    monkeypatch.setattr(liger, "installed", lambda: True)
    with pytest.raises(WrongUse, match="liger = yes needs CUDA, and the model is on cpu"):
        run(tmp_path, liger="yes")


def test_it_changes_the_model_for_the_block_alone(monkeypatch):
    """With a package of the same name in its place, which changes what the real one does (version 0.8)."""
    asked = {}
    own = {"forward", "extra_repr", "_get_name"}

    def change(*, model, **options):
        asked.update(options, model=model)
        modeling_llama.apply_rotary_pos_emb = modeling_llama.LlamaRMSNorm = modeling_llama.LlamaMLP = None
        for part in (model.model.norm, model.model.layers[1].mlp):
            vars(part).update(dict.fromkeys(own, lambda *_: "changed"))

    fake = ModuleType("liger_kernel.transformers")
    fake.apply_liger_kernel_to_llama = change
    monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
    monkeypatch.setitem(sys.modules, "liger_kernel.transformers", fake)
    monkeypatch.setattr(liger, "installed", lambda: True)
    model = models.build(SHAPE, 0)
    usual = modeling_llama.apply_rotary_pos_emb, modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP
    for use, device in (("no", "cuda"), ("auto", "cpu")):
        with applied(model, use, device) as used:
            assert not used
    assert not asked
    with applied(model, "auto", "cuda") as used:
        assert used
        assert own <= vars(model.model.norm).keys()
    with pytest.raises(KeyError), applied(model, "auto", "cuda"):
        raise KeyError("training ends by an error")
    assert asked == {
        "rope": True, "rms_norm": True, "swiglu": True, "cross_entropy": False, "fused_linear_cross_entropy": False, "model": model,
    }  # fmt: skip
    assert not any(own & vars(part).keys() for part in model.modules())
    assert (modeling_llama.apply_rotary_pos_emb, modeling_llama.LlamaRMSNorm, modeling_llama.LlamaMLP) == usual


@pytest.mark.skipif(not (torch.cuda.is_available() and liger.installed()), reason="needs CUDA and liger-kernel")
def test_its_losses_are_those_of_transformers():
    model = models.build(SHAPE, 0).to("cuda")
    usual = LossOf(model).train()(windows().to("cuda"))
    with applied(model, "yes", "cuda"):
        found = LossOf(model).train()(windows().to("cuda"))
        found.backward()
    assert found.item() == pytest.approx(usual.item(), rel=1e-4)
