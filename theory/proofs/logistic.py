"""A balanced mode is logistic: `F(a0; c, s, t) = s / (1 + (s/a0 - 1) e^{-4cst})`, with every limit and its sensitivity.

`dF/da0 = (F/a0)^2 e^{-4cst}`, which is at most 1 for a0 >= s/2: from there on a stage brings states together.
Source: docs/theory.md, section 1.1; Saxe et al. 2014.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, c, logistic, nonnegative, positive, real, s, t

THEOREM = Theorem(
    name="logistic",
    title="One stage, one balanced mode",
    source="Sec. 5 and App. C.9, made exact",
    assumptions=(r"$\dot a = 4 c a (s - a)$, $a(0) = a_0 > 0$, $c, s, t \ge 0$.",),
    statement=(
        r"$a(t) = F(a_0; c, s, t) = s / (1 + (s/a_0 - 1) e^{-4cst})$. Its limits are $a_0$ at $t = 0$, $s$ at $t = \infty$, "
        r"$a_0/(1 + 4 c a_0 t)$ at $s = 0$, and $a_0$ at $c = 0$. $\partial F/\partial a_0 = (F/a_0)^2 e^{-4cst}$, "
        r"which is at most 1 if $a_0 \ge s/2$."
    ),
)


def derive(d: Derivation) -> None:
    """Substitute back, take limits, bound the sensitivity."""
    solution = logistic(a0, c, s, t)
    d.solves("The logistic solves the mode equation", solution, lambda x: 4 * c * x * (s - x), t, a0)
    e = nonnegative("E")
    shape = s / (1 + (s / a0 - 1) * e)
    d.equal("Learned in the end, where $E = e^{-4cst} \\to 0$", shape.subs(e, 0), s, r"F|_{E = 0} = s")
    d.equal(
        "No target: algebraic decay",
        sp.limit(solution, s, 0),
        a0 / (1 + 4 * c * a0 * t),
        r"\lim_{s \to 0} F = a_0 / (1 + 4 c a_0 t)",
    )
    d.solves("which solves its own equation", a0 / (1 + 4 * c * a0 * t), lambda x: -4 * c * x**2, t, a0)
    d.equal("No variance: frozen", sp.limit(solution, c, 0), a0, r"\lim_{c \to 0} F = a_0")
    d.equal(
        "Residual without cancellation",
        s - solution,
        solution / a0 * (s - a0) * sp.exp(-4 * c * s * t),
        r"s - F = \frac{F}{a_0} (s - a_0) e^{-4cst}",
    )
    time = sp.log((s / a0 - 1) / (s / a - 1)) / (4 * c * s)
    d.equal("Time to reach a strength", solution.subs(t, time), a, rf"F(a_0; c, s, t) = a \iff t = {sp.latex(time)}")
    _growth_form(d)
    _sensitivity(d)


def _growth_form(d: Derivation) -> None:
    g = real("g")
    rate = sp.Symbol("g", real=True, nonzero=True)
    x = 4 * rate * t
    general = a0 / (sp.exp(-x) + 4 * c * t * a0 * (1 - sp.exp(-x)) / x)
    d.solves(
        "With growth rate $g$ of either sign (weight decay included)",
        general,
        lambda y: 4 * y * (rate - c * y),
        t,
        a0,
        r"G = a_0 / (e^{-x} + 4 c t a_0 \phi(x)), \quad x = 4 g t, \quad \phi(x) = (1 - e^{-x})/x",
    )
    d.equal(
        "$G$ at $g = 0$",
        sp.limit(general, rate, 0),
        a0 / (1 + 4 * c * a0 * t),
        r"\lim_{g \to 0} G = a_0 / (1 + 4 c a_0 t)",
    )
    inverse = sp.Function("u")(t)
    d.equal(
        "The inverse $u = 1/a$ obeys a linear equation",
        -(4 * (1 / inverse) * (g - c / inverse)) * inverse**2,
        -4 * g * inverse + 4 * c,
        r"\dot u = -4 g u + 4 c",
    )


def _sensitivity(d: Derivation) -> None:
    solution = logistic(a0, c, s, t)
    d.equal(
        "Sensitivity to the start",
        sp.diff(solution, a0),
        (solution / a0) ** 2 * sp.exp(-4 * c * s * t),
        r"\frac{\partial F}{\partial a_0} = \left(\frac{F}{a_0}\right)^2 e^{-4cst}",
    )
    r, above, slack = nonnegative("r d p")
    root = s * r / (a0 + (s - a0) * r**2)  # (F/a0) e^{-2cst} with r = e^{-2cst}
    d.equal("Its square root, with $r = e^{-2cst}$", root**2, (s / (1 + (s / a0 - 1) * r**2) / a0) ** 2 * r**2)
    room = a0 + (s - a0) * r**2 - s * r
    d.equal("Denominator minus numerator factorises", room, (1 - r) * (a0 * (1 + r) - s * r))
    d.sign(
        "and is nonnegative for $a_0 = s/2 + d$, $d \\ge 0$, $r = 1/(1+p) \\le 1$",
        sp.factor(room.subs({a0: s / 2 + above, r: 1 / (1 + slack)})),
        formula=r"a_0 \ge s/2 \Rightarrow 0 \le \partial F/\partial a_0 \le 1",
    )
    start, rate = positive("a_0 x")
    steep = ((s / (1 + (s / start - 1) * sp.exp(-rate))) / start) ** 2 * sp.exp(-rate)
    d.sign(
        "The bound $s/2$ is needed: at $a_0 = s/4$, $e^{-x} = 1/4$, the slope exceeds 1",
        steep.subs({start: s / 4, rate: sp.log(4)}) - 1,
        strict=True,
    )
