"""The command `verdicts`: how the theorems of the paper stand, by proof and by its own published points."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common.claims import THEOREMS
from common.console import Command, Json, Output, plain
from common.published import load
from common.results import code_version, column, target
from common.seeds import Interval
from common.verdict_table import stored, write
from common.verdicts import Verdict, mark_exploratory, untestable, within

PROOFS = {"T1": "theorem-5-1", "T2": "theorem-5-2", "T3": "theorem-5-3"}
"""Theorem -> the result of `prove` that speaks of it."""


@dataclass(frozen=True, kw_only=True)
class Verdicts(Command):
    """Say how Theorems 5.1 to 5.3 stand, by what `prove` derives and by the published Figure 3, and write the table of verdicts.

    A theorem is supported where its derivation is proved and refutes nothing that is printed, and refuted where a counterexample to
    the printed form is confirmed. A published point has a single seed, so that it decides nothing.
    """

    out: Path = Path("out/theory/verdicts.parquet")
    """File for the table of verdicts."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Prove, judge, write, print, return the verdicts."""
        found = [by_proof(claim) for claim in THEOREMS] + by_published_points()
        found = mark_exploratory([replace(one, code_version=code_version()) for one in found], stored(self.out))
        rows = [
            (one.claim, one.engine, one.where, one.said, one.effect, "" if one.value is None else f"{one.value:.3g}")
            for one in found
        ]
        out.table("Theorems", ("", "by", "where", "status", "what", "value"), rows)
        out.show(f"Wrote {write(found, target(self.out))}.")
        return plain(found)


def by_proof(claim: str) -> Verdict:
    """A theorem as its derivation leaves it: steps that refute the printed form, or that fail."""
    from theory.proofs import prove

    proof = prove(PROOFS[claim])
    origin: dict[str, Any] = {
        "engine": "theory",
        "study": PROOFS[claim],
        "data": "proofs",
        "command": f"python -m theory prove {PROOFS[claim]}",
    }
    effect = f"printed statements that a counterexample refutes; {proof.status}"
    if not proof.holds or proof.grade != "proved":
        return untestable(claim, "plain", effect, "the derivation is not symbolic throughout", **origin)
    return within(
        claim,
        "plain",
        effect,
        float(proof.count("refuted")),
        "none, and every step that it needs proved",
        at_most=0.0,
        **origin,
    )


def by_published_points() -> list[Verdict]:
    """T3 at every size of the published Figure 3a; nothing published shows strengths of features, which T1 and T2 speak of."""
    table = load(3)
    half = column(table, "split") == "independent"
    exposure, tokens = column(table, "exposure"), column(table, "tokens_post")
    forgotten = column(table, "loss_ret") - column(table, "loss_im")
    origin: dict[str, Any] = {
        "engine": "published",
        "study": "figure3",
        "data": "figure3",
        "command": "python -m theory verdicts",
    }
    reason = "the published points are losses, and the theorem is about strengths of features"
    made = [untestable(claim, "135M", "", reason, **origin) for claim in ("T1", "T2")]
    for size in sorted(set(tokens[half].tolist())):
        here = half & (tokens == size)
        mixed, unmixed = (forgotten[here & (exposure == at)][0] for at in (exposure[here].max(), 0.0))
        made.append(
            within(
                "T3", "135M", f"forgetting at lambda {exposure[here].max():g} minus that at 0, nats",
                Interval(value=float(mixed - unmixed), n=1), "at most 0", at_most=0.0, where=f"D_post {size / 1e6:g}M", **origin
            )
        )  # fmt: skip
    return made
