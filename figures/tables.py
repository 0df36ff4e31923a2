"""Reading columns and rows out of a results table for drawing."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common import curves, results
from common.results import as_table


class Rows:
    """A results table as numpy columns, selected by conditions."""

    def __init__(self, table: Any, keep: Any = None) -> None:
        """Args: table: a results table or a data frame with its columns; keep: boolean mask over its rows (all, if absent)."""
        self._table = table = as_table(table)
        self._keep = np.ones(table.num_rows, dtype=bool) if keep is None else keep

    def __len__(self) -> int:
        """Number of selected rows."""
        return int(self._keep.sum())

    def __getitem__(self, name: str) -> Any:
        """A column of the selected rows: floats with nan for null, or strings."""
        return self._column(name)[self._keep]

    @property
    def names(self) -> list[str]:
        """The table's columns."""
        return list(self._table.column_names)

    @property
    def varied(self) -> list[str]:
        """Names of the columns in which the whole table has several values; of a large table this needs no numpy copy."""
        return [name for name in self._table.column_names if len(self._table[name].unique()) > 1]

    @property
    def mask(self) -> Any:
        """Which rows of the table are selected."""
        return self._keep.copy()

    def _column(self, name: str) -> Any:
        return results.column(self._table, name)

    def where(self, **values: Any) -> "Rows":
        """The rows whose columns have these values; write dots as double underscores. None keeps the nulls."""
        keep = self._keep.copy()
        for name, value in values.items():
            column = self._column(name.replace("__", "."))
            if value is None:
                keep &= np.array([entry is None or entry != entry for entry in column])
            else:
                keep &= column == value
        return Rows(self._table, keep)

    def one_of(self, values: Mapping[str, Sequence[Any]]) -> "Rows":
        """The rows whose columns have one of these values each."""
        keep = self._keep.copy()
        for name, some in values.items():
            keep &= np.isin(self._column(name), some)
        return Rows(self._table, keep)

    def near(self, name: str, value: float) -> "Rows":
        """The rows in which a column has its value nearest to this one: computed numbers are rarely equal to typed ones."""
        nearest = min(self.distinct(name), key=lambda other: abs(other - value))
        return self.where(**{name.replace(".", "__"): nearest})

    def distinct(self, name: str) -> list[Any]:
        """The values of a column among the selected rows, in order of appearance, without nulls."""
        return [value for value in dict.fromkeys(self[name].tolist()) if value is not None and value == value]

    def sorted_by(self, name: str) -> Any:
        """Order of the selected rows by a column."""
        return np.argsort(self[name], kind="stable")

    def whole_seeds(self) -> "Rows":
        """The rows of the seeds that have all rows that any seed has."""
        keep = self._keep.copy()
        keep[keep] = curves.whole_seeds(self["seed"])
        return Rows(self._table, keep)

    def by_seed(self, axis: str, *names: str) -> tuple[Any, ...]:
        """Values of an axis, and an array (seeds, values) a column, of the seeds that are whole; see `common.curves`."""
        points, found = curves.paired(self._table, axis, *((self._keep, name) for name in names))
        return points, *found

    def against(self, other: "Rows", axis: str, name: str) -> tuple[Any, Any, Any]:
        """Values of an axis, and a column of these and of other rows of the table, row by row of the same seeds."""
        points, (own, others) = curves.paired(self._table, axis, (self._keep, name), (other._keep, name))
        return points, own, others

    def gain(self, axis: str, loss: str = "loss_ret") -> tuple[Any, Any]:
        """Values of an axis, and a loss unmixed minus mixed: (seeds, values)."""
        return curves.gain(self._table, self._keep, axis, loss)
