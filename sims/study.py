"""A study: batches of runs, one results table, verdicts.

    cases() -> [Case, ...]  --simulate-->  rows  --judge(table)-->  verdicts

Every finished case is kept in a folder of parts until the table is complete: an interrupted study goes on where it was.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sims.run import Simulation, complete, report_diverged, simulate
from sims.setup import Setup
from sims.verdict import Report, Verdict
from theory import results, rows
from theory.settings import WrongUse, config_hash


class Case(NamedTuple):
    """A batch of runs that share a setup."""

    model: str
    """plain, rp, rp-shared, relu, tanh, deep, ..."""
    setup: Setup
    values: Mapping[str, Any]
    """Settings of the runs: numbers, or arrays of one length."""
    columns: Mapping[str, Any] = {}
    """Further columns of the table: numbers, text, or arrays of that length."""

    @property
    def size(self) -> int:
        """Number of runs."""
        return int(np.prod(np.broadcast_shapes(*(np.shape(value) for value in self.values.values()))))


@dataclass(frozen=True)
class Study:
    """A named study."""

    name: str
    about: str
    """One line, shown by --help."""
    cases: Callable[[], Sequence[Case]]
    judge: Callable[[Any], list[Verdict]]
    """From the study's results table to its verdicts."""
    report: Callable[[Any], Report] | None = None
    """From the same table to checks and a table for people."""
    closed_form: Callable[[], Sequence[Mapping[str, Any]]] | None = None
    """Rows of the closed form that belong beside the simulated ones, as columns; their engine is theory."""


def product(**axes: Any) -> dict[str, Any]:
    """Arrays of one length that run through all combinations of the given values, the last fastest."""
    grids = np.meshgrid(*(np.atleast_1d(values) for values in axes.values()), indexing="ij")
    return {name: grid.reshape(-1) for name, grid in zip(axes, grids, strict=True)}


def rows_of(case: Case, study: str, simulation: Simulation, seconds: float) -> dict[str, Any]:
    """The columns of a case: its settings, setup and losses; one row a run and observation of stage 3; diverged runs left out."""
    count, observed = case.size, len(case.setup.observe)
    settings = complete(case.setup, case.values)
    keep = np.tile(np.broadcast_to(simulation.converged, count), observed)
    own = {name: value for name, value in settings.items() if not isinstance(value, str)}
    made = {
        name: np.tile(np.broadcast_to(np.asarray(value, dtype=float), count), observed)[keep]
        for name, value in own.items()
    }
    made["t_ft"] = made["t_ft"] * np.repeat(case.setup.observe, count)[keep]
    losses = [np.asarray(loss).reshape(-1)[keep] for loss in simulation.losses]
    further = {
        name: value if isinstance(value, str) else np.tile(np.broadcast_to(value, count), observed)[keep]
        for name, value in {**setup_columns(case.setup), **case.columns}.items()
    }
    further |= {name: value[keep] for name, value in strength_columns(case, simulation).items()}
    further["seed"] = made.pop("seed").astype(int)
    return rows.columns(
        made, losses, study=study, config_hash=config_hash(study, case.model, case.setup), engine="sims", model=case.model,
        wall_seconds=seconds / count, **further,
    )  # fmt: skip


def closed_columns(study: str, model: str, settings: Mapping[str, Any], losses: Any) -> dict[str, Any]:
    """Columns of the closed form at some settings, for the table of a study."""
    own = {name: value for name, value in settings.items() if not isinstance(value, str)}
    name = config_hash(study, model, "closed form", own)
    return rows.columns(own, losses, study=study, config_hash=name, model=model) | {"sims.question": "closed form"}


def strength_columns(case: Case, simulation: Simulation) -> dict[str, Any]:
    """Mean strength of the specialised modes after stage 2 and at the row's own end, where a trajectory was recorded."""
    setup = case.setup
    if simulation.trajectory is None or setup.problem != "blocks" or setup.k == 0:
        return {}
    specialised = simulation.trajectory.strengths[2 * setup.record :, setup.n - setup.k : setup.n].mean(1)
    ends = specialised.reshape(1 + len(setup.observe), case.size)
    return {
        "sims.specialised_im": np.tile(ends[0], len(setup.observe)),
        "sims.specialised": ends[1:].reshape(-1),
    }


def setup_columns(setup: Setup) -> dict[str, Any]:
    """The fields of a setup that tell one simulation from another, as columns."""
    own = {name: value for name, value in asdict(setup).items() if name in _SHOWN}
    shown = {f"sims.{name}": value if isinstance(value, str) else float(value) for name, value in own.items()}
    steps = {
        f"sims.steps_{stage}": float(count) for stage, count in zip(("pre", "post", "ft"), setup.steps, strict=True)
    }
    return shown | steps | {"placement": setup.placement} | ({} if setup.rank is None else {"rank": setup.rank})


_SHOWN = (
    "problem", "n", "k", "width", "depth", "activation", "init", "basis", "units", "optimiser", "batch", "samples", "population",
    "dropout_masks", "early_stopping",
)  # fmt: skip


class Done(NamedTuple):
    """A finished study."""

    table: Path
    verdicts: list[Verdict]
    rows: int
    seconds: float
    diverged: list[str]
    """One paragraph a case in which runs did not converge; their rows are left out."""
    report: Report | None = None


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    cases: Sequence[Case] | None = None,
) -> Done:
    """Run a study, or the rest of one that was interrupted, and write `<name>.parquet` and `<name>.json` into a folder.

    Args:
        study: which.
        out: the folder.
        workers: threads.
        progress: called with the number of runs each time some are done.
        cases: instead of the study's own.

    Raises:
        WrongUse: a setting of a case is impossible, no run at all converged, or the folder cannot be written.
    """
    target = results.target(out / f"{study.name}.parquet")
    parts = target.with_name(f".{study.name}.parts")
    diverged, written, seconds = [], [], 0.0
    for case in study.cases() if cases is None else cases:
        name = config_hash(
            study.name, case.model, case.setup, dict(case.values), dict(case.columns), results.code_version()
        )
        path, note = parts / f"{name}.parquet", parts / f"{name}.json"
        if not note.exists():
            start = time.perf_counter()
            simulation = simulate(case.setup, case.values, workers=workers, progress=progress)
            spent = time.perf_counter() - start
            if simulation.converged.any():
                results.write(results.table(rows_of(case, study.name, simulation, spent)), path)
            remark = {"seconds": spent, "diverged": report_diverged(simulation, case.setup)}
            write_json(note, remark)
        elif progress:
            progress(case.size)
        kept = json.loads(note.read_text())
        seconds += kept["seconds"]
        diverged += [kept["diverged"]] if kept["diverged"] else []
        written += [path] if path.exists() else []
    if not written:
        raise WrongUse(f"No run of {study.name} is left. {' '.join(diverged)}")
    closed = [results.table(columns) for columns in (study.closed_form() if study.closed_form else ())]
    table = join([results.read(path) for path in written] + closed)
    results.write(table, target)  # before it is judged, so that a judge that fails loses nothing
    done = conclude(study, table, out, seconds, diverged)
    shutil.rmtree(parts, ignore_errors=True)
    return done


def judge_again(study: Study, out: Path) -> Done:
    """Judge the table that a study left in a folder, without simulating. Raises `WrongUse` where there is none."""
    table, summary = results.read(out / f"{study.name}.parquet"), out / f"{study.name}.json"
    try:
        kept = json.loads(summary.read_text())
        seconds, diverged = float(kept["seconds"]), [str(paragraph) for paragraph in kept["diverged"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(
            f"{summary} is not what `python -m sims {study.name}` writes ({error}). Run that first."
        ) from error
    return conclude(study, table, out, seconds, diverged)


def conclude(study: Study, table: Any, out: Path, seconds: float, diverged: list[str]) -> Done:
    """Judge a study's table and write `<name>.json` beside it; the rows themselves say which code simulated them."""
    verdicts = study.judge(table)
    report = study.report(table) if study.report else None
    done = Done(out / f"{study.name}.parquet", verdicts, table.num_rows, seconds, diverged, report)
    summary = {
        "study": study.name,
        "about": study.about,
        "command": f"python -m sims {study.name}",
        "rows": done.rows,
        "seconds": done.seconds,
        "code_version": results.code_version(),
        "verdicts": [v._asdict() for v in verdicts],
        "diverged": diverged,
    } | ({"checks": [check._asdict() for check in report.checks]} if report else {})
    write_json(out / f"{study.name}.json", summary)
    return done


def write_json(path: Path, document: Any) -> None:
    """Write a JSON file that appears only when complete."""
    target = results.target(path)
    partial = target.with_name(f".{target.name}.partial")
    try:
        partial.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def join(tables: Sequence[Any]) -> Any:
    """Tables whose dotted columns may differ as one; missing columns are null."""
    import pyarrow as pa

    kinds = {field.name: field.type for table in tables for field in table.schema if "." in field.name}
    extra = {name: "text" if pa.types.is_dictionary(kind) else "real" for name, kind in kinds.items()}
    shape = results.schema(extra)
    filled = [
        pa.table(
            [
                table[f.name].combine_chunks() if f.name in table.column_names else pa.nulls(table.num_rows, f.type)
                for f in shape
            ],
            schema=shape,
        )
        for table in tables
    ]
    whole = pa.concat_tables(filled).unify_dictionaries()
    results.verify(whole)
    return whole


def by_seed(table: Any, keep: Any, axis: str, loss: str) -> tuple[Any, Any]:
    """A loss of the kept rows as (values of the axis, array of shape (seeds, values)), seeds and values in rising order.

    A seed that misses a value, because that run diverged, is left out.

    Args:
        table: of a study.
        keep: mask over its rows; must leave at most one row for every seed and value.
        axis: the column that varies.
        loss: one of the four.

    Raises:
        WrongUse: no seed has all values.
        ValueError: there is more than one row for a seed and value.
    """
    at, seed, value = (results.column(table, name)[keep] for name in (axis, "seed", loss))
    (points, column), (seeds, row) = (np.unique(values, return_inverse=True) for values in (at, seed))
    counts, found = np.zeros((2, len(seeds), len(points)))
    np.add.at(counts, (row, column), 1)
    if (counts > 1).any():
        raise ValueError(f"several rows share a seed and a value of {axis}")
    whole = counts.all(1)
    if not whole.any():
        raise WrongUse(f"No seed is left with every value of {axis}: runs diverged or are missing. Use more steps.")
    found[row, column] = value
    return points, found[whole]
