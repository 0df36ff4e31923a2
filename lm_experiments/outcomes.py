"""How a stage ended, as its folder tells it: read without loading torch, because a finished study is read more often than trained."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lm_experiments import checkpoints, paths
from lm_experiments.stage_settings import Outcome, StageSettings

LEFT = ("model.safetensors", "config.json", "metrics.jsonl")
"""What outcome.json vouches for, beside itself."""


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Write outcome.json, with checksums of itself and of the files that the stage has left before it."""
    told = asdict(outcome)
    files = {name: paths.sha256(folder / name) for name in LEFT} | {"outcome.json": _digest(told)}
    checkpoints.write_json(folder / "outcome.json", {**told, "files": files})


def read_outcome(folder: Path) -> tuple[Outcome, Mapping[str, Any]]:
    """The outcome as it is written, and the checksums beside it: none in a folder of before they were kept.

    Raises:
        Damaged: it is no outcome.
        WrongUse: a link, or a huge file.
    """
    told = checkpoints.read_json(folder / "outcome.json")
    files = told.pop("files", {})
    try:
        return Outcome(**told), files if isinstance(files, dict) else {}
    except TypeError as error:
        raise checkpoints.Damaged("outcome.json does not describe the outcome of a stage") from error


def _digest(told: Mapping[str, Any]) -> str:
    said = {name: value for name, value in told.items() if value is not None}  # older outcomes lack what came later
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def vouched(folder: Path, settings: StageSettings) -> Outcome:
    """The outcome of a stage, if it agrees with the settings and its files with their checksums. Raises `Damaged`."""
    outcome, files = read_outcome(folder)
    if files.get("outcome.json") != _digest(asdict(outcome)):
        raise checkpoints.Damaged("outcome.json does not match its checksum")
    for name in LEFT:
        checkpoints.regular(folder / name)
        if files.get(name) != paths.sha256(folder / name):
            raise checkpoints.Damaged(f"{name} does not match its checksum")
    if settings.untrained:
        if outcome.steps or outcome.tokens:
            raise checkpoints.Damaged("outcome.json is of a stage that was trained")
    elif (
        outcome.tokens != outcome.steps * settings.batch * settings.length
        or not 0 < outcome.best_step <= outcome.steps <= settings.max_steps
        or (outcome.steps < settings.max_steps and not outcome.stopped_early)
    ):
        raise checkpoints.Damaged("outcome.json is not of this stage")
    return outcome
