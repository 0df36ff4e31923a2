"""A chain of the paper's 135M study, shrunken, in this process: `python -m tests.lm_experiments.chain <arguments of run>` is killed.

All of it is as at full size (vocabulary of 49,152, widths, heads, bf16, the study, the command), except layers, steps and windows.
"""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from lm_experiments import checkpoints, local, models
from tests.soak.jobs import Here

SHAPE = replace(models.PRESETS["135m"], layers=1)
AT = 2
"""The step after whose checkpoint the process dies."""


def main(arguments: Sequence[str]) -> None:
    """Carry out a command that does not come to its end."""
    from common.console import run
    from lm_experiments.commands import COMMANDS

    torch.set_num_threads(1)
    models.PRESETS["135m"] = SHAPE
    local.Local = Here  # type: ignore[assignment, misc]
    save = checkpoints.save

    def fatal(folder: Any, step: int, *rest: Any) -> None:
        save(folder, step, *rest)
        if step == AT:
            os.kill(os.getpid(), signal.SIGKILL)

    checkpoints.save = fatal
    run("lm_experiments", COMMANDS, "", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
