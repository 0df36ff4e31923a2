"""`python -m tests.soak`: kills commands and damages their files, and compares what follows with a run that nobody touched.

Prints one line, and on standard error a line a fault; exit code 1 if anything was lost, different, stuck, left over or silent.
"""

import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from common.versions import code_version
from tests.soak.cases import corrupt, kill, untouched
from tests.soak.jobs import Job, jobs, load
from tests.soak.judging import FAULTS


@dataclass(frozen=True, kw_only=True)
class Soak:
    """Kill commands and damage files, and compare what follows with a run that nobody touched."""

    kills: int = 300
    """How many commands are killed."""
    corruptions: int = 1000
    """How many files are damaged."""
    minutes: float = 60.0
    """No new case after that."""
    seed: int = 0
    """Of what is killed and damaged, and when."""
    midway: int = 4
    """How many half-finished folders of a job are damaged, besides its finished one."""
    stuck: float = 120.0
    """Seconds after which a command counts as stuck, if that is more than twenty times what it needs."""
    jobs: tuple[str, ...] = ()
    """Only these jobs; none for all."""
    keep: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Where the folders of faults are kept to be looked at."""


def main(soak: Soak, made: Callable[[Path], Sequence[Job]] = jobs) -> int:
    """Carry it out.

    Args:
        soak: the options.
        made: the jobs, given a folder for what they read and nobody damages.

    Returns:
        The exit code.
    """
    start = time.perf_counter()
    found: Counter[str] = Counter()
    done: Counter[str] = Counter()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        root = Path(name).resolve()
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(root / "compiled")
        (root / "inputs").mkdir()
        offered = made(root / "inputs")
        if unknown := set(soak.jobs) - {job.name for job in offered}:
            sys.exit(
                f"There is no job {', '.join(unknown)}. Choose from {', '.join(job.name for job in offered)} for --jobs."
            )
        chosen = [job for job in offered if not soak.jobs or job.name in soak.jobs]
        if made is jobs:
            load({job.name for job in chosen})
        known = []
        for job in chosen:
            chance = random.Random(f"{soak.seed}/{job.name}")
            known.append(one := untouched(job, root, chance, midway=soak.midway, stuck=soak.stuck))
            _tell(
                f"{job.name}: {one.ended.seconds:.1f} s, {one.ended.steps} changes of names, {len(one.outcome)} files"
            )
        cases = [(kill, i) for i in range(soak.kills)] + [(corrupt, i) for i in range(soak.corruptions)]
        random.Random(soak.seed).shuffle(cases)
        for number, (case, i) in enumerate(cases, 1):
            if (spent := time.perf_counter() - start) > soak.minutes * 60:
                break
            one, folder = known[i % len(known)], root / "case"
            word, shown, story = case(one, folder, random.Random(f"{soak.seed}/{case.__name__}/{i}"))
            found[word] += 1
            done[case.__name__] += 1
            if word in FAULTS:
                _tell(f"{word}: {one.job.name} ({case.__name__} {i}), {story}: {shown}")
                if soak.keep:
                    shutil.copytree(folder, soak.keep / f"{case.__name__}-{i}-{one.job.name}", dirs_exist_ok=True)
            if number % 20 == 0:
                left = min(spent / number * (len(cases) - number), soak.minutes * 60 - spent)
                _tell(f"{number} of {len(cases)} cases, ETA {left / 60:.1f} min")
    counts = ", ".join(f"{found[word]} {word}" for word in FAULTS)
    print(
        f"soak of {code_version()}, seed {soak.seed}: {done['kill']} kills, {done['corrupt']} corruptions in "
        f"{(time.perf_counter() - start) / 60:.1f} min: {counts}; {found['same']} the same, {found['refused']} refused in words"
    )
    return int(any(found[word] for word in FAULTS) or not found)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore", DeprecationWarning)  # of forks: there is no thread yet
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main(tyro.cli(Soak)))
    sys.exit(130)
