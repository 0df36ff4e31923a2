"""A study: batches of runs, one results table, verdicts.

    cases() -> [Case, ...]  --simulate-->  rows  --judge(table)-->  verdicts

Every finished case is kept in a folder of parts until the table is complete: an interrupted study goes on where it was, as long as
no source file has changed.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import common
import sims
import theory
from common import results
from common.files import target, write_json
from common.settings import WrongUse, config_hash
from common.versions import code_version, fingerprint
from sims.cases import Case, rows_of
from sims.run import report_diverged, simulate
from sims.verdict import Report, Verdict

SOURCES = tuple(Path(str(room.__file__)).parent for room in (sims, theory, common))
"""What decides a result: parts that were made by other sources are no parts of this study."""


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
    final = target(out / f"{study.name}.parquet")
    parts = final.with_name(f".{study.name}.parts")
    diverged, written, seconds = [], [], 0.0
    for case in study.cases() if cases is None else cases:
        name = part_name(study.name, case)
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
    results.write(table, final)  # before it is judged, so that a judge that fails loses nothing
    done = conclude(study, table, out, seconds, diverged)
    shutil.rmtree(parts, ignore_errors=True)
    return done


def part_name(study: str, case: Case) -> str:
    """What a finished case of a study is kept under: any change of its settings, its setup or the sources gives another name."""
    made_by = fingerprint(*SOURCES)
    return config_hash(study, case.model, case.setup, dict(case.values), dict(case.columns), made_by)


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
        "code_version": code_version(),
        "verdicts": [v._asdict() for v in verdicts],
        "diverged": diverged,
    } | ({"checks": [check._asdict() for check in report.checks]} if report else {})
    write_json(out / f"{study.name}.json", summary)
    return done


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
