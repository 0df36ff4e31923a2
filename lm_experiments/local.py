"""The local executor: worker processes on this machine, each on cores or a GPU of its own.

    ready stages --> worker 0   core 0, one thread          or   GPU 0, its share of the cores
                 --> worker 1   core 1, one thread          or   GPU 1

Small models train faster in several one-thread processes than in one process of several threads. A worker takes one stage at a time;
a stage whose process dies has failed. A stage that another driver is training is asked for again, until that driver has done it or
let go of it.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_experiments import journal
from lm_experiments.stages import Node, attempt, folder_of

if TYPE_CHECKING:
    from lm_experiments.launch import Launch, StoreFactory

AGAIN = 0.5
"""Seconds until a stage that another driver trains is asked for again."""
LEAVE = 5.0
"""Seconds that an idle process has for leaving."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
HUGE_PAGES = "glibc.malloc.hugetlb"
"""Of GLIBC_TUNABLES: 1 asks the kernel for pages of 2 MB, so that a step over some 20 MB of activations waits less for their addresses."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a worker works."""

    cores: tuple[int, ...]
    """It is bound to these; empty: wherever the system puts it."""
    gpu: str | None
    """Index or UUID for CUDA_VISIBLE_DEVICES; None leaves that alone."""
    threads: int


def gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, without loading torch: those of CUDA_VISIBLE_DEVICES, else all."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name.strip() not in ("", "-1")]
    found = [path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")]
    return sorted(found, key=int)


def places(workers: int, cores: Sequence[int], devices: Sequence[str]) -> list[Place]:
    """One place a worker: GPUs in turn, and equal shares of the cores; more workers than cores are not bound.

    Args:
        workers: how many.
        cores: that this process may use.
        devices: GPUs; with none a worker has one thread.
    """
    share = len(cores) // workers
    return [
        Place(
            cores=tuple(cores[i * share : (i + 1) * share]) if workers > 1 else (),
            gpu=devices[i % len(devices)] if devices else None,
            threads=max(1, share) if devices else 1,
        )
        for i in range(workers)
    ]


class _Worker:
    """A process and the stage it is busy with."""

    def __init__(self, opener: "StoreFactory", root: Path, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.place = place
        self.process: BaseProcess = context.Process(target=_work, args=(other, opener, root, place), daemon=True)
        with variables(environment(place)):
            self.process.start()
        other.close()
        self.node: Node | None = None

    def give(self, node: Node) -> None:
        self.node = node
        self.connection.send(node)

    def told(self) -> tuple[Node, str, Any]:
        """The stage, and what the process says of it: progress, done, occupied or failed. A process that died has failed."""
        assert self.node is not None
        try:
            kind, what = self.connection.recv()
        except (EOFError, OSError):  # for want of memory, or killed
            self.process.join()
            kind, what = "died", f"its process ended with exit code {self.process.exitcode}"
        return self.node, kind, what


def _stop(crew: Sequence[_Worker]) -> None:
    """Let idle processes leave by themselves, for they may hold what the system would miss (semaphores of progress bars); end busy ones."""
    for worker in crew:
        worker.connection.close()
    for worker in crew:
        if worker.node is None:
            worker.process.join(LEAVE)
        worker.process.terminate()
        worker.process.join()


def environment(place: Place) -> dict[str, str]:
    """What a process that works at a place is started with: numerical and C libraries read these variables when they load."""
    wanted = dict.fromkeys(THREADS, str(place.threads))
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    if HUGE_PAGES not in tunables:
        wanted["GLIBC_TUNABLES"] = f"{tunables}:{HUGE_PAGES}=1".lstrip(":")
    if place.gpu is not None:
        wanted |= {"CUDA_VISIBLE_DEVICES": place.gpu, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return wanted


@contextlib.contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """A block in which processes are started with these variables of the environment."""
    before = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _end_with_launcher() -> None:
    """A launcher that is killed cannot stop its workers, and they would hold their folders against its successor."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(connection: Connection, opener: "StoreFactory", root: Path, place: Place) -> None:
    """The life of a worker: train what comes through the connection until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides; both get the keyboard's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    if place.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place.cores)
    import torch

    torch.set_num_threads(place.threads)
    stores = opener()
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):  # the launcher is gone
        while True:
            node = connection.recv()
            connection.send(attempt(node, root, stores, lambda progress: connection.send(("progress", progress))))


class Local:
    """Worker processes on this machine."""

    name = "local"

    def __init__(self, workers: int) -> None:
        """Args: workers: how many processes."""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._places = places(workers, cores, gpus())

    def carry_out(self, launch: "Launch", opener: "StoreFactory") -> None:
        """Give ready stages to idle workers, hiring as many as are needed, until nobody is busy and nothing can be done."""
        crew: list[_Worker] = []
        later: dict[str, float] = {}
        try:
            while self._assign(launch, crew, later, opener):
                for worker in _heard(crew, AGAIN if later else None):
                    node, kind, what = worker.told()
                    if kind == "progress":
                        launch.lines.progress(node, what)
                        continue
                    worker.node = None
                    if kind == "occupied":
                        if node.hash not in later:
                            launch.lines.say(node, f"waits: {what.split('. ')[0]}")
                        later[node.hash] = time.monotonic() + AGAIN
                        launch.waiting[node.hash] = node
                        continue
                    later.pop(node.hash, None)
                    if kind == "died":
                        journal.failed(folder_of(node, launch.root), what)
                    launch.settle(node, "done" if kind == "done" else "failed", what)
                    if kind == "done":
                        launch.lines.done(node, what)
        finally:
            _stop(crew)

    def _assign(self, launch: "Launch", crew: list[_Worker], later: dict[str, float], opener: "StoreFactory") -> bool:
        """False when nobody is busy and nothing waits for another driver."""
        crew[:] = [worker for worker in crew if worker.node is not None or worker.process.is_alive()]
        now = time.monotonic()
        for node in [node for node in launch.ready() if later.get(node.hash, now) <= now]:
            idle = next((worker for worker in crew if worker.node is None), None)
            if idle is None:
                taken = [worker.place for worker in crew]
                free = next((place for place in self._places if place not in taken), None)
                if free is None:
                    if len(crew) >= len(self._places):
                        break
                    free = self._places[len(crew)]
                crew.append(idle := _Worker(opener, launch.root, free))
            idle.give(launch.waiting.pop(node.hash))
        return any(worker.node is not None for worker in crew) or any(name in launch.waiting for name in later)


def _heard(crew: Sequence[_Worker], timeout: float | None) -> list[_Worker]:
    """The workers that have something to say; waits for the first, or until there is something to do."""
    busy = {worker.connection: worker for worker in crew if worker.node is not None}
    if not busy:
        time.sleep(timeout or 0)
        return []
    return [busy[connection] for connection in wait(list(busy), timeout)]  # type: ignore[index]
