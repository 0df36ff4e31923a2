"""The commands `prove` and `errata`: the theory checks itself, and checks the paper's appendix."""

import json as json_module
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output, plain
from common.settings import WrongUse


@dataclass(frozen=True, kw_only=True)
class Prove(Command):
    """Carry out the derivations behind the theory with sympy, and say for each what came out.

    A result is proved (every step that it needs is symbolic), argued (a step is mathematics in words, which no machine checks) or
    numerical (it needs a number: an example, an integration, random draws). Where the paper's own form is false, the grade is that of
    the repaired form. Exit code 1 if a step fails.
    """

    names: Positional[tuple[str, ...]] = ()
    """Results to prove, with their statements; none for all."""
    latex: bool = False
    """Print theorem, assumptions and steps as LaTeX (for an article with amsmath and amsthm) instead of the table."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Prove, print a row per result (or LaTeX), return everything. Raises `SystemExit(1)` if a proof failed."""
        from theory.proofs import NAMES, prove
        from theory.proofs.rendering import latex, text

        _known("Result", self.names, NAMES)
        chosen = self.names or NAMES
        proofs = []
        with out.progress("prove", len(chosen), "results") as step:
            for name in chosen:
                proofs.append(prove(name))
                step(1)
        document: dict[str, Any] = {"proofs": [_entry(proof, latex(proof) if self.latex else None) for proof in proofs]}
        document["failed"] = [proof.theorem.name for proof in proofs if not proof.holds]
        if self.latex:
            for proof in proofs:
                out.show(latex(proof))
        else:
            out.table(
                "Results (steps: s symbolic, w in words, n numeric, r false as printed)",
                ("name", "result", "status", "steps", "seconds"),
                [(p.theorem.name, p.theorem.title, p.status, _steps(p), f"{p.seconds:.2f}") for p in proofs],
            )
            for proof in proofs if self.names else ():
                out.show(text(proof.theorem))
            out.show(
                f"{len(proofs) - len(document['failed'])} of {len(proofs)} hold: {_tally(p.grade for p in proofs if p.holds)}; "
                f"{sum(p.count('refuted') > 0 for p in proofs)} false as printed. {sum(p.seconds for p in proofs):.1f} s."
            )
        if document["failed"]:
            _fail(
                document,
                self.json,
                f"{len(document['failed'])} of {len(proofs)} proofs failed: {', '.join(document['failed'])}.",
            )
        return document


@dataclass(frozen=True, kw_only=True)
class Errata(Command):
    """What Appendix C of the paper prints, what holds, and a counterexample that is computed here.

    The status says whether the printed form is false and how well what holds is established: proved, argued or numerical, as `prove`
    grades it. Without a name: one row per item. With names: each in full, with its numbers.
    Exit code 1 if a counterexample fails to confirm.
    """

    names: Positional[tuple[str, ...]] = ()
    """Items to show in full; none for the table of all."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Compute, print, return everything. Raises `SystemExit(1)` if an item is not confirmed."""
        from theory.errata import ERRATA

        _known("Erratum", self.names, tuple(ERRATA))
        found = []
        with out.progress("errata", len(self.names or ERRATA), "items") as step:
            for name in self.names or ERRATA:
                found.append((ERRATA[name], ERRATA[name].check()))
                step(1)
        if self.names:
            for item, finding in found:
                out.table(
                    f"{item.name}: {item.where}",
                    ("", ""),
                    [
                        ("as printed", item.printed),
                        ("what holds", item.holds),
                        ("status", item.status),
                        ("derived in", ", ".join(item.proofs) or "nothing but the numbers below"),
                        ("more", item.detail),
                        ("conclusion", item.survives),
                        ("confirmed", "yes" if finding.confirmed else "NO"),
                        *((name, value) for name, value in finding.numbers.items()),
                    ],
                )
        else:
            out.table(
                "Appendix C of the paper, checked item by item",
                ("name", "as printed", "what holds", "status", "conclusion"),
                [
                    (i.name, i.printed, i.holds, i.status if f.confirmed else "NOT CONFIRMED", i.survives)
                    for i, f in found
                ],
            )
            out.show(
                f"{sum(f.confirmed for _, f in found)} of {len(found)} confirmed, {sum(i.false for i, _ in found)} false as printed; "
                f"what holds: {_tally(i.grade for i, _ in found)}."
            )
            out.show("`errata NAME` shows an item in full, with its numbers.")
        document = {"errata": [item.texts() | plain(finding) for item, finding in found]}
        wrong = [item.name for item, finding in found if not finding.confirmed]
        document["unconfirmed"] = wrong
        if wrong:
            _fail(document, self.json, f"{len(wrong)} of {len(found)} items are not confirmed: {', '.join(wrong)}.")
        return document


def _known(what: str, names: tuple[str, ...], known: tuple[str, ...]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise WrongUse(f"{what} {unknown[0]!r} is not known. Choose from {', '.join(known)}.")


def _tally(grades: Iterable[str]) -> str:
    from theory.proofs.grades import GRADES

    counts = Counter(grades)
    return ", ".join(f"{counts[grade]} {grade}" for grade in GRADES)


def _steps(proof: Any) -> str:
    kinds = (("symbolic", "s"), ("argued", "w"), ("numeric", "n"), ("refuted", "r"))
    return " ".join(f"{count}{letter}" for kind, letter in kinds if (count := proof.count(kind)))


def _entry(proof: Any, latex: str | None) -> dict[str, Any]:
    entry: dict[str, Any] = plain(proof) | {"status": proof.status, "grade": proof.grade, "holds": proof.holds}
    return entry if latex is None else entry | {"latex": latex}


def _fail(document: Any, as_json: bool, message: str) -> None:
    """Exit with code 1 after printing what there is: the document stays complete although something in it is wrong."""
    if as_json:
        print(json_module.dumps(plain(document), allow_nan=False))
        sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(1)
