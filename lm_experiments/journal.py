"""What is known of graphs of stages beside the stages themselves: who launched what, how far each stage is, and why one failed.

    <root>/.graphs/<id>.json       a graph: its studies, the arguments of `run`, its stages with titles and sizes
    <root>/.graphs/history.jsonl   one line for every start and end of a driver
    <root>/<hash>/progress.json    step, loss, speed, of a stage that is being trained
    <root>/<hash>/failed.json      why the last attempt ended without a result

All of it is for people: nothing here decides what is trained. Whether a stage is done is said by its sealed folder alone.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from common.settings import WrongUse, config_hash
from lm_experiments.paths import Damaged
from lm_experiments.safe_files import read_json, write_json

if TYPE_CHECKING:
    from lm_experiments.stages import Node

FOLDER = ".graphs"
STALE = 180.0
"""Seconds without a sign of life after which a stage on another machine is not taken to be running."""
State = Literal["done", "running", "queued", "failed", "blocked", "waiting"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a graph as the journal knows it."""

    hash: str
    title: str
    kind: str
    parent: str | None
    steps: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Stages that were launched together."""

    id: str
    name: str
    """Of its studies."""
    arguments: tuple[str, ...]
    """Of the command that launched it."""
    stages: tuple[Stage, ...]
    """Parents first."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a stage is at."""

    state: State
    about: str
    """In words: progress, or the reason."""
    eta_seconds: float | None = None
    owner: Mapping[str, Any] | None = None
    """Process and host that train it."""


def describe(nodes: Sequence["Node"], titles: Mapping[str, str], name: str, arguments: Sequence[str]) -> Graph:
    """A graph for the journal; the same stages have the same id."""
    stages = tuple(
        Stage(
            hash=node.hash, title=titles.get(node.hash, node.kind), kind=node.kind,
            parent=node.parent.hash if node.parent else None, steps=node.plan.steps,
            tokens=node.plan.steps * node.plan.batch * node.plan.length,
        )
        for node in nodes
    )  # fmt: skip
    return Graph(id=config_hash([stage.hash for stage in stages]), name=name, arguments=tuple(arguments), stages=stages)


@contextlib.contextmanager
def launched(root: Path, graph: Graph, executor: str) -> Iterator[None]:
    """Write down the graph, and that its driver starts and how it ends."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    told = {**vars(graph), "stages": [vars(stage) for stage in graph.stages], "arguments": list(graph.arguments)}
    with FileLock(folder / ".lock"):  # two drivers may start at once
        write_json(folder / f"{graph.id}.json", told)
    note(root, graph, "started", executor=executor, stages=len(graph.stages))
    began, end = time.monotonic(), "interrupted"
    try:
        yield
        end = "ended"
    except Exception as error:
        end = f"{type(error).__name__}: {error}"
        raise
    finally:
        note(root, graph, end, seconds=round(time.monotonic() - began, 3))


def note(root: Path, graph: Graph, event: str, **more: Any) -> None:
    """Add a line to the history."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S"), "graph": graph.id, "name": graph.name, "event": event,
            "pid": os.getpid(), "host": socket.gethostname(), **more}  # fmt: skip
    with contextlib.suppress(OSError), (root / FOLDER / "history.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")  # one write of less than a page: lines of several drivers do not mix


def history(root: Path) -> list[dict[str, Any]]:
    """The lines of the history, oldest first; what is no line of ours is left out."""
    found = []
    with contextlib.suppress(OSError):
        for text in (root / FOLDER / "history.jsonl").read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict) and {"time", "graph", "name", "event"} <= line.keys():
                    found.append(line)
    return found


def graphs(root: Path) -> list[Graph]:
    """The graphs that were launched, the oldest first."""
    found = []
    paths = [path for path in (root / FOLDER).glob("*.json") if path.is_file()]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        with contextlib.suppress(Damaged, WrongUse, KeyError, TypeError):
            told = read_json(path)
            stages = tuple(Stage(**stage) for stage in told.pop("stages"))
            found.append(Graph(**{**told, "arguments": tuple(told["arguments"]), "stages": stages}))
    return found


def chosen(root: Path, name: str) -> Graph:
    """A graph by its id or the name of its studies (the newest of that name); the newest of all where `name` is empty.

    Raises:
        WrongUse: there is none.
    """
    known = graphs(root)
    for graph in reversed(known):
        if not name or name in (graph.id, graph.name) or name in graph.name.split("+"):
            return graph
    if not known:
        raise WrongUse(f"Nothing was launched in {root} yet. Choose another --runs, or `run` a study first.")
    there = ", ".join(dict.fromkeys(graph.name for graph in known))
    raise WrongUse(f"Nothing called {name!r} was launched in {root}; launched were: {there}. Choose another --runs.")


def states(root: Path, graph: Graph) -> dict[str, Seen]:
    """What every stage of a graph is at, by hash, parents first."""
    found: dict[str, Seen] = {}
    for stage in graph.stages:
        seen = look(root, stage.hash)
        above = found.get(stage.parent or "")
        if seen.state == "waiting" and above is not None and above.state in ("failed", "blocked"):
            reason = above.about if above.state == "blocked" else f"its parent {stage.parent} failed: {above.about}"
            seen = Seen(state="blocked", about=reason)
        found[stage.hash] = seen
    return found


def look(root: Path, name: str) -> Seen:
    """What one stage is at."""
    folder = root / name
    if (folder / "done").exists():
        return Seen(state="done", about="")
    told, owner, failed = (_told(folder / f"{what}.json") for what in ("progress", "owner", "failed"))
    if owner and _alive(owner, folder):
        if "step" not in told:
            return Seen(state="running", about="beginning", owner=owner)
        left = told.get("eta_seconds")
        about = f"step {told['step']:,} of {told.get('steps', 0):,}, loss {told.get('loss', 0):.4f}"
        return Seen(
            state="running", about=about, eta_seconds=left if isinstance(left, int | float) else None, owner=owner
        )
    if failed:
        return Seen(state="failed", about=str(failed.get("message", "for an unknown reason")))
    if (job := _told(root / ".jobs" / f"{name}.json")) and "job" in job:
        return Seen(state="queued", about=f"Slurm job {job['job']}")
    return Seen(state="waiting", about=f"goes on from step {told['step']:,}" if "step" in told else "")


def _told(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except (Damaged, WrongUse, OSError):
        return {}


def _alive(owner: Mapping[str, Any], folder: Path) -> bool:
    if owner.get("host") == socket.gethostname():
        try:
            os.kill(int(owner["pid"]), 0)
        except PermissionError:
            return True
        except (OSError, KeyError, ValueError, TypeError, OverflowError):
            return False
        return True
    signs = [path.stat().st_mtime for path in (folder / "progress.json", folder / "owner.json") if path.exists()]
    return time.time() - max(signs, default=0.0) < STALE


class Reporter:
    """Writes progress.json now and then while a stage is trained, and passes the progress on."""

    EVERY = 2.0

    def __init__(self, folder: Path, report: Any) -> None:
        """Args: folder: of the stage; report: hears of everything."""
        self._folder, self._report, self._last = folder, report, 0.0

    def __call__(self, progress: Any) -> None:
        """Hear of progress. A full disk is no reason to stop here."""
        now = time.monotonic()
        if now - self._last >= self.EVERY:
            self._last = now
            with contextlib.suppress(OSError, WrongUse):
                write_json(self._folder / "progress.json", {**vars(progress), "evaluation": dict(progress.evaluation)})
        self._report(progress)


def failed(folder: Path, message: str) -> None:
    """Write down why a stage did not end well."""
    with contextlib.suppress(OSError, WrongUse):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "failed.json", {"message": message[:4000], "time": time.strftime("%Y-%m-%dT%H:%M:%S")})


def tidy(folder: Path) -> None:
    """Remove what is only of interest while a stage runs."""
    for name in ("progress.json", "failed.json", "requeued.json"):
        (folder / name).unlink(missing_ok=True)
