"""Directions without variance (C.16): frozen if the layers are aligned and balanced, not otherwise.

W2 v is frozen, but W1 moves: `d(theta v)/dt = -2 (theta - A) C W2^T W2 v`, which vanishes only where the hidden covariance
`C W2^T W2` does not couple v to directions with variance. Source: arXiv 2605.12705 C.16; docs/theory.md, section 4.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import fine_tuning_changes
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="frozen",
    title="Frozen directions, and when they are not",
    source="Lemma C.16, repaired",
    assumptions=(
        r"Fine-tuning by gradient flow on $(A, C)$, $A = U S V^\top$, $C = V \mathrm{diag}(c) V^\top$, and $C v_i = 0$.",
        r"For the conclusion: $W_1, W_2$ aligned with $U, V$ at the start.",
    ),
    statement=(
        r"$W_2 v_i$ is always frozen; $\frac{d}{dt}\theta v_i = -2(\theta - A) C W_2^\top W_2 v_i$. If the layers "
        r"are aligned this is "
        r"0 for ever and the singular value is unchanged. Without alignment it is not: zero variance alone does not suffice."
    ),
)


def derive(d: Derivation) -> None:
    """Velocity of theta v; zero under alignment; not zero for random layers, for an unaligned target, for noisy layers."""
    w1, w2, target, cov = sp.symbols("W_1 W_2 A C", commutative=False)
    w1t, w2t, v = sp.symbols("W_1^T W_2^T v", commutative=False)
    gap = w1 * w2 - target
    v1, v2 = -2 * gap * cov * w2t, -2 * w1t * gap * cov

    def annihilate(expression: sp.Expr) -> sp.Expr:
        return sp.expand(expression).subs(cov * v, 0)

    d.equal("The inner image is frozen", annihilate(v2 * v), sp.S(0), r"\dot W_2 v = -2 W_1^\top (\theta - A) C v = 0")
    d.equal(
        "The outer one is not",
        annihilate(v1 * w2 * v + w1 * v2 * v),
        sp.expand(-2 * gap * cov * w2t * w2 * v),
        r"\frac{d}{dt} \theta v = -2 (\theta - A) C W_2^\top W_2 v",
    )
    _aligned(d)
    free, bent, noisy, kept = fine_tuning_changes(0)
    d.refute("C.16: random layers keep $\\theta v$ (relative change)", 0.0, free, margin=0.1)
    d.refute("C.16: aligned layers under an arbitrary target (absolute change)", 0.0, bent, margin=0.05)
    d.refute("C.16: aligned layers with noise 0.1 (relative change)", 0.0, noisy, margin=0.01)
    d.agree("Fully aligned layers do keep it", kept, 1e-12)


def _aligned(d: Derivation) -> None:
    vv, vt, q, qt, k2, kc = sp.symbols("V V^T Q Q^T d_2 C_d", commutative=False)
    hidden = sp.expand((vv * kc * vt) * (vv * k2 * qt) * (q * k2 * vt)).subs(qt * q, 1).subs(vt * vv, 1)
    d.equal(
        "Under alignment the coupling is diagonal",
        hidden,
        vv * kc * k2 * k2 * vt,
        r"C W_2^\top W_2 = V C_d d_2^2 V^\top",
    )
    c, factor = positive("c_i w_i")
    d.equal(
        "and vanishes where the variance does",
        (c * factor**2).subs(c, 0),
        sp.S(0),
        r"C W_2^\top W_2 v_i = c_i w_{2,i}^2 v_i = 0",
    )
    d.argue(
        r"Alignment is kept by the flow when $A$ is aligned too (mode equations), so the velocity is 0 at all times"
    )
