"""Trains the tiny stage again and again in children that are killed: `python -m tests.lm_experiments.killed <folder> <seeds>`.

A child is forked (torch is loaded once) and ended by SIGKILL, which no code of ours can see coming: at a step, between the
writing of a temporary file and its renaming, or at a moment chosen by a clock outside.
"""

import importlib
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.lm_experiments.tiny import Plain, run


def stage(folder: Path, batches: Any = None) -> Any:
    """The stage that is interrupted: dropout, early stopping and best weights included."""
    from lm_experiments.dropout import everywhere

    return run(folder, batches, stop_on="stop", eval_every=6, patience=3, dropout=everywhere(0.1))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Fatal(Plain):
    """Batches of which one kills the process."""

    at = 0

    def batch(self, step: int) -> Any:
        if step == self.at:
            die()
        return super().batch(step)


def child(folder: Path, way: str, number: int) -> None:
    """Train, and die on the way."""
    batches = Fatal()
    batches.at = number if way == "step" else -1
    if way == "rename":
        count, rename = [number], Path.rename

        def fatal(self: Path, target: Any) -> Any:
            count[0] -= 1
            return die() if count[0] < 0 else rename(self, target)

        Path.rename = fatal  # type: ignore[method-assign, assignment]
    if way == "replace":
        count, replace = [number], Path.replace

        def fatal_replace(self: Path, target: Any) -> Any:
            count[0] -= 1
            return die() if count[0] < 0 else replace(self, target)

        Path.replace = fatal_replace  # type: ignore[method-assign, assignment]
    stage(folder, batches)


def reached(folder: Path) -> int:
    """The newest checkpoint."""
    return max((int(path.name[11:]) for path in folder.glob("checkpoint-*")), default=0)


def until_done(folder: Path, chance: random.Random) -> int:
    """Let children go on with a stage and kill five, or as many as it takes to end; returns how many were killed."""
    for killed in range(6):
        way = chance.choice(("step", "rename", "replace", "clock")) if killed < 5 else "none"
        number = {
            "step": reached(folder) + chance.randrange(8),
            "rename": chance.randrange(3),
            "replace": chance.randrange(15),
        }
        pid = os.fork()
        if pid == 0:
            child(folder, way, number.get(way, 0))
            os._exit(0)
        if way == "clock":
            time.sleep(chance.uniform(0.05, 0.2))
            os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            if status:
                sys.exit("a child failed")
            return killed
    sys.exit("it never ended")


def main(folder: Path, seeds: int) -> None:
    """One stage a seed, in `folder/<seed>`; prints how many children were killed in all."""
    torch.set_num_threads(1)
    importlib.import_module("transformers.models.llama.modeling_llama")  # once, not in every child
    importlib.import_module("lm_experiments.processes")
    print(sum(until_done(folder / str(seed), random.Random(seed)) for seed in range(seeds)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
