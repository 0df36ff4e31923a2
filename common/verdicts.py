"""The table of verdicts: one small parquet schema that engines write and figures read.

A row is one finding about one prediction in one model, or the remark that there is none. It is no results table, because a verdict has
no losses; like one it is written and checked here only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.files import atomic_write
from common.settings import WrongUse

COLUMNS: dict[str, tuple[str, str]] = {
    "prediction": ("text", "P1, P2, ..."),
    "statement": ("text", "what it says"),
    "model": ("text", "plain, rp, relu, ...; null where nothing was tested"),
    "variant": ("text", "what differs from that model's usual setup: depth 3, random start, ...; empty if nothing"),
    "finding": ("text", "supported, refuted, not testable here or missing"),
    "effect": ("text", "what value measures, with its unit"),
    "value": ("real", "effect size; null where not testable"),
    "low": ("real", "its interval; null where nothing is random"),
    "high": ("real", "its interval"),
    "criterion": ("text", "when it counts as supported, or why there is no finding"),
    "supported_from": (
        "real",
        "least value that the criterion allows; null if none, or if it is no range of the value",
    ),
    "supported_to": ("real", "greatest value that it allows"),
    "study": ("text", "what measured it"),
    "command": ("text", "what makes that study's result"),
    "code_version": ("text", "version and commit that made it"),
}
"""Name -> type and meaning."""
REQUIRED = ("prediction", "statement", "finding", "criterion")
FINDINGS = ("supported", "refuted", "not testable here", "missing")


def schema() -> Any:
    """The pyarrow schema."""
    import pyarrow as pa

    types = {"text": pa.string(), "real": pa.float64()}
    return pa.schema(
        [pa.field(name, types[kind], metadata={"about": about}) for name, (kind, about) in COLUMNS.items()]
    )


def write(rows: Sequence[Mapping[str, Any]], path: Path) -> Path:
    """Write rows, missing entries null; the file appears only when complete. Raises `WrongUse`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = pa.Table.from_pylist([dict(row) for row in rows], schema=schema())
    verify(made, path)
    with atomic_write(path) as temporary:
        pq.write_table(made, temporary, compression="lz4")
    return Path(path)


def read(path: Path) -> Any:
    """Read a table of verdicts and check it. Raises `WrongUse`: no such file, damaged, or something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        made = pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise WrongUse(
            f"{path} cannot be read as a table of verdicts ({error}). Write it again with the command that made it."
        ) from error
    verify(made, path)
    return made


def verify(made: Any, path: Path) -> None:
    """Check a table. Raises `WrongUse` naming the first thing wrong."""
    if not made.schema.equals(schema()):
        raise WrongUse(f"{path} is no table of verdicts: its columns are not {', '.join(COLUMNS)}.")
    for name in REQUIRED:
        if made[name].null_count:
            raise WrongUse(f"{path} is no table of verdicts: {name} is empty in {made[name].null_count} rows.")
    if unknown := sorted(set(made["finding"].to_pylist()) - set(FINDINGS)):
        raise WrongUse(f"{path} is no table of verdicts: {unknown[0]!r} is none of {', '.join(FINDINGS)}.")
