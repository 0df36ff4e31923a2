"""Checkpoints that are written while training goes on: what is written, when, and what happens when it fails."""

import threading
import time
from types import SimpleNamespace

import pytest

from lm_experiments import checkpoints
from lm_experiments.resuming import State
from lm_experiments.saving import Saver
from tests.lm_experiments.test_training import same
from tests.lm_experiments.tiny import Plain, run, settings


class Slow(Plain):
    """Says how far training is, and is interrupted before a step."""

    def __init__(self, until: int = -1) -> None:
        super().__init__()
        self.until, self.seen, self.moved = until, 0, threading.Condition()

    def batch(self, step):
        with self.moved:
            self.seen = step
            self.moved.notify_all()
        if step == self.until:
            raise KeyboardInterrupt
        return super().batch(step)


def test_training_goes_on_meanwhile_but_not_past_the_next_checkpoint(tmp_path, monkeypatch):
    """And what is written are the weights of the checkpoint's step, although training has moved on when they are."""
    run(tmp_path / "whole")
    batches, far, save = Slow(until=11), [], checkpoints.save

    def slowly(folder, step, *rest):
        with batches.moved:
            assert batches.moved.wait_for(lambda: batches.seen >= step + 3, timeout=30)
            batches.moved.wait_for(lambda: batches.seen > step + 3, timeout=0.3)
        far.append((step, batches.seen))
        save(folder, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save", slowly)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", batches)
    assert far == [(4, 7), (8, 11)]  # three steps further, not four: a checkpoint is every fourth
    assert list(checkpoints.numbered(tmp_path / "cut", "checkpoint")) == [4, 8]
    run(tmp_path / "cut")
    assert same(tmp_path / "whole", tmp_path / "cut")


def test_best_weights_are_those_of_their_step(tmp_path, monkeypatch):
    """They are written behind training too, and stay the best where it gets worse."""
    changes = {"stop_on": "stop", "eval_every": 4, "patience": 9, "lr": 0.2, "min_lr": 0.2, "checkpoint_steps": 23}
    run(tmp_path / "quick", **changes)
    save = checkpoints.save_best
    batches = Slow()

    def slowly(folder, step, weights):
        with batches.moved:
            assert batches.moved.wait_for(lambda: batches.seen >= min(step + 2, 22), timeout=30)
        save(folder, step, weights)

    monkeypatch.setattr(checkpoints, "save_best", slowly)
    outcome = run(tmp_path / "slow", batches, **changes)
    assert outcome.best_step < 24
    assert same(tmp_path / "quick", tmp_path / "slow")


def test_the_end_of_a_stage_waits_for_the_last_checkpoint(tmp_path, monkeypatch):
    ending, order, save, save_model = threading.Event(), [], checkpoints.save, checkpoints.save_model

    def slowly(*what):
        ending.wait(0.5)
        save(*what)
        order.append("checkpoint")

    def end(*what):
        order.append("model")
        ending.set()
        save_model(*what)

    monkeypatch.setattr(checkpoints, "save", slowly)
    monkeypatch.setattr(checkpoints, "save_model", end)
    run(tmp_path, checkpoint_steps=23)
    assert order == ["checkpoint", "model"]
    assert not list(tmp_path.glob("checkpoint-*"))


def test_a_failure_is_told_before_the_next_checkpoint(tmp_path, monkeypatch):
    failed = threading.Event()

    def fail(*_):
        failed.set()
        raise OSError(28, "The disk is full")

    class Waiting(Slow):
        def batch(self, step):
            if step == 5:
                failed.wait(30)
                time.sleep(0.05)
            return super().batch(step)

    monkeypatch.setattr(checkpoints, "save", fail)
    batches = Waiting()
    with pytest.raises(OSError, match="The disk is full"):
        run(tmp_path, batches, checkpoint_steps=4)
    assert batches.seen <= 5  # and the next checkpoint is at 8
    assert not (tmp_path / "outcome.json").exists()


@pytest.mark.parametrize(("device", "counted"), [("cpu", True), ("cuda", False)])
def test_the_processor_that_writing_takes_is_counted_where_training_needs_it(tmp_path, device, counted):
    model = type("Model", (), {"main": True, "device": type("Device", (), {"type": device})})
    with Saver(model, State(), settings(), tmp_path) as saver:
        saver._start(lambda: time.sleep(0.2 + 0 * sum(range(200_000))))
    assert (0 < saver._worked < 0.2) is counted, "without the time that it waits for the disk"


def full():
    raise OSError(28, "The disk is full")


MODEL = SimpleNamespace(
    main=True, count=1, device=SimpleNamespace(type="cpu"), agreed=lambda mine: mine, copied_weights=dict
)


def test_a_failure_is_told_by_what_comes_next_and_hides_no_other(tmp_path):
    saver = Saver(MODEL, State(), settings(), tmp_path)
    saver._start(full)
    with pytest.raises(OSError, match="The disk is full"):
        saver.best()
    with pytest.raises(OSError, match="The disk is full"), Saver(MODEL, State(), settings(), tmp_path) as saver:
        saver._start(full)
    saver = Saver(MODEL, State(), settings(), tmp_path)
    saver._start(full)
    with pytest.raises(KeyError), saver:
        raise KeyError("training ends by another error")


def test_what_a_checkpoint_takes_from_training_is_measured(tmp_path, monkeypatch):
    """It waits for 2 s for the write before and copies for 3 s: two per cent are kept if the next is due 250 s after its end."""
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])

    def take(seconds, of):
        now[0] += seconds
        return of

    model = SimpleNamespace(
        main=False, count=1, agreed=lambda mine: mine, copied_weights=lambda: take(2.0, {}), copied_moments=lambda: take(1.0, {})
    )  # fmt: skip
    saver = Saver(model, State(), settings(checkpoint_steps=0), tmp_path)
    saver._job = SimpleNamespace(result=lambda: take(2.0, 0.0))
    saver.checkpoint()
    assert now == [105.0]
    for now[0], due in ((354.0, False), (355.0, True)):
        assert saver.due() is due


def test_the_first_process_decides_when_and_is_not_asked_at_every_step(tmp_path):
    answers = []
    model = SimpleNamespace(count=2, agreed=lambda mine: answers.pop(0))
    for step, given, due in ((5, [False, True], True), (5, [False, False], False), (5, [True], True), (6, [], False)):
        answers[:] = given
        saver = Saver(model, State(step=step), settings(checkpoint_steps=0, log_every=5), tmp_path)
        assert saver.due() is due
        assert not answers
