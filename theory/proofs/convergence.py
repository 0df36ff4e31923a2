"""Every balanced scalar mode converges, under the flow and under gradient descent, with a rate: the lemma that C.13 to C.15 need.

Under gradient descent the distance to the target shrinks by a fixed factor per step and keeps its sign. An L2 pull to the start only
changes the variance and the target of a mode. Source: docs/theory.md, sections 1.1, 1.2 and 2.4; arXiv 2605.12705 C.12 to C.15.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, c, logistic, nonnegative, positive, s, t

THEOREM = Theorem(
    name="convergence",
    title="Convergence of scalar modes, flow and descent",
    source="needed by C.13 to C.15, where it is not shown",
    assumptions=(
        r"A balanced mode that obeys the mode equation; penalty $\lambda \ge 0$; $\bar c = c + \lambda$, "
        r"$\bar c \bar s = cs + \lambda a_0$, $\bar c > 0$.",
        r"Descent: $4 \eta \bar c \max(a_0, \bar s) \le 1$, which C.12, $4\eta(\lambda + 2)\Gamma < 1$ with $c \le 1$ and strengths "
        r"and targets at most $\Gamma$, implies.",
    ),
    statement=(
        r"$a_0 = 0$ stays. For $a_0, \bar s > 0$ the flow obeys $|a(t) - \bar s| \le \max(1, \bar s/a_0)\, |a_0 - \bar s|\, "
        r"e^{-4\bar c\bar s t}$, and for $\bar s = 0$, $a(t) \le 1/(4\bar c t)$. Descent never crosses $\bar s$, and "
        r"$|a_K - \bar s| \le f^K |a_0 - \bar s|$ with $f = 1 - 4\eta\bar c a_0$ from below and $f = (1 - 2\eta\bar c\bar s)^2$ from above."
    ),
)


def derive(d: Derivation) -> None:
    """A Lyapunov function, explicit bounds of the flow from both sides, and the factor per step of descent from both sides."""
    lam, start = positive("lambda a_0")
    pulled = c * (a - s) ** 2 + lam * (a - start) ** 2
    target = (c * s + lam * start) / (c + lam)
    d.equal(
        "The penalty changes only the parameters",
        -2 * a * sp.diff(pulled, a),
        4 * (c + lam) * a * (target - a),
        r"\dot a = 4 \bar c a (\bar s - a)",
    )
    lyapunov = (a - s) ** 2
    d.equal(
        "A Lyapunov function",
        sp.diff(lyapunov, a) * 4 * c * a * (s - a),
        -8 * c * a * lyapunov,
        r"V = (a - s)^2: \quad \dot V = -8 c a V \le 0",
    )
    _flow(d)
    _descent(d)
    _printed_step(d)


def _flow(d: Derivation) -> None:
    more, decay = nonnegative("p"), positive("E")
    shape = s / (1 + (s / a0 - 1) * decay)
    d.equal(
        "With $E = e^{-4cst}$",
        logistic(a0, c, s, t),
        shape.subs(decay, sp.exp(-4 * c * s * t)),
        r"a = s/(1 + (s/a_0 - 1) E)",
    )
    d.sign(
        "From below the flow is behind by at most",
        sp.factor((s / a0 * (s - a0) * decay - (s - shape)).subs(a0, s / (1 + more))),
        formula=r"a_0 \le s \Rightarrow s - a(t) \le (s/a_0)(s - a_0) E",
    )
    unit = 1 / (1 + nonnegative("x"))
    d.sign(
        "and from above, $E = 1/(1 + x) \\le 1$, ahead by at most",
        sp.factor(((a0 - s) * decay - (shape - s)).subs({a0: s * (1 + more), decay: unit})),
        formula=r"a_0 \ge s \Rightarrow a(t) - s \le (a_0 - s) E",
    )
    algebraic = a0 / (1 + 4 * c * a0 * t)
    d.sign(
        "Target zero",
        sp.factor(1 / (4 * c * t) - algebraic),
        strict=True,
        formula=r"s = 0: \ a(t) = a_0/(1 + 4ca_0t) < 1/(4ct)",
    )


def _descent(d: Derivation) -> None:
    """One step with k = eta c; both sides of the target."""
    k, gap, room, start = positive("k"), nonnegative("p"), nonnegative("h"), positive("a_0")
    after = a * (1 + 2 * k * (s - a)) ** 2
    bracket = 1 - 4 * k * a - 4 * k**2 * a * (s - a)
    d.equal(
        "A step multiplies the distance",
        s - after,
        (s - a) * bracket,
        r"s - a^+ = (s - a)[1 - 4ka - 4k^2a(s - a)], \ k = \eta c",
    )
    below = {a: s / (1 + gap), k: 1 / (4 * s * (1 + room))}
    d.sign(
        "From below, $4ks \\le 1$, the factor is not negative",
        sp.factor(bracket.subs(below)),
        formula=r"a \le s \Rightarrow a^+ \le s",
    )
    d.sign(
        "and at most",
        sp.expand(((1 - 4 * k * start) - bracket).subs(s, a + room).subs(a, start + gap)),
        formula=r"a_0 \le a \le s \Rightarrow 1 - 4ka - 4k^2a(s - a) \le 1 - 4ka_0",
    )
    above = {s: a / (1 + gap), k: 1 / (4 * a * (1 + room))}
    d.sign(
        "From above, $4ka \\le 1$, it is not negative",
        sp.factor(bracket.subs(above)),
        formula=r"a \ge s \Rightarrow a^+ \ge s",
    )
    d.sign(
        "and at most",
        sp.factor(((1 - 2 * k * s) ** 2 - bracket).subs(above)),
        formula=r"a \ge s \Rightarrow 1 - 4ka + 4k^2a(a - s) \le (1 - 2ks)^2",
    )
    factor, steps = positive("f K")
    d.equal(
        "Induction over the steps: one more factor",
        factor * factor**steps,
        factor ** (steps + 1),
        r"|a_{K+1} - s| \le f\, |a_K - s| \le f \cdot f^K |a_0 - s|",
    )
    d.equal("A zero stays", after.subs(a, 0), sp.S(0), r"a = 0 \mapsto 0")


def _printed_step(d: Derivation) -> None:
    lam, eta = nonnegative("lambda"), positive("eta")
    less, smaller, level = nonnegative("q"), nonnegative("r"), positive("Gamma")
    variance, strength = 1 / (1 + less), level / (1 + smaller)
    d.sign(
        "C.12 implies the step size asked for",
        sp.factor(4 * eta * (lam + 2) * level - 4 * eta * (variance + lam) * strength),
        formula=r"c \le 1,\ a \le \Gamma \Rightarrow 4\eta(c + \lambda)a \le 4\eta(\lambda + 2)\Gamma",
    )
