"""Settings of the linear model as columns of the results table."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from theory import results
from theory.allocation import Budget
from theory.arrays import Array
from theory.features import BLOCKS, Blocks
from theory.losses import LOSSES
from theory.settings import ranges
from theory.stages import Schedule

_SETTINGS = [name for cls in (Blocks, Schedule, Budget) for name in ranges(cls)]
OWN = tuple(name for name in _SETTINGS if name not in results.SCHEMA)
"""Settings without a column in the schema; they are written as `problem.<name>`."""

EXTRA = {f"problem.{name}": "real" for name in OWN}


def columns(settings: Mapping[str, Any], losses: Any, *, study: str, config_hash: str, **more: Any) -> dict[str, Any]:
    """Columns of the results table for settings (numbers or 1-d arrays) and their four losses (1-d arrays)."""
    made: dict[str, Any] = {"engine": "theory", "study": study, "model": "plain", "pipeline": "linear"}
    made |= {"config_hash": config_hash, "code_version": results.code_version()}
    for name, value in settings.items():
        made[f"problem.{name}" if name in OWN else name] = value
    made |= dict(zip(LOSSES, losses, strict=True))
    return made | more


def strengths_by_block(strength: Array) -> dict[str, float]:
    """Block name -> strength, for one setting of the block model."""
    return {name: float(value) for name, value in zip(BLOCKS, np.broadcast_to(strength, (3,)), strict=True)}
