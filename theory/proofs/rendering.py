"""A proof as a LaTeX fragment: theorem, assumptions, the derivation step by step, and what kind of step each one is. Its theorem as text.

The fragment goes inside an article with `amsmath` and `amsthm` and a `\\newtheorem{theorem}{Theorem}`.
"""

import re
import unicodedata

from theory.proofs.core import Proof, Step, Theorem, number

LABELS = {"symbolic": "symbolic", "argued": "in words", "numeric": "numerical", "refuted": "false as printed"}
WIDE = 160
"""Length of source from which an equation is broken at its first relation."""
SIGNS = {
    "le": "≤", "ge": "≥", "ne": "≠", "approx": "≈", "sim": "~", "propto": "∝", "to": "→", "mapsto": "↦", "infty": "∞", "partial": "∂",
    "pm": "±", "cdot": "·", "int": "∫", "sum": "Σ", "top": "ᵀ", "sqrt": "√", "|": "‖", ",": " ",
}  # fmt: skip
"""Macros of the theorems' texts that are neither letters nor functions."""
ACCENTS = {"bar": "\u0304", "dot": "\u0307"}
"""Macros that put something above the next letter."""


def latex(proof: Proof) -> str:
    """The fragment. Raises nothing: a failed proof renders with its failure."""
    theorem = proof.theorem
    lines = [
        r"% needs amsmath, amsthm and \newtheorem{theorem}{Theorem}",
        rf"\begin{{theorem}}[{theorem.title}]",
        r"Assume the following.",
        r"\begin{itemize}",
        *(rf"\item {assumption}" for assumption in theorem.assumptions),
        r"\end{itemize}",
        theorem.statement,
        r"\end{theorem}",
        rf"\noindent Source: {theorem.source}. Status: {_escape(proof.status)}.",
        r"\begin{proof}",
        r"\begin{enumerate}",
    ]
    for step in proof.steps:
        lines += _step(step)
    lines += [r"\end{enumerate}", r"\end{proof}"]
    return "\n".join(lines) + "\n"


def text(theorem: Theorem) -> str:
    """Title, assumptions and statement for a terminal."""
    lines = [f"{theorem.title} ({theorem.source})", *(f"  assume: {readable(one)}" for one in theorem.assumptions)]
    return "\n".join([*lines, f"  then: {readable(theorem.statement)}"])


def readable(source: str) -> str:
    """LaTeX of a theorem as plain text, its letters and signs in Unicode: `$\\frac{\\beta}{2}$` becomes β/2."""
    from sympy.printing.pretty.pretty_symbology import greek_unicode

    def macro(found: re.Match[str]) -> str:
        name = found[1]
        return greek_unicode.get(name) or SIGNS.get(name, name)

    said = source.replace("$", "").replace(r"\{", "\1").replace(r"\}", "\2")
    while (plainer := _unbraced(said)) != said:
        said = plainer
    said = re.sub(r"\\(?!bar|dot)([A-Za-z]+|[|,])", macro, said)
    for name, mark in ACCENTS.items():
        said = re.sub(rf"\\{name} ?(.)", rf"\1{mark}", said)
    said = said.replace("{", "").replace("}", "").replace("\1", "{").replace("\2", "}")
    return unicodedata.normalize("NFC", re.sub(" +", " ", said))


def _unbraced(said: str) -> str:
    """The same without its innermost fractions, roots, powers and indices in braces."""

    def held(part: str) -> str:
        return f"({part})" if re.search(r"[-+/ ,>]|\\(?:pm|cdot)", part) else part

    said = re.sub(
        r"\\frac\{([^{}]*)\}\{([^{}]*)\}(?=([A-Za-z\\])?)",
        lambda found: f"{held(found[1])}/{held(found[2])}{' ' if found[3] else ''}",
        said,
    )
    said = re.sub(r"\\mathrm\{([^{}]*)\}", r"\1", said)
    said = re.sub(
        r"(\\sqrt|\^)\{([^{}]*)\}",
        lambda found: f"{found[1]}({found[2]})" if len(found[2]) > 1 else found[1] + found[2],
        said,
    )
    return re.sub(r"_\{([^{}]*)\}", lambda found: f"_{held(found[1])}", said)


def _step(step: Step) -> list[str]:
    label = LABELS[step.kind]
    if step.kind == "numeric" and not step.needed:
        label = "numerical, corroborates only"
    end = "" if step.title.endswith((".", ":", "?")) else "."
    lines = [rf"\item {step.title}{end} \hfill\emph{{({label})}}"]
    if step.formula:
        lines += _display(step.formula)
    if step.kind == "numeric" and step.error is not None and step.tolerance is not None:
        lines.append(rf"Largest error ${number(step.error)}$, tolerance ${number(step.tolerance)}$.")
    return lines


def _display(formula: str) -> list[str]:
    if len(formula) <= WIDE:
        return [r"\begin{equation*}", formula, r"\end{equation*}"]
    for relation in (" = ", r" \ge ", " > ", r" \le "):
        if relation in formula:
            left, right = formula.split(relation, 1)
            if _balanced(left):
                return [r"\begin{multline*}", left + r" \\", relation.strip() + " " + right, r"\end{multline*}"]
    return [r"\begin{equation*}", formula, r"\end{equation*}"]


def _balanced(text: str) -> bool:
    return text.count("{") == text.count("}") and text.count(r"\left") == text.count(r"\right")


def _escape(text: str) -> str:
    for character in "_%&#":
        text = text.replace(character, "\\" + character)
    return text
