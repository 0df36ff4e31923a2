"""Settings of the linear models as columns of the results table."""

from collections.abc import Mapping
from typing import Any

from common import results
from common.losses import LOSSES


def column_name(setting: str) -> str:
    """The column of a setting: its own where the schema has one, else `problem.<setting>`."""
    return setting if setting in results.SCHEMA else f"problem.{setting}"


def extra(settings: Mapping[str, Any]) -> dict[str, str]:
    """The dotted columns that settings need, with their types."""
    names = {column_name(name): "text" if isinstance(value, str) else "real" for name, value in settings.items()}
    return {name: kind for name, kind in names.items() if "." in name}


def columns(settings: Mapping[str, Any], losses: Any, *, study: str, config_hash: str, **more: Any) -> dict[str, Any]:
    """Columns of the results table for settings (numbers or 1-d arrays) and their four losses (1-d arrays)."""
    made: dict[str, Any] = {"engine": "theory", "study": study, "model": "plain", "pipeline": "linear"}
    made |= {"config_hash": config_hash, "code_version": results.code_version()}
    made |= {name if "." in name else column_name(name): value for name, value in settings.items() if value is not None}
    made |= dict(zip(LOSSES, losses, strict=True))
    return made | more
