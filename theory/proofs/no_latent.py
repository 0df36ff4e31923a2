"""No latent benefit in the plain model: what is not visible in loss_im cannot appear in loss_ret.

`|sqrt(L_ret^u) - sqrt(L_ret^m)| <= sqrt(L_im^u) + sqrt(L_im^m)` whenever fine-tuning does not expand distances. So two models
trained to convergence on D_post have identical loss_ret. Source: docs/theory.md, section 1.5.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import logistic, nonnegative, positive, real, s, t

THEOREM = Theorem(
    name="no-latent",
    title="No latent benefit in the plain model",
    source="not in the paper; contrast its Figure 3a",
    assumptions=(
        r"Depth two, balanced; the same fine-tuning (any $T_3$) for both models; $c_{post} = 1$ on all modes.",
        r"$a_2 \ge s_{ft}/2$ for both models on every mode with $c_{ft} > 0$.",
    ),
    statement=(
        r"$|\sqrt{L_{ret}^u} - \sqrt{L_{ret}^m}| \le \sqrt{L_{im}^u} + \sqrt{L_{im}^m}$; in particular $L_{im}^u "
        r"= L_{im}^m = 0$ implies "
        r"$L_{ret}^u = L_{ret}^m$."
    ),
)


def derive(d: Derivation) -> None:
    """Fine-tuning is a contraction from s/2 on, mode by mode; then the triangle inequality in loss space."""
    first, second, c = positive("a_u a_m c")
    gap = logistic(first, c, s, t) - logistic(second, c, s, t)
    factor = logistic(first, c, s, t) * logistic(second, c, s, t) / (first * second) * sp.exp(-4 * c * s * t)
    d.equal(
        "Fine-tuning multiplies the distance of two states by a known factor",
        gap,
        factor * (first - second),
        r"F(a_u) - F(a_m) = \frac{F(a_u) F(a_m)}{a_u a_m} e^{-4cst} (a_u - a_m)",
    )
    r, slack, above = nonnegative("r p d")
    root = s * r / (first + (s - first) * r**2)
    d.equal(
        "The factor is a product of two equal shapes",
        (root.subs(r, sp.exp(-2 * c * s * t))),
        logistic(first, c, s, t) / first * sp.exp(-2 * c * s * t),
        r"\frac{F(a)}{a} e^{-2cst} = \frac{s r}{a + (s - a) r^2}, \quad r = e^{-2cst}",
    )
    room = sp.denom(root) - sp.numer(root)
    d.sign(
        "Each is at most 1 when $a = s/2 + d$, $d \\ge 0$, $r = 1/(1+p)$",
        sp.factor(room.subs({first: s / 2 + above, r: 1 / (1 + slack)})),
        formula=r"a \ge s/2 \Rightarrow a + (s - a) r^2 - s r = (1 - r)[a(1 + r) - s r] \ge 0",
    )
    zero = nonnegative("tau")
    start, other = positive("a_u a_m")
    algebraic = start / (1 + 4 * c * start * zero) - other / (1 + 4 * c * other * zero)
    d.equal(
        "Target zero",
        algebraic,
        (start - other) / ((1 + 4 * c * start * zero) * (1 + 4 * c * other * zero)),
        r"s = 0: \ F(a_u) - F(a_m) = \frac{a_u - a_m}{(1 + 4 c a_u t)(1 + 4 c a_m t)}",
    )
    d.argue(
        r"A zero state stays zero and then $s_{ft} = 0$ by assumption; a mode with $c_{ft} = 0$ does not move. So on every mode "
        r"$|a_3^u - a_3^m| \le |a_2^u - a_2^m|$, hence $\|a_3^u - a_3^m\| \le \|a_2^u - a_2^m\|$ over all modes"
    )
    x1, x2, y1, y2 = real("x_1 x_2 y_1 y_2")
    lagrange = (x1**2 + x2**2) * (y1**2 + y2**2) - (x1 * y1 + x2 * y2) ** 2
    d.equal("Two coordinates of the Cauchy--Schwarz inequality", lagrange, (x1 * y2 - x2 * y1) ** 2)
    d.argue(
        r"With $c_{post} = 1$, $\sqrt{L} = \|a - s_{post}\|$ is a Euclidean distance, so the triangle inequality "
        r"(Cauchy--Schwarz) gives "
        r"$|\sqrt{L_{ret}^u} - \sqrt{L_{ret}^m}| \le \|a_3^u - a_3^m\| \le \|a_2^u - a_2^m\| \le \sqrt{L_{im}^u} "
        r"+ \sqrt{L_{im}^m}$"
    )
    d.agree("Random settings: largest violation", _violation(), 1e-12)


def _violation() -> float:
    rng = np.random.default_rng(5)
    draws, modes = 20000, 4
    post, ft = rng.uniform(0, 3, (2, draws, modes))
    variance = rng.uniform(0, 1, (draws, modes)) * (rng.uniform(size=(draws, modes)) < 0.7)
    time = 10 ** rng.uniform(-2, 1, (draws, 1))
    before = np.where(variance > 0, ft / 2, 0) + rng.uniform(0, 2, (2, draws, modes)) ** 3
    after = np.stack([evolve(b, variance=variance, sigma=ft, time=time) for b in before])
    immediate, retained = (np.sqrt(((x - post) ** 2).sum(axis=-1)) for x in (before, after))
    return float(np.maximum(np.abs(retained[0] - retained[1]) - immediate.sum(axis=0), 0).max())
