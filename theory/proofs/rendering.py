"""A proof as a LaTeX fragment: theorem, assumptions, the derivation step by step, and what kind of step each one is.

The fragment goes inside an article with `amsmath` and `amsthm` and a `\\newtheorem{theorem}{Theorem}`.
"""

from theory.proofs.core import Proof, Step, number

LABELS = {"symbolic": "symbolic", "argued": "in words", "numeric": "numerical", "refuted": "false as printed"}
WIDE = 160
"""Length of source from which an equation is broken at its first relation."""


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
