"""When training is given up: a loss or gradient that is not finite, or a loss far above what it began with."""

import math
from pathlib import Path

from common.settings import WrongUse
from lm_experiments import checkpoints
from lm_experiments.stage_settings import StageSettings


class Diverged(WrongUse):
    """The loss or its gradient is not finite, or the loss exploded: says what was tried and the last good step."""


def ceiling(first: float, vocabulary: int, settings: StageSettings) -> float:
    """The loss above which a stage has exploded, nats per token, from its first loss."""
    return max(first, math.log(vocabulary)) + settings.explode


def diverged(step: int, loss: float, norm: float, limit: float, settings: StageSettings, folder: Path) -> Diverged:
    """The error to raise.

    Args:
        step: whose loss it was, counted from 0.
        loss, norm: what was found.
        limit: the ceiling.
        settings: of the stage.
        folder: of the stage, with its checkpoints.
    """
    kept = list(checkpoints.numbered(folder, "checkpoint"))
    return Diverged(
        f"Training diverged at step {step + 1} of {settings.max_steps}: loss {loss:.4g} (limit {limit:.4g}), "
        f"gradient norm {norm:.4g}. Tried: lr = {settings.lr:g} (min_lr {settings.min_lr:g}, {settings.warmup_steps} warm-up steps), "
        f"clip = {settings.clip:g}, precision {settings.precision}. Last good step: {step}; last checkpoint: "
        f"{f'step {kept[-1]}' if kept else 'none'}, kept in {folder}. Lower lr or warm up for longer."
    )
