"""What several parts of the text read: stored tables, and verdicts as macros."""

from functools import cache
from typing import Any

from common import results, verdict_table
from common.published import RESULTS
from common.seeds import Interval
from common.settings import WrongUse
from paper.macros import Macro


@cache
def verdict_rows(engine: str) -> list[dict[str, Any]]:
    """The stored verdicts of an engine."""
    return list(verdict_table.read(RESULTS / engine / "verdicts.parquet").to_pylist())


@cache
def stored_table(name: str) -> Any:
    """A stored table by its place below the folder of results."""
    return results.read(RESULTS / f"{name}.parquet")


def verdict_row(engine: str, **wanted: Any) -> dict[str, Any]:
    """The one verdict with these values; `effect` names how its text begins. Raises `WrongUse`."""
    start = wanted.pop("effect", "")
    found = [
        row
        for row in verdict_rows(engine)
        if all(row[name] == value for name, value in wanted.items()) and row["effect"].startswith(start)
    ]
    if len(found) != 1:
        raise WrongUse(
            f"{engine}/verdicts.parquet has {len(found)} verdicts with {wanted} and an effect that begins {start!r}, and the text "
            "quotes one. Say in paper/numbers.py or paper/language.py which."
        )
    return found[0]


def judged(name: str, engine: str, digits: int = 3, **wanted: Any) -> list[Macro]:
    """Value with interval, and status, of one verdict."""
    table = f"results/{engine}/verdicts.parquet"
    about = ", ".join(f"{key} {value}" for key, value in wanted.items())

    def interval() -> Interval:
        row = verdict_row(engine, **wanted)
        return Interval(value=row["value"], low=row["low"], high=row["high"])

    return [
        Macro(name=name, table=table, column="value, low, high", reduction=about, value=interval, digits=digits),
        Macro(name=f"{name}Status", table=table, column="status", reduction=about, value=lambda: verdict_row(engine, **wanted)["status"]),
    ]  # fmt: skip
