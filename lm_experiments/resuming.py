"""Where a stage that was interrupted goes on: from the newest checkpoint that is whole, or from its beginning."""

import functools
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.settings import WrongUse
from lm_experiments import checkpoints
from lm_experiments.stage_settings import Outcome, StageSettings

if TYPE_CHECKING:
    from lm_experiments.processes import DistributedModel


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
    pending: list[list[float]] = field(default_factory=list)
    """Loss and gradient norm of the steps since the last line of metrics."""


def resume(folder: Path, spread: "DistributedModel", settings: StageSettings) -> State:
    """Put the newest intact checkpoint in place and cut the log where it was; a fresh `State` where there is none.

    A damaged checkpoint is reported with a warning and removed, and the one before is used.

    Raises:
        WrongUse: a checkpoint that training cannot have written.
    """
    like = {"model": spread.weights(), "optimizer": spread.moments_like()}
    state = State()
    for step, path in reversed(checkpoints.numbered(folder, "checkpoint").items()):
        try:
            told, tensors = checkpoints.read(path, like)
            state = known(path, told, settings)
        except checkpoints.Damaged as error:
            warnings.warn(f"checkpoint-{step} is damaged ({error}); going on from the one before.", stacklevel=2)
            spread.alone(functools.partial(shutil.rmtree, path))
        else:
            spread.restore(tensors["model"], tensors["optimizer"])
            break
    if spread.main:
        with (folder / "metrics.jsonl").open("ab") as file:
            file.truncate(state.metrics)
    return state


def known(path: Path, told: Mapping[str, Any], settings: StageSettings) -> State:
    """The state that a checkpoint tells, if what it refers to is there.

    Raises:
        Damaged: the log or the best weights were cut short or altered.
        WrongUse: it is no state of this stage.
    """
    usual, file = asdict(State()), path / "state.json"
    if set(told) != set(usual) or not all(
        isinstance(told[name], type(value) if value is not None else float | None) for name, value in usual.items()
    ):
        raise checkpoints.refuse(file, "it does not describe the state of a stage")
    state = State(**told)
    if path.name != f"checkpoint-{state.step}" or not 0 < state.step < settings.max_steps:
        raise checkpoints.refuse(file, f"its step {state.step} is not one of this stage")
    metrics = path.parent / "metrics.jsonl"
    if not metrics.exists() or metrics.stat().st_size < state.metrics:
        raise checkpoints.Damaged(f"{metrics.name} was cut short")
    if state.best_step:
        checkpoints.verify(path.parent / f"best-{state.best_step}", ("model.safetensors",))
    return state


def finished(folder: Path, spread: "DistributedModel") -> Outcome | None:
    """The outcome of a stage that had ended before, its weights put in place; None where it has not ended.

    Raises:
        WrongUse: its files were cut short or altered.
    """
    if not (folder / "outcome.json").exists():
        return None
    try:
        outcome = Outcome(**checkpoints.read_json(folder / "outcome.json"))
        weights = checkpoints.read_tensors(folder / "model.safetensors", spread.weights())
    except (checkpoints.Damaged, TypeError) as error:
        raise WrongUse(f"The finished stage in {folder} is damaged ({error}). Remove that folder.") from error
    spread.restore(weights)
    return outcome
