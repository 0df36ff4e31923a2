"""Carrying out a graph of stages in worker processes of one thread each.

    ready stages --> worker 1   one stage at a time; small models train faster in several
                 --> worker 2   one-thread processes than in one process of several threads

A stage is ready when its parent is done, so what is shared is trained once and first. A stage that fails, or whose process dies,
takes only its own descendants with it; the others finish, and the failures are reported at the end. Nothing is kept here: run the
same stages again, and those that are done are read back while one that was cut off goes on from its last checkpoint.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from common.console import Output
from common.settings import WrongUse
from lm_experiments.stages import Node, ensure, finished, folder_of, told
from lm_experiments.verified import Verified

LINE_EVERY = 20.0
"""Seconds between two lines about the same running stage."""
READERS = 4
"""Threads that compare finished stages with their checksums."""
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A stage that did not end well."""

    folder: Path
    message: str


@dataclass(frozen=True, kw_only=True)
class GraphResult:
    """What became of the stages, by hash; one that is in neither was not begun because an ancestor failed."""

    outcomes: dict[str, Mapping[str, Any]]
    """The fields of each `training.Outcome`, and its `ledger`."""
    failures: dict[str, Failure]
    seconds: float


class _Worker:
    """A process and the stage it is busy with."""

    def __init__(self, opener: Callable[[], Callable[[str], Any]], root: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(other, opener, root), daemon=True)
        with _one_thread():
            self.process.start()
        other.close()
        self.node: Node | None = None

    def give(self, node: Node) -> None:
        self.node = node
        self.connection.send(node)

    def told(self) -> tuple[Node, str, Any]:
        """The stage, and what the process says of it: progress, done or failed. A process that died has failed."""
        assert self.node is not None
        try:
            kind, what = self.connection.recv()
        except (EOFError, OSError):  # for want of memory, or killed
            self.process.join()
            kind, what = "failed", f"its process ended with exit code {self.process.exitcode}"
        return self.node, kind, what

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.join()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Numerical libraries read these when they load, which is before any code of the new process runs."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ |= dict.fromkeys(THREADS, "1")
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_launcher() -> None:
    """A launcher that is killed cannot stop its workers, and they would hold their folders against its successor."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _work(connection: Connection, opener: Callable[[], Callable[[str], Any]], root: Path) -> None:
    """The life of a worker: train what comes through the connection until that is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the launcher decides; both get the keyboard's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_launcher, daemon=True).start()
    import torch

    torch.set_num_threads(1)
    stores = opener()
    with contextlib.suppress(EOFError, BrokenPipeError, KeyboardInterrupt):  # the launcher is gone
        while True:
            node = connection.recv()
            try:
                outcome = ensure(node, root, stores, lambda progress: connection.send(("progress", progress)))
                connection.send(("done", told(node, root, outcome)))
            except (BrokenPipeError, KeyboardInterrupt):
                raise
            except Exception as error:
                if "EARLY_EXPOSURE_DEBUG" in os.environ:
                    import traceback

                    traceback.print_exc()
                connection.send(("failed", f"{type(error).__name__}: {error}"))


def run(
    nodes: Sequence[Node],
    root: Path,
    opener: Callable[[], Callable[[str], Any]],
    workers: int,
    out: Output,
    titles: Mapping[str, str],
    check: Callable[[Node, Mapping[str, Mapping[str, Any]]], None],
    verify: bool = False,
) -> GraphResult:
    """Carry out stages and all that they continue.

    Args:
        nodes: the last stages of the pipelines, in the order in which results are wanted.
        root: folder of all runs.
        opener: makes, in each worker, the function that opens a token store by name; must be picklable.
        workers: processes.
        out: progress goes to its standard error.
        titles: what to call a stage in progress lines, by hash.
        check: is called after every stage with it and all outcomes so far; what it raises ends the run.
        verify: read the files of finished stages though they are as they were when they were last verified.
    """
    began = time.perf_counter()
    found = GraphResult(outcomes={}, failures={}, seconds=0.0)
    waiting = {one.hash: one for node in nodes for one in node.lineage}
    crew: list[_Worker] = []
    lines = _Lines(out, titles)
    try:
        with out.progress("train", sum(node.plan.steps for node in waiting.values()), "steps") as advance:

            def settle(node: Node, kind: str, what: Any) -> None:
                advance(node.plan.steps)
                if kind == "done":
                    found.outcomes[node.hash] = what
                    check(node, found.outcomes)
                else:
                    found.failures[node.hash] = Failure(folder=folder_of(node, root), message=what)
                    lines.failed(node, what)

            _read_back(waiting, root, settle, verify)
            while _assign(waiting, found.outcomes, crew, lambda: _Worker(opener, root), workers):
                for worker in _heard(crew):
                    node, kind, what = worker.told()
                    if kind == "progress":
                        lines.progress(node, what)
                        continue
                    worker.node = None
                    settle(node, kind, what)
                    if kind == "done":
                        lines.done(node, what)
    finally:
        for worker in crew:
            worker.stop()
    return replace(found, seconds=time.perf_counter() - began)


def _read_back(waiting: dict[str, Node], root: Path, settle: Callable[[Node, str, Any], None], verify: bool) -> None:
    """Settle the stages that earlier runs finished, parents first; one below a damaged one waits in vain."""
    verified = Verified(root, verify=verify)

    def look(node: Node) -> tuple[str, Any]:
        try:
            outcome = finished(node, root, verified)
            return ("done", told(node, root, outcome)) if outcome is not None else ("waiting", None)
        except WrongUse as error:
            return "failed", str(error)

    with ThreadPoolExecutor(READERS) as readers:  # hashing lets other threads work
        nodes = list(waiting.values())
        for node, (kind, what) in zip(nodes, readers.map(look, nodes), strict=True):
            if kind != "waiting":
                settle(waiting.pop(node.hash), kind, what)
    verified.save()


def _heard(crew: Sequence[_Worker]) -> list[_Worker]:
    """The workers that have something to say; waits for the first."""
    busy = {worker.connection: worker for worker in crew if worker.node is not None}
    return [worker for connection, worker in busy.items() if connection in wait(list(busy))]


def _assign(
    waiting: dict[str, Node],
    outcomes: Mapping[str, Any],
    crew: list[_Worker],
    hire: Callable[[], _Worker],
    workers: int,
) -> bool:
    """Give ready stages to idle workers, hiring up to `workers`; the first in order first. False when nobody is busy."""
    crew[:] = [worker for worker in crew if worker.node is not None or worker.process.is_alive()]
    ready = [node for node in waiting.values() if node.parent is None or node.parent.hash in outcomes]
    for node in ready:
        idle = next((worker for worker in crew if worker.node is None), None)
        if idle is None:
            if len(crew) >= workers:
                break
            crew.append(idle := hire())
        idle.give(waiting.pop(node.hash))
    return any(worker.node is not None for worker in crew)


class _Lines:
    """Lines about running stages on standard error."""

    def __init__(self, out: Output, titles: Mapping[str, str]) -> None:
        self.out, self.titles = out, titles
        self.last: dict[str, float] = {}

    def _print(self, node: Node, text: str) -> None:
        self.out.errors.print(
            f"{self.titles.get(node.hash, node.kind)} [{node.hash}] {text}", soft_wrap=True, markup=False
        )

    def progress(self, node: Node, seen: Any) -> None:
        """A line every `LINE_EVERY` seconds a stage."""
        now = time.monotonic()
        if now - self.last.setdefault(node.hash, now) < LINE_EVERY:
            return
        self.last[node.hash] = now
        speed = f"{seen.tokens_per_second:,.0f} tokens/s  ETA {seen.eta_seconds:,.0f} s"
        self._print(node, f"step {seen.step:,}/{node.plan.steps:,}  loss {seen.loss:.4f}  {speed}")

    def done(self, node: Node, outcome: Mapping[str, Any]) -> None:
        """The last line about a stage."""
        losses = "  ".join(f"{name} {value:.4f}" for name, value in outcome["losses"].items())
        early = " (stopped early)" if outcome["stopped_early"] else ""
        self._print(node, f"done at step {outcome['steps']:,}{early}  {losses}")

    def failed(self, node: Node, message: str) -> None:
        """A stage that did not end well; told again at the end."""
        self._print(node, f"FAILED: {message}")
