"""What several parts of the text read: stored tables by seed, and verdicts as macros or as cells of a table."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from common import results, verdict_table
from common.published import RESULTS
from common.results import column
from common.seeds import Interval, mean_interval
from common.settings import WrongUse
from paper.macros import Macro, written


@cache
def verdict_rows(engine: str) -> list[dict[str, Any]]:
    """The stored verdicts of an engine."""
    return list(verdict_table.read(RESULTS / engine / "verdicts.parquet").to_pylist())


@cache
def stored_table(name: str) -> Any:
    """A stored table by its place below the folder of results."""
    return results.read(RESULTS / f"{name}.parquet")


def by_seed(name: str, loss: str, wanted: Mapping[str, Any]) -> dict[int, float]:
    """One column of the rows of a stored table that have these values, by seed."""
    table = stored_table(name)
    keep = np.logical_and.reduce([column(table, key) == value for key, value in wanted.items()])
    return dict(zip(column(table, "seed")[keep].astype(int).tolist(), column(table, loss)[keep].tolist(), strict=True))


def paired(more: Mapping[int, float], less: Mapping[int, float]) -> Interval:
    """One minus the other, by seed, with Student's interval."""
    return mean_interval(np.array([more[seed] - less[seed] for seed in sorted(less)]))


def found(engine: str, **wanted: Any) -> list[dict[str, Any]]:
    """The verdicts with these values; `effect` names how its text begins."""
    start = wanted.pop("effect", "")
    return [
        row
        for row in verdict_rows(engine)
        if all(row[name] == value for name, value in wanted.items()) and row["effect"].startswith(start)
    ]


def verdict_row(engine: str, **wanted: Any) -> dict[str, Any]:
    """The one verdict with these values. Raises `WrongUse`."""
    rows = found(engine, **wanted)
    if len(rows) != 1:
        raise WrongUse(
            f"{engine}/verdicts.parquet has {len(rows)} verdicts with {wanted}, and the text quotes one. Say in the module of "
            "paper/ that makes this number which."
        )
    return rows[0]


def cell(engine: str, digits: int = 3, **wanted: Any) -> str:
    """Value and interval of one verdict as LaTeX; words where it could not be tested, a dash where nobody asked. Raises `WrongUse`."""
    if not found(engine, **wanted):
        return "--"
    row = verdict_row(engine, **wanted)
    return "not testable" if row["value"] is None else written(_interval(row), digits)


def _interval(row: Mapping[str, Any]) -> Interval:
    return Interval(value=row["value"], low=row["low"], high=row["high"])


def judged(name: str, engine: str, digits: int = 3, **wanted: Any) -> list[Macro]:
    """Value with interval, and status, of one verdict."""
    table = f"results/{engine}/verdicts.parquet"
    about = ", ".join(f"{key} {value}" for key, value in wanted.items())

    value = Macro(name=name, table=table, column="value, low, high", reduction=about, digits=digits,
                  value=lambda: _interval(verdict_row(engine, **wanted)))  # fmt: skip
    return [value, said(f"{name}Status", engine, **wanted)]


def said(name: str, engine: str, word: str = "status", **wanted: Any) -> Macro:
    """One column of text of one verdict."""
    about = ", ".join(f"{key} {value}" for key, value in wanted.items())
    return Macro(name=name, table=f"results/{engine}/verdicts.parquet", column=word, reduction=about,
                 value=lambda: verdict_row(engine, **wanted)[word])  # fmt: skip
