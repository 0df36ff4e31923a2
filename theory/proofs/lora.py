"""Additive low-rank post-training, `theta = theta_1 + B A` with A small and B = 0: no saddle at an absent feature.

A mode of the adapter is an unbalanced mode with target d = s_post - a1, w1 = 0 and w2 = zeta. Converged at rank r it fits the
r largest |d|. Source: docs/theory.md, section 2.5.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import aligned, descend, orthogonal
from theory.proofs.symbols import c, positive, s, t

THEOREM = Theorem(
    name="lora",
    title="Additive low-rank post-training",
    source="Sec. 4 (intervention); not analysed in App. C",
    assumptions=(
        r"$\theta = \theta_1 + BA$ with $\theta_1$ frozen, $B = 0$ and $A$ of scale $\zeta > 0$ at the start; "
        r"aligned for the dynamics.",
        r"Rank $r$ and convergence for the losses; $c_{post} = 1$; $\beta < s_{post} - s_{pre}$ for the comparison.",
    ),
    statement=(
        r"The adapter's modes are unbalanced with target $d_i = s_{post,i} - a_{1,i}$ and $\kappa = -\zeta^2 \ne "
        r"0$: absent features grow at once, as "
        r"$\frac{\zeta^2}{2}\sinh(4cdt)$ at first. Converged, $L_{im} = \sum_{j>r} d_{(j)}^2$ (sorted); for $k "
        r"\le r < 2k$ and all other modes fitted, "
        r"$L_{im}^u = (2k - r)\beta^2$ and $L_{im}^m = 0$."
    ),
)


def derive(d: Derivation) -> None:
    """Residual target, early growth, best rank-r fit; the last two also on matrices."""
    adapter, first, post = sp.symbols("b_a a_1 s_post", real=True)
    d.equal(
        "The adapter sees a residual target",
        (first + adapter - post) ** 2,
        (adapter - (post - first)) ** 2,
        r"(a_1 + b - s_{post})^2 = (b - d)^2, \quad d = s_{post} - a_1",
    )
    zeta = positive("zeta")
    w1, w2 = zeta * sp.sinh(2 * c * s * t), zeta * sp.cosh(2 * c * s * t)
    d.equal(
        "Linearised factors, outer",
        sp.diff(w1, t),
        2 * c * s * w2,
        r"w_1 = \zeta \sinh(2cdt), \quad \dot w_1 = 2 c d\, w_2",
    )
    d.equal("and inner", sp.diff(w2, t), 2 * c * s * w1, r"w_2 = \zeta \cosh(2cdt), \quad \dot w_2 = 2 c d\, w_1")
    d.equal("Early growth", w1 * w2, zeta**2 / 2 * sp.sinh(4 * c * s * t))
    d.equal("Speed at the start", sp.diff(w1 * w2, t).subs(t, 0), 2 * c * s * zeta**2, r"\dot a(0) = 2 c d \zeta^2 > 0")
    d.argue(
        r"Gradient flow on a rank-$r$ product from a generic start converges to the best rank-$r$ fit of "
        r"$\mathrm{diag}(d)$ (no bad minima), which by "
        r"Eckart--Young keeps the $r$ largest $|d_i|$"
    )
    d.agree("Converged matrices against the sum of the smallest residuals", _rank_r(), 1e-6, needed=True)
    k, rank, beta = positive("k r beta")
    d.equal(
        "Unmixed: $k$ residuals $s_{post} - s_{pre}$ before $k$ of size $\\beta$",
        (k - (rank - k)) * beta**2,
        (2 * k - rank) * beta**2,
        r"L_{im}^u = [k - (r - k)] \beta^2 = (2k - r) \beta^2",
    )
    d.argue(r"Mixed with $b_1 = \beta$: only $k \le r$ residuals are not zero, so the converged loss is 0")
    d.agree(
        "Dynamics of an aligned adapter, matrices with small steps against the unbalanced solution", _dynamics(), 2e-4
    )


def _rank_r() -> float:
    rng = np.random.default_rng(9)
    residual = np.array([1.4, 1.2, 0.9, 0.8])
    u, v = orthogonal(rng, 4), orthogonal(rng, 4)
    worst = 0.0
    for rank in (1, 2, 3):
        layers = np.zeros((4, rank)), 0.3 * rng.standard_normal((rank, 4))
        b, a = descend(layers, (u * residual) @ v.T, np.eye(4), step=0.05, steps=4000)
        worst = max(
            worst, abs(float(((b @ a - (u * residual) @ v.T) ** 2).sum()) - float((residual[rank:] ** 2).sum()))
        )
    return worst


def _dynamics() -> float:
    rng = np.random.default_rng(10)
    n, zeta, time, steps = 3, 0.2, 0.8, 8000
    residual, u, v, q = np.array([1.4, 0.9, 0.3]), orthogonal(rng, n), orthogonal(rng, n), orthogonal(rng, n)
    layers = aligned(u, v, q, np.zeros(n), np.full(n, zeta))
    b, a = descend(layers, (u * residual) @ v.T, np.eye(n), step=time / steps, steps=steps)
    expected = evolve(np.zeros(n), variance=1.0, sigma=residual, time=time, imbalance=zeta**2)
    return float(np.abs(u.T @ b @ a @ v - np.diag(expected)).max())
