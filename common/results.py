"""The results table: one tidy parquet schema for every engine, defined, written, read and checked here only.

A row is one end point of the three-stage pipeline. Columns without a dot are the schema below; an engine may add columns of
its own under a dotted name (`problem.beta`, `published.order`). Files appear under their name only when complete.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common import recipe, seals
from common.files import atomic_write, ordinary, reason, target
from common.filling import filled
from common.losses import LOSSES
from common.settings import WrongUse
from common.versions import code_version

__all__ = [
    "REQUIRED",
    "SCHEMA",
    "Writer",
    "as_table",
    "code_version",
    "column",
    "filled",
    "open_writer",
    "place",
    "read",
    "schema",
    "table",
    "target",
    "verify",
    "write",
]

_TEXT, _REAL, _WHOLE = "text", "real", "whole"

SCHEMA: dict[str, tuple[str, str]] = {
    "engine": (_TEXT, "theory, sims, lm or published"),
    "study": (_TEXT, "what the row was made for"),
    "model": (_TEXT, "linear model (plain, ...) or network architecture"),
    "scale": (_TEXT, "size of the model: 135M, 1B, nano, ...; empty in the linear model"),
    "pipeline": (_TEXT, "D_pre>D_post>D_ft"),
    "method": (_TEXT, "series of a figure: unmixed, mixed, mixed+replay, ..."),
    **recipe.COLUMNS,
    "alpha": (_REAL, "weight of D_post in the stage-1 mixture"),
    "t_pre": (_REAL, "stage 1, flow time (learning rate x steps)"),
    "t_post": (_REAL, "stage 2, flow time"),
    "t_ft": (_REAL, "stage 3, flow time"),
    "tokens_pre": (_WHOLE, "stage 1, tokens"),
    "tokens_post": (_WHOLE, "size of D_post, tokens"),
    "tokens_ft": (_WHOLE, "stage 3, tokens"),
    "lr_pre": (_REAL, "stage 1, peak learning rate"),
    "lr_post": (_REAL, "stage 2, peak learning rate"),
    "lr_ft": (_REAL, "stage 3, peak learning rate"),
    "seed": (_WHOLE, "random seed; null where nothing is random"),
    "loss_im": (_REAL, "loss on D_post after stage 2"),
    "loss_ret": (_REAL, "loss on D_post after stage 3"),
    "loss_ft": (_REAL, "loss on D_ft after stage 3"),
    "loss_pre": (_REAL, "loss on D_pre after stage 3"),
    "wall_seconds": (_REAL, "time the row took, seconds"),
    "config_hash": (_TEXT, "names the configuration of the run"),
    "code_version": (_TEXT, "version and commit of this code; +dirty where files were changed"),
    "source": (_TEXT, "where a row of another origin comes from"),
}
REQUIRED = ("engine", "study", "config_hash", "code_version")


def schema(extra: Mapping[str, str] | None = None) -> Any:
    """The pyarrow schema; `extra` adds dotted columns of type text, real or whole."""
    import pyarrow as pa

    types = {_TEXT: pa.dictionary(pa.int32(), pa.string()), _REAL: pa.float64(), _WHOLE: pa.int64()}
    columns = [pa.field(name, types[kind], metadata={"about": about}) for name, (kind, about) in SCHEMA.items()]
    return pa.schema(columns + [pa.field(name, types[kind]) for name, kind in (extra or {}).items()])


def table(columns: Mapping[str, Any], extra: Mapping[str, str] | None = None) -> Any:
    """A checked table from columns: arrays of one length, single values (repeated), missing ones null.

    Args:
        columns: column name -> 1-d array, list or single value.
        extra: dotted columns and their types; default: real for numbers, text for strings.

    Raises:
        WrongUse: an unknown column, unequal lengths, or a row the schema does not allow.
    """
    import pyarrow as pa

    kinds = dict(extra or {})
    for name, value in columns.items():
        if name not in SCHEMA and name not in kinds:
            if "." not in name:
                raise WrongUse(
                    f"{name} is no column of the results table. Use a schema column, or a dotted name such as problem.{name}."
                )
            sample = value if isinstance(value, str) else next(iter(value), "") if np.ndim(value) else value
            kinds[name] = _TEXT if isinstance(sample, str) else _REAL
    lengths = {len(value) for value in columns.values() if np.ndim(value)}
    if len(lengths) > 1:
        raise WrongUse(f"Columns of lengths {sorted(lengths)} do not make one table.")
    size = lengths.pop() if lengths else 1
    shape = schema(kinds)
    arrays = [filled(columns.get(field.name), field.type, size) for field in shape]
    made = pa.Table.from_arrays(arrays, schema=shape)
    verify(made)
    return made


def verify(made: Any) -> None:
    """Check a table against the schema. Raises `WrongUse` naming the column and the first bad row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, (kind, _) in SCHEMA.items():
        if name not in made.column_names:
            raise WrongUse(f"The results table lacks the column {name}.")
        field = made.schema.field(name).type
        right = {_TEXT: pa.types.is_dictionary, _REAL: pa.types.is_float64, _WHOLE: pa.types.is_int64}[kind](field)
        if not right:
            raise WrongUse(f"Column {name} of the results table has type {field}; it must be {kind}.")
    for name in made.column_names:
        if name not in SCHEMA and "." not in name:
            raise WrongUse(f"{name} is no column of the results table; columns of an engine's own have a dotted name.")
    if made.num_rows == 0:
        return
    for name in REQUIRED:
        if made[name].null_count:
            raise WrongUse(
                f"Column {name} of the results table is empty in {made[name].null_count} rows; it is required."
            )
    for name in LOSSES:
        if pc.any(pc.invert(pc.is_finite(made[name]))).as_py():
            row = pc.index(pc.is_finite(made[name]), False).as_py()
            raise WrongUse(
                f"{name} is {made[name][row]} in row {row}. A run that diverged must be reported, not tabled."
            )
    if min(made[name].null_count for name in LOSSES) == made.num_rows:
        raise WrongUse("No row has a loss: fill at least one of " + ", ".join(LOSSES) + ".")


FORMATS = (".parquet", ".csv")
"""Kinds of file that a table is written as and read from, by the end of their names."""


def check_format(path: Path) -> None:
    """Raise `WrongUse` where a file's name says no kind of file that a table can be."""
    if Path(path).suffix.lower() not in FORMATS:
        raise WrongUse(f"'{path}' cannot be written as a table. End its name in {' or '.join(FORMATS)}.")


class Writer:
    """Writes batches to a file; made by `open_writer`."""

    def __init__(self, file: Any, extra: Mapping[str, str] | None) -> None:
        """Args: file: an open `pyarrow.parquet.ParquetWriter` or `pyarrow.csv.CSVWriter`; extra: its dotted columns."""
        self._file, self.extra, self.rows = file, extra, 0

    def write(self, columns: Mapping[str, Any]) -> None:
        """Append one checked batch."""
        batch = table(columns, self.extra)
        self._file.write_table(batch.select(schema(self.extra).names), max(1, batch.num_rows))
        self.rows += batch.num_rows


@contextlib.contextmanager
def open_writer(path: Path, extra: Mapping[str, str] | None = None) -> Iterator[Writer]:
    """A `Writer` whose file exists after the block only if the block did not raise; parquet or CSV, by the end of its name.

    Raises:
        WrongUse: it cannot be written there, or its name ends otherwise; before anything is done.
    """
    check_format(path)
    shape = schema(extra)
    with atomic_write(path) as temporary:
        try:
            file = _csv_writer(temporary, shape) if _is_csv(path) else _parquet_writer(temporary, shape)
        except OSError as error:
            raise WrongUse(
                f"{path} cannot be written ({error}). Choose a file in a folder you may write to."
            ) from error
        with file:
            yield Writer(file, extra)
        if not _is_csv(path):
            seals.seal(temporary)


def _parquet_writer(path: Path, shape: Any) -> Any:
    import pyarrow.parquet as pq

    encoded = [name for name in shape.names if name not in LOSSES]
    return pq.ParquetWriter(path, shape, compression="lz4", use_dictionary=encoded, write_page_checksum=True)


def _csv_writer(path: Path, shape: Any) -> Any:
    from pyarrow import csv

    return csv.CSVWriter(path, shape)


def _is_csv(path: Path) -> bool:
    return Path(path).suffix.lower() == ".csv"


def write(made: Any, path: Path) -> Path:
    """Write a checked table in one piece, as parquet or CSV; the file appears only when complete. Raises `WrongUse`."""
    import pyarrow.parquet as pq
    from pyarrow import csv

    check_format(path)
    verify(made)
    with atomic_write(path) as temporary:
        if _is_csv(path):
            csv.write_csv(made, temporary)
        else:
            pq.write_table(made, temporary, compression="lz4", write_page_checksum=True)
            seals.seal(temporary)
    return Path(path)


BESIDE = ".partial"
"""What the name of a table that lacks rows of the one in its place has before its suffix."""


def place(made: Any, path: Path, settings: Sequence[str] = ()) -> Path:
    """Where a table of a study goes: to `path`, or beside it where it lacks rows of the table that is there.

    A row is told by the columns that say what was run, whatever its losses and whatever made it. So a study of which a part failed, or
    was left out, never takes the place of a more complete one; a table that cannot be read is no such table.

    Args:
        made: the table.
        path: its place.
        settings: the dotted columns that say what was run; one that either table lacks is passed over.
    """
    try:
        stored = read(path)
    except WrongUse:
        return path
    results = {*LOSSES, "wall_seconds", "config_hash", "code_version", "source"}
    names = [name for name in SCHEMA if name not in results]
    names += [name for name in settings if name in stored.column_names and name in made.column_names]
    before, now = (set(zip(*(each[name].to_pylist() for name in names), strict=True)) for each in (stored, made))
    return path if before <= now else path.with_name(f"{path.stem}{BESIDE}{path.suffix}")


def read(path: Path, columns: list[str] | None = None) -> Any:
    """Read a results table (or some of its columns), parquet or CSV, and check it.

    Raises:
        WrongUse: no such file, not of the kind that its name says, truncated, or not a results table.
    """
    import pyarrow as pa

    try:
        ordinary(path)
        if not (_is_csv(path) or seals.intact(Path(path))):
            raise ValueError("it was altered: its checksum does not match")
        made = _read_csv(path, columns) if _is_csv(path) else _read_parquet(path, columns)
        _ = made.column_names  # names that are no text are found only when they are asked for
    except (OSError, ValueError, pa.ArrowException) as error:
        raise WrongUse(
            f"{path} cannot be read as a results table ({reason(error)}). Write it again with the command that made it."
        ) from error
    if columns is None:
        made = _with_older_recipe(made)
        verify(made)
    return made


def _read_parquet(path: Path, columns: list[str] | None) -> Any:
    """A table from one parquet file; `read_table` would import pandas first."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if missing := set(columns or ()) - set(file.schema_arrow.names):
            raise ValueError(f"it has no column {min(missing)}")
        return file.read(columns)


def _read_csv(path: Path, columns: list[str] | None) -> Any:
    """A table from CSV: empty fields are null, dotted columns are text or real."""
    import pyarrow as pa
    from pyarrow import csv

    types = {field.name: field.type for field in schema()}
    options = csv.ConvertOptions(column_types=types, strings_can_be_null=True, include_columns=columns)
    made = csv.read_csv(path, convert_options=options)
    for i, field in enumerate(made.schema):
        if field.name not in types:
            text = pa.types.is_string(field.type)
            kind = pa.dictionary(pa.int32(), pa.string()) if text else pa.float64()
            made = made.set_column(i, pa.field(field.name, kind), made[field.name].combine_chunks().cast(kind))
    return made


def _with_older_recipe(made: Any) -> Any:
    """A table that is older than an intervention, with its column: it was off."""
    shape = schema()
    for name in recipe.COLUMNS:
        if name not in made.column_names and set(REQUIRED) <= set(made.column_names):
            kind = shape.field(name)
            made = made.add_column(
                shape.get_field_index(name), kind, filled(recipe.OFF[name], kind.type, made.num_rows)
            )
    return made


def column(made: Any, name: str) -> Any:
    """A column as a numpy array: floats with nan for null, or strings with None."""
    found = made[name].combine_chunks()
    if hasattr(found, "dictionary"):  # decoded as a whole: studies and figures read such columns hundreds of times
        words = np.array([*found.dictionary.to_pylist(), None], dtype=object)
        return words[found.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
    return found.to_numpy(zero_copy_only=False).astype(float)


def as_table(data: Any) -> Any:
    """A results table as it is, or a pandas data frame as one: the schema's columns it lacks are null.

    Raises:
        WrongUse: neither of the two, or its columns do not make a results table.
    """
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if not hasattr(data, "to_dict") or not hasattr(data, "columns"):
        raise WrongUse(f"{type(data).__name__} is no table. Give a results table (`read`) or a pandas data frame.")
    columns: dict[str, Any] = {}
    for name in data.columns:
        column = data[name]
        words = column.dtype.kind not in "biuf"
        given = [None if entry is None or entry != entry else entry for entry in column.tolist()]
        columns[str(name)] = given if words or None in given else column.to_numpy()
    origin = {"engine": "own", "study": "own", "config_hash": "own", "code_version": "own"}
    return table(origin | columns)
