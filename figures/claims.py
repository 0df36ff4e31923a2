"""The page of claims: every prediction, claim and theorem in a sentence, with its standing in each engine, from the stored verdicts."""

from collections.abc import Sequence
from pathlib import Path

from common.claims import STATEMENTS, UNPREDICTED
from common.gates import MET
from common.seeds import FEWEST, LEVEL
from common.verdict_table import load
from common.verdicts import STATUSES, Verdict

HEAD = f"""# What is claimed, and how it stands

Made by `python -m figures claims` of the stored verdicts; do not edit. Cells count verdicts, one for each model, variant and group
of settings. *Primary* is the endpoint that a claim is judged by first; the others are corrected for their number (Holm). A number
is supported where its whole {LEVEL:.0%} interval over seeds is inside the range that the criterion allows, refuted where it is wholly
beyond one end, undecided otherwise or with fewer than {FEWEST} seeds. Where nothing is random its value decides.
*Exploratory*: the criterion was changed after the same data were seen. *Gates*: whether the testbed of language models (lm) is valid;
a verdict from one that fails a gate says nothing about exposure, and most of the stored ones do (`python -m lm_experiments gates TABLE`).
A dash: no verdict of that engine. *theory* is what
`python -m theory prove` derives about the theorems T1 to T3: refuted where the printed form is false, whatever holds in its place.
"""


def tables(folder: Path) -> list[Path]:
    """The stored tables of verdicts: one per engine."""
    return sorted(folder.glob("*/verdicts.parquet"))


def page(verdicts: Sequence[Verdict]) -> str:
    """Markdown with one table: a row per claim, a column per engine, ended by a newline."""
    engines = sorted({one.engine for one in verdicts})
    names = [name for name in STATEMENTS if name != UNPREDICTED]
    lines = ["", f"| | claim | {' | '.join(engines)} |", "|---|---|" + "---|" * len(engines)]
    for name in names:
        cells = [cell([one for one in verdicts if (one.claim, one.engine) == (name, engine)]) for engine in engines]
        lines.append(f"| {name} | {_escaped(STATEMENTS[name])} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def cell(verdicts: Sequence[Verdict]) -> str:
    """How the verdicts on a claim stand in one engine: primary ones first, then how many of each status in how many models."""
    judged = [one for one in verdicts if one.status != "missing"]
    if not judged:
        return "—"
    if all(one.status == "not testable here" for one in judged):
        return "not testable here"
    primary = dict.fromkeys(
        (f"{one.model} {one.variant}".strip(), one.said, _gates([one])) for one in judged if one.primary
    )
    said = [f"primary, {model}: {status}{gates}" for model, status, gates in primary]
    for status in STATUSES:
        some = [one for one in judged if one.status == status]
        if some:
            models = len({one.model for one in some})
            said.append(f"{len(some)} {status} ({models} model{'s' * (models > 1)}{_gates(some)})")
    late = sum(one.exploratory for one in judged)
    if late:
        said.append(
            "all exploratory"
            if late == sum(one.status != "not testable here" for one in judged)
            else f"{late} exploratory"
        )
    return _escaped("; ".join(said))


def _gates(verdicts: Sequence[Verdict]) -> str:
    """Of how many the testbed met its gates; of a single one which gates it did not meet; empty where there are no gates."""
    standing = [one.gates for one in verdicts if one.gates]
    if not standing:
        return ""
    if len(verdicts) == 1:
        return f", gates: {standing[0]}"
    return f", gates met by {standing.count(MET)}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def stored(folder: Path) -> str:
    """The page of all tables in a folder."""
    return page([one for path in tables(folder) for one in load(path)])
