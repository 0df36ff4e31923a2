"""Optimiser steps of the 135M model on this CPU, at sequence 1,024 in bf16: tokens per second and peak memory, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.training import Noise

STEPS = 4
LENGTH = 1024


def steps() -> list[float]:
    """Tokens per second of each step; the first also warms up."""
    from lm_experiments import models
    from lm_experiments.training import StageSettings, train

    data = Noise(models.PRESETS["135m"].vocabulary, batch=1, length=LENGTH)
    settings = StageSettings(
        lr=1e-3, min_lr=1e-4, max_steps=STEPS, batch=1, length=LENGTH, precision="bf16", log_every=1
    )
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        model = models.build(models.PRESETS["135m"], 0)
        train(
            model, data, settings, {}, Path(folder), stop_on=None,
            report=lambda progress: rates.append(progress.tokens_per_second),
        )  # fmt: skip
    return rates


def measure() -> tuple[float, float]:
    """Tokens per second of the fastest step, and GB at most. Raises `RuntimeError` if the process fails."""
    command = [sys.executable, "-m", "benchmarks.large"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError("the 135M model failed")
    return max(json.loads(said)), usage.ru_maxrss / 1e6


if __name__ == "__main__":
    print(json.dumps(steps()))
