"""Verdicts as a table for people."""

from collections.abc import Sequence

from common.console import Output
from lm_experiments.verdicts.claims import Verdict


def show(verdicts: Sequence[Verdict], out: Output) -> None:
    """Print one row a verdict, with its evidence."""
    if not verdicts:
        return
    rows = [
        [
            one.claim,
            f"{one.engine} {one.model}",
            one.where,
            one.seeds,
            one.verdict,
            one.point,
            "\n".join(f"{name}: {number}" for name, number in one.evidence.items()),
        ]
        for one in verdicts
    ]
    out.table(
        "Verdicts", ("claim", "of", "where", "seeds", "verdict", "means alone", "evidence (95 % over seeds)"), rows
    )
