"""One case of the soak: a job is carried out in a child process, killed, or given damaged files, and carried out again.

untouched:  job --------------------------------------------> outcome, and the names of all files
a kill:     job --SIGKILL--> job [--SIGKILL--> job] --------> the same outcome, the same names, exit code 0
damage:     a finished or a killed job, one file damaged --> job --> the same, or refused where it may: in words, exit code not 0
"""

import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.soak import faults
from tests.soak.jobs import Job
from tests.soak.judging import Ended, differing, judged, outcome


class Known(NamedTuple):
    """A job as it is where nobody touches it."""

    job: Job
    start: Path
    """The folder it starts from."""
    folder: Path
    """As it left it."""
    ended: Ended
    outcome: dict[str, str]
    midway: list[Path]
    """Folders as kills have left them, and the one it starts from if that holds anything."""
    stuck: float
    """Seconds after which it counts as stuck."""


def carry_out(job: Job, folder: Path, *, limit: float, killed: bool = False, kill_at: int = -1) -> Ended:
    """Carry a job out in a child process.

    Args:
        job: what.
        folder: where.
        limit: seconds until it is killed.
        killed: whether that is what is wanted; otherwise it is stuck then.
        kill_at: it dies in the place of this change of names; -1 for none.
    """
    said, counted = (folder.with_name(f"{folder.name}.{end}") for end in ("said", "steps"))
    counted.unlink(missing_ok=True)
    said.write_text("")
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        _child(job, folder, said, counted, kill_at)
    status = None
    while status is None and time.perf_counter() < start + limit:
        done, code = os.waitpid(pid, os.WNOHANG)
        status = code if done else time.sleep(0.002)
    stuck = status is None and not killed
    if status is None:
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
    seconds, code = time.perf_counter() - start, os.waitstatus_to_exitcode(status)
    steps, modules = json.loads(counted.read_text()) if code >= 0 and counted.exists() else (0, [])
    return Ended(code, said.read_text(errors="replace"), seconds, steps, modules, stuck)


def _child(job: Job, folder: Path, said: Path, counted: Path, kill_at: int) -> None:
    code = 70
    try:
        words = os.open(said, os.O_WRONLY | os.O_TRUNC)
        os.dup2(words, 1)
        os.dup2(words, 2)
        sys.stdout, sys.stderr = (open(i, "w", closefd=False) for i in (1, 2))  # noqa: SIM115
        faults.count_steps(kill_at)
        code = job.work(folder)
        counted.write_text(json.dumps((faults.Steps.taken, list(sys.modules))))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def untouched(job: Job, root: Path, chance: random.Random, *, midway: int, stuck: float) -> Known:
    """Carry a job out where nobody touches it, and leave it midway a few times.

    Args:
        job: what.
        root: where folders are kept.
        chance: decides where it is left.
        midway: how often it is left.
        stuck: seconds after which it counts as stuck.

    Raises:
        SystemExit: it fails, or is not the same twice, without any fault.
    """
    folder, start, seen = root / "case", root / f"{job.name}-start", []  # always the same place: commands write it down
    start.mkdir()
    if job.prepare and carry_out(Job("prepare", job.prepare), start, limit=10 * stuck).code:
        sys.exit(f"{job.name} cannot be prepared.")
    for _ in range(2):  # the first time compiles and imports for all that follow
        put(start, folder)
        ended = carry_out(job, folder, limit=10 * stuck)
        if ended.code or ended.stuck:
            sys.exit(f"{job.name} fails though nobody touched it (exit code {ended.code}):\n{ended.said}")
        seen.append(outcome(folder))
        for name in ended.modules:
            if name not in sys.modules:
                with contextlib.suppress(ImportError):
                    importlib.import_module(name)
    if odd := differing(*seen):
        sys.exit(f"{job.name} is not the same twice: {', '.join(odd)}")
    shutil.copytree(folder, root / job.name)
    left = [start] if job.prepare else []
    for i in range(midway if ended.steps > 2 else 0):
        put(start, folder)
        carry_out(job, folder, limit=10 * stuck, kill_at=chance.randrange(1, ended.steps))
        if faults.files(folder):
            left.append(Path(shutil.copytree(folder, root / f"{job.name}-midway-{i}")))
    return Known(job, start, root / job.name, ended, seen[1], left, max(stuck, 20 * ended.seconds))


def put(source: Path, folder: Path) -> None:
    """Make a folder a copy of another."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)


def kill(known: Known, folder: Path, chance: random.Random) -> tuple[str, str, str]:
    """A job is killed once or twice, by the clock or at a change of names. Returns the word, what shows it, and what was done."""
    put(known.start, folder)
    story = []
    for _ in range(chance.choice((1, 1, 1, 2))):
        if known.ended.steps and chance.random() < 0.5:
            at = chance.randrange(known.ended.steps)
            story.append(f"killed at change {at} of {known.ended.steps}")
            carry_out(known.job, folder, limit=known.stuck, kill_at=at)
        else:
            after = chance.uniform(0, known.ended.seconds)
            story.append(f"killed after {after:.2f} of {known.ended.seconds:.2f} s")
            carry_out(known.job, folder, limit=after, killed=True)
    ended = carry_out(known.job, folder, limit=known.stuck)
    return *judged(known.outcome, ended, folder, may_refuse=False), ", ".join(story)


def corrupt(known: Known, folder: Path, chance: random.Random) -> tuple[str, str, str]:
    """A file of a finished or a killed job is damaged. Returns the word, what shows it, and what was done."""
    source = chance.choice([known.folder, *known.midway])
    put(source, folder)
    story = f"{source.name}: {faults.damage(folder, chance)}"
    ended = carry_out(known.job, folder, limit=known.stuck)
    return *judged(known.outcome, ended, folder, may_refuse=known.job.may_refuse), story
