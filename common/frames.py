"""Results as pandas data frames, and data frames as results tables. pandas is an optional dependency."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.settings import WrongUse


def frame(columns: Mapping[str, Any]) -> Any:
    """A data frame from arrays that broadcast against one another, a row per point in C order. Raises `WrongUse` without pandas."""
    try:
        import pandas as pd
    except ImportError as error:
        raise WrongUse(
            "to_pandas needs pandas, which is not installed. Install it with `pip install pandas`, or use the arrays themselves."
        ) from error
    try:
        whole = np.broadcast_arrays(*(np.asarray(value) for value in columns.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in columns.items())
        raise WrongUse(f"Columns of shapes {shapes} do not make one table. Give arrays that broadcast.") from error
    return pd.DataFrame({name: array.reshape(-1) for name, array in zip(columns, whole, strict=True)})


def as_table(data: Any) -> Any:
    """A results table as it is, or a pandas data frame as one: the schema's columns it lacks are null.

    Raises:
        WrongUse: neither of the two, or its columns do not make a results table.
    """
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if not hasattr(data, "to_dict") or not hasattr(data, "columns"):
        raise WrongUse(
            f"{type(data).__name__} is no table. Give a results table (`common.results.read`) or a pandas data frame."
        )
    from common import results

    columns: dict[str, Any] = {}
    for name in data.columns:
        column = data[name]
        words = column.dtype.kind not in "biuf"
        given = [None if entry is None or entry != entry else entry for entry in column.tolist()]
        columns[str(name)] = given if words or None in given else column.to_numpy()
    origin = {"engine": "own", "study": "own", "config_hash": "own", "code_version": "own"}
    return results.table(origin | columns)
