"""The stage graph: names, shared prefixes, done marks, locks, hostile folders. Models of a few hundred weights, really trained."""

import dataclasses
import json
import multiprocessing
import os
import signal
import socket
import time

import numpy as np
import pytest
import torch

from common.recipe import Recipe
from common.settings import WrongUse
from lm_experiments import stages
from lm_experiments.dropout import everywhere
from lm_experiments.ledger import ledger
from lm_experiments.models import shape
from lm_experiments.plan import Corpus, fine_tuning_plan, pretraining_plan
from lm_experiments.stages import Node, Occupied, ensure, finished, folder_of, held, inspect
from lm_experiments.training import StageSettings

MODEL = shape(8, 1, 1, 1, 16, 32, 8)
NAMES = ("a/train", "b/train", "a/report", "b/report", "b/stop")


@pytest.fixture(autouse=True)
def _one_thread():
    """As in the workers: on models this small, two threads wait for each other more than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Text:
    """A store of noise."""

    def __init__(self, name, fingerprint="f"):
        self.name, self.fingerprint = name, fingerprint
        self.tokens = np.random.default_rng(len(name)).integers(0, 32, 641)

    def windows(self, length):
        return (len(self.tokens) - 1) // length

    def window(self, index, length):
        return self.tokens[index * length : (index + 1) * length + 1].astype(np.int64)


STORES = {name: Text(name) for name in NAMES}
DATA = tuple((name, "f") for name in NAMES)


def settings(plan, **changes):
    given = {"lr": 1e-2, "min_lr": 1e-3, "max_steps": plan.steps, "batch": plan.batch, "length": plan.length}
    return StageSettings(**given | changes)


def first(exposure=0.5, **changes):
    a, b = Corpus(store="a/train", windows=40, count=24), Corpus(store="b/train", windows=16, count=16)
    plan = pretraining_plan(Recipe(exposure=exposure), a, b, length=8, batch=4, post_batch=4, seed=0)
    measured = (("a/report", 8), ("b/report", 0))
    given = {
        "kind": "pre",
        "plan": plan,
        "settings": settings(plan),
        "measured": measured,
        "data": DATA,
        "model": MODEL,
    }
    return Node(**given | changes)


def second(parent, lr=1e-2):
    plan = fine_tuning_plan(Corpus(store="b/train", windows=16, count=40), length=8, batch=4, seed=0)
    chosen = settings(plan, lr=lr, eval_every=2, patience=2)
    return Node(kind="post", plan=plan, settings=chosen, measured=(("b/report", 4),), stop_on=("b/stop", 4), data=DATA,
                parent=parent)  # fmt: skip


def run(node, root, reports=None):
    return ensure(node, root, STORES.__getitem__, (reports if reports is not None else []).append)


def test_everything_that_decides_a_result_is_in_the_name():
    node = first()
    assert first().hash == node.hash
    changed = [
        first(exposure=0.25),
        first(model=shape(16, 1, 1, 1, 16, 32, 8)),
        first(settings=settings(node.plan, lr=2e-2)),
        first(data=(*DATA[:-1], ("b/stop", "g"))),
        first(measured=(("a/report", 8),)),
        first(plan=dataclasses.replace(node.plan, seed=1)),
        second(node),
        second(first(exposure=0.25)),
        second(node, lr=2e-2),
    ]
    assert len({one.hash for one in [node, *changed]}) == len(changed) + 1
    assert first(settings=settings(node.plan, micro_batch=2, log_every=3)).hash == node.hash
    assert second(node).lineage == [node, second(node)]


def test_a_stage_is_trained_once_and_read_back(tmp_path, monkeypatch):
    parent, reports = first(), []
    one = run(second(parent), tmp_path, reports)
    assert reports
    assert set(one.losses) == {"b/report", "b/stop"}
    folder = folder_of(second(parent), tmp_path)
    assert set(stages.KEPT) | {"done"} == {path.name for path in folder.iterdir()}
    booked = json.loads((folder / "ledger.json").read_text())
    assert booked == json.loads(json.dumps(dataclasses.asdict(ledger(second(parent).plan, one.steps))))
    assert json.loads((folder / "spec.json").read_text())["science"]["parent"] == parent.hash
    monkeypatch.setattr("lm_experiments.training.train", lambda *_, **__: pytest.fail("trained again"))
    assert run(second(parent), tmp_path) == one
    assert run(parent, tmp_path) == finished(parent, tmp_path)


def test_a_shared_prefix_is_trained_once(tmp_path):
    parent = first()
    for lr in (1e-2, 2e-2):
        run(second(parent, lr), tmp_path)
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 3


def test_an_altered_stage_is_not_used(tmp_path):
    node = first()
    run(node, tmp_path)
    folder = folder_of(node, tmp_path)
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))
    with pytest.raises(WrongUse, match=r"model.safetensors was altered"):
        run(node, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WrongUse, match="damaged"):
        run(second(node), tmp_path)
    assert finished(first(exposure=0), tmp_path) is None


def test_a_folder_of_another_stage_is_not_continued(tmp_path):
    node = first()
    folder = folder_of(node, tmp_path)
    folder.mkdir()
    (folder / "spec.json").write_text('{"hash": "x", "science": {}}')
    with pytest.raises(WrongUse, match="another stage"):
        run(node, tmp_path)


def test_a_stage_that_an_older_version_began_goes_on(tmp_path):
    """Its spec lacks a setting that came later; what it says must still be right."""
    node = first(settings=settings(first().plan, log_every=1))
    folder = folder_of(node, tmp_path)

    def interrupt(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(node, tmp_path, STORES.__getitem__, interrupt)
    spec = json.loads((folder / "spec.json").read_text())
    assert spec["science"]["settings"]["StageSettings"].pop("trains")
    for lr, fits in ((0.5, False), (1e-2, True)):
        spec["science"]["settings"]["StageSettings"]["lr"] = lr
        (folder / "spec.json").write_text(json.dumps(spec))
        if fits:
            run(node, tmp_path)
        else:
            with pytest.raises(WrongUse, match="another stage"):
                run(node, tmp_path)
    assert finished(node, tmp_path) is not None


def test_stores_that_changed_since_planning_are_refused(tmp_path):
    changed = STORES | {"a/train": Text("a/train", fingerprint="other")}
    with pytest.raises(WrongUse, match="a/train is not the one"):
        ensure(first(), tmp_path, changed.__getitem__, lambda _: None)


@pytest.mark.parametrize("hostile", ["outside", "linked file", "fifo", "huge json", "file"])
def test_hostile_folders_are_refused(tmp_path, hostile):
    root = tmp_path / "runs"
    root.mkdir()
    node = first()
    folder = folder_of(node, root)
    if hostile == "outside":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif hostile == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        if hostile == "linked file":
            (folder / "done").symlink_to(tmp_path / "secret")
        elif hostile == "fifo":
            os.mkfifo(folder / "done")
        else:
            with (folder / "outcome.json").open("wb") as file:
                file.truncate(2 << 20)
    with pytest.raises(WrongUse, match="refused"):
        run(node, root)
    assert not (tmp_path / "elsewhere" / "spec.json").exists()


def test_a_done_mark_cannot_point_elsewhere(tmp_path):
    node = first()
    run(node, tmp_path)
    done = folder_of(node, tmp_path) / "done"
    vouched = json.loads(done.read_text())
    vouched["files"]["../../secret"] = "0"
    done.write_text(json.dumps(vouched))
    with pytest.raises(WrongUse, match="damaged"):
        run(node, tmp_path)
    done.write_text("[" * 100_000)
    with pytest.raises(WrongUse, match="damaged"):
        run(node, tmp_path)
    inspect(folder_of(node, tmp_path), tmp_path)


def _hold(folder, ready):
    with held(folder):
        ready.set()
        time.sleep(60)


def test_a_second_process_is_refused_and_a_dead_one_forgotten(tmp_path):
    node = first()
    folder = folder_of(node, tmp_path)
    folder.mkdir()
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    other = context.Process(target=_hold, args=(folder, ready))
    other.start()
    try:
        assert ready.wait(120)
        with pytest.raises(Occupied, match=f"process {other.pid} on {socket.gethostname()}"):
            run(node, tmp_path)
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.join()
    assert json.loads((folder / "owner.json").read_text())["pid"] == other.pid  # it could not tidy up
    run(node, tmp_path)
    assert not (folder / "owner.json").exists()


def test_an_interrupted_stage_leaves_no_done_mark(tmp_path):
    def interrupt(_):
        raise KeyboardInterrupt

    node = first(settings=settings(first().plan, log_every=1))
    with pytest.raises(KeyboardInterrupt):
        ensure(node, tmp_path, STORES.__getitem__, interrupt)
    assert finished(node, tmp_path) is None
    whole = run(node, tmp_path)
    (tmp_path / "other").mkdir()
    again = run(node, tmp_path / "other")
    assert dataclasses.replace(whole, seconds=0) == dataclasses.replace(again, seconds=0)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("cuts", [(5,), (9,), (3, 7), (5, 9), (2, 4, 6, 8)], ids=str)
def test_interrupted_again_and_again_it_ends_with_the_same_bits(tmp_path, cuts, precision):
    """Ten steps of four windows over sixteen: passes end after steps 4 and 8, and a cut at step n goes on from checkpoint n - 1."""
    plan = fine_tuning_plan(Corpus(store="b/train", windows=16, count=40), length=8, batch=4, seed=0)
    chosen = settings(plan, log_every=1, checkpoint_steps=1, dropout=everywhere(0.1), precision=precision)
    node = Node(kind="pre", plan=plan, settings=chosen, measured=(("b/report", 4),), data=DATA, model=MODEL)
    assert len(set(plan.layout[1][:16].tolist())) == len(set(plan.layout[1][16:32].tolist())) == 16
    assert plan.layout[1][:16].tolist() != plan.layout[1][16:32].tolist()
    for at in cuts:

        def cut(progress, at=at):
            if progress.step == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            ensure(node, tmp_path / "cut", STORES.__getitem__, cut)
        assert max(int(path.name[11:]) for path in (tmp_path / "cut").glob("*/checkpoint-*")) == at - 1
    for name in ("cut", "whole"):
        run(node, tmp_path / name)
    for name in ("model.safetensors", "metrics.jsonl", "ledger.json"):
        first, second = (folder_of(node, tmp_path / root) / name for root in ("cut", "whole"))
        assert first.read_bytes() == second.read_bytes(), name


def test_a_ledger_that_is_counted_from_the_plan_is_told(tmp_path):
    """The record of what was served is gone once a stage is sealed; where its seal is lost, nobody can count it again."""
    node = first()
    run(node, tmp_path)
    folder = folder_of(node, tmp_path)
    booked = json.loads((folder / "ledger.json").read_text())
    (folder / "done").unlink()
    with pytest.warns(UserWarning, match="from_plan"):
        run(node, tmp_path)
    lost = sum(entry["seen"] for entry in booked["entries"])
    assert json.loads((folder / "ledger.json").read_text()) == booked | {"from_plan": lost}
    assert booked["from_plan"] == 0
