"""`make bench`: every benchmark in one run, as settings or tokens a second and as ratios; takes about ten minutes."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import closed_form, pathways, simulation, training
from common.console import Output


def show(out: Output, title: str, rows: Sequence[tuple[str, float]]) -> None:
    """A table of rates, each as a ratio to the first."""
    first = rows[0][1]
    out.table(
        title,
        ("", "settings/s", "of the first"),
        [(name, f"{rate:,.0f}", f"{rate / first:.3g}") for name, rate in rows],
    )


def saved_sweep() -> tuple[float, float]:
    """Wall seconds and peak memory (GB) of a million-point sweep as a process of its own, start-up and file included."""
    axes = ("alpha=0:1:100", "t_post=0:4:100", "t_ft=0.01:10:100:log")
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "theory",
            "sweep",
            *axes,
            "--out",
            str(Path(folder) / "sweep.parquet"),
            "--json",
        ]
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        if status:
            raise RuntimeError("the sweep failed")
    return seconds, usage.ru_maxrss / 1e6


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__).parse_args()
    out = Output(as_json=False)
    seconds, memory = saved_sweep()  # first: a child's peak memory is never below that of the process that started it
    show(out, f"Plain model, three blocks, four losses, float64, {os.cpu_count()} cores", closed_form.measure())
    rates = pathways.measure()
    for title, pair in (("separate units", rates[:2]), ("shared unit", rates[2:])):
        show(out, f"Redundant pathways, {title}, all interventions, integrated to 1e-9", pair)
    show(out, f"Gradient descent on matrices, 3 x {simulation.STAGE} steps, float64", simulation.measure())
    out.show(f"A million points swept and saved, start-up included: {seconds:.2f} s, {memory:.2f} GB at most.")
    training.main(out)


if __name__ == "__main__":
    main()
