"""Where a stage that was interrupted goes on: at its end, from the newest checkpoint that is whole, or from its beginning.

Nothing that lies in the folder is believed. Whatever does not agree with its checksums, with the stage or with itself is reported in a
warning, and what was there before is used; only what no stage can have written (links, foreign files and tensors) is refused.
"""

import functools
import hashlib
import math
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_experiments import checkpoints, outcomes
from lm_experiments.evaluation import EvalSet, measure
from lm_experiments.stage_settings import Outcome, StageSettings

if TYPE_CHECKING:
    import torch

    from lm_experiments.processes import DistributedModel


SAME_LOSS = 1e-4
"""Relative difference up to which a loss that is measured again, perhaps on another machine, is the same."""


@dataclass
class State:
    """All that a checkpoint holds beside weights and moments."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_loss: float | None = None
    evals_since_best: int = 0
    """Evaluations since the best."""
    ceiling: float = 0.0
    """A loss above it is an explosion."""
    metrics: int = 0
    """Bytes of metrics.jsonl."""
    metrics_sha256: str = ""
    """Of those bytes; empty in checkpoints of before it was kept."""
    pending: list[list[float]] = field(default_factory=list)
    """Loss and gradient norm of the steps since the last line of metrics."""


def resume(folder: Path, distributed: "DistributedModel", settings: StageSettings) -> State:
    """Put the newest intact checkpoint in place and cut the log where it was; a fresh `State` where there is none.

    A damaged or forged checkpoint is reported with a warning and removed, and the one before is used.

    Raises:
        WrongUse: links, foreign files or foreign tensors.
    """
    distributed.accelerator.wait_for_everyone()  # the first of them may have written until now
    like = {"model": distributed.weights_like(), "optimizer": distributed.moments_like()}
    state = State()
    for step, path in reversed(checkpoints.numbered(folder, "checkpoint").items()):
        try:
            told, tensors = checkpoints.read(path, like)
            state = known(path, told, settings)
        except checkpoints.Damaged as error:
            warnings.warn(f"checkpoint-{step} is damaged ({error}); going on from the one before.", stacklevel=2)
            distributed.alone(functools.partial(shutil.rmtree, path))
        else:
            distributed.restore(tensors["model"], tensors["optimizer"])
            break
    if distributed.main:
        with (folder / "metrics.jsonl").open("ab") as file:
            file.truncate(state.metrics)
    return state


def known(path: Path, told: Mapping[str, Any], settings: StageSettings) -> State:
    """The state that a checkpoint tells, if it is one of this stage and what it refers to is there.

    Raises:
        Damaged: it is none, or the log or the best weights were cut short or altered.
    """
    usual, told = asdict(State()), {"metrics_sha256": "", **told}
    if set(told) != set(usual) or not all(
        isinstance(told[name], type(value) if value is not None else float | None) for name, value in usual.items()
    ):
        raise checkpoints.Damaged("state.json does not describe the state of a stage")
    state = State(**told)
    if path.name != f"checkpoint-{state.step}" or not 0 < state.step < settings.max_steps:
        raise checkpoints.Damaged(f"its step {state.step} is not one of this stage")
    numbers = [state.seconds, state.ceiling, state.best_loss or 0.0]
    pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in state.pending)
    numbers += [number for pair in state.pending for number in pair] if pairs else [math.nan]
    if not (
        0 <= state.best_step <= state.step
        and (state.best_step == 0) == (state.best_loss is None)
        and min(state.seconds, state.evals_since_best, state.metrics) >= 0
        and all(isinstance(x, float) and math.isfinite(x) for x in numbers)
    ):
        raise checkpoints.Damaged("state.json holds numbers that no stage has")
    metrics = path.parent / "metrics.jsonl"
    if not metrics.exists() or metrics.stat().st_size < state.metrics:
        raise checkpoints.Damaged(f"{metrics.name} was cut short")
    if state.metrics_sha256 not in ("", log_sha256(path.parent, state.metrics)):
        raise checkpoints.Damaged(f"{metrics.name} was altered")
    if state.best_step:
        checkpoints.verify(path.parent / f"best-{state.best_step}", ("model.safetensors",))
    return state


def log_sha256(folder: Path, size: int) -> str:
    """The SHA-256 of the first `size` bytes of a stage's log."""
    with (folder / "metrics.jsonl").open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest()


def finished(
    folder: Path,
    distributed: "DistributedModel",
    settings: StageSettings,
    evaluation: Mapping[str, EvalSet],
    start: Mapping[str, "torch.Tensor"],
) -> Outcome | None:
    """The outcome of a stage that had ended before, its weights put in place; None where it has not ended.

    Its files are compared with their checksums and its losses with those of its weights, measured again. An end that does not
    hold is reported with a warning and forgotten, so that the stage goes on from its last checkpoint; `start`, the weights that the
    stage begins with, is put back.

    Raises:
        WrongUse: links, or foreign tensors.
    """
    if not (folder / "outcome.json").exists():
        return None
    try:
        outcome = outcomes.vouched(folder, settings)
        distributed.restore(checkpoints.read_tensors(folder / "model.safetensors", start))
        found = measure(distributed.module, evaluation, settings.eval_batch, distributed.accelerator)
        if found.keys() != outcome.losses.keys() or not all(
            math.isclose(found[name], outcome.losses[name], rel_tol=SAME_LOSS) for name in found
        ):
            raise checkpoints.Damaged("its weights do not have the losses that it tells")
    except (checkpoints.Damaged, TypeError) as error:
        message = f"The end of the stage in {folder} is damaged ({error}); going on from its last checkpoint, or from its beginning."
        warnings.warn(message, stacklevel=2)
        distributed.restore(start)
        distributed.accelerator.wait_for_everyone()  # all have read it
        distributed.alone((folder / "outcome.json").unlink)
        return None
    distributed.alone(lambda: checkpoints.clear(folder))  # it may have been killed before it had tidied up
    return outcome
