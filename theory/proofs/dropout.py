"""Hidden dropout with probability p: exact in the aligned basis, a soft threshold in a generic one.

Inverted dropout adds `gamma sum_j |W1[:, j]|^2 (W2 C W2^T)_jj`, gamma = p/(1-p), to the expected loss. Source: docs/theory.md, section 2.2.
"""

import numpy as np
import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import aligned, descend_dropout, orthogonal
from theory.proofs.symbols import a, c, logistic, positive, real, s, t

THEOREM = Theorem(
    name="dropout",
    title="Hidden dropout",
    source="Sec. 4 (intervention); not analysed in App. C",
    assumptions=(
        r"Inverted dropout with probability $p$ on hidden units, expected loss, $\gamma = p/(1-p)$.",
        r"Aligned: each mode has its own hidden unit. Generic: hidden basis free, $C = I$, width $m$, time $\to \infty$.",
    ),
    statement=(
        r"Aligned: $c \mapsto c/(1-p)$, $s \mapsto (1-p)s$; the growth exponent $4cs$ is unchanged and $a(t)$ is "
        r"never above its value without dropout. "
        r"This solution is a saddle under hidden rotation; the equalised minimum is the soft threshold $a_i = (s_i - \nu)_+$, "
        r"$\nu = \gamma S_{act}/(m + \gamma r_{act})$."
    ),
)


def derive(d: Derivation) -> None:
    """Expected loss over masks, completed square, comparison, saddle, soft threshold."""
    p, x, y, target = positive("p w_1 w_2 s")
    kept = (1 - p) * (x * y / (1 - p) - target) ** 2 + p * target**2
    gamma = p / (1 - p)
    d.equal(
        "Mean over the mask of one unit",
        kept,
        (x * y - target) ** 2 + gamma * (x * y) ** 2,
        r"E_{mask} (w_1 m w_2 - s)^2 = (a - s)^2 + \gamma a^2",
    )
    penalised = c * (a - s) ** 2 + c * gamma * a**2
    d.equal(
        "It pulls like a task with",
        sp.diff(penalised, a),
        sp.diff(c / (1 - p) * (a - (1 - p) * s) ** 2, a),
        r"\bar c = c/(1-p), \quad \bar s = (1-p) s",
    )
    d.equal("at an unchanged growth exponent", c / (1 - p) * (1 - p) * s, c * s, r"\bar c \bar s = c s")
    start = positive("a_0")
    damped = logistic(start, c * (1 + x), s / (1 + x), t)  # 1/(1-p) = 1 + gamma, x stands for gamma
    plain = logistic(start, c, s, t)
    d.equal(
        "Both inverses are comparable",
        1 / damped - 1 / plain,
        x / s * (1 - sp.exp(-4 * c * s * t)),
        r"1/a_{dropout} - 1/a_{plain} = \frac{\gamma}{s} (1 - e^{-4cst}) \ge 0",
    )
    _saddle(d)
    _threshold(d)
    d.agree("Soft threshold against the matrix dynamics, generic hidden basis", _against_matrices(), 1e-6)


def _saddle(d: Derivation) -> None:
    first, second = positive("a_1 a_2")
    angle, shift = real("phi x")
    cos2, sin2 = sp.cos(angle) ** 2, sp.sin(angle) ** 2
    penalty = (first * cos2 + second * sin2) ** 2 + (first * sin2 + second * cos2) ** 2
    d.equal(
        "Rotating two hidden units, the aligned basis is stationary",
        sp.diff(penalty, angle).subs(angle, 0),
        sp.S(0),
        r"\partial_\phi P(0) = 0, \quad P = \sum_j \|W_{1,:j}\|^2 (W_2 W_2^\top)_{jj}",
    )
    curvature = sp.diff(penalty, angle, 2).subs(angle, 0)
    d.equal("with negative curvature: a saddle", curvature, -4 * (first - second) ** 2)
    mean = (first + second) / 2
    d.equal(
        "The penalty is least where the units are equal",
        (mean + shift) ** 2 + (mean - shift) ** 2 - 2 * mean**2,
        2 * shift**2,
        r"\sum_j P_j^2 \ge \frac{1}{m} (\sum_j P_j)^2",
    )
    d.argue(
        r"For $C = I$ balancing gives $\sum_j \|W_{1,:j}\|^2 (W_2 W_2^\top)_{jj} \ge \frac1m \|W_1\|_F^2 "
        r"\|W_2\|_F^2 \ge \frac1m (\sum_i a_i)^2$ "
        r"(Cauchy--Schwarz twice, nuclear norm), reached by an equalised basis"
    )


def _threshold(d: Derivation) -> None:
    gamma, width, active, total, strength, rest, target = positive("gamma m r S a_i A s_i")
    objective = (strength - target) ** 2 + gamma / width * (strength + rest) ** 2
    nu = gamma / width * (strength + rest)
    d.equal(
        "Stationary active modes",
        sp.diff(objective, strength),
        2 * (strength - (target - nu)),
        r"a_i = s_i - \nu, \quad \nu = \frac{\gamma}{m} \sum_j a_j",
    )
    level = gamma * total / (width + gamma * active)
    d.equal(
        "summed over the $r$ active modes",
        gamma / width * (total - active * level),
        level,
        r"\nu = \frac{\gamma}{m} (S - r\nu) \iff \nu = \frac{\gamma S}{m + \gamma r}",
    )
    d.equal(
        "The objective is convex: one coordinate couples to the rest",
        sp.diff(objective, strength, rest),
        2 * gamma / width,
        r"\nabla^2 = 2 I + \frac{2\gamma}{m} 1 1^\top",
    )


def _against_matrices() -> float:
    rng = np.random.default_rng(8)
    n, gamma = 3, 0.4
    sigma = np.array([2.0, 1.0, 0.15])
    u, v, q = orthogonal(rng, n), orthogonal(rng, n), orthogonal(rng, n)
    root = np.full(n, 0.5)
    first, second = descend_dropout(aligned(u, v, q, root, root), (u * sigma) @ v.T, gamma, step=0.02, steps=6000)
    level = gamma * 3.0 / (n + 2 * gamma)  # two active modes; the third lies below the threshold
    return float(np.abs(u.T @ first @ second @ v - np.diag(np.maximum(sigma - level, 0))).max())
