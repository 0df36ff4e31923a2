"""The accelerator benchmark: its arithmetic and its refusals, on a CPU; and that a model bound for another device keeps its attention."""

import pytest
import torch

from benchmarks import accelerator
from common.settings import WrongUse
from lm_experiments import models, training
from lm_experiments.kernels import fast
from tests.lm_experiments.tiny import SHAPE, run


def test_utilisation_is_operations_over_the_peak():
    per_token = 6 * 134_515_008 + 12 * 30 * 576 * 1024
    assert accelerator.utilisation(989e12 / per_token, "135m", 1024, 989e12) == pytest.approx(1)


def test_a_device_is_known_by_its_own_name_or_refused():
    assert accelerator.peak("NVIDIA H100 80GB HBM3") == 989e12
    assert accelerator.peak("NVIDIA H100 PCIe") == 756e12
    assert accelerator.peak("NVIDIA L40S") > accelerator.peak("NVIDIA L4")
    with pytest.raises(WrongUse, match="'NVIDIA L40' has no known peak"):
        accelerator.peak("NVIDIA L40")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_without_an_accelerator_it_says_so():
    with pytest.raises(WrongUse, match="no accelerator here"):
        accelerator.main()


def test_an_unknown_accelerator_is_refused_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Abacus 9")
    monkeypatch.setattr(accelerator, "losses", lambda *_, **__: pytest.fail("it is refused before"))
    with pytest.raises(WrongUse, match="'Abacus 9' has no known peak"):
        accelerator.main()


def test_what_is_measured_is_trained_and_the_first_steps_are_left_out(monkeypatch):
    """As on an accelerator, shrunken, with a clock of its own: the first two steps take a hundred times as long."""
    monkeypatch.setitem(models.PRESETS, "tiny", SHAPE)
    usual = accelerator.losses

    def slow_at_first(*arguments, **settings):
        found, rates = usual(*arguments, **settings)
        assert len(rates) == 5
        assert all(rate > 0 for rate in rates)
        return found, [1.0, 1.0, 100.0, 100.0, 100.0]

    monkeypatch.setattr(accelerator, "losses", slow_at_first)
    per_token = 6 * models.parameter_count(SHAPE) + 12 * SHAPE.layers * SHAPE.hidden * 8
    rows = accelerator.measured(per_token * 400, {"tiny": 2}, length=8, steps=5, warm=2, precision="bf16")
    assert rows == [("tiny", "100", "25.0%")]


def test_both_sides_of_the_comparison_are_trained(monkeypatch):
    monkeypatch.setitem(models.PRESETS, "tiny", SHAPE)
    apart = accelerator.difference("tiny", batch=2, length=8, steps=3)
    assert 0 < apart < 0.05


def test_attention_is_chosen_for_the_device_that_computes():
    """Where accelerate puts a model on another device (here one that holds nothing), `fast` finds it there."""
    model = models.build(SHAPE, 0)
    with fast(model) as changed:
        assert model.config._attn_implementation == ("two_products" if changed else "sdpa")
    with fast(model.to("meta")):
        assert model.config._attn_implementation == "sdpa"


class Reached(Exception):
    """Training is about to begin."""


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_training_chooses_its_kernels_after_the_model_is_on_its_device(tmp_path, monkeypatch, device):
    model, usual, found = models.build(SHAPE, 0), training.processes.DistributedModel.__init__, []

    def place(self, *arguments):
        usual(self, *arguments)
        self.model.to(device)

    def resume(*_):
        found.append((model.config._attn_implementation, model.by_hand))
        raise Reached

    monkeypatch.setattr(training.processes.DistributedModel, "__init__", place)
    monkeypatch.setattr(training.resuming, "resume", resume)
    with fast(models.build(SHAPE, 1)) as changed, pytest.raises(Reached):
        run(tmp_path, model=model)
    assert found == ([("two_products" if changed else "sdpa", True)] if device == "cpu" else [("sdpa", False)])
