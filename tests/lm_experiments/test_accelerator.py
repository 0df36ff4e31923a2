"""The accelerator benchmark: its arithmetic and its refusals, on a CPU; and that a model bound for another device keeps its attention."""

import inspect

import pytest
import torch

from benchmarks import accelerator
from common.settings import WrongUse
from lm_experiments import models, training
from lm_experiments.kernels import fast
from tests.lm_experiments.tiny import SHAPE


def test_utilisation_is_operations_over_the_peak():
    shape = models.PRESETS["135m"]
    assert accelerator.operations(shape, 134_515_008, 1024) == 6 * 134_515_008 + 12 * 30 * 576 * 1024
    per_token = accelerator.operations(shape, 134_515_008, 1024)
    assert accelerator.utilisation(989e12 / per_token, shape, 134_515_008, 1024, 989e12) == pytest.approx(1)


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
    source = inspect.getsource(training.train)
    assert source.rindex("DistributedModel(") < source.rindex("fast(model)")
