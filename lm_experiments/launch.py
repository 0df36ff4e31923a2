r"""Carrying out a graph of stages: what is done is read back, the rest is left to an executor, and what it says is put together.

    stages --> read back ---> done ----------------------------------> outcomes, failures
                         \--> waiting --> executor (local or slurm) --/

A stage is ready when its parent is done, so what is shared is trained once and first. A stage that fails takes only its own
descendants with it; the others finish, and the failures are reported at the end. Nothing is kept here: run the same stages again, and
those that are done are read back while one that was cut off goes on from its last checkpoint. Several drivers may work on one folder:
a stage that another one trains is waited for.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from common.console import Output
from common.settings import WrongUse
from lm_experiments import journal
from lm_experiments.stages import Node, finished, folder_of, told
from lm_experiments.verified import Verified

LINE_EVERY = 20.0
"""Seconds between two lines about the same running stage."""
READERS = 4
"""Threads that compare finished stages with their checksums."""
StoreFactory = Callable[[], Callable[[str], Any]]
"""Makes, in each process, the function that opens a token store by name; picklable. `pipeline.StoreFactory` is that of a study."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A stage that did not end well."""

    folder: Path
    message: str


@dataclass(frozen=True, kw_only=True)
class GraphResult:
    """What became of the stages, by hash; one that is in neither was not begun because an ancestor failed."""

    outcomes: dict[str, Mapping[str, Any]]
    """The fields of each `training.Outcome`, its `ledger`, and when it `ended`."""
    failures: dict[str, Failure]
    seconds: float


@runtime_checkable
class Executor(Protocol):
    """Trains the stages that wait."""

    name: str

    def carry_out(self, launch: "Launch", opener: StoreFactory) -> None:
        """Work until nothing waits that could still be done, telling `launch` of every stage."""


class Launch:
    """A graph while it is carried out: what waits, and what became of the rest."""

    def __init__(
        self,
        nodes: Sequence[Node],
        root: Path,
        out: Output,
        titles: Mapping[str, str],
        check: Callable[[Node, Mapping[str, Mapping[str, Any]]], None],
        advance: Callable[[int], None],
    ) -> None:
        """Args: as of `run`; advance: hears of the steps of every stage that is settled."""
        self.root, self._check, self._advance = root, check, advance
        self.waiting = {one.hash: one for one in nodes}
        self.found = GraphResult(outcomes={}, failures={}, seconds=0.0)
        self.lines = _Lines(out, titles)

    def ready(self) -> list[Node]:
        """The waiting stages whose parent is done, in order."""
        return [
            node for node in self.waiting.values() if node.parent is None or node.parent.hash in self.found.outcomes
        ]

    def settle(self, node: Node, kind: str, what: Any) -> None:
        """A stage is "done", with what `stages.told` says, or "failed", with a message."""
        self.waiting.pop(node.hash, None)
        self._advance(node.plan.steps)
        if kind == "done":
            self.found.outcomes[node.hash] = what
            self._check(node, self.found.outcomes)
        else:
            self.found.failures[node.hash] = Failure(folder=folder_of(node, self.root), message=what)
            self.lines.failed(node, what)

    def read_back(self, verify: bool) -> None:
        """Settle the stages that earlier runs finished, parents first; one below a damaged one waits in vain."""
        verified = Verified(self.root, verify=verify)

        def look(node: Node) -> tuple[str, Any]:
            try:
                outcome = finished(node, self.root, verified)
                return ("done", told(node, self.root, outcome)) if outcome is not None else ("waiting", None)
            except WrongUse as error:
                return "failed", str(error)

        with ThreadPoolExecutor(READERS) as readers:  # hashing lets other threads work
            nodes = list(self.waiting.values())
            for node, (kind, what) in zip(nodes, readers.map(look, nodes), strict=True):
                if kind != "waiting":
                    self.settle(node, kind, what)
        verified.save()


def run(
    nodes: Sequence[Node],
    root: Path,
    opener: StoreFactory,
    workers: int,
    out: Output,
    titles: Mapping[str, str],
    check: Callable[[Node, Mapping[str, Mapping[str, Any]]], None],
    *,
    verify: bool = False,
    executor: Executor | None = None,
    name: str = "",
    arguments: Sequence[str] = (),
) -> GraphResult:
    """Carry out stages and all that they continue.

    Args:
        nodes: the last stages of the pipelines, in the order in which results are wanted.
        root: folder of all runs.
        opener: makes, in each worker, the function that opens a token store by name; must be picklable.
        workers: processes of the local executor.
        out: progress goes to its standard error.
        titles: what to call a stage, by hash, and a corpus, by key, in progress lines.
        check: is called after every stage with it and all outcomes so far; what it raises ends the run.
        verify: read the files of finished stages though they are as they were when they were last verified.
        executor: what trains; by default `workers` processes on this machine.
        name: of the studies, for the journal.
        arguments: of the command, for the journal.
    """
    from lm_experiments.local import Local

    began = time.perf_counter()
    every = list({one.hash: one for node in nodes for one in node.lineage}.values())
    chosen = executor or Local(workers)
    with (
        out.progress("train", sum(node.plan.steps for node in every), "steps") as advance,
        journal.launched(root, journal.describe(every, titles, name, arguments), chosen.name),
    ):
        launch = Launch(every, root, out, titles, check, advance)
        launch.read_back(verify)
        if launch.ready():
            chosen.carry_out(launch, opener)
    return replace(launch.found, seconds=time.perf_counter() - began)


class _Lines:
    """Lines about running stages on standard error."""

    def __init__(self, out: Output, titles: Mapping[str, str]) -> None:
        self.out, self.titles = out, titles
        self.last: dict[str, float] = {}

    def say(self, node: Node, text: str) -> None:
        """A line about a stage."""
        self.out.errors.print(
            f"{self.titles.get(node.hash, node.kind)} [{node.hash}] {text}", soft_wrap=True, markup=False
        )

    def progress(self, node: Node, seen: Any) -> None:
        """A line every `LINE_EVERY` seconds per stage."""
        now = time.monotonic()
        if now - self.last.setdefault(node.hash, now) < LINE_EVERY:
            return
        self.last[node.hash] = now
        speed = f"{seen.tokens_per_second:,.0f} tokens/s  ETA {seen.eta_seconds:,.0f} s"
        self.say(node, f"step {seen.step:,}/{node.plan.steps:,}  loss {seen.loss:.4f}  {speed}")

    def done(self, node: Node, outcome: Mapping[str, Any]) -> None:
        """The last line about a stage."""
        named = ((name.partition("/"), value) for name, value in outcome["losses"].items())
        losses = "  ".join(f"{self.titles.get(key, key)}/{of} {value:.4f}" for (key, _, of), value in named)
        early = " (stopped early)" if outcome["stopped_early"] else ""
        self.say(node, f"done at step {outcome['steps']:,}{early}  {losses}")

    def failed(self, node: Node, message: str) -> None:
        """A stage that did not end well; told again at the end."""
        self.say(node, f"FAILED: {message}")
