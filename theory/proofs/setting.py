"""The definitions of Appendix C, checked: covariances of a task, and whether the assumptions can be met together.

Source: arXiv 2605.12705 C.1 to C.7; docs/theory.md, sections 0 and 4.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import nonnegative, positive

THEOREM = Theorem(
    name="setting",
    title="Covariances of a task, and assumptions that exclude each other",
    source="C.1 to C.7, repaired",
    assumptions=(
        r"$y = A x$ with $A = U S V^\top$, $C = E[x x^\top] = V D_{xx} V^\top$, $U$ and $V$ orthogonal; targets nonnegative.",
    ),
    statement=(
        r"$\Sigma_{xx} = V D_{xx} V^\top$ and $\Sigma_{xy} = E[x y^\top] = V D_{xx} S U^\top$; in the mixture a specialised direction "
        r"has variance $\alpha$. C.4 ($\beta < c_{mis}/2$) and C.6 exclude each other; without C.4, C.6 holds iff "
        r"$\alpha(\beta - s_{post} + s_{pre}) > s_{pre}$. C.6 at $i = d_{inv}$ contradicts C.5."
    ),
)


def derive(d: Derivation) -> None:
    """Covariances with matrices as letters; the inequalities, each parametrised by how much room it leaves."""
    u, ut, v, vt, sing, var = sp.symbols("U U^T V V^T S D_xx", commutative=False)
    cross = sp.expand((v * var * vt) * (v * sing * ut)).subs(vt * v, 1)
    d.equal("Cross-covariance, $E[x x^\\top] A^\\top$", cross, v * var * sing * ut, r"\Sigma_{xy} = V D_{xx} S U^\top")
    d.equal(
        "read in the right frames",
        sp.expand(vt * cross * u).subs(vt * v, 1).subs(ut * u, 1),
        var * sing,
        r"V^\top \Sigma_{xy} U = D_{xx} S",
    )
    alpha, beta = positive("alpha beta")
    d.equal(
        "Variance of a specialised direction",
        (1 - alpha) * 0 + alpha * 1,
        alpha,
        r"(1 - \alpha) \cdot 0 + \alpha \cdot 1 = \alpha",
    )
    pre, room, slack, gap = nonnegative("s_pre"), nonnegative("x"), nonnegative("y"), positive("c_mis")
    d.sign(
        "C.3: the second inequality implies the first",
        (pre + gap + room) - pre,
        strict=True,
        formula=r"s_{post} - s_{pre} > c_{mis} > 0 \Rightarrow s_{post} > s_{pre}",
    )
    post = pre + (2 * beta + slack) + room  # C.4: c_mis = 2 beta + slack; C.3: s_post - s_pre = c_mis + room
    d.sign(
        "With C.3 and C.4, C.6 fails",
        sp.expand((1 - alpha) * pre + alpha * post - alpha * beta),
        strict=True,
        formula=r"(1-\alpha) s_{pre} + \alpha s_{post} - \alpha\beta = s_{pre} + \alpha(\beta + x + y) > 0",
    )
    target = nonnegative("s_post")
    d.equal(
        "Without C.4, C.6 reads",
        alpha * beta - ((1 - alpha) * pre + alpha * target),
        alpha * (beta - target + pre) - pre,
        r"\alpha\beta > (1-\alpha)s_{pre} + \alpha s_{post} \iff \alpha(\beta - s_{post} + s_{pre}) > s_{pre}",
    )
    share = 1 / (1 + positive("r"))
    d.sign(
        "C.5 makes invariant targets the largest, so C.6 cannot hold for one of them",
        sp.factor((beta + room) - share * beta),
        strict=True,
        formula=r"\sigma_{inv} \ge \beta,\ \alpha < 1 \Rightarrow \sigma_{inv} > \alpha\beta",
    )
    d.refute("C.7: a specialised direction of the mixture has variance 1 (at $\\alpha = 0.3$)", 1.0, 0.3, margin=0.1)
