"""The compiled decoder: the numbers of transformers, the same bits again, and the decoder by hand where the compiler fails."""

import os
import shutil
from dataclasses import replace

import pytest
import torch

from lm_experiments import compiled, decoder, models
from lm_experiments.dropout import Dropout
from tests.lm_experiments.test_decoder import moved
from tests.lm_experiments.test_training import same
from tests.lm_experiments.tiny import SHAPE, lines, run

EVERY = os.environ.get("EARLY_EXPOSURE_EVERY") and any(map(shutil.which, ("g++", "clang++")))
"""Compile in C++: half a minute; else PyTorch traces the same program and leaves it as it is."""
about_itself = pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning", "ignore:The .grad attribute")
GROUPS = replace(SHAPE, hidden=24, heads=6, kv_heads=2)


@about_itself
def test_compiled_states_and_gradients_are_those_of_transformers_and_stages_have_the_same_bits(tmp_path, monkeypatch):
    if not EVERY:
        traced = torch.compile(compiled._states, dynamic=False, fullgraph=True, backend="aot_eager")
        monkeypatch.setattr(compiled, "_program", lambda: traced)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    model, draw = moved(GROUPS), torch.Generator().manual_seed(2)
    ids = torch.randint(0, GROUPS.vocabulary, (4, GROUPS.context), generator=draw)
    upstream = torch.randn(ids.numel(), GROUPS.hidden, generator=draw)
    wanted = model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
    with decoder.by_hand(model, ids.shape):
        found = decoder.hidden_states(model, ids)
    assert torch.allclose(found, wanted, atol=1e-5)
    assert type(found.grad_fn).__name__ == "CompiledFunctionBackward"
    named = dict(model.model.named_parameters())
    pairs = (torch.autograd.grad(states, list(named.values()), upstream) for states in (found, wanted))
    for name, mine, theirs in zip(named, *pairs, strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm(), name

    for folder, changes in {"once": {"compile": True}, "again": {"compile": True}, "by hand": {}}.items():
        run(tmp_path / folder, model=models.build(GROUPS, 0), **changes)
    assert same(tmp_path / "once", tmp_path / "again")
    assert lines(tmp_path / "once") != lines(tmp_path / "by hand")  # other sums, so that it really was compiled
    for one, other in zip(lines(tmp_path / "once"), lines(tmp_path / "by hand"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


def test_where_the_compiler_fails_the_stage_says_so_and_goes_on_by_hand(tmp_path, monkeypatch):
    def broken(*_):
        raise torch._dynamo.exc.TorchDynamoException("no g++ here\nand more")

    monkeypatch.setattr(compiled, "_program", lambda: broken)
    with pytest.warns(UserWarning, match=r"torch\.compile failed \(no g\+\+ here\)"):
        run(tmp_path / "compiled", compile=True)
    run(tmp_path / "by hand")
    assert same(tmp_path / "compiled", tmp_path / "by hand")


@pytest.mark.parametrize(
    ("changes", "own"), [({}, True), ({"dropout": Dropout(mlp=0.1)}, False), ({"precision": "bf16"}, False)]
)
def test_the_plain_decoder_is_compiled_here_and_any_other_is_that_of_transformers(tmp_path, monkeypatch, changes, own):
    asked = []
    monkeypatch.setattr(compiled, "states", lambda *_: asked.append("ours"))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _: asked.append("theirs"))
    run(tmp_path, compile=True, max_steps=8, micro_batch=2, warmup_steps=0, **changes)
    assert asked == (["ours"] if own else ["theirs"])  # what has failed is not asked again
