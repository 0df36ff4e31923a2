"""Tables of a study: parts with different columns, joined; and the pieces that studies share.

A trajectory is a sweep over stopping times: a row is the pipeline cut off at that time. Analytic boundaries of a phase map are
rows of its table, named in `problem.boundary`, that have coordinates but no losses.
"""

from typing import Any

import numpy as np

from common import results, rows
from common.arrays import Array
from common.filling import filled
from common.losses import LOSSES
from common.settings import config_hash
from theory.grid import Axis, Grid, evaluate
from theory.models import model_named
from theory.stages import DEFAULTS


def of_parts(parts: list[dict[str, Any]], study: str, *science: Any) -> Any:
    """One table from parts of one study; missing columns are null."""
    name = config_hash(study, *science)
    return rows.join(
        [
            _table(rows.columns({k: v for k, v in part.items() if k not in LOSSES}, [part.get(k) for k in LOSSES],
                                study=study, config_hash=name))
            for part in parts
        ]
    )  # fmt: skip


def _table(part: dict[str, Any]) -> Any:
    """A part by itself: a boundary has no losses, which only the whole must have."""
    import pyarrow as pa

    shape = results.schema({name: "text" if isinstance(part[name], str) else "real" for name in part if "." in name})
    size = next(len(value) for value in part.values() if np.ndim(value))
    return pa.table({field.name: filled(part.get(field.name), field.type, size) for field in shape}, shape)


def solved(values: dict[str, Any], model: str = "plain") -> dict[str, Any]:
    """Settings of a model together with their losses, as columns."""
    chosen = model_named(model)
    v = chosen.defaults() | values
    return v | chosen.predict(v)._asdict() | {"model": model}


def phase_map(x: Axis, y: Axis, fixed: dict[str, Any]) -> dict[str, Any]:
    """A loss map over two axes, x running fastest."""
    grid = Grid([y, x], fixed)
    losses = dict(zip(LOSSES, evaluate(grid), strict=True))
    return grid.fixed | grid.coordinates(0, grid.size) | losses


def boundary(name: str, x_name: str, x: Array, y_name: str, y: Array, fixed: dict[str, Any]) -> dict[str, Any]:
    """A named line over the axes of a map."""
    x, y = (np.asarray(value, dtype=float) for value in np.broadcast_arrays(x, y))
    return {**DEFAULTS, **fixed, x_name: x, y_name: y, "problem.boundary": name}
