"""A whole study against the fastest plain loop: does what the kernels gain survive start-up, evaluation, checkpoints and logs?

The study is Figure 3a at nano scale, cut to one seed, two lambda and one stage-3 rate, from the command line to the table; its rate
is the tokens that it trained over its wall time. The alternatives are those of `benchmarks.training` as two one-thread processes at
once: they do nothing but train, which counts in their favour. They take their turn before and after; the better one counts.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import training

ARGUMENTS = "run fig3a --sizes 32768 --seeds 1000 --exposures 0 1 --rates 3e-4 --workers 2"


def carried_out() -> tuple[float, float]:
    """Tokens trained, and wall seconds of the command, start-up and files included. Raises `RuntimeError` if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "lm_experiments",
            *ARGUMENTS.split(),
            "--out",
            folder,
            "--runs",
            f"{folder}/runs",
        ]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(f"the study failed: {done.stderr[-2000:]}")
        return json.loads((Path(folder) / "fig3a.json").read_text())["tokens_trained"], seconds


def measure() -> list[tuple[str, float, float, float]]:
    """Rows of (what, tokens a second, ratio to the fastest alternative, share of oneDNN's float32 peak)."""
    before, peaks = training.together("nano", 2, 1)
    tokens, seconds = carried_out()
    after, _ = training.together("nano", 2, 1)
    others = {name: max(before[name], after[name]) for name in before if name != "ours"}
    rival = max(others.values())
    rates = {f"a whole study, {tokens:,} tokens in {seconds:.0f} s": tokens / seconds} | others
    share = training.operations("nano") / peaks["oneDNN"]
    return [(name, rate, rate / rival, rate * share) for name, rate in rates.items()]
