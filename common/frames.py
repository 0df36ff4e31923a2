"""Results as pandas data frames. pandas is an optional dependency; `common.results.as_table` is the way back."""

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
