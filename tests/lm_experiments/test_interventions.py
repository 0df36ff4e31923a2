"""Interventions in the loop: pulls, sharpness, damage. Each against something slower, each exact in resuming."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from common.settings import WrongUse, config_hash
from lm_experiments import checkpoints, damage, models
from lm_experiments.damage import Damage
from lm_experiments.dropout import everywhere, installed
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.feeding import Feed
from lm_experiments.outcomes import read_outcome
from lm_experiments.plan import Part, Plan
from lm_experiments.pulls import fisher
from lm_experiments.training import train
from tests.lm_experiments.test_training import Spoiled, interrupted, same
from tests.lm_experiments.tiny import LENGTH, SHAPE, Plain, Text, heldout, lines, run, settings

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
PRIOR = EvalSet(store=Text(3), windows=6, length=LENGTH)
EWC = {"ewc": 1e4, "ewc_on": "text/train"}


def moved(folder, shape=SHAPE):
    """How far every matrix of a finished stage is from the model it began with."""
    start = checkpoints.weights(models.build(shape, 0))
    return {
        name: (tensor - start[name]).norm().item() for name, tensor in load_file(folder / "model.safetensors").items()
    }


# Adapters.


# Resuming, of every intervention.

STAGES = {
    "adapters": {"rank": 2, "rank_dropout": 0.1, "stop_on": "stop", "eval_every": 6, "patience": 3},
    "l2": {"l2_to_start": 0.1},
    "ewc": EWC,
    "sam": {"sam": 0.05, "dropout": everywhere(0.1)},
    "logged": {"stop_on": "stop", "eval_every": 6, "keep_best": False},
}


def carry_out(folder, batches=None, *, stop_on=None, **changes):
    model = models.build(SHAPE, 0)
    return train(model, batches or Plain(), settings(**changes), heldout(), folder, stop_on=stop_on,
                 report=lambda _: None, prior=PRIOR)  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_an_interrupted_stage_ends_with_the_same_bits(tmp_path, name, monkeypatch):
    monkeypatch.setattr("tests.lm_experiments.test_training.run", carry_out)
    carry_out(tmp_path / "whole", **STAGES[name])
    interrupted(tmp_path / "cut", **STAGES[name])
    assert list(checkpoints.numbered(tmp_path / "cut", "checkpoint")) == [12, 16]
    carry_out(tmp_path / "cut", **STAGES[name])
    assert same(tmp_path / "whole", tmp_path / "cut")
    run(tmp_path / "plain")
    plain, found = (load_file(tmp_path / each / "model.safetensors") for each in ("plain", "whole"))
    differs = any(not torch.equal(plain[key], found[key]) for key in plain)
    assert differs == (name != "logged")


# Pulls.


def test_a_stage_that_keeps_its_last_weights_does_so_where_an_earlier_step_was_better(tmp_path):
    watched = {"stop_on": "stop", "eval_every": 6}
    best = carry_out(tmp_path / "best", Spoiled(), **watched)
    last = carry_out(tmp_path / "last", Spoiled(), keep_best=False, **watched)
    unwatched = carry_out(tmp_path / "unwatched", Spoiled())
    assert best.best_step < best.steps == last.steps == last.best_step
    assert last.losses == unwatched.losses
    assert best.losses["stop"] < last.losses["stop"]


def test_fisher_is_the_mean_squared_gradient_of_a_window():
    model = models.build(SHAPE, 0).train()
    squares = [torch.zeros_like(parameter) for parameter in model.parameters()]
    for index in range(PRIOR.windows):
        ids = PRIOR.rows(index, 1)
        logits = model(input_ids=ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        for total, gradient in zip(squares, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            total += gradient**2 / PRIOR.windows
    with installed(model, everywhere(0.5)):
        found = fisher(model, PRIOR)
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-9) for a, b in zip(found, squares, strict=True))
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("name", ["l2", "ewc"])
def test_a_pull_adds_the_gradient_of_its_penalty(tmp_path, name):
    """Two steps of a plain loop with the penalty written into the loss."""
    changes = STAGES[name] | {"max_steps": 2, "warmup_steps": 0, "clip": 0.0}
    found = carry_out(tmp_path, **changes)
    plain = models.build(SHAPE, 0).train()
    start = [parameter.detach().clone() for parameter in plain.parameters()]
    weights = (
        [0.1 * torch.ones_like(p) for p in start] if name == "l2" else [0.5 * 1e4 * f for f in fisher(plain, PRIOR)]
    )
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in plain.parameters() if (p.ndim == 2) == flag], "weight_decay": 0.1 * flag} for flag in (True, False)],
        betas=(0.9, 0.95),
    )  # fmt: skip
    for step, rate in enumerate((1e-2, 1e-3)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids = torch.from_numpy(Plain().batch(step))
        loss = torch.nn.functional.cross_entropy(
            plain(input_ids=ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten()
        )
        loss = loss + sum((w * (p - s) ** 2).sum() for w, p, s in zip(weights, plain.parameters(), start, strict=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found.losses == pytest.approx(evaluate(plain.eval(), heldout(), 4), rel=1e-4)
    distance = torch.cat([(p.detach() - s).flatten() for p, s in zip(plain.parameters(), start, strict=True)]).norm()
    assert found.displacement == pytest.approx(distance.item(), rel=1e-3)


def test_a_stronger_pull_stays_nearer(tmp_path):
    far = [carry_out(tmp_path / f"{weight:g}", l2_to_start=weight).displacement for weight in (0.0, 0.1, 10.0)]
    assert far[0] > far[1] > far[2] > 0
    free, held = (
        carry_out(tmp_path / f"ewc{weight:g}", **(EWC | {"ewc": weight})).displacement for weight in (1e-6, 1e5)
    )
    assert held < free


# Sharpness.


def test_sharpness_takes_the_gradient_uphill(tmp_path):
    found = run(tmp_path, sam=0.3, max_steps=2, warmup_steps=0, micro_batch=3)
    plain = models.build(SHAPE, 0).train()
    parameters = list(plain.parameters())
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in parameters if (p.ndim == 2) == flag], "weight_decay": 0.1 * flag} for flag in (True, False)],
        betas=(0.9, 0.95),
    )  # fmt: skip
    losses = []
    for step, rate in enumerate((1e-2, 1e-3)):
        ids = torch.from_numpy(Plain().batch(step))

        def gradients(ids=ids):
            loss = torch.nn.functional.cross_entropy(
                plain(input_ids=ids[:, :-1]).logits.flatten(0, 1), ids[:, 1:].flatten()
            )
            return loss.item(), torch.autograd.grad(loss, parameters)

        loss, slopes = gradients()
        losses.append(loss)
        norm = torch.cat([slope.flatten() for slope in slopes]).norm()
        for parameter, slope in zip(parameters, slopes, strict=True):
            parameter.data += 0.3 * slope / norm
        _, uphill = gradients()
        for parameter, slope, taken in zip(parameters, slopes, uphill, strict=True):
            parameter.data -= 0.3 * slope / norm
            parameter.grad = taken.clone()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    assert found.losses == pytest.approx(evaluate(plain.eval(), heldout(), 4), rel=1e-4)
    assert lines(tmp_path)[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)


# Damage.


def test_noise_has_the_size_that_is_asked_for_and_is_a_function_of_the_seed():
    for scale in ("relative", "absolute"):
        model, again, other = (models.build(SHAPE, 0) for _ in range(3))
        damage.apply(model, Damage(noise=0.1, scale=scale), 1)
        damage.apply(again, Damage(noise=0.1, scale=scale), 1)
        damage.apply(other, Damage(noise=0.1, scale=scale), 2)
        for (name, before), one, two, three in zip(
            models.build(SHAPE, 0).named_parameters(),
            model.parameters(),
            again.parameters(),
            other.parameters(),
            strict=True,
        ):
            assert torch.equal(one, two)
            one, before = one.detach(), before.detach()
            change = (one - before).square().mean().sqrt()
            unit = before.square().mean().sqrt() if scale == "relative" else 1.0
            assert float(change / unit) == pytest.approx(0.1 if before.ndim == 2 else 0.0, rel=0.15), name
            assert torch.equal(one, three.detach()) == (before.ndim == 1)


@pytest.mark.parametrize("bits", [4, 8])
def test_rounding_leaves_few_levels_and_small_errors(bits):
    model = models.build(SHAPE, 0)
    damage.apply(model, Damage(bits=bits), 0)
    for before, after in zip(models.build(SHAPE, 0).parameters(), model.parameters(), strict=True):
        if before.ndim == 1:
            assert torch.equal(before, after)
            continue
        step = before.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
        assert ((after - before).abs() <= step / 2 + 1e-6).all()
        assert not torch.equal(before, after)
        assert max(len(row.unique()) for row in after) <= 2**bits - 1


def test_a_damaged_stage_trains_nothing_and_is_read_back(tmp_path):
    model = models.build(SHAPE, 0)
    outcome = run(tmp_path, model=model, damage=Damage(noise=0.1, bits=8))
    assert (outcome.steps, outcome.tokens, outcome.best_step, outcome.stopped_early) == (0, 0, 0, False)
    assert evaluate(AutoModelForCausalLM.from_pretrained(tmp_path), heldout(), 16) == pytest.approx(
        outcome.losses, rel=1e-6
    )
    assert outcome.losses != evaluate(models.build(SHAPE, 0), heldout(), 16)
    assert run(tmp_path, damage=Damage(noise=0.1, bits=8)) == outcome
    assert read_outcome(tmp_path)[0] == outcome
    assert outcome.displacement == pytest.approx(sum(far**2 for far in moved(tmp_path).values()) ** 0.5, rel=1e-6)


# Dropout masks.


# Feeding.


class Alone:
    """One of two processes."""

    count, rank, device = 2, 1, CPU


def test_a_process_reads_its_own_rows_ahead_of_their_step():
    read = []

    class Rows:
        steps = 3

        def batch(self, step):
            raise AssertionError("it needs its own rows alone")

        def rows(self, step, first, count):
            read.append((step, first, count))
            return Plain().batch(step)[first : first + count]

    for ahead in (False, True):
        read.clear()
        with Feed(Rows(), settings(max_steps=3), Alone(), ahead=ahead) as feed:
            found = [feed.windows(step) for step in range(3)]
        assert all(np.array_equal(windows, Plain().batch(step)[2:]) for step, windows in enumerate(found))
        assert read == [(0, 2, 2), (1, 2, 2), (2, 2, 2)]
    with Feed(Plain(), settings(max_steps=3), Alone()) as feed:  # which has no rows to ask for
        assert np.array_equal(feed.windows(1), Plain().batch(1)[2:])
    with Feed(Rows(), settings(max_steps=3), Alone(), ahead=True) as feed:
        assert all(np.array_equal(feed.windows(step), Plain().batch(step)[2:]) for step in (0, 2, 1))
    asked = []

    class Counting(Text):
        def window(self, index, length):
            asked.append(index)
            return super().window(index, length)

    plan = Plan(length=LENGTH, batch=4, steps=2, seed=0, parts=(Part(store="text", windows=8, count=8),))
    with Feed(plan.open({"text": Counting(0)}), settings(max_steps=2, warmup_steps=0), Alone()) as feed:
        feed.windows(1)
    assert asked == [window for _, window in plan.rows(1)[2:]]
    with pytest.raises(WrongUse, match="batch = 6"), Feed(Plain(), settings(batch=6), Alone()) as feed:
        feed.windows(0)


# Settings.


def test_interventions_that_are_off_leave_the_hash_as_it_was():
    assert config_hash(settings()) == "db6ea5ad58f54338"
    on = [{"rank": 2}, {"l2_to_start": 0.1}, EWC, {"sam": 0.1}, {"damage": Damage(bits=8)}, {"keep_best": False}]
    assert len({config_hash(settings(**changes)) for changes in on} | {config_hash(settings())}) == len(on) + 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rank": 2, "l2_to_start": 0.1}, r"l2_to_start = 0\.1 pulls weights that rank = 2 does not train"),
        ({"rank": 2, **EWC}, "ewc = 10000"),
        ({"rank": 0}, "rank = 0"),
        ({"ewc": 1.0}, "ewc_on"),
        ({"keep_best": False, "patience": 2, "eval_every": 2}, "keep_best = False"),
    ],
)
def test_interventions_that_do_not_go_together_are_refused(changes, named):
    with pytest.raises(WrongUse, match=named):
        settings(**changes)


def test_damage_and_fisher_without_what_they_need_are_refused(tmp_path):
    with pytest.raises(WrongUse, match="bits = 1"):
        Damage(bits=1)
    with pytest.raises(WrongUse, match="needs text to measure"):
        run(tmp_path, **EWC)
