"""The ledger counts what training was given, not what the plan says; the index of verified files reads nothing twice."""

import json
import os
import time

import numpy as np
import pytest

from common.recipe import Recipe
from lm_experiments import ledger as ledgers
from lm_experiments import stages, verified
from lm_experiments.ledger import CompletedStage, Disagreement, Ledger, check_ledger, ledger
from lm_experiments.plan import Corpus, PlannedBatches, post_training_plan, pretraining_plan
from lm_experiments.served import Served
from lm_experiments.stages import finished, folder_of, told
from lm_experiments.verified import Verified
from tests.lm_experiments.test_stages import STORES, first, run, second

A, B = Corpus(store="a/train", windows=40, count=24), Corpus(store="b/train", windows=16, count=16)


def check(node, root, outcome):
    """As a pipeline does after a stage."""
    taken = CompletedStage(node.plan, outcome.steps, outcome.tokens, told(node, root, outcome)["ledger"])
    check_ledger(Recipe(exposure=0.5), A, B, 4, {"pre": taken})


def test_the_ledger_is_of_what_was_read(tmp_path, monkeypatch):
    """Batches that are not those of the plan: the plan's own numbers are right, and the ledger says that the data are not."""
    node = first()
    check(node, tmp_path, run(node, tmp_path))
    assert not list(folder_of(node, tmp_path).glob("served*"))
    honest = PlannedBatches.batch
    monkeypatch.setattr(PlannedBatches, "batch", lambda self, _: honest(self, 0))
    (tmp_path / "other").mkdir()
    outcome = run(node, tmp_path / "other")
    with pytest.raises(Disagreement, match=r"stage 1: .*window of b/train"):
        check(node, tmp_path / "other", outcome)


def test_a_step_that_was_never_asked_for_is_found(tmp_path):
    plan = first().plan
    with_hole = Served(tmp_path, plan)
    batches = with_hole.batches(STORES)
    for step in range(plan.steps):
        if step != 3:
            batches.batch(step)
    with pytest.raises(RuntimeError, match="never asked for the data of step 3"):
        with_hole.slots(plan.steps)


def test_a_record_goes_on_and_what_is_lost_is_counted_from_the_plan(tmp_path):
    plan = first().plan
    for steps in (range(5), range(3, plan.steps)):  # the second process repeats two
        record = Served(tmp_path, plan)
        for step in steps:
            record.batches(STORES).batch(step)
    store, window, lost = record.slots(plan.steps)
    assert lost == 0
    assert ledgers.book(plan, plan.steps, record.names, store, window) == ledger(plan, plan.steps)
    (tmp_path / "served-0.bin").unlink()
    again = Served(tmp_path, plan)
    again.batches(STORES).batch(plan.steps - 1)
    assert again.slots(plan.steps)[2] == (plan.steps - 1) * plan.batch
    np.testing.assert_array_equal(again.slots(plan.steps)[1], window)


def test_processes_that_read_differently_are_found(tmp_path):
    plan = first().plan
    for rank, moved in enumerate((0, 1)):
        record = Served(tmp_path, plan, rank)
        record.reading(0, lambda r=record, m=moved: [r._note(0, i + m) for i in range(plan.batch)])
    with pytest.raises(RuntimeError, match="differently"):
        record.slots(1)


def test_a_check_is_arithmetic(monkeypatch):
    """8.5 million windows, as at 1B: no list of them is made (it took 49 s and 140 MB)."""
    recipe = Recipe(exposure=0.5, split="compute-matched")
    pre, post = Corpus(store="a", windows=600, count=512), Corpus(store="b", windows=256, count=256)
    plans = {"pre": pretraining_plan(recipe, pre, post, length=8, batch=8, post_batch=8, seed=0),
             "post": post_training_plan(recipe, post, pre, length=8, batch=8, seed=0)}  # fmt: skip
    booked = {kind: ledger(plan, plan.steps) for kind, plan in plans.items()}
    monkeypatch.setattr(ledgers, "ledger", lambda *_: pytest.fail("counted again"))
    monkeypatch.setattr(type(plans["pre"]), "layout", property(lambda _: pytest.fail("laid out again")))
    taken = {kind: CompletedStage(plan, plan.steps, None, booked[kind]) for kind, plan in plans.items()}
    check_ledger(recipe, pre, post, 8, taken)
    swapped = booked["post"].entries[0]
    wrong = Ledger(**{**vars(booked["post"]), "entries": (type(swapped)(**{**vars(swapped), "checksum": 1}),)})
    with pytest.raises(Disagreement, match="not every one once"):
        check_ledger(recipe, pre, post, 8, taken | {"post": taken["post"]._replace(booked=wrong)})


def test_a_ledger_is_read_back_and_an_old_one_is_counted_from_the_plan(tmp_path):
    node = second(first())
    outcome = run(node, tmp_path)
    folder = folder_of(node, tmp_path)
    kept = json.loads((folder / "ledger.json").read_text())
    assert Ledger.read(kept) == told(node, tmp_path, outcome)["ledger"] == ledger(node.plan, outcome.steps)
    del kept["entries"][0]["checksum"]
    assert Ledger.read(kept) is None


def old(folder):
    """Let the files be older than a tick of the clock."""
    for path in folder.iterdir():
        os.utime(path, ns=(1_000_000_000, 1_000_000_000))


def test_a_finished_stage_is_hashed_once(tmp_path, monkeypatch):
    node = first()
    whole = run(node, tmp_path)
    old(folder_of(node, tmp_path))
    monkeypatch.setattr(verified, "RACY_NS", 0)
    time.sleep(0.01)
    index = Verified(tmp_path)
    assert finished(node, tmp_path, index) == whole
    index.save()
    read = []
    real = verified.sha256
    monkeypatch.setattr(verified, "sha256", lambda path: read.append(path.name) or real(path))
    assert finished(node, tmp_path) == whole
    assert read == []
    finished(node, tmp_path, Verified(tmp_path, verify=True))
    assert set(read) == set(stages.KEPT)
    read.clear()
    os.utime(folder_of(node, tmp_path) / "model.safetensors")
    finished(node, tmp_path)
    assert read == ["model.safetensors"]


def test_a_file_that_has_just_changed_is_not_remembered_and_a_broken_index_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(verified, "RACY_NS", 1 << 62)
    node = first()
    run(node, tmp_path)
    index = Verified(tmp_path)
    finished(node, tmp_path, index)
    index.save()
    assert not (tmp_path / verified.NAME).exists()
    (tmp_path / verified.NAME).write_text("[" * 100_000)
    assert finished(node, tmp_path) is not None
