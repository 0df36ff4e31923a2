"""The decoder by hand: the numbers of transformers, for every shape, and only for models that are nothing else."""

import ctypes
import resource
from dataclasses import replace

import pytest
import torch

from lm_experiments import cross_entropy, decoder, models
from lm_experiments.adapters import Adapters
from lm_experiments.cross_entropy import mean_loss
from lm_experiments.dropout import Dropout, installed
from lm_experiments.kernels import fast, keep_freed_memory
from lm_experiments.loss import LossOf
from tests.lm_experiments.tiny import SHAPE

SHAPES = {
    "two groups, three blocks of queries": replace(SHAPE, hidden=24, heads=6, kv_heads=2, context=150),
    "one group": SHAPE,
    "no groups, untied": replace(SHAPE, kv_heads=2, tied=False),
}


def moved(shape):
    """A model whose gains are not all 1."""
    model, draw = models.build(shape, 0), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return model


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_states_and_gradients_are_those_of_transformers(shape):
    model = moved(shape)
    ids = torch.randint(0, shape.vocabulary, (3, shape.context), generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(ids.numel(), shape.hidden, generator=torch.Generator().manual_seed(2))
    wanted = model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
    found = decoder.hidden_states(model, ids)
    assert torch.allclose(found, wanted, atol=1e-5)
    named = dict(model.model.named_parameters())
    pairs = (torch.autograd.grad(states, list(named.values()), upstream) for states in (found, wanted))
    for name, mine, theirs in zip(named, *pairs, strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm(), name
    with torch.no_grad():
        assert torch.equal(decoder.hidden_states(model, ids), found)


def test_a_plain_model_on_a_cpu_is_computed_by_hand_while_it_is_fast(monkeypatch):
    asked, usual = [], decoder.hidden_states
    monkeypatch.setattr(decoder, "hidden_states", lambda model, ids: asked.append(ids.shape[1]) or usual(model, ids))
    model = models.build(SHAPE, 0)
    windows = torch.zeros(2, 9, dtype=torch.int64)
    with pytest.raises(KeyError), decoder.by_hand(model):
        raise KeyError("a block that ends by an error")
    assert not model.by_hand
    with fast(model):
        with decoder.by_hand(model):
            pass
        LossOf(model).train()(windows)
        with torch.autocast("cpu", torch.bfloat16):
            LossOf(model)(windows)
        monkeypatch.setattr(decoder, "LONGEST", 7)
        LossOf(model)(windows)
    LossOf(model)(windows)
    assert asked == [8]
    assert not model.by_hand


def attached(what):
    model = models.build(SHAPE, 0)
    if what == "biased":
        model.model.layers[1].mlp.up_proj.bias = torch.nn.Parameter(torch.zeros(SHAPE.mlp))
    elif what == "adapters":
        Adapters(model, 2, 2.0, 0)
    elif what == "compiled":
        model.model._compiled_call_impl = model.model.forward
    elif what == "activations computed twice":
        model.activation_checkpointing_enable()
    elif what == "another precision":
        model.to(torch.bfloat16)
    elif what == "another device":
        model.to("meta")
    elif what == "another activation":
        model.config.hidden_act = "gelu"
    elif what == "sharded":  # fully_shard gives modules a class of its own
        model.model.layers[0].__class__ = type("Sharded", (type(model.model.layers[0]),), {})
    elif what == "other positions":
        model.model.rotary_emb.rope_type = "llama3"
    elif what == "another kind of weights":
        model.model.norm.weight = type("Quantised", (torch.nn.Parameter,), {})(torch.ones(SHAPE.hidden))
    elif what == "padded":
        model.model.embed_tokens.padding_idx = 0
    return model


@pytest.mark.parametrize(
    "what",
    ["biased", "adapters", "compiled", "activations computed twice", "another precision", "another device", "another activation",
     "sharded", "other positions", "another kind of weights", "padded"],
)  # fmt: skip
def test_what_is_not_plainly_the_decoder_is_left_to_transformers(what):
    assert decoder.suits(attached("nothing"))
    assert not decoder.suits(attached(what))


@pytest.mark.parametrize("site", ["embed", "attn", "resid", "mlp"])
def test_dropout_is_left_to_transformers(site):
    model = models.build(SHAPE, 0)
    with installed(model, Dropout(**{site: 0.1})), fast(model):
        assert not model.by_hand
    with installed(model, Dropout()), fast(model):
        assert model.by_hand


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_memory_is_kept():
    keep_freed_memory()
    rounds, size = 10, 2 << 20

    def faults():
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

    def use():
        return [torch.ones(size) for _ in range(4)]

    counts = []
    for _ in range(rounds):
        before = faults()
        use()
        counts.append(faults() - before)
    few = 4 * size * 4 / resource.getpagesize() / 10
    assert sorted(counts)[rounds // 2] < few  # most rounds: a test before may have left the heap in pieces


def test_the_softmax_of_the_head_is_compiled_on_an_accelerator_only(monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: compiled.append(function) or function)
    cross_entropy.compiled_slopes.cache_clear()
    for device, times in (("cpu", 0), ("meta", 1)):
        hidden, weight = (torch.ones(rows, 4, device=device, requires_grad=True) for rows in (6, 5))
        labels = torch.zeros(6, dtype=torch.int64, device=device)
        mean_loss(hidden, weight, labels, True).backward()
        mean_loss(hidden, weight, labels).backward()
        assert compiled == [cross_entropy.slopes] * times
    cross_entropy.compiled_slopes.cache_clear()
