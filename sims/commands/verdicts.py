"""`python -m sims verdicts`: judge the tables of all studies anew and make the table of verdicts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import results, verdict_table
from common.claims import EXPERIMENTS, PREDICTIONS, STATEMENTS, THEOREMS
from common.console import Command, Json, Output, plain
from common.results import column
from common.settings import WrongUse, config_hash
from common.verdicts import Verdict, holm, mark_exploratory
from sims.studies import STUDIES
from sims.study import Study

JUDGED = PREDICTIONS | THEOREMS | EXPERIMENTS
"""What simulations can tell about."""


@dataclass(frozen=True, kw_only=True)
class Verdicts(Command):
    """Judge the tables of all studies that are in a folder, without simulating, and write the table of verdicts.

    All verdicts are secondary: those on one prediction are corrected for their number (Holm). A verdict whose criterion was not yet there
    when data of the same study and seeds were judged before, here or in --out, is marked exploratory.
    """

    results: Path = Path("out/sims")
    """Folder with the studies' tables, as `python -m sims all` leaves them; paper/results/sims holds the stored ones."""
    out: Path = Path("out/sims")
    """Folder for verdicts.parquet."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Judge, write and print."""
        tables = {name: self.results / f"{name}.parquet" for name in STUDIES}
        absent = [name for name, path in tables.items() if not path.exists()]
        if len(absent) == len(tables):
            raise WrongUse(
                f"'{self.results}' holds no table of a study. Make them with `python -m sims all --out {self.results}`."
            )
        found = [v for name, path in tables.items() if name not in absent for v in judged(STUDIES[name], path)]
        before = (verdict_table.stored(folder / "verdicts.parquet") for folder in {self.results, self.out})
        earlier = [row for rows in before for row in rows if row["status"] != "missing"]
        found = mark_exploratory(holm(found), earlier)
        found = sorted(found, key=lambda v: list(STATEMENTS).index(v.claim)) + missing(found)
        path = verdict_table.write(found, self.out / "verdicts.parquet")
        for verdict in found:
            out.show(line(verdict))
        counts = {claim: Counter(v.status for v in found if v.claim == claim) for claim in JUDGED}
        said = {
            claim: ", ".join(f"{count} {status}" for status, count in each.items()) for claim, each in counts.items()
        }
        out.table(
            "Predictions, theorems and experiments",
            ("", "verdicts", ""),
            [[c, said[c], text] for c, text in JUDGED.items()],
        )
        if absent:
            out.show(f"Studies without a table here: {', '.join(absent)}.")
        out.show(f"Wrote {path}.")
        return {"verdicts": plain(found), "predictions": counts, "without_table": absent, "out": path}


def judged(study: Study, path: Path) -> list[Verdict]:
    """What a study's table says, with where it comes from. Raises `WrongUse` where it is no results table."""
    table = results.read(path)
    seeds = sorted(set(column(table, "seed").tolist()))
    simulated = [version for version in dict.fromkeys(column(table, "code_version").tolist()) if version]
    # not `data_hash`: data of the same seeds are the same data, whatever names their configurations have
    origin = {"engine": "sims", "study": study.name, "data": config_hash(study.name, [s for s in seeds if s == s])}
    origin |= {"command": f"python -m sims {study.name}", "code_version": ", ".join(simulated)}
    return [replace(verdict, **origin) for verdict in study.judge(table)]  # type: ignore[arg-type]


def missing(found: Sequence[Verdict]) -> list[Verdict]:
    """A verdict for every prediction, theorem and experiment that has none."""
    remark = "no study with a table here judges it"
    claims = {verdict.claim for verdict in found}
    return [Verdict(claim=c, engine="sims", status="missing", criterion=remark) for c in JUDGED if c not in claims]


def line(verdict: Verdict) -> str:
    """A verdict as a line of text."""
    name = f"{verdict.model} ({verdict.variant})" if verdict.variant else verdict.model
    value = "no value" if verdict.value is None else f"{verdict.value:.3g}"
    if verdict.low is not None or verdict.high is not None:
        ends = ("" if end is None else f"{end:.3g}" for end in (verdict.low, verdict.high))
        value += f" [{', '.join(ends)}]"
    return f"{verdict.claim:<4} {name:<10} {verdict.said:<18} {verdict.effect}: {value} ({verdict.criterion})"
