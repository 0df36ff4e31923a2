"""The checked table of verdicts: one small parquet schema that every engine writes, and figures and the page of claims read."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from common import seals
from common.claims import STATEMENTS
from common.files import atomic_write, ordinary, reason
from common.seeds import FEWEST
from common.settings import WrongUse
from common.verdicts import STATUSES, Verdict

COLUMNS: dict[str, tuple[str, str]] = {
    "claim": ("text", "P1 to P16, C1 to C8, T1 to T3, or - for a finding without a prediction"),
    "engine": ("text", "theory, sims, lm or published"),
    "model": ("text", "plain, rp, relu, nano, ...; empty where nothing was tested"),
    "variant": ("text", "what differs from that model's usual setup; empty if nothing"),
    "where": ("text", "the group of settings: size of D_post, learning rate, split, ..."),
    "status": ("text", ", ".join(STATUSES)),
    "effect": ("text", "what value measures, with its unit"),
    "value": ("real", "effect size; null where not testable"),
    "low": ("real", "its interval; null where nothing is random, or where it has no end"),
    "high": ("real", "its interval"),
    "n": ("whole", "seeds; null where nothing is random"),
    "criterion": ("text", "when it counts as supported, or why nothing was found"),
    "supported_from": ("real", "least value that the criterion allows; null if none"),
    "supported_to": ("real", "greatest value that it allows; null if none"),
    "equivalence": ("flag", "whether the range is a margin around no change, or around a predicted value"),
    "detectable": ("real", "where undecided: half the width of the interval, the effect that could have been told"),
    "p": ("real", "twice the one-sided p-value of the decision; null where nothing is random or too few seeds"),
    "primary": ("flag", "the endpoint of its claim; the others are corrected for their number (Holm)"),
    "criterion_hash": ("text", "names what decides: claim, model, criterion, range, level, seeds asked for"),
    "exploratory": ("flag", "whether the criterion was made after data of the same seeds were seen"),
    "gates": (
        "text",
        "whether the testbed of language models met its gates (common.gates); empty where there are none",
    ),
    "data": ("text", "names the rows that were judged: their configurations and seeds"),
    "study": ("text", "what measured it"),
    "command": ("text", "what makes that study's result"),
    "code_version": ("text", "version and commit that made it"),
}
"""Name -> type and meaning: the fields of a `Verdict`."""
LATER = ("gates",)
"""Columns of text that older tables lack: read as empty."""


def stored(path: Path) -> list[dict[str, Any]]:
    """Rows of the table that stands so far, for `mark_exploratory`: none without a file.

    A file that is no table of this schema comes from before criteria were kept: whatever it judged, it judged otherwise.
    """
    if not Path(path).exists():
        return []
    try:
        return list(read(path).to_pylist())
    except WrongUse:
        return [dict.fromkeys(COLUMNS)]


def schema() -> Any:
    """The pyarrow schema."""
    import pyarrow as pa

    types = {"text": pa.string(), "real": pa.float64(), "whole": pa.int64(), "flag": pa.bool_()}
    return pa.schema(
        [pa.field(name, types[kind], metadata={"about": about}) for name, (kind, about) in COLUMNS.items()]
    )


def write(verdicts: Iterable[Verdict], path: Path) -> Path:
    """Write verdicts; the file appears only when complete. Raises `WrongUse`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pylist([vars(one) for one in verdicts], schema=schema())
    verify(made, path)
    with atomic_write(path) as temporary:
        pq.write_table(made, temporary, compression="lz4", write_page_checksum=True)
        seals.seal(temporary)
    return Path(path)


def read(path: Path) -> Any:
    """Read a table of verdicts and check it; what older ones lack is empty. Raises `WrongUse`: no such file, damaged, or another."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        ordinary(path)
        if not seals.intact(Path(path)):
            raise ValueError("it was altered: its checksum does not match")
        made = pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise WrongUse(
            f"{path} cannot be read as a table of verdicts ({reason(error)}). Write it again with the command that made it."
        ) from error
    for name in LATER:
        if name not in made.column_names:
            at = list(COLUMNS).index(name)
            made = made.add_column(at, schema().field(name), pa.array([""] * made.num_rows, pa.string()))
    verify(made, path)
    return made


def load(path: Path) -> list[Verdict]:
    """The verdicts in a table. Raises `WrongUse`, see `read`."""
    names = [field.name for field in fields(Verdict)]
    return [Verdict(**{name: row[name] for name in names}) for row in read(path).to_pylist()]


def verify(made: Any, path: Path) -> None:
    """Check a table: columns, claims, statuses, and that no decision contradicts its numbers.

    Raises:
        WrongUse: naming the first thing wrong.
    """
    if not made.schema.equals(schema()):
        raise WrongUse(f"{path} is no table of verdicts: its columns are not {', '.join(COLUMNS)}.")
    for name, (kind, _) in COLUMNS.items():
        if kind in ("text", "flag") and made[name].null_count:
            raise WrongUse(f"{path} is no table of verdicts: {name} is empty in {made[name].null_count} rows.")
    for row in made.to_pylist():
        if wrong := _contradiction(row):
            raise WrongUse(f"{path} is no table of verdicts: {wrong} in the verdict on {row['claim']}, {row['model']}.")


def _contradiction(row: Mapping[str, Any]) -> str:
    """What is wrong with a row; empty if nothing."""
    low, high, n = row["low"], row["high"], row["n"]
    if row["claim"] not in STATEMENTS:
        return f"{row['claim']!r} is no claim"
    if row["status"] not in STATUSES:
        return f"{row['status']!r} is none of {', '.join(STATUSES)}"
    numbers = (row[name] for name, (kind, _) in COLUMNS.items() if kind == "real")
    if any(number is not None and not math.isfinite(number) for number in numbers):
        return "a number is not finite"
    if low is not None and high is not None and low > high:
        return f"[{low}, {high}] is no interval"
    if row["status"] not in ("supported", "refuted"):
        return ""
    if row["value"] is None:
        return f"there is no value, but it is {row['status']}"
    if n is not None and (n < FEWEST or (low is None and high is None)):
        return f"{n} seeds decide something, or without an interval"
    if row["status"] == "supported":
        least, most = row["supported_from"], row["supported_to"]
        left, right = (row["value"], row["value"]) if n is None and low is None else (low, high)
        if (least is not None and (left is None or left < least)) or (
            most is not None and (right is None or right > most)
        ):
            return "the interval leaves the range that the criterion allows, but it is supported"
    return ""
