"""Adapters: nothing at first, the gradients of their product, a plain model in the end."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lm_experiments import checkpoints, models
from lm_experiments.adapters import Adapters
from lm_experiments.evaluation import evaluate
from lm_experiments.loss import LossOf
from tests.lm_experiments.tiny import SHAPE, heldout, run, windows

pytestmark = pytest.mark.usefixtures("one_thread")
UNTIED = replace(SHAPE, tied=False)


def spread(model):
    """Adapters as after some training: the halves that begin at 0 are not 0 any more."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_adapters_change_nothing_at_first_and_merge_into_what_they_were(shape):
    model = models.build(shape, 0).eval()
    loss = LossOf(model)
    loss.training = True
    plain, before = loss(windows()), checkpoints.weights(models.build(shape, 0))
    adapters = Adapters(model, 4, 2.0, seed=0)
    assert loss(windows()).item() == pytest.approx(plain.item(), rel=1e-6)  # products of other shapes
    spread(model)
    adapted = loss(windows())
    assert abs(adapted - plain).item() > 1e-3
    adapters.remove(merge=True)
    assert loss(windows()).item() == pytest.approx(adapted.item(), rel=1e-6)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) == shape.tied == model.config.tie_word_embeddings
    changed = {name for name, tensor in checkpoints.weights(model).items() if not torch.equal(tensor, before[name])}
    kept = {name for name in before if any(part in name for part in ("q_proj", "k_proj", "v_proj", "norm"))}
    kept |= set() if shape.tied else {"model.embed_tokens.weight"}
    assert changed == set(before) - kept
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_the_gradients_of_adapters_are_those_of_their_product(shape):
    """Against a plain model whose matrices are W + scale B A: the chain rule through the product, written out."""
    model = models.build(shape, 0)
    Adapters(model, 4, 2.0, seed=0)
    spread(model)
    model.eval()
    loss = LossOf(model)
    loss.training = True
    loss(windows()).backward()
    plain = models.build(shape, 0)
    Adapters(plain, 4, 2.0, seed=0)
    spread(plain)
    whole = models.build(shape, 0)
    named = dict(model.named_parameters())
    end = "model.embed_tokens" if shape.tied else "lm_head"
    down = "model.layers.1.mlp.down_proj"
    halves = {
        end: ("lora_embedding_A.default", "lora_embedding_B.default") if shape.tied else ("lora_A.default.weight", "lora_B.default.weight"),
        down: ("lora_A.default.weight", "lora_B.default.weight"),
    }  # fmt: skip
    adapters = {key: tuple(named[f"{key}.{half}"] for half in pair) for key, pair in halves.items()}
    merged = models.build(shape, 0)
    held = Adapters(merged, 4, 2.0, seed=0)
    spread(merged)
    held.remove(merge=True)
    whole.load_state_dict(merged.state_dict())
    reference = LossOf(whole.eval())
    reference.training = True
    reference(windows()).backward()
    for key, (a, b) in adapters.items():
        slope = dict(whole.named_parameters())[f"{key}.weight"].grad
        slope = slope.t() if key.endswith("embed_tokens") else slope
        assert torch.allclose(b.grad, 2.0 * slope @ a.t(), rtol=1e-3, atol=1e-6), key
        assert torch.allclose(a.grad, 2.0 * b.t() @ slope, rtol=1e-3, atol=1e-6), key


@pytest.mark.parametrize("shape", [SHAPE, UNTIED], ids=["tied", "untied"])
def test_a_low_rank_stage_ends_as_a_plain_model(tmp_path, shape):
    outcome = run(tmp_path, model=models.build(shape, 0), rank=2, lr=3e-2, stop_on="stop", eval_every=8)
    first = evaluate(models.build(shape, 0), heldout(), 16)
    assert outcome.losses["report"] < first["report"] - 0.1
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert evaluate(opened, heldout(), 16) == pytest.approx(outcome.losses, rel=1e-6)
    assert (opened.lm_head.weight is opened.model.embed_tokens.weight) == shape.tied
    for name, tensor in load_file(tmp_path / "model.safetensors").items():
        change = (tensor - checkpoints.weights(models.build(shape, 0))[name]).float()
        adapted = any(part in name for part in ("o_proj", "mlp", "embed_tokens" if shape.tied else "lm_head"))
        assert bool(change.any()) == adapted, name
        if adapted:
            assert torch.linalg.matrix_rank(change, rtol=1e-4) <= 2, name
    model = models.build(shape, 5)
    assert run(tmp_path, model=model, rank=2, lr=3e-2, stop_on="stop", eval_every=8) == outcome  # read back
    assert torch.equal(model.lm_head.weight, opened.lm_head.weight)
