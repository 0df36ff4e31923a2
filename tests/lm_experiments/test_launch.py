"""Carrying out a graph: places of workers, two drivers on one folder, the journal, and a stop that is asked for."""

import dataclasses
import os
import threading
import time

import pytest

from common.console import Output
from common.settings import WrongUse
from lm_experiments import interruption, journal, launch, local, slurm
from lm_experiments.commands.run import Run
from lm_experiments.local import Local, places
from lm_experiments.resuming import State
from lm_experiments.saving import Saver
from lm_experiments.stages import attempt, finished, folder_of, held
from tests.lm_experiments.test_conduct import broken_stores
from tests.lm_experiments.test_stages import STORES, first, run, second, settings


def stores():
    return STORES.__getitem__


def carried(nodes, root, opener=stores, **options):
    return launch.run(nodes, root, opener, 1, Output(True), {}, lambda *_: None, name="tests", **options)


def test_workers_have_places_of_their_own():
    assert [place.cores for place in places(2, range(8), [])] == [(0, 1, 2, 3), (4, 5, 6, 7)]
    assert {place.threads for place in places(2, range(8), [])} == {1}
    assert [place.cores for place in places(3, range(2), [])] == [(), (), ()]  # more workers than cores: not bound
    on_gpus = places(4, range(8), ["0", "1"])
    assert [place.gpu for place in on_gpus] == ["0", "1", "0", "1"]
    assert {place.threads for place in on_gpus} == {2}


def test_a_worker_has_a_gpu_of_its_own_if_nothing_else_is_said(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-5")
    assert Run(names=("smoke",)).processes == 2
    assert [place.gpu for place in Local(2)._places] == ["3", "GPU-5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Run(names=("smoke",)).processes == 7


def test_progress_calls_corpora_by_their_names(capsys):
    losses = {"file-0123/report": 1.5, "b/report": 2.0}
    lines = launch._Lines(Output(False), {"file-0123": "tunes.abc~0123"})
    lines.done(first(), {"losses": losses, "stopped_early": False, "steps": 3})
    assert "step 3  tunes.abc~0123/report 1.5000  b/report 2.0000" in capsys.readouterr().err


def told_place():
    """Stores that say where the worker is instead of opening anything."""

    def open_named(_):
        variables = " ".join(os.environ.get(name, "") for name in ("CUDA_VISIBLE_DEVICES", "GLIBC_TUNABLES"))
        raise OSError(f"{variables} cores {sorted(os.sched_getaffinity(0))}")

    return open_named


def test_a_worker_is_where_its_place_is_and_leaves_by_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    codes, stop = [], local._stop
    monkeypatch.setattr(
        local, "_stop", lambda crew: (stop(crew), codes.extend(worker.process.exitcode for worker in crew))
    )
    (cores, *_) = os.sched_getaffinity(0)
    executor = Local(1)
    executor._places = [dataclasses.replace(executor._places[0], cores=(cores,))]
    node = first()
    found = carried([node], tmp_path, told_place, executor=executor)
    assert f"5 glibc.malloc.hugetlb=1 cores [{cores}]" in found.failures[node.hash].message
    assert codes == [0]  # and not that of a process that was ended


@pytest.mark.parametrize(
    ("before", "within"),
    [("", "glibc.malloc.hugetlb=1"), ("glibc.malloc.check=1", "glibc.malloc.check=1:glibc.malloc.hugetlb=1"),
     ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0")],
)  # fmt: skip
def test_a_worker_asks_for_large_pages_unless_somebody_has_decided(monkeypatch, before, within):
    monkeypatch.setenv("GLIBC_TUNABLES", before)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with local.variables(local.environment(places(2, range(8), ["7", "8"])[1])):
        assert os.environ["GLIBC_TUNABLES"] == within
        assert (os.environ["OMP_NUM_THREADS"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("4", "8")
    assert os.environ["GLIBC_TUNABLES"] == before
    assert "OMP_NUM_THREADS" not in os.environ


def test_nothing_is_submitted_while_slurm_does_not_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "queue", lambda: None)
    with pytest.raises(OSError, match="squeue does not answer"):
        object.__new__(slurm.Slurm)._submitted(first(), tmp_path, stores)


def test_a_second_driver_waits_for_what_the_first_trains(tmp_path):
    """Both end with everything, and every stage was trained once."""
    leaves = [second(first()), second(first(), lr=2e-2)]
    found = {}
    ends = [threading.Thread(target=lambda i=i: found.__setitem__(i, carried(leaves, tmp_path))) for i in range(2)]
    for end in ends:
        end.start()
    for end in ends:
        end.join(180)
    assert len(found[0].outcomes) == 3
    assert found[0].outcomes == found[1].outcomes  # the seconds too
    assert not found[0].failures
    assert not found[1].failures


def test_a_stage_that_is_let_go_of_is_taken_over(tmp_path):
    node, taken, seen = first(), threading.Event(), threading.Event()
    folder = folder_of(node, tmp_path)
    folder.mkdir()

    def hold():
        with held(folder):
            taken.set()
            seen.wait(60)
            time.sleep(1.5)  # the second driver has begun by then, and waits

    other = threading.Thread(target=hold)
    other.start()
    assert taken.wait(60)
    assert attempt(node, tmp_path, STORES.__getitem__, lambda _: None)[0] == "occupied"
    seen.set()
    assert set(carried([node], tmp_path).outcomes) == {node.hash}
    other.join()


def test_the_journal_knows_what_became_of_every_stage(tmp_path):
    good = first(measured=(), data=(("a/train", "f"), ("b/train", "f")))
    bad = first(measured=(), data=(*good.data, ("b/report", "f")))
    carried([second(bad), good], tmp_path, broken_stores, arguments=("smoke",))
    graph = journal.chosen(tmp_path, "tests")
    assert graph.arguments == ("smoke",)
    states = journal.states(tmp_path, graph)
    assert [states[node.hash].state for node in (bad, second(bad), good)] == ["failed", "blocked", "done"]
    assert "unreadable" in states[bad.hash].about
    assert bad.hash in states[second(bad).hash].about
    assert [line["event"] for line in journal.history(tmp_path)] == ["started", "ended"]
    with pytest.raises(WrongUse, match="launched were: tests"):
        journal.chosen(tmp_path, "fig9")
    run(bad, tmp_path)
    assert journal.states(tmp_path, graph)[bad.hash].state == "done"
    assert not (folder_of(bad, tmp_path) / "failed.json").exists()


def test_a_running_stage_says_how_far_it_is(tmp_path):
    node, seen = first(settings=settings(first().plan, log_every=1)), []
    run(node, tmp_path, type("Look", (list,), {"append": lambda *_: seen.append(journal.look(tmp_path, node.hash))})())
    assert {one.state for one in seen} == {"running"}
    assert "of 8, loss" in seen[-1].about
    assert journal.look(tmp_path, node.hash).state == "done"


def test_a_stop_that_is_asked_for_leaves_a_checkpoint_and_the_same_bits(tmp_path):
    node = first()
    (tmp_path / "whole").mkdir()
    run(node, tmp_path / "whole")
    interruption.request()
    try:
        with pytest.raises(interruption.Stopped, match="after step 1 of"):
            attempt(node, tmp_path, STORES.__getitem__, lambda _: None)
    finally:
        interruption.forget()
    assert finished(node, tmp_path) is None
    assert (folder_of(node, tmp_path) / "checkpoint-1").is_dir()
    run(node, tmp_path)
    for name in ("model.safetensors", "metrics.jsonl", "ledger.json"):
        assert (folder_of(node, tmp_path) / name).read_bytes() == (
            folder_of(node, tmp_path / "whole") / name
        ).read_bytes()


def test_a_checkpoint_takes_at_most_its_share(monkeypatch, tmp_path):
    """One for which training stood still for 3 s and gave 15 s of its processor is followed by the next after 15 minutes."""
    alone = type("Alone", (), {"count": 1, "agreed": staticmethod(lambda mine: mine)})
    saver = Saver(alone, State(step=7), settings(first().plan), tmp_path)
    saver._saved, saver._stood, saver._worked = 0.0, 3.0, 15.0
    for now, due in ((70.0, False), (899.0, False), (900.0, True)):  # two per cent
        monkeypatch.setattr(time, "perf_counter", lambda now=now: now)
        assert saver.due() is due
    saver._stood = saver._worked = 0.0
    monkeypatch.setattr(time, "perf_counter", lambda: 61.0)
    assert saver.due()
