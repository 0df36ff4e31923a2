"""What `make bench` measures, and how it is shown: settings or tokens per second, and ratios."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import closed_form, large, pathways, simulation, study, training
from common.console import Output


def show_settings(out: Output, title: str, rows: Sequence[tuple[str, float]]) -> None:
    """A table of rates, each as a ratio to the first."""
    first = rows[0][1]
    out.table(
        title,
        ("", "settings/s", "of the first"),
        [(name, f"{rate:,.0f}", f"{rate / first:.3g}") for name, rate in rows],
    )


def show_tokens(out: Output, title: str, rows: Sequence[tuple[str, float, float, float]]) -> None:
    """A table of training rates, each as a ratio to the fastest other loop and as a share of the processor's peak."""
    shown = [(name, f"{rate:,.0f}", f"{ratio:.2f}", f"{share:.0%}") for name, rate, ratio, share in rows]
    out.table(title, ("", "tokens/s", "of the fastest other", "share of peak"), shown)


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


def solvers(out: Output) -> None:
    """Closed forms, pathways and matrix descent."""
    seconds, memory = saved_sweep()  # first: a child's peak memory is never below that of the process that started it
    title = f"Plain model, three blocks, four losses, float64, {os.cpu_count()} cores"
    show_settings(out, title, closed_form.measure())
    rates = pathways.measure()
    for variant, pair in (("separate units", rates[:2]), ("shared unit", rates[2:])):
        show_settings(out, f"Redundant pathways, {variant}, all interventions, integrated to 1e-9", pair)
    title = f"Gradient descent on matrices, 3 x {simulation.STAGE} steps, float64"
    show_settings(out, title, simulation.measure())
    out.show(f"A million points swept and saved, start-up included: {seconds:.2f} s, {memory:.2f} GB at most.")


def language_models(out: Output) -> None:
    """The training loop at both shapes, a whole study, the 135M model; LitGPT is left out where it cannot be imported."""
    for shape in training.STEPS:
        title = f"Training {shape}, batch {training.BATCH} x {training.LENGTH}, float32"
        show_tokens(out, title, training.measure(shape))
    show_tokens(out, "A whole nano study, two one-thread processes", study.measure())
    rate, memory = large.measure()
    out.show(f"The 135M model at sequence {large.LENGTH:,} in bf16: {rate:,.0f} tokens/s, {memory:.1f} GB at most.")
    try:
        import litgpt  # noqa: F401
    except ImportError as error:
        out.show(f"LitGPT left out: {error}.")


PARTS = {"solvers": solvers, "training": language_models}
