"""`status`, `results`, `history`, `cancel`, `rerun` and `prune`: graphs of stages that `run` has launched."""

import os
import shutil
import signal
import socket
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output
from common.settings import WrongUse


@dataclass(frozen=True, kw_only=True)
class Status(Command):
    """Show what every stage of a launched graph is at: done, running with its ETA, queued, waiting, failed or blocked, with reasons.

    Example: python -m lm_experiments status fig3a
    """

    name: Positional[str] = ""
    """Study or graph; none for the newest."""
    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Look, print, return."""
        from lm_experiments import journal

        graph = journal.chosen(self.runs, self.name)
        states = journal.states(self.runs, graph)
        rows = []
        for stage in graph.stages:
            seen = states[stage.hash]
            if seen.state != "done":
                left = "" if seen.eta_seconds is None else f"{seen.eta_seconds:,.0f} s"
                rows.append([stage.title, stage.hash, seen.state, left, seen.about])
        counts = Counter(seen.state for seen in states.values())
        told = ", ".join(f"{count} {state}" for state, count in counts.most_common())
        out.show(f"{graph.name} [{graph.id}]: {len(states)} stages, {told}.")
        if rows:
            out.table("Not done", ("stage", "folder", "state", "ETA", "about"), rows)
        return {"graph": graph.id, "name": graph.name, "counts": dict(counts),
                "stages": [{**vars(stage), **vars(states[stage.hash])} for stage in graph.stages]}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Results(Command):
    """Show the results tables that studies have left: means over seeds of every curve point.

    Example: python -m lm_experiments results fig3a
    """

    names: Positional[tuple[str, ...]] = ()
    """Studies; none for all."""
    out: Path = Path("out/lm/nano")
    """Folder of tables."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Read, print, return rows by study. Raises `WrongUse` where there is no such table."""
        from common import results
        from lm_experiments.commands.shown import losses

        there = {path.stem: path for path in sorted(self.out.glob("*.parquet"))}
        if missing := [name for name in self.names if name not in there] or ([] if there else ["any study"]):
            raise WrongUse(
                f"{self.out} has no table of {missing[0]}; there are {', '.join(there) or 'none'}. Run it, or choose another --out."
            )
        found = {}
        for name in self.names or there:
            table = results.read(there[name])
            out.show(f"{name}: {table.num_rows} rows in {there[name]}.")
            losses(table, out)
            found[name] = table.num_rows
        return found


@dataclass(frozen=True, kw_only=True)
class History(Command):
    """Show what was launched, when, by which process, and how that ended.

    Example: python -m lm_experiments history
    """

    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Read, print, return the lines."""
        from lm_experiments import journal

        lines = journal.history(self.runs)
        heads = ("time", "name", "graph", "event", "host", "pid")
        out.table(f"Launched in {self.runs}", heads, [[str(line.get(head, "")) for head in heads] for line in lines])
        return lines


@dataclass(frozen=True, kw_only=True)
class Cancel(Command):
    """Stop a graph, or one stage and what continues it. What was trained is kept; the same `run` goes on from there.

    Example: python -m lm_experiments cancel fig3a
    """

    name: Positional[str] = ""
    """Study or graph; none for the newest."""
    stage: str = ""
    """Only this stage (its folder), and those that continue it."""
    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Stop drivers and jobs; returns what was stopped."""
        from lm_experiments import journal, slurm

        graph = journal.chosen(self.runs, self.name)
        names = _with_descendants(graph, [self.stage]) if self.stage else [stage.hash for stage in graph.stages]
        states = journal.states(self.runs, graph)
        going = [name for name in names if states[name].state in ("running", "queued")]
        drivers = [] if self.stage else _drivers(self.runs, graph.id)
        for name in going:
            journal.failed(self.runs / name, "cancelled")  # first, so that a job does not put itself back
        jobs = slurm.cancel(going, self.runs)
        for pid in drivers:
            os.kill(pid, signal.SIGTERM)
        if self.stage:
            for name in going:
                owner = states[name].owner or {}
                if owner.get("host") == socket.gethostname():
                    os.kill(int(owner["pid"]), signal.SIGTERM)
        out.show(f"Stopped {len(going)} stages, {len(jobs)} jobs and {len(drivers)} drivers of {graph.name}.")
        return {"stages": going, "jobs": jobs, "drivers": drivers}


@dataclass(frozen=True, kw_only=True)
class Rerun(Command):
    """Repeat the command that launched a graph: what failed is tried again, what is done is read back.

    Example: python -m lm_experiments rerun fig3a --stages 0123456789abcdef
    """

    name: Positional[str] = ""
    """Study or graph; none for the newest."""
    stages: tuple[str, ...] = ()
    """Stages (their folders) that are removed first and trained anew, with all that continue them."""
    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Remove what is to be trained anew, and run. Raises what `run` raises."""
        import tyro

        from lm_experiments import journal
        from lm_experiments.commands.run import Run

        graph = journal.chosen(self.runs, self.name)
        anew = _with_descendants(graph, self.stages) if self.stages else []
        states = journal.states(self.runs, graph)
        if busy := [name for name in anew if states[name].state in ("running", "queued")]:
            raise WrongUse(f"The stage {busy[0]} is {states[busy[0]].state}. Cancel it first.")
        for name in anew:
            if (self.runs / name).is_dir() and not (self.runs / name).is_symlink():
                shutil.rmtree(self.runs / name)
        again: Run = tyro.cli(Run, args=list(graph.arguments), config=(tyro.conf.OmitArgPrefixes,))
        return again.run(out)


@dataclass(frozen=True, kw_only=True)
class Prune(Command):
    """Free the disk of models that no other stage continues. Losses, logs, ledgers and specifications stay, so tables can be made again.

    A pruned stage still counts as done; should something need its model after all, it is trained again, to the same bits on the
    same machine. Without --yes it only says what would be freed.
    Example: python -m lm_experiments prune fig3a --yes
    """

    name: Positional[str] = ""
    """Study or graph; none for the newest."""
    parents: bool = False
    """Also the models that other stages continue, of which further fine-tuning begins."""
    yes: bool = False
    """Do it."""
    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Prune, print, return the folders and bytes."""
        from lm_experiments import journal, stages

        graph = journal.chosen(self.runs, self.name)
        continued = {stage.parent for one in journal.graphs(self.runs) for stage in one.stages}
        states = journal.states(self.runs, graph)
        unfinished = {stage.parent for stage in graph.stages if states[stage.hash].state != "done"}
        chosen = [
            stage.hash for stage in graph.stages
            if states[stage.hash].state == "done" and stage.hash not in unfinished and (self.parents or stage.hash not in continued)
        ]  # fmt: skip
        freed = {name: size for name in chosen if (size := stages.prune(self.runs / name, only_look=not self.yes))}
        done = "Freed" if self.yes else "With --yes this frees"
        out.show(
            f"{done} {sum(freed.values()) / 1e9:.3g} GB: the models of {len(freed)} of {len(graph.stages)} stages of {graph.name}."
        )
        return {"stages": list(freed), "bytes": sum(freed.values()), "done": self.yes}


def _with_descendants(graph: Any, names: Any) -> list[str]:
    known = [stage.hash for stage in graph.stages]
    if unknown := [name for name in names if name not in known]:
        raise WrongUse(f"{graph.name} has no stage {unknown[0]}. `status` shows the stages.")
    found = dict.fromkeys(names)
    for stage in graph.stages:  # parents come first
        if stage.parent in found:
            found[stage.hash] = None
    return list(found)


def _drivers(root: Path, graph: str) -> list[int]:
    """Processes of this machine that drive a graph at the moment."""
    from lm_experiments import journal

    going: dict[int, None] = {}
    for line in journal.history(root):
        if line["graph"] == graph and line.get("host") == socket.gethostname() and isinstance(line.get("pid"), int):
            if line["event"] == "started":
                going[line["pid"]] = None
            else:
                going.pop(line["pid"], None)
    return [pid for pid in going if _is_ours(pid)]


def _is_ours(pid: int) -> bool:
    """Whether a process is one of these: a number may have been given to another since."""
    try:
        return b"lm_experiments" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
