"""L2 to the start of the stage: a pull towards a_start of weight lam. Source: docs/theory.md, section 2.4; arXiv 2605.12705 C.3."""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, c, logistic, nonnegative, positive, s

THEOREM = Theorem(
    name="l2-to-start",
    title="L2 regularisation towards the start of a stage",
    source="App. C.3 (the regularised loss before Eq. 2)",
    assumptions=(r"Penalty $\lambda\|\theta - \theta_0\|_F^2$, aligned balanced start, $\lambda > 0$.",),
    statement=(
        r"The stage acts as a task with $\bar c = c + \lambda$, $\bar c \bar s = cs + \lambda a_0$. Its end point is "
        r"$(cs + \lambda a_0)/(c + \lambda)$, a weighted mean of target and start; a mode with $c = 0$ stays where it is."
    ),
)


def derive(d: Derivation) -> None:
    """Frobenius penalty mode by mode, completed square, end point, frozen modes."""
    lam, start = positive("lambda a_0")
    gap, ut, u, v, vt = sp.symbols("D U^T U V V^T", commutative=False)
    inner = sp.expand((u * gap * vt) * (v * gap * ut)).subs(vt * v, 1)
    d.equal(
        "The penalty is a sum over modes",
        inner,
        u * gap * gap * ut,
        r"\|\theta - \theta_0\|_F^2 = \mathrm{tr}\, U D^2 U^\top = \sum_i (a_i - a_{0,i})^2",
    )
    objective = c * (a - s) ** 2 + lam * (a - start) ** 2
    end = (c * s + lam * start) / (c + lam)
    d.equal("Completed square", objective, (c + lam) * (a - end) ** 2 + c * lam * (s - start) ** 2 / (c + lam))
    d.equal(
        "so the stage moves like a plain one with those parameters",
        -2 * a * sp.diff(objective, a),
        4 * (c + lam) * a * (end - a),
        r"\dot a = 4 \bar c a (\bar s - a), \quad a(t) = F(a_0; \bar c, \bar s, t)",
    )
    d.equal("Distance left to the target", s - end, lam * (s - start) / (c + lam))
    frozen = nonnegative("t")
    d.equal(
        "No variance: the start is the end", logistic(start, lam, start, frozen), start, r"c = 0 \Rightarrow a(t) = a_0"
    )
