"""What checkpoints cost training: `python -m benchmarks.checkpoints`; inline, as if training waited for each, and behind it.

    none       no checkpoint
    inline     training stands still until the checkpoint is written
    behind     training stands still for the copy, and a thread writes it (`lm_experiments.saving`)

The same stage, one thread of computation, a checkpoint every few steps; the three take turns, and the fastest turn of each counts. On a
processor that has no idle core the thread takes its time from training, and little but the waiting for the disk is saved.
"""

import math
import tempfile
import time
from pathlib import Path

from benchmarks.training import LENGTH, LR, Noise
from common.console import Output

SHAPE, BATCH, STEPS, EVERY, ROUNDS = "micro", 2, 12, 3, 3


def seconds(every: int, inline: bool) -> tuple[float, float]:
    """Seconds of a stage with a checkpoint every so many steps (0 for none), and for how many of them training stood still."""
    import torch

    from lm_experiments import models, saving, training

    stood = [0.0]

    class Measured(saving.Saver):
        def checkpoint(self) -> None:
            began = time.perf_counter()
            super().checkpoint()
            if inline:
                self.wait()
            stood[0] += time.perf_counter() - began

    torch.set_num_threads(1)
    data = Noise(models.PRESETS[SHAPE].vocabulary, batch=BATCH)
    settings = training.StageSettings(
        lr=LR, min_lr=LR / 10, max_steps=STEPS, batch=BATCH, length=LENGTH, checkpoint_steps=every or STEPS
    )
    model = models.build(models.PRESETS[SHAPE], 0)
    usual = training.Saver
    training.Saver = Measured  # type: ignore[misc]
    try:
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            training.train(model, data, settings, {}, Path(folder), stop_on=None, report=lambda _: None)
            return time.perf_counter() - began, stood[0]
    finally:
        training.Saver = usual  # type: ignore[misc]


WAYS = {"none": (0, True), "inline": (EVERY, True), "behind": (EVERY, False)}


def measure() -> dict[str, tuple[float, float]]:
    """Of every way the fastest turn: seconds of the stage, and those for which training stood still."""
    best = dict.fromkeys(WAYS, (math.inf, math.inf))
    for _ in range(ROUNDS):
        for name, (every, inline) in WAYS.items():
            best[name] = min(best[name], seconds(every, inline))
    return best


def show(out: Output) -> None:
    """A table of the three, and the ratio."""
    found = measure()
    rows = [
        (name, f"{whole:.2f}", f"{stood:.3f}", f"{whole / found['none'][0]:.3f}")
        for name, (whole, stood) in found.items()
    ]
    title = f"{STEPS} steps of {SHAPE}, batch {BATCH} x {LENGTH}, float32, a checkpoint every {EVERY}"
    out.table(title, ("", "seconds", "of them still", "of none"), rows)
    out.show(f"Behind training over inline: {found['behind'][0] / found['inline'][0]:.3f} of the time.")


if __name__ == "__main__":
    show(Output(as_json=False))
