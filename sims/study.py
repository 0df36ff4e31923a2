"""A study: batches of runs, one results table, verdicts.

    cases() -> [Case, ...]  --simulate-->  rows  --judge(table)-->  verdicts

Every finished case is kept in a folder of parts until the table is complete: an interrupted study goes on where it was, as long as
no source file has changed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np

import common
import sims
import theory
from common import results
from common.arrays import Int
from common.files import target, write_json
from common.parts import file_hash, folder_for, read_note, write_note
from common.rows import join
from common.settings import WrongUse, config_hash
from common.verdicts import Verdict
from common.versions import fingerprint
from sims.cases import Case, rows_of
from sims.run import report_diverged, simulate

SOURCES = tuple(Path(str(room.__file__)).parent for room in (sims, theory, common))
"""What decides a result: parts that were made by other sources are no parts of this study."""


FIRST_SEED = 5000
"""First of the confirmatory seeds of all studies. Seeds below 1000 were seen while the criteria were made, and regime searches use
those from 1000 on; a criterion that is changed from here on needs another block."""


def seeds(count: int) -> Int[np.ndarray, " seeds"]:
    """The confirmatory seeds of a study: so many, from `FIRST_SEED` on."""
    return np.arange(FIRST_SEED, FIRST_SEED + count)


class Check(NamedTuple):
    """Something that must hold whatever the predictions say: that the simulation is what it claims to be."""

    name: str
    passed: bool
    effect: str
    """What `value` measures, with its unit."""
    value: float
    criterion: str
    """When it counts as passed."""


class Report(NamedTuple):
    """What a study shows beside its verdicts: checks, and a small table."""

    checks: list[Check]
    title: str
    heads: list[str]
    rows: list[list[Any]]
    """Text or numbers."""


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
    run: Callable[[Case, str], Mapping[str, Any]] | None = None
    """From a case and the study's name to the columns of its rows, where those are not what `sims.simulate` gives."""


class Done(NamedTuple):
    """A finished study."""

    table: Path
    verdicts: list[Verdict]
    rows: int
    seconds: float
    diverged: list[str]
    """One paragraph per case in which runs did not converge; their rows are left out."""
    report: Report | None = None


def run_study(
    study: Study,
    out: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    cases: Sequence[Case] | None = None,
    say: Callable[[str], None] = warn,
) -> Done:
    """Run a study, or the rest of one that was interrupted, and write `<name>.parquet` and `<name>.json` into a folder.

    Args:
        study: which.
        out: the folder.
        workers: threads.
        progress: called with the number of runs each time some are done.
        cases: instead of the study's own.
        say: told of parts that are damaged and made again; by default in a warning.

    Raises:
        Failed: another process is making the same table.
        WrongUse: a setting of a case is impossible, no run at all converged, or the folder cannot be written.
    """
    final = target(out / f"{study.name}.parquet")
    diverged, tables, seconds = [], [], 0.0
    with folder_for(final) as parts:
        for case in study.cases() if cases is None else cases:
            path = parts / f"{part_name(study.name, case)}.parquet"
            note = finished_part(path)
            if note is None:
                if path.with_suffix(".json").exists():
                    say(f"A finished part of {study.name} is damaged ({path.name}); its runs are done again.")
                start = time.perf_counter()
                made, remark = rows_made(study, case, workers, progress)
                spent = time.perf_counter() - start
                if made:
                    results.write(results.table(made), path)
                note = {"seconds": spent, "diverged": remark, "sha256": file_hash(path) if made else None}
                write_note(path.with_suffix(".json"), note)
            elif progress:
                progress(case.size)
            seconds += note["seconds"]
            diverged += [note["diverged"]] if note["diverged"] else []
            tables += [results.read(path)] if note["sha256"] else []
        if not tables:
            raise WrongUse(f"No run of {study.name} is left. {' '.join(diverged)}")
        closed = [results.table(columns) for columns in (study.closed_form() if study.closed_form else ())]
        table = join(tables + closed)
        results.write(table, final)  # before it is judged, so that a judge that fails loses nothing
        return conclude(study, table, final, seconds, diverged)


def rows_made(
    study: Study, case: Case, workers: int | None, progress: Callable[[int], None] | None
) -> tuple[Mapping[str, Any] | None, str | None]:
    """The columns of a case, None where no run converged, and a paragraph about those that did not."""
    if study.run:
        made = study.run(case, study.name)
        if progress:
            progress(case.size)
        return made, None
    start = time.perf_counter()
    simulation = simulate(case.setup, case.values, workers=workers, progress=progress)
    spent = time.perf_counter() - start
    rows = rows_of(case, study.name, simulation, spent) if simulation.converged.any() else None
    return rows, report_diverged(simulation, case.setup)


def finished_part(path: Path) -> dict[str, Any] | None:
    """The note beside a part of a study if the part is whole: its table is the one that the note speaks of, or there is none to be."""
    note = read_note(path.with_suffix(".json"))
    try:
        whole = note is not None and (note["sha256"] is None or note["sha256"] == file_hash(path))
    except (OSError, KeyError):
        return None
    return note if whole else None


def part_name(study: str, case: Case) -> str:
    """What a finished case of a study is kept under: any change of its settings, its setup or the sources gives another name."""
    made_by = fingerprint(*SOURCES)
    return config_hash(study, case.model, case.setup, dict(case.values), dict(case.columns), made_by)


def conclude(study: Study, table: Any, path: Path, seconds: float, diverged: list[str]) -> Done:
    """Judge a study's table and write `<name>.json` beside it: what the rows cannot say."""
    report = study.report(table) if study.report else None
    done = Done(path, study.judge(table), table.num_rows, seconds, diverged, report)
    checks = [check._asdict() for check in report.checks] if report else []
    write_json(
        path.with_suffix(".json"), {"study": study.name, "seconds": seconds, "diverged": diverged, "checks": checks}
    )
    return done
