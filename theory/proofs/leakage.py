"""Leakage: fine-tuning inputs with variance eps on specialised directions erode the gain algebraically.

Source: docs/theory.md, section 3.1.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import logistic, positive, t

THEOREM = Theorem(
    name="leakage",
    title="Leakage into fine-tuning",
    source="relaxes Definition C.4",
    assumptions=(
        r"$c_{ft} = \epsilon > 0$ on the specialised block, target $s_f$ there ($0$ unless stated), $b_2 = \beta$.",
    ),
    statement=(
        r"With $x = 4\epsilon\beta T_3$: $b_3 = \beta/(1+x)$; the gain over a model that never learned the block is "
        r"$k\beta^2(1+2x)/(1+x)^2$, half gone at $T_3 = (1+\sqrt2)/(4\epsilon\beta)$. With $s_f = \beta$ there is no erosion."
    ),
)


def derive(d: Derivation) -> None:
    """Algebraic decay, gain, its half time, matching target."""
    eps, beta, x, target = positive("epsilon beta x s_f")
    eroded = beta / (1 + 4 * eps * beta * t)
    d.solves("Erosion", eroded, lambda b: -4 * eps * b**2, t, beta)
    d.equal(
        "is the limit of the logistic",
        sp.limit(logistic(beta, eps, target, t), target, 0),
        eroded,
        r"\lim_{s_f \to 0} F(\beta; \epsilon, s_f, t) = \beta/(1 + 4 \epsilon \beta t)",
    )
    gain = beta**2 - (beta - beta / (1 + x)) ** 2
    d.equal("Gain per mode over an unlearned block", gain, beta**2 * (1 + 2 * x) / (1 + x) ** 2)
    d.sign("It only falls", -sp.diff(gain, x).factor(), strict=True)
    d.equal(
        "Half of it is left",
        gain.subs(x, 1 + sp.sqrt(2)),
        beta**2 / 2,
        r"x = 1 + \sqrt 2 \iff T_3 = \frac{1 + \sqrt 2}{4 \epsilon \beta}",
    )
    d.equal(
        "A matching target does not erode",
        logistic(beta, eps, beta, t),
        beta,
        r"F(\beta; \epsilon, \beta, T_3) = \beta",
    )
