"""`python -m tests.soak.graph`: kills drivers and workers of a real graph of twelve stages, and compares it with one that nobody touched.

    driver --spawns--> workers        a real command line, two processes that train, on two seeds x two lambda x three stages
      |                   |
    SIGKILL             SIGKILL       at random moments, one of them at a time; after that the same command again

Nothing may be lost (a sealed stage stays as it is, the newest checkpoint of another is never an older one) and nothing done twice (a stage
is sealed once, and a stage goes on from its checkpoint). In the end every model, log and ledger is bit for bit that of the untouched run.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro

from common.versions import code_version

STAGES = 12
FILES = ("model.safetensors", "metrics.jsonl", "ledger.json")
SMALL = (
    "--seeds 0 1 --exposures 0 1 --workers 2 --stage1.tokens 61440 --stage2.tokens 40960 --stage3.tokens 40960 --checkpoint-seconds 0 "
    "--report-windows 2 --stop-windows 2"
)
"""Stages of a few seconds, with a checkpoint whenever that costs little."""

EARLY, LATEST = 0.2, 4.0
"""Share of the kills that come whenever they come; seconds of training after which the others come at the latest."""


@dataclass(frozen=True, kw_only=True)
class Killing:
    """Kill drivers and workers of a graph of twelve stages."""

    kills: int = 20
    """How many processes are killed; where the graph ends before, it begins anew."""
    seed: int = 0
    """Of what is killed, and when."""
    minutes: float = 30.0
    """After that it is stuck."""


def command(folder: Path) -> list[str]:
    """The command line of a run in a folder."""
    words = ["-m", "lm_experiments", "run", "smoke", *SMALL.split()]
    return [sys.executable, *words, "--out", str(folder / "out"), "--runs", str(folder / "runs")]


def start(folder: Path) -> "subprocess.Popen[bytes]":
    """A driver, in the background."""
    folder.mkdir(exist_ok=True)
    with (folder / "said").open("ab") as said:
        return subprocess.Popen(command(folder), stdout=said, stderr=said)


def workers(pid: int) -> list[int]:
    """The processes of a driver that train: the other one that it has starts with a resource tracker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (path.parent / "cmdline").read_bytes():
                found.append(int(path.parent.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


def sealed(folder: Path) -> dict[str, tuple[int, int]]:
    """Stages that are done -> the file that says so, and when it was written."""
    marks = {path.parent.name: path.stat() for path in (folder / "runs").glob("*/done")}
    return {name: (mark.st_ino, mark.st_mtime_ns) for name, mark in marks.items()}


def reached(folder: Path) -> dict[str, int]:
    """Stages that are not done -> their newest checkpoint."""
    found: dict[str, int] = {}
    for path in (folder / "runs").glob("*/checkpoint-*"):
        if not (path.parent / "done").exists():
            found[path.parent.name] = max(found.get(path.parent.name, 0), int(path.name[11:]))
    return found


def faults(before: tuple[dict[str, tuple[int, int]], dict[str, int]], folder: Path) -> Iterator[str]:
    """What was lost or done twice since `before`."""
    done, steps = sealed(folder), reached(folder)
    for name, mark in before[0].items():
        if done.get(name) != mark:
            yield f"the sealed stage {name} was {'done twice' if name in done else 'lost'}"
    for name, step in before[1].items():
        if name not in done and steps.get(name, 0) < step:
            yield f"the stage {name} was at step {step}, and is at {steps.get(name, 0)}"


def training(pid: int, folder: Path) -> bool:
    """Whether a worker of this driver trains a stage: what was killed leaves its name too."""
    crew = workers(pid)
    for path in (folder / "runs").glob("*/owner.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            if json.loads(path.read_text())["pid"] in crew:
                return True
    return False


def strike(driver: "subprocess.Popen[bytes]", folder: Path, chance: random.Random) -> str:
    """Kill the driver or one of its workers, mostly while stages are trained; returns which, or nothing where it had ended."""
    if chance.random() < EARLY:
        time.sleep(chance.uniform(0, 10))
    else:
        while driver.poll() is None and not training(driver.pid, folder):
            time.sleep(0.1)
        time.sleep(chance.uniform(0, LATEST))
    crew = workers(driver.pid)
    if driver.poll() is not None:
        return ""
    victim = chance.choice([driver.pid, *crew])
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return ""
    return "driver" if victim == driver.pid else "worker"


def main(chosen: Killing) -> int:
    """Carry it out; returns the exit code: 1 where anything was lost, done twice or different."""
    chance, began, killed = random.Random(chosen.seed), time.monotonic(), {"driver": 0, "worker": 0}
    found: list[str] = []
    with tempfile.TemporaryDirectory(prefix="graph-") as name:
        root = Path(name).resolve()
        if start(root / "whole").wait():
            sys.exit(f"The graph fails though nobody touches it:\n{(root / 'whole/said').read_text()[-2000:]}")
        wanted = {path.name: path for path in (root / "whole/runs").iterdir() if (path / "done").exists()}
        if len(wanted) != STAGES:
            sys.exit(f"The graph has {len(wanted)} stages, not {STAGES}.")
        rounds = 0
        while sum(killed.values()) < chosen.kills:
            folder = root / f"cut-{rounds}"
            rounds += 1
            finished = False
            while not finished:
                if time.monotonic() - began > chosen.minutes * 60:
                    found.append("stuck: the time is over")
                    break
                before = (sealed(folder), reached(folder))
                driver = start(folder)
                spare = sum(killed.values()) < chosen.kills
                if spare and (which := strike(driver, folder, chance)):
                    killed[which] += 1
                    print(
                        f"killed a {which}; {len(sealed(folder))} of {STAGES} stages are done",
                        file=sys.stderr,
                        flush=True,
                    )
                    if which == "driver":
                        time.sleep(1)  # its workers notice, and go
                code = driver.wait(chosen.minutes * 60)
                found += faults(before, folder)
                finished = code == 0
            if found:
                break
            for stage, path in wanted.items():
                for file in FILES:
                    if (folder / "runs" / stage / file).read_bytes() != (path / file).read_bytes():
                        found.append(f"{file} of {stage} is different")
    for line in found:
        print(line, file=sys.stderr)
    told = ", ".join(f"{count} {which}s" for which, count in killed.items())
    print(f"graph of {STAGES} stages, {code_version()}, seed {chosen.seed}: killed {told} in {rounds} rounds, "
          f"{(time.monotonic() - began) / 60:.1f} min: {len(found)} lost, done twice or different")  # fmt: skip
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Killing)))
