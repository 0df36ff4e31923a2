"""Two processes that share a model, on a CPU with gloo: `torchrun --nproc-per-node=2 -m tests.lm_experiments.shared <folder>`.

One start of two processes does all that test_processes looks at, because starting them is what takes time.
"""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lm_experiments import interruption, models
from lm_experiments.damage import Damage
from lm_experiments.dropout import everywhere
from lm_experiments.plan import Part, Plan, PlannedBatches
from tests.lm_experiments.tiny import LENGTH, SHAPE, Plain, Text, run, settings

PLAN = Plan(length=LENGTH, batch=4, steps=24, seed=0, parts=(Part(store="text", windows=20, count=96),))
"""A pass over its data is five steps."""
WATCHED = {"stop_on": "stop", "eval_every": 6, "patience": 3, "min_lr": 1e-2, "dropout": everywhere(0.1)}


class Cut(PlannedBatches):
    """Stops the program at a step; the last twelve are one word, so that the best weights are those before."""

    at = -1

    def rows(self, step: int, first: int, count: int) -> Any:
        if step == self.at:
            raise KeyboardInterrupt
        if step >= 12:
            return np.zeros((count, LENGTH + 1), dtype=np.int64)
        return super().rows(step, first, count)


def stage(folder: Path, at: int = -1, **changes: Any) -> None:
    """Train, or go on, and stop before a step; never, where it is none of them."""
    batches = Cut(PLAN, {"text": Text(0)})
    batches.at = at
    with contextlib.suppress(KeyboardInterrupt, interruption.Stopped):
        run(folder, batches, **{**WATCHED, **changes})


def layout(folder: Path) -> tuple[list[str], list[int]]:
    """The parts of the model that are gathered together, by name; and how many whole tensors each process is given of it."""
    from torch.distributed.fsdp import FSDPModule

    from lm_experiments.processes import DistributedModel

    made = DistributedModel(models.build(SHAPE, 0), settings(shard=True), folder)
    held = [0, 0]
    torch.distributed.all_gather_object(held, len(made.weights()))
    return [name for name, module in made.module.named_modules() if isinstance(module, FSDPModule)], held


def refusal(folder: Path, batches: Any = None, **changes: Any) -> str:
    """What is said to a stage that needs whole weights, or that two processes cannot share."""
    from common.settings import WrongUse

    try:
        run(folder, batches, shard=True, **changes)
    except WrongUse as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    """Everything, into folders of its own."""
    torch.set_num_threads(1)
    units, held = layout(folder / "layout")
    seen = {
        "units": units,
        "held": held,
        "refusals": [
            refusal(folder / "rank", rank=2),
            refusal(folder / "damage", damage=Damage(noise=0.1)),
            refusal(folder / "batch", Plain(rows=3), batch=3),
        ],
    }
    if torch.distributed.get_rank() == 0:
        interruption.request()  # the other one is not asked, and stops all the same
    stage(folder / "again", shard=True)
    interruption.forget()
    seen["asked"] = sorted(path.name for path in (folder / "again").glob("checkpoint-*"))
    for at in (11, 22, -1):  # in the third pass, after a checkpoint in the second; later; never
        stage(folder / "again", at, shard=True)
    stage(folder / "more", shard=True, micro_batch=1, activation_checkpointing=True)  # begun by one process
    stage(folder / "fewer", 11, shard=True)  # ended by one
    stage(folder / "bf16", shard=True, precision="bf16", max_steps=3, log_every=1)
    stage(folder / "replicated", max_steps=3)  # after stages that were shared
    if torch.distributed.get_rank() == 0:
        (folder / "seen.json").write_text(json.dumps(seen))
    torch.distributed.destroy_process_group()  # or its threads may abort the interpreter as it ends


if __name__ == "__main__":
    main(Path(sys.argv[1]))
