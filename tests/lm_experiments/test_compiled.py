"""Compiled gradients: the numbers of transformers, the same bits again, and the decoder by hand where the compiler fails."""

import os
import shutil
import warnings
from dataclasses import replace
from functools import cache, partial

import pytest
import torch

from lm_experiments import compiled, compilers, models
from lm_experiments.dropout import Dropout
from lm_experiments.loss import LossOf
from tests.lm_experiments.test_decoder import moved
from tests.lm_experiments.test_training import same
from tests.lm_experiments.tiny import SHAPE, Plain, lines, run

EVERY = os.environ.get("EARLY_EXPOSURE_EVERY") and compilers.compiler()
"""Compile in C++: half a minute; else PyTorch traces the same program and leaves it as it is."""
about_itself = pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning", "ignore:The .grad attribute")
GROUPS = replace(SHAPE, hidden=24, heads=6, kv_heads=2)


@pytest.fixture
def traced(unchecked, tmp_path, monkeypatch):
    if not EVERY:
        program = cache(partial(torch.compile, dynamic=False, fullgraph=True, backend="aot_eager"))
        monkeypatch.setattr(compiled, "_program", program)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))


@about_itself
@pytest.mark.parametrize("shape", [GROUPS, replace(SHAPE, kv_heads=2, tied=False)], ids=["groups", "untied"])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_loss_and_gradients_are_those_of_transformers(traced, monkeypatch, shape, scale):
    monkeypatch.setattr(compiled, "ROWS", 24)  # several pieces, the last one smaller
    model, draw = moved(shape), torch.Generator().manual_seed(2)
    windows = torch.randint(0, shape.vocabulary, (4, shape.context + 1), generator=draw)
    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    with compiled.at(model, compiled.Shapes((4, shape.context), (4, shape.context))):
        found = compiled.mean_loss(model, windows)
        assert LossOf(model).train()(windows).item() == found.item()
        sums = LossOf(model).eval()(windows)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-6)
    assert sums.dtype == torch.float64
    assert torch.allclose(sums, LossOf(model).eval()(windows))
    named = dict(model.named_parameters())
    pairs = (torch.autograd.grad(loss * scale, list(named.values())) for loss in (found, wanted))
    for name, mine, theirs in zip(named, *pairs, strict=True):
        assert (mine - theirs).norm() < 1e-5 * theirs.norm(), name


def test_other_batches_other_heads_and_measuring_are_not_for_the_program(monkeypatch):
    monkeypatch.setattr(compiled, "_program", lambda _: pytest.fail("it was asked"))
    model, windows = models.build(SHAPE, 0), torch.zeros(3, 9, dtype=torch.int64)

    def nothing(model, *given):
        assert compiled.mean_loss(model, *given) is compiled.token_losses(model, *given) is None

    nothing(model, windows)
    with compiled.at(model, compiled.Shapes((3, 8), (5, 8))):
        nothing(model, windows[:2])
        nothing(model, windows[:, :5])
        assert compiled.token_losses(model, windows) is None
        with torch.no_grad():
            assert compiled.mean_loss(model, windows) is None
            assert len(LossOf(model).eval()(windows)) == 3
            assert len(LossOf(model).eval()(torch.zeros(5, 9, dtype=torch.int64), hits=True)) == 5
    nothing(model, windows)
    for change in ("head", "layer"):
        other = models.build(SHAPE, 0)
        if change == "head":
            other.lm_head = torch.nn.Sequential(other.lm_head)
        else:
            other.model.layers[0].mlp.register_forward_hook(lambda *_: None)
        with compiled.at(other, compiled.Shapes((3, 8), (3, 8))):
            nothing(other, windows)


@about_itself
def test_a_stage_has_the_same_bits_again_and_the_numbers_of_the_decoder_by_hand(traced, tmp_path):
    for folder, use in {"once": "yes", "again": "yes", "by hand": "no"}.items():
        run(tmp_path / folder, model=models.build(GROUPS, 0), compile=use)
    assert same(tmp_path / "once", tmp_path / "again")
    assert lines(tmp_path / "once") != lines(tmp_path / "by hand")  # other sums, so that it really was compiled
    for one, other in zip(lines(tmp_path / "once"), lines(tmp_path / "by hand"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@about_itself
def test_micro_batches_and_an_interruption_go_through_the_program_as_well(traced, tmp_path):
    for folder, changes in {"whole": {}, "pieces": {"micro_batch": 2}}.items():
        run(tmp_path / folder, compile="yes", **changes)
    for one, other in zip(lines(tmp_path / "whole"), lines(tmp_path / "pieces"), strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    with pytest.raises(RuntimeError, match="cut"):
        run(tmp_path / "cut", Cut(at=13), compile="yes")
    run(tmp_path / "cut", compile="yes")
    assert same(tmp_path / "cut", tmp_path / "whole")


class Cut(Plain):
    """Data that end with an error."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def batch(self, step):
        if step == self.at:
            raise RuntimeError("cut")
        return super().batch(step)


@pytest.mark.parametrize(
    ("use", "operations", "there", "compiles"),
    [("auto", 5e10, "g++", True), ("auto", 4.9e10, "g++", False), ("auto", 1e12, "", False), ("auto", 1e12, "clang++", True),
     ("yes", 1, "", True), ("no", 1e12, "g++", False)],
)  # fmt: skip
def test_unasked_a_long_stage_is_compiled_where_a_compiler_is(monkeypatch, use, operations, there, compiles):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == there else None)
    assert compilers.wanted(use, operations) is compiles


def test_the_program_is_for_the_batches_that_the_stage_takes_and_measures(tmp_path, monkeypatch):
    asked, usual = [], compiled.at
    monkeypatch.setattr(compiled, "at", lambda model, shapes: asked.append(shapes) or usual(model, None))
    for changes in ({"compile": "yes"}, {"compile": "no"}, {"compile": "yes", "micro_batch": 2, "eval_batch": 3}):
        run(tmp_path / str(len(asked)), **changes)
    assert asked == [((4, 16), (16, 16)), None, ((2, 16), (3, 16))]


def test_a_stage_leaves_transformers_decoder_as_it_was(tmp_path, monkeypatch):
    compiles = []

    def compiling(module):
        compiles.append(module)
        module._compiled_call_impl = module._call_impl

    monkeypatch.setattr(torch.nn.Module, "compile", compiling)
    model = models.build(SHAPE, 0)
    run(tmp_path, model=model, compile="yes", dropout=Dropout(mlp=0.1))
    assert compiles == [model.model]
    assert model.model._compiled_call_impl is None


def test_how_long_a_stage_is_counts_every_parameter_and_token(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(compilers, "wanted", lambda *said: asked.append(said))
    run(tmp_path)
    assert asked == [("auto", 6.0 * models.parameter_count(SHAPE) * 24 * 4 * SHAPE.context)]


def test_where_the_compiler_fails_the_stage_says_so_and_goes_on_by_hand(tmp_path, monkeypatch):
    def broken(*_):
        raise torch._dynamo.exc.TorchDynamoException("no g++ here\nand more")

    monkeypatch.setattr(compiled, "_program", lambda _: broken)
    with pytest.warns(UserWarning, match=r"torch\.compile failed \(no g\+\+ here\)"):
        run(tmp_path / "compiled", compile="yes")
    run(tmp_path / "by hand")
    assert same(tmp_path / "compiled", tmp_path / "by hand")


@pytest.mark.parametrize(
    ("changes", "own"), [({}, True), ({"dropout": Dropout(mlp=0.1)}, False), ({"precision": "bf16"}, False)]
)
def test_the_plain_decoder_is_compiled_here_and_any_other_is_that_of_transformers(tmp_path, monkeypatch, changes, own):
    asked = []

    def broken(_):
        asked.append("ours")
        raise OSError("no compiler")

    monkeypatch.setattr(compiled, "_program", broken)
    monkeypatch.setattr(torch.nn.Module, "compile", lambda _: asked.append("theirs"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(tmp_path, compile="yes", max_steps=8, micro_batch=2, warmup_steps=0, **changes)
    assert asked == (["ours"] if own else ["theirs"])  # what has failed is not asked again
