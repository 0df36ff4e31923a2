"""The training loop: schedule, early stopping, exact resume, accumulation, divergence."""

import itertools
import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from common.settings import WrongUse, config_hash
from lm_experiments import checkpoints, models
from lm_experiments.divergence import ceiling, diverged
from lm_experiments.evaluation import evaluate
from lm_experiments.outcomes import read_outcome
from lm_experiments.schedules import learning_rate
from lm_experiments.training import Diverged
from tests.lm_experiments import tiny
from tests.lm_experiments.killed import stage
from tests.lm_experiments.tiny import LENGTH, SHAPE, Plain, heldout, lines, run, settings


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_schedule_warms_up_and_ends_at_the_minimum():
    rates = [learning_rate(s, peak=1.0, minimum=0.1, warmup_steps=4, max_steps=25) for s in range(25)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[4] == 1.0
    assert rates[14] == pytest.approx(0.55)  # half way down
    assert rates[-1] == pytest.approx(0.1, abs=1e-15)
    assert all(a >= b for a, b in itertools.pairwise(rates[4:]))


def test_schedule_without_room_for_a_cosine():
    assert learning_rate(0, peak=1.0, minimum=0.1, warmup_steps=0, max_steps=1) == 1.0
    assert learning_rate(2, peak=1.0, minimum=0.1, warmup_steps=3, max_steps=3) == 1.0


def test_a_minimum_above_the_peak_rises_with_a_warning(tmp_path):
    assert learning_rate(9, peak=1e-5, minimum=5e-5, warmup_steps=0, max_steps=10) == pytest.approx(5e-5)
    with pytest.warns(UserWarning, match=r"min_lr = 5e-05 exceeds the peak lr = 1e-05"):
        run(tmp_path, lr=1e-5, min_lr=5e-5, max_steps=3)


def test_loop_is_adamw_of_a_plain_loop(tmp_path):
    """Against the obvious loop: full logits, torch's AdamW one tensor at a time, transformers' own model."""
    plain = models.build(SHAPE, 0).train()
    decaying = [p for p in plain.parameters() if p.ndim == 2]
    gains = [p for p in plain.parameters() if p.ndim == 1]
    assert gains
    optimizer = torch.optim.AdamW(
        [{"params": decaying, "weight_decay": 0.1}, {"params": gains, "weight_decay": 0.0}],
        betas=(0.9, 0.95), foreach=False,
    )  # fmt: skip
    losses = []
    for step in range(24):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, peak=1e-2, minimum=1e-3, warmup_steps=3, max_steps=24)
        windows = torch.from_numpy(Plain().batch(step))
        logits = plain(input_ids=windows[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    outcome = run(tmp_path)
    assert [line["loss"] for line in lines(tmp_path)] == pytest.approx(
        [np.mean(losses[a:b]) for a, b in ((0, 5), (5, 10), (10, 15), (15, 20), (20, 24))], rel=1e-4
    )
    assert losses[-1] < losses[0] - 0.2
    wanted = evaluate(plain.eval(), heldout(), 4)
    assert outcome.losses == pytest.approx(wanted, rel=1e-4)


def test_the_finished_folder(tmp_path):
    seen = []
    outcome = tiny.train(
        models.build(SHAPE, 0), Plain(), settings(), heldout(), tmp_path, stop_on=None, report=seen.append
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "config.json",
        "metrics.jsonl",
        "model.safetensors",
        "outcome.json",
    ]
    opened = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert evaluate(opened, heldout(), 16) == pytest.approx(outcome.losses, rel=1e-6)
    assert (outcome.steps, outcome.tokens, outcome.best_step, outcome.stopped_early) == (24, 24 * 4 * LENGTH, 24, False)
    assert read_outcome(tmp_path)[0] == outcome
    assert [p.step for p in seen] == [5, 10, 15, 20, 24]
    assert seen[-1].eta_seconds == 0
    assert all(p.tokens_per_second > 0 and p.steps == 24 for p in seen)
    assert [line["tokens"] for line in lines(tmp_path)] == [step * 4 * LENGTH for step in (5, 10, 15, 20, 24)]
    model = models.build(SHAPE, 5)
    assert run(tmp_path, model=model) == outcome  # again: read back, into the model
    assert torch.equal(model.lm_head.weight, opened.lm_head.weight)


class Spoiled(Plain):
    """Text for ten steps, then noise: the held-out loss gets worse."""

    def batch(self, step):
        if step < 10:
            return super().batch(step)
        return np.random.default_rng(step).integers(0, SHAPE.vocabulary, (self.rows, LENGTH + 1))


def test_early_stopping_restores_the_best_weights(tmp_path):
    model = models.build(SHAPE, 0)
    outcome = run(
        tmp_path, Spoiled(), model=model, stop_on="stop", eval_every=2, patience=3, max_steps=60, lr=2e-2, min_lr=2e-2
    )
    curve = {line["step"]: line["eval/stop"] for line in lines(tmp_path) if "eval/stop" in line}
    assert outcome.stopped_early
    assert outcome.best_step == min(curve, key=curve.__getitem__)
    assert outcome.steps == max(curve) == outcome.best_step + 6 < 60
    assert outcome.losses["stop"] == curve[outcome.best_step] < curve[outcome.steps]
    for held in (model, AutoModelForCausalLM.from_pretrained(tmp_path)):  # in memory and on disk
        assert evaluate(held, heldout(), 16)["stop"] == pytest.approx(curve[outcome.best_step], rel=1e-6)
    weights = load_file(tmp_path / "model.safetensors")
    assert all(torch.equal(weights[name], tensor) for name, tensor in checkpoints.weights(model).items())
    short = models.build(SHAPE, 0)
    tiny.train(
        short, Spoiled(), settings(max_steps=60, lr=2e-2, min_lr=2e-2, eval_every=2), heldout(), tmp_path / "again",
        stop_on="stop", report=lambda _: None,
    )  # fmt: skip
    assert torch.equal(short.lm_head.weight, model.lm_head.weight)  # without patience, the same best


def same(a, b):
    """Whether two finished folders agree bit for bit, wall time aside."""
    assert (a / "metrics.jsonl").read_bytes() == (b / "metrics.jsonl").read_bytes()
    assert (a / "model.safetensors").read_bytes() == (b / "model.safetensors").read_bytes()
    first, second = (replace(read_outcome(folder)[0], seconds=0) for folder in (a, b))
    assert first == second
    return True


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path):
    stage(tmp_path / "whole")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.lm_experiments.killed", str(tmp_path), "3"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8  # children were really killed
    for seed in range(3):
        assert same(tmp_path / "whole", tmp_path / str(seed))
        assert not [
            path.name
            for path in (tmp_path / str(seed)).iterdir()
            if "checkpoint" in path.name or "partial" in path.name
        ]


@pytest.mark.parametrize("at", [13, 15, 17])
def test_patience_goes_on_where_it_was(tmp_path, at):
    """A stage that stops early, killed while it waits for a new best: a checkpoint holds how long it has waited."""

    class Killed(Spoiled):
        def batch(self, step):
            if step == at:
                raise KeyboardInterrupt
            return super().batch(step)

    changes = {"stop_on": "stop", "eval_every": 2, "patience": 4, "max_steps": 60, "lr": 2e-2, "min_lr": 2e-2}
    changes["checkpoint_steps"] = 1
    outcome = run(tmp_path / "whole", Spoiled(), **changes)
    assert outcome.stopped_early
    assert outcome.best_step < at < outcome.steps < 60
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", Killed(), **changes)
    run(tmp_path / "cut", Spoiled(), **changes)
    assert same(tmp_path / "whole", tmp_path / "cut")


class Interrupted(Plain):
    """Stops the program at a step."""

    at = 18

    def batch(self, step):
        if step == self.at:
            raise KeyboardInterrupt
        return super().batch(step)


def interrupted(folder, **changes):
    with pytest.raises(KeyboardInterrupt):
        run(folder, Interrupted(), **changes)


@pytest.mark.parametrize("harm", ["truncate", "alter", "remove", "manifest"])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_used(tmp_path, harm):
    run(tmp_path / "whole")
    folder = tmp_path / "damaged"
    interrupted(folder)
    assert list(checkpoints.numbered(folder, "checkpoint")) == [12, 16]  # the two newest
    victim = folder / "checkpoint-16" / "optimizer.safetensors"
    content = bytearray(victim.read_bytes())
    if harm == "truncate":
        victim.write_bytes(content[:-100])
    elif harm == "alter":
        content[-100] ^= 1
        victim.write_bytes(content)
    elif harm == "remove":
        victim.unlink()
    else:
        (victim.parent / "manifest.json").write_text('{"model.safe')
    with pytest.warns(UserWarning, match="checkpoint-16 is damaged"):
        run(folder)
    assert same(tmp_path / "whole", folder)


def test_a_lost_log_is_not_taken_for_a_whole_one(tmp_path):
    run(tmp_path / "whole")
    interrupted(tmp_path / "cut")
    log = tmp_path / "cut" / "metrics.jsonl"
    log.write_bytes(log.read_bytes()[:10])
    with pytest.warns(UserWarning, match=r"metrics\.jsonl"):
        run(tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_a_full_disk_is_an_error_that_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    written = []

    def full(path, tensors):
        written.append(path)
        if len(written) > 5:  # in the third checkpoint, after its weights
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return write(path, tensors)

    write = checkpoints.write_tensors
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_tensors", full)
        with pytest.raises(OSError, match="The disk is full"):
            run(tmp_path / "full")
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [
        "checkpoint-4",
        "checkpoint-8",
        "metrics.jsonl",
    ]
    run(tmp_path / "full")
    assert same(tmp_path / "whole", tmp_path / "full")


@pytest.mark.parametrize(
    ("value", "named"), [(math.nan, "loss nan"), (math.inf, "loss nan|loss inf"), (1e3, r"limit \d")]
)
def test_divergence_stops_the_stage_and_loses_nothing(tmp_path, value, named):
    model = models.build(SHAPE, 0)

    class Spoiling(Plain):
        def batch(self, step):
            if step == 14:
                with torch.no_grad():
                    model.model.norm.weight.fill_(value)
            return super().batch(step)

    with pytest.raises(Diverged, match=named) as caught:
        run(tmp_path, Spoiling(), model=model)
    message = str(caught.value)
    assert "step 15 of 24" in message
    assert "Last good step: 14; last checkpoint: step 12" in message
    assert "lr = 0.01" in message
    assert not (tmp_path / "outcome.json").exists()
    assert not (tmp_path / "model.safetensors").exists()
    run(tmp_path)  # from the last good step, with weights that nobody spoils
    run(tmp_path.with_name("whole"))
    assert same(tmp_path, tmp_path.with_name("whole"))


def test_the_limit_of_the_loss_is_above_guessing_and_above_the_first(tmp_path):
    assert ceiling(9.0, 64, settings(explode=2.0)) == 11
    assert ceiling(1.0, 64, settings(explode=2.0)) == pytest.approx(math.log(64) + 2)
    chosen = settings(lr=0.1, min_lr=0.02, clip=0.5, precision="bf16")
    said = str(diverged(0, 5.0, 7.0, 3.0, chosen, tmp_path))
    for part in ("step 1 of 24: loss 5 (limit 3), gradient norm 7", "lr = 0.1 (min_lr 0.02, 3 warm-up steps), clip = 0.5, precision bf16",
                 f"Last good step: 0; last checkpoint: none, kept in {tmp_path}"):  # fmt: skip
        assert part in said


def test_an_absurd_learning_rate_diverges(tmp_path):
    with pytest.raises(Diverged, match="lr = 100"):
        run(tmp_path, lr=100.0, min_lr=0.0, max_steps=40)


def test_micro_batches_and_checkpointed_activations_change_only_rounding(tmp_path):
    whole = run(tmp_path / "whole")
    for name, changes in {"micro": {"micro_batch": 3}, "activations": {"activation_checkpointing": True}}.items():
        found = run(tmp_path / name, **changes)
        assert found.losses == pytest.approx(whole.losses, rel=1e-4), name


def test_bf16_trains_with_weights_in_float32(tmp_path):
    whole = run(tmp_path / "fp32")
    found = run(tmp_path / "bf16", precision="bf16")
    assert found.losses == pytest.approx(whole.losses, rel=0.05)
    assert found.losses != whole.losses
    assert {tensor.dtype for tensor in load_file(tmp_path / "bf16" / "model.safetensors").values()} == {torch.float32}


def test_checkpoints_by_the_clock_and_not_at_all_leave_the_same_bits(tmp_path):
    run(tmp_path / "a", checkpoint_steps=0, checkpoint_seconds=0)
    run(tmp_path / "b", checkpoint_steps=0, checkpoint_seconds=1e6)
    assert same(tmp_path / "a", tmp_path / "b")


def test_what_is_no_science_is_not_hashed():
    changes = {
        "micro_batch": 2,
        "compile": "yes",
        "log_every": 3,
        "checkpoint_steps": 1,
        "trackers": ("wandb",),
        "activation_checkpointing": True,
        "liger": "no",
    }
    assert config_hash(settings(**changes)) == config_hash(settings())
    assert config_hash(settings(precision="bf16")) != config_hash(settings())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"length": 999}, "length = 999"),
        ({"max_steps": 2_000}, "max_steps = 2000"),
        ({"patience": 2}, "patience = 2"),
        ({"patience": 2, "eval_every": 3}, "stop_on"),
        ({"warmup_steps": 25}, "warmup_steps = 25"),
        ({"betas": (1.0, 0.9)}, "betas"),
        ({"batch": 5}, "batch = 5"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path, changes, named):
    with pytest.raises(WrongUse, match=named):
        run(tmp_path, **changes)


def test_no_warning_in_a_plain_run(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path)


def test_what_a_killed_end_left_behind_is_cleared(tmp_path):
    """Killed between the outcome and the tidying: the next run reads the outcome, and tidies."""
    first = run(tmp_path)
    (tmp_path / "checkpoint-20").mkdir()
    (tmp_path / "checkpoint-20" / "state.json").write_text("{}")
    assert run(tmp_path) == first
    assert not (tmp_path / "checkpoint-20").exists()
