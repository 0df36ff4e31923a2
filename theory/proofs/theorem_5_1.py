"""Theorem 5.1: mixed pretraining learns the specialised features, unmixed pretraining does not. True, and without a threshold.

What its formal version C.10 adds about values and about the inconsistent features is false as printed: `sequential`.
Source: arXiv 2605.12705 Sec. 5.1; docs/theory.md, section 1.5.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, logistic, nonnegative, positive, t

THEOREM = Theorem(
    name="theorem-5-1",
    title="Only early exposure learns specialised features",
    source="Theorem 5.1 (informal); its formal version C.10 is the item sequential",
    assumptions=(
        r"Modes obey the mode equations; aligned balanced start $\delta^2 > 0$; specialised modes have no variance under $D_{pre}$.",
        r"$0 < \alpha \le 1$ in the mixed model and $0$ in the unmixed one; $\beta > 0$. No condition on $\alpha\beta$ (C.6) is needed.",
    ),
    statement=(
        r"Mixed: $b_1 = F(\delta^2; \alpha, \beta, T_1) \to \beta$ (not $\alpha\beta$), and for $\delta^2 \le \beta$ it is "
        r"within $\epsilon$ of $\beta$ from $T_1 = \ln(\beta^2/(\delta^2\epsilon))/(4\alpha\beta)$ on. "
        r"Unmixed: $b_1 = \delta^2$ for every $T_1$."
    ),
)


def derive(d: Derivation) -> None:
    """The loss that a specialised mode sees, its solution, the time that is enough; nothing without exposure."""
    alpha, beta, small = positive("alpha beta epsilon")
    seen = (1 - alpha) * 0 + alpha * (a - beta) ** 2
    d.equal(
        "What a specialised mode sees",
        -2 * a * sp.diff(seen, a),
        4 * alpha * a * (beta - a),
        r"\dot b = 4\alpha b(\beta - b)",
    )
    solution = logistic(a0, alpha, beta, t)
    d.solves(
        "Its solution", solution, lambda b: 4 * alpha * b * (beta - b), t, a0, r"b_1 = F(\delta^2; \alpha, \beta, T_1)"
    )
    decay, more = positive("E"), nonnegative("p")
    shape = beta / (1 + (beta / a0 - 1) * decay)
    d.equal("tends to the full target", shape.subs(decay, 0), beta, r"b_1|_{E = 0} = \beta")
    d.sign(
        "is behind by at most",
        sp.factor((beta**2 / a0 * decay - (beta - shape)).subs(a0, beta / (1 + more))),
        formula=r"\beta - b_1 \le (\beta^2/\delta^2)\, e^{-4\alpha\beta T_1}",
    )
    enough = sp.log(beta**2 / (a0 * small)) / (4 * alpha * beta)
    d.equal(
        "which is the accuracy at",
        beta**2 / a0 * sp.exp(-4 * alpha * beta * enough),
        small,
        r"T_1 = \ln(\beta^2/(\delta^2\epsilon))/(4\alpha\beta)",
    )
    d.sign(
        "and less later",
        4 * alpha * beta**3 / a0 * decay,
        strict=True,
        formula=r"-\partial_{T_1} (\beta^2/\delta^2) e^{-4\alpha\beta T_1} > 0",
    )
    d.equal("Without exposure nothing moves", sp.limit(solution, alpha, 0), a0, r"\alpha = 0: \quad b_1 = \delta^2")
