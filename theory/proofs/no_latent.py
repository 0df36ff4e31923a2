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
    """Fine-tuning is a contraction from s/2 on, mode by mode; then the triangle inequality in loss space, over all modes."""
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
    start, other = nonnegative("a_u a_m")
    algebraic = start / (1 + 4 * c * start * zero) - other / (1 + 4 * c * other * zero)
    d.equal(
        "Target zero",
        algebraic,
        (start - other) / ((1 + 4 * c * start * zero) * (1 + 4 * c * other * zero)),
        r"s = 0: \ F(a_u) - F(a_m) = \frac{a_u - a_m}{(1 + 4 c a_u t)(1 + 4 c a_m t)}",
    )
    d.sign(
        "is a contraction too",
        1 - 1 / ((1 + 4 * c * start * zero) * (1 + 4 * c * other * zero)),
        formula=r"\frac{1}{(1 + 4 c a_u t)(1 + 4 c a_m t)} \le 1",
    )
    d.solves(
        "A zero state (where $s_{ft} = 0$ by assumption) stays zero",
        sp.S(0),
        lambda a: -4 * c * a**2,
        t,
        sp.S(0),
        "a = 0",
    )
    d.solves("and a mode with $c_{ft} = 0$ where it is", start, lambda a: sp.S(0) * a, t, start, r"\dot a = 0")
    _distances(d)
    d.agree("Random settings: largest violation", _violation(), 1e-12)


def _distances(d: Derivation) -> None:
    """Contraction on every mode and the triangle inequality, summed over any number of modes, for `sqrt(L) = |a - s_post|`."""
    factor, gap = nonnegative("k"), real("d")
    d.sign(
        "Distances over all modes do not grow, as the square on none does ($k = 1/(1+p)$, $d$ the gap of a mode)",
        sp.factor(gap**2 - (gap / (1 + factor)) ** 2),
        formula=r"d^2 - k^2 d^2 \ge 0 \ (0 \le k \le 1) \Rightarrow \|a_3^u - a_3^m\| \le \|a_2^u - a_2^m\|",
    )
    x, y = real("x y")
    one, other = positive(
        "X Y"
    )  # norms of the vectors x, y of all modes; a vector of norm 0 makes each claim an equality
    both = real("Z")  # their inner product
    for sign, word in ((-1, "from above"), (1, "from below")):
        d.equal(
            f"Inner product {word}: the square of each mode",
            (x / one + sign * y / other) ** 2,
            x**2 / one**2 + sign * 2 * x * y / (one * other) + y**2 / other**2,
        )
        d.equal(
            "summed over the modes",
            one * other / 2 * (one**2 / one**2 + sign * 2 * both / (one * other) + other**2 / other**2),
            one * other + sign * both,
            rf"\frac{{X Y}}{{2}} \sum (x/X {'+' if sign > 0 else '-'} y/Y)^2 = X Y {'+' if sign > 0 else '-'} Z \ge 0, \quad "
            r"X = \|x\|, \ Y = \|y\|, \ Z = \sum x y",
        )
    squared = one**2 - 2 * both + other**2
    d.equal(
        "Two distances to $s_{post}$ differ by no more than the states do ($x$ and $y$ the states after stage 3, less $s_{post}$)",
        squared - (one - other) ** 2,
        2 * (one * other - both),
        r"\|x - y\|^2 - (X - Y)^2 = 2 (X Y - Z) \ge 0 \Rightarrow |\sqrt{L_{ret}^u} - \sqrt{L_{ret}^m}| \le \|a_3^u - a_3^m\|",
    )
    d.equal(
        "and the states by no more than both distances together (the same after stage 2)",
        (one + other) ** 2 - squared,
        2 * (one * other + both),
        r"(X + Y)^2 - \|x - y\|^2 = 2 (X Y + Z) \ge 0 \Rightarrow \|a_2^u - a_2^m\| \le \sqrt{L_{im}^u} + \sqrt{L_{im}^m}",
    )


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
