"""Settings of the linear models, and of networks that answer the same questions, as columns of the results table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import recipe, results
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
    made |= {name: _known(loss) for name, loss in zip(LOSSES, losses, strict=True)}
    made |= more
    return made | recipe_columns(made)


def join(tables: Sequence[Any]) -> Any:
    """Tables whose dotted columns may differ as one; missing columns are null. Raises `WrongUse` where the whole is no results table."""
    import pyarrow as pa

    whole = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    results.verify(whole)
    return whole


def _known(loss: Any) -> Any:
    """A loss as a column: null where a model does not know it, and says nan for every setting."""
    return None if loss is not None and np.size(loss) and np.isnan(np.asarray(loss, dtype=float)).all() else loss


def recipe_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """All recipe columns, for a row that may say its stages only by their times and mixture weights.

    Then alpha takes the place of D_pre in a stage 1 of fixed length (mixing "replace"), stage 2 is as long as it is set (split
    "independent"), and a pass over D_post is what stage 2 sees of it: `exposure = alpha t_pre / ((1 - replay) t_post)`, null where that is
    nothing.
    """
    made = {name: values.get(name, off) for name, off in recipe.OFF.items()}
    if isinstance(made["placement"], str) and made["placement"] == "uniform":
        made["window"] = None
    if "exposure" in values or not {"alpha", "t_pre", "t_post"} <= set(values):
        return made
    once = (1 - made["replay"]) * values["t_post"]
    with np.errstate(divide="ignore", invalid="ignore"):
        passes = np.asarray(values["alpha"] * values["t_pre"]) / once
    bad = ~np.isfinite(passes)
    found = np.ma.masked_array(np.where(bad, 0.0, passes), bad) if np.any(bad) else passes
    made["exposure"] = found if np.ndim(found) else None if np.any(bad) else float(found)
    return made | {"mixing": values.get("mixing", "replace"), "split": values.get("split", "independent")}
