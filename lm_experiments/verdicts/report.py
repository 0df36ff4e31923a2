"""Verdicts as a table for people."""

from collections.abc import Sequence

from common.console import Output
from common.verdicts import Verdict

PIPED = 120
"""Columns of the table where it is not read on a terminal: its prose would make lines of 300."""


def show(verdicts: Sequence[Verdict], out: Output) -> None:
    """Print one row per verdict with its number; claims without any in a line."""
    if not verdicts:
        return
    rows = [
        [
            f"{one.claim} {one.variant}".strip(),
            f"{one.engine} {one.model}",
            one.where + (" (primary)" if one.primary else ""),
            "" if one.n is None else one.n,
            one.said,
            one.gates,
            number(one),
            one.effect,
        ]
        for one in verdicts
        if one.status != "not testable here" or one.where
    ]
    out.table(
        "Verdicts",
        (
            "claim",
            "of",
            "where",
            "seeds",
            "verdict",
            "gates",
            "value [95 % over seeds]",
            "of the condition that decides",
        ),
        rows,
        piped=PIPED,
    )
    out.show(
        "Gates: a verdict from a testbed that fails one says nothing about exposure (`python -m lm_experiments gates TABLE`)."
    )
    if absent := [one.claim for one in verdicts if one.status == "not testable here" and not one.where]:
        out.show(f"Not testable here: {', '.join(absent)}.")


def number(one: Verdict) -> str:
    """Value and interval, and what could have been told where it is undecided."""
    if one.value is None:
        return ""
    ends = "" if one.low is None or one.high is None else f" [{one.low:+.3f}, {one.high:+.3f}]"
    return f"{one.value:+.3f}{ends}" + ("" if one.detectable is None else f", could have told {one.detectable:.3f}")
