"""A whole study against the plain loops: does what the kernels gain survive start-up, evaluation, checkpoints and logs?

The study is Figure 3 at nano scale, cut to one size, two seeds and three lambda (a seventh of it), from the command line to the
tables. The alternatives are those of `benchmarks.training` as two one-thread processes at once: their time is that of the tokens
which the study trained and evaluated, at the rates of the plain loops, with no start-up, checkpoints, logs, or waiting for
one another, which counts in their favour. They take their turn before and after; the better one counts. A short study of the same shapes
compiles the programs first, as they are kept between studies: what that takes is in the name of the row.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks import training

ARGUMENTS = "run fig3a fig3b --tokens-post 32768 --seeds 1000 1001 --exposures 0 0.5 1 --workers 2"
SHORT = (
    "run fig3a --tokens-post 32768 --seeds 1000 --exposures 0 --lr-ft 1e-4 --workers 1 "
    "--stage1.tokens 61440 --stage2.tokens 61440 --stage3.tokens 61440"
)


class Work(NamedTuple):
    """What a study did."""

    trained: int
    """Tokens."""
    evaluated: int
    """Tokens whose loss was measured, at the ends of stages and for early stopping."""
    seconds: float
    """Of the command, start-up and files included."""


def carried_out(arguments: str, programs: str) -> Work:
    """Run a study in a folder of its own, with compiled programs kept in the folder `programs`. Raises `RuntimeError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "lm_experiments",
            *arguments.split(),
            "--out",
            folder,
            "--runs",
            f"{folder}/runs",
        ]
        start = time.perf_counter()
        kept = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": programs}
        done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"the study failed: {done.stderr[-2000:]}")
        stages = list(Path(folder, "runs").glob("*/outcome.json"))
        trained = sum(json.loads(path.read_text())["tokens"] for path in stages)
        return Work(trained, sum(_evaluated(path.parent) for path in stages), seconds)


def _evaluated(stage: Path) -> int:
    said = json.loads((stage / "spec.json").read_text())["science"]
    looks = sum("eval/" in line for line in (stage / "metrics.jsonl").read_text().splitlines())
    stopping = said["stop_on"][1] * (looks + 1) if said["stop_on"] else 0
    return int((sum(windows for _, windows in said["measured"]) + stopping) * said["plan"]["Plan"]["length"])


def measure() -> list[tuple[str, float, float, float]]:
    """Rows of (what, trained tokens per second of the whole, ratio to the fastest alternative, share of oneDNN's float32 peak)."""
    names = (*(name for name in training.LOOPS if not name.startswith("ours")), *training.EVALUATION)
    before, peaks = training.together("nano", 2, 1, names)
    with tempfile.TemporaryDirectory() as programs:
        first, again, work = (carried_out(arguments, programs) for arguments in (SHORT, SHORT, ARGUMENTS))
    after, _ = training.together("nano", 2, 1, names)
    rates = {name: max(before[name], after[name]) for name in before}
    looking = work.evaluated / rates.pop("evaluation")
    others = {name: work.trained / (work.trained / rate + looking) for name, rate in rates.items()}
    mine = (
        f"a whole study, {work.trained / 1e6:.1f}M tokens trained and {work.evaluated / 1e6:.1f}M evaluated in {work.seconds:.0f} s "
        f"({first.seconds - again.seconds:.0f} s more where nothing is compiled yet)"
    )
    whole = {mine: work.trained / work.seconds} | others
    share, rival = training.operations("nano") / peaks["oneDNN"], max(others.values())
    return [(name, rate, rate / rival, rate * share) for name, rate in whole.items()]
