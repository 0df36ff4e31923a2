"""What a proof is made of: a theorem, steps that are checked when they are made, and a status that follows from them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp

from theory.proofs.grades import Grade, status, weakest

Kind = Literal["symbolic", "argued", "numeric", "refuted"]


class ProofFailed(AssertionError):
    """A step does not hold."""


@dataclass(frozen=True, kw_only=True)
class Theorem:
    """A statement with its assumptions. Texts are LaTeX (plain ASCII); the title is plain words."""

    name: str
    title: str
    source: str
    assumptions: tuple[str, ...]
    statement: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step that holds. `formula` is LaTeX for display, or empty; `error` and `tolerance` are for numbers."""

    kind: Kind
    title: str
    formula: str = ""
    error: float | None = None
    tolerance: float | None = None
    needed: bool = True


@dataclass(frozen=True, kw_only=True)
class Proof:
    """A derivation that was carried out."""

    theorem: Theorem
    steps: tuple[Step, ...]
    seconds: float
    failure: str | None = None

    @property
    def holds(self) -> bool:
        """Whether every step held."""
        return self.failure is None

    @property
    def grade(self) -> Grade:
        """The weakest kind of step that the claim needs (`theory.proofs.grades`)."""
        return weakest(
            "numerical" if step.kind == "numeric" else "argued"
            for step in self.steps
            if step.kind == "argued" or (step.kind == "numeric" and step.needed)
        )

    @property
    def status(self) -> str:
        """Its grade, after `false as printed` if a step refutes the paper's own form; or what failed."""
        if self.failure is not None:
            return f"FAILED: {self.failure}"
        return status(self.grade, false_as_printed=self.count("refuted") > 0)

    def count(self, kind: Kind) -> int:
        """Number of steps of one kind."""
        return sum(step.kind == kind for step in self.steps)


def carry_out(theorem: Theorem, derive: Callable[["Derivation"], None]) -> Proof:
    """Run a derivation and say how it went. A derivation without steps proves nothing and fails too."""
    derivation = Derivation()
    start = time.perf_counter()
    failure = None
    try:
        derive(derivation)
        if not derivation.steps:
            raise ProofFailed("the derivation has no steps")
    except ProofFailed as error:
        failure = str(error)
    seconds = time.perf_counter() - start
    return Proof(theorem=theorem, steps=tuple(derivation.steps), seconds=seconds, failure=failure)


class Derivation:
    """Collects steps; each is checked at once, and one that does not hold raises `ProofFailed`."""

    def __init__(self) -> None:
        """Start without steps."""
        self.steps: list[Step] = []

    def equal(self, title: str, left: Any, right: Any, formula: str | None = None) -> None:
        """Symbolic: `left - right` simplifies to 0 identically in all its symbols."""
        if not vanishes(left - right):
            raise ProofFailed(f"{title}: the two sides differ{_counterexample(left - right)}")
        shown = f"{sp.latex(left)} = {sp.latex(right)}" if formula is None else formula
        self.steps.append(Step(kind="symbolic", title=title, formula=shown))

    def solves(
        self, title: str, solution: Any, velocity: Callable[[Any], Any], t: Any, start: Any, formula: str = ""
    ) -> None:
        """Symbolic: `solution(t)` obeys `d solution/dt = velocity(solution)` and equals `start` at t = 0."""
        if not vanishes(sp.diff(solution, t) - velocity(solution)):
            raise ProofFailed(f"{title}: the solution, substituted into its equation, leaves a residual")
        if not vanishes(solution.subs(t, 0) - start):
            raise ProofFailed(f"{title}: the solution does not start where it should")
        self.steps.append(Step(kind="symbolic", title=title, formula=formula or sp.latex(solution)))

    def sign(self, title: str, expression: Any, *, strict: bool = False, formula: str | None = None) -> None:
        """Symbolic: an expression is >= 0 (> 0 with `strict`) for all values that its symbols' assumptions allow."""
        if not has_sign(expression, strict):
            raise ProofFailed(f"{title}: the sign does not follow{_counterexample(expression)}")
        relation = ">" if strict else r"\ge"
        shown = f"{sp.latex(expression)} {relation} 0" if formula is None else formula
        self.steps.append(Step(kind="symbolic", title=title, formula=shown))

    def argue(self, text: str) -> None:
        """A sentence of mathematics that no machine checks; with one, a result is argued and not proved."""
        self.steps.append(Step(kind="argued", title=text))

    def agree(self, title: str, error: float, tolerance: float, *, needed: bool = False, formula: str = "") -> None:
        """Numeric: an error stays below its tolerance. `needed` if the claim rests on it (no symbolic step replaces it)."""
        if not error <= tolerance:  # also catches nan
            raise ProofFailed(f"{title}: error {error:.3g} exceeds {tolerance:.3g}")
        self.steps.append(
            Step(kind="numeric", title=title, formula=formula, error=float(error), tolerance=tolerance, needed=needed)
        )

    def example(self, title: str, value: float, formula: str, *, needed: bool = True) -> None:
        """Numeric: a number that shows that something happens is positive, at one evaluated example. It carries the claim
        that the thing can happen, unless `needed` is off because the claim does not say so."""
        if not value > 0:
            raise ProofFailed(f"{title}: {value:.6g} is not positive")
        self.steps.append(Step(kind="numeric", title=title, formula=formula, needed=needed))

    def refute(self, title: str, printed: float, true: float, *, margin: float, formula: str = "") -> None:
        """Refuted: a printed number and the true one, evaluated at a counterexample, differ by more than `margin`."""
        if not abs(printed - true) > margin:
            raise ProofFailed(f"{title}: {printed:.6g} as printed against {true:.6g} is no counterexample")
        shown = formula or rf"\text{{as printed }} {number(printed)}, \quad \text{{true }} {number(true)}"
        self.steps.append(Step(kind="refuted", title=title, formula=shown, error=abs(printed - true), tolerance=margin))


def number(value: float) -> str:
    """A number as LaTeX, four significant digits."""
    text = f"{value:.4g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    return rf"{mantissa} \cdot 10^{{{int(exponent)}}}"


def vanishes(expression: Any) -> bool:
    """Whether sympy shows that an expression is identically zero. False also where it only cannot tell."""
    expression = sp.sympify(expression)
    if _somewhere_nonzero(expression) is not None:
        return False
    attempts: tuple[Callable[[Any], Any], ...] = (
        sp.expand,
        lambda e: sp.cancel(sp.together(sp.expand(e))),
        lambda e: sp.expand(sp.numer(sp.together(sp.powsimp(sp.expand(e))))),
        sp.simplify,
        lambda e: sp.simplify(sp.expand(e.rewrite(sp.exp), power_base=True)),
    )
    return any(attempt(expression) == 0 for attempt in attempts)


def has_sign(expression: Any, strict: bool) -> bool:
    """Whether the assumptions on the symbols make an expression >= 0 (> 0): every factor or every term has the sign."""
    expression = sp.sympify(expression)
    if _somewhere_nonzero(expression, negative=True) is not None:
        return False
    forms = (lambda e: e, sp.expand, sp.factor, lambda e: sp.factor(sp.together(e)), sp.simplify)
    for form in forms:
        shaped = form(expression)
        if shaped.is_positive or (not strict and shaped.is_nonnegative):
            return True
    return False


def _somewhere_nonzero(expression: Any, negative: bool = False) -> dict[Any, float] | None:
    """A point where a scalar expression is clearly not zero (or negative), from four fixed draws; None if none is seen.

    Only a screen before the symbolic work: it makes false steps fail fast and gives them a counterexample.
    """
    symbols = sorted(expression.free_symbols, key=str)
    if expression.atoms(sp.core.function.AppliedUndef) or any(not symbol.is_commutative for symbol in symbols):
        return None
    if expression.has(sp.Derivative, sp.Integral, sp.Sum):
        return None
    rng = np.random.default_rng(0)
    for _ in range(4):
        point = {
            x: int(rng.integers(3, 9)) if x.is_integer else sp.Rational(int(rng.integers(20, 180)), 97) for x in symbols
        }
        value = expression.evalf(40, subs=point)
        if not value.is_number or not value.is_real:
            continue
        if (negative and value < -1e-20) or (not negative and abs(value) > 1e-20):
            return {x: float(v) for x, v in point.items()}
    return None


def _counterexample(expression: Any) -> str:
    point = _somewhere_nonzero(sp.sympify(expression))
    if not point:
        return ""
    return ", e.g. at " + ", ".join(f"{symbol} = {value:.4g}" for symbol, value in point.items())
