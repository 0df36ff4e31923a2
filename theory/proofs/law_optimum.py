"""Where loss_ret of the law S has its minimum along lambda under one pass over D_post, and when the minimum is interior.

L_ret = (1 - phi) L(lambda D + m (1 - lambda) D) + phi L(lambda D), with L(e) = E + A (e + d0)^-a.
Source: not in the paper; `theory.laws.optimum` evaluates it.
"""

from typing import Any

import numpy as np
import sympy as sp

from theory.laws.optimum import best_exposure, interior
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="law-optimum",
    title="Law of provenance: interior optimum",
    source="not in the paper; contrast Sec. 4.2",
    assumptions=(
        r"One learning curve $L(e) = E + A (e + d_0)^{-a}$ with $A, a, d_0 > 0$ for both stages; a stage-2 token is worth "
        r"$m > 0$ stage-1 tokens.",
        r"$L_{ret} = L_{im} + \psi + \phi\,[L(x) - L_{im}]$ with $0 < \phi < 1$, $x = \lambda D$, "
        r"$L_{im} = L(\lambda D + m (1 - \lambda) D)$.",
    ),
    statement=(
        r"$L_{ret}$ is strictly convex in $\lambda$. For $m > 1$ and $k = [(m - 1)(1 - \phi)/\phi]^{1/(1 + a)}$ its minimum is at "
        r"$\lambda^* = [m + (1 - k) d_0/D]/(m - 1 + k)$ where that lies in $[0, 1]$, and it is interior iff $(m - 1) [d_0/(m D + "
        r"d_0)]^{1 + a} < \phi/(1 - \phi) < m - 1$. The dip vanishes for $D \le (k - 1) d_0/m$. For $m \le 1$, $\lambda = 1$ is best."
    ),
)


def derive(d: Derivation) -> None:
    """Convexity, the stationary point, the conditions at both ends, and the size below which the dip vanishes."""
    lam = sp.Symbol("lambda", real=True)
    size, m, amplitude, power, offset, odds, k = positive(
        "D m A a d_0 o k"
    )  # odds = phi/(1 - phi), and A for (1 - phi) A
    first, both = positive("u_1 u_2")  # exposure + d0: after stage 1, after both
    known = lam * size + m * (1 - lam) * size + offset, lam * size + offset
    loss = amplitude * (known[0] ** -power + odds * known[1] ** -power)

    def along(expression: Any) -> Any:
        return expression.subs({both: known[0], first: known[1]})

    slope = amplitude * power * size * ((m - 1) * both ** (-power - 1) - odds * first ** (-power - 1))
    d.equal(
        "Slope of the retained loss in what is known after stage 1 and after both",
        sp.diff(loss, lam),
        along(slope),
        r"\frac{dL_{ret}}{d\lambda} \propto (m - 1)\, u_2^{-a-1} - \tfrac{\phi}{1 - \phi}\, u_1^{-a-1}",
    )
    bend = (
        amplitude * power * (power + 1) * size**2 * ((m - 1) ** 2 * both ** (-power - 2) + odds * first ** (-power - 2))
    )
    d.equal("Curvature", sp.diff(loss, lam, 2), along(bend), r"\frac{d^2 L_{ret}}{d\lambda^2}")
    d.sign("Strictly convex, for every m", bend, strict=True, formula=r"\frac{d^2 L_{ret}}{d\lambda^2} > 0")
    worth = 1 + odds * k ** (1 + power)  # m where k^(1 + a) = (m - 1)/odds
    d.equal(
        "Stationary where stage 2 knows k times as much, offset included",
        sp.expand_power_base((worth - 1) * (k * first) ** (-power - 1), force=True),
        odds * first ** (-power - 1),
        r"k^{1 + a} = (m - 1)(1 - \phi)/\phi",
    )
    best = (m + (1 - k) * offset / size) / (m - 1 + k)
    d.equal(
        "The exposure there",
        known[0].subs(lam, best),
        k * known[1].subs(lam, best),
        r"\lambda^* = \frac{m + (1 - k)\, d_0/D}{m - 1 + k}",
    )
    d.equal(
        "Above 0 iff D exceeds (k - 1) d0/m",
        best * (m - 1 + k) * size,
        m * size - (k - 1) * offset,
        r"\lambda^* > 0 \iff m D > (k - 1)\, d_0 \iff (m - 1) \Big[\frac{d_0}{m D + d_0}\Big]^{1 + a} < \frac{\phi}{1 - \phi}",
    )
    d.equal(
        "Below 1 iff k > 1",
        (1 - best) * (m - 1 + k),
        (k - 1) * (1 + offset / size),
        r"\lambda^* < 1 \iff k > 1 \iff \frac{\phi}{1 - \phi} < m - 1",
    )
    less = sp.Symbol("s", nonnegative=True)  # 1 - m where m <= 1
    falling = amplitude * power * size * (less * both ** (-power - 1) + odds * first ** (-power - 1))
    d.equal("Slope where m <= 1", -slope.subs(m, 1 - less), falling, r"m = 1 - s")
    d.sign("It only falls there: lambda = 1 is best", falling, strict=True, formula=r"-\frac{dL_{ret}}{d\lambda} > 0")
    d.agree("Closed form against a search, and the condition against where it ends, 400 draws", _searched(), 1e-9)


def _searched() -> float:
    rng = np.random.default_rng(1)
    lost, worth = rng.uniform(0.02, 0.98, 400), np.exp(rng.uniform(-1, 3, 400))
    power, offset, size = (np.exp(rng.uniform(low, high, 400)) for low, high in ((-3, 1), (-2, 5), (-2, 7)))

    def loss(x: Any) -> Any:
        both, first = x * size + worth * (1 - x) * size + offset, x * size + offset
        return (1 - lost) * both**-power + lost * first**-power

    low, high = np.zeros(400), np.ones(400)
    for _ in range(60):  # ternary search of a convex function
        thirds = low + (high - low) / 3, high - (high - low) / 3
        left = loss(thirds[0]) <= loss(thirds[1])
        low, high = np.where(left, low, thirds[0]), np.where(left, thirds[1], high)
    searched = (low + high) / 2
    found = best_exposure(lost, worth, power, offset, size)
    inside = interior(lost, worth, power, worth * size / offset)
    if not np.array_equal(inside, (found > 0) & (found < 1)):
        return np.inf
    return float(np.abs(loss(found) / loss(searched) - 1).max())  # of the loss: a flat minimum has no sharp place
