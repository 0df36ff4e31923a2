"""Depth L, balanced: `da/dt = 2 L c a^q (s - a)`, q = 2 - 2/L, solved implicitly through a hypergeometric function.

`t = s^{-q} [Psi(a/s) - Psi(a0/s)] / (2 L c)` with `Psi(x) = x^{1-q}/(1-q) 2F1(1, 1-q; 2-q; x)`. Escape from a small start
takes a time of order `a0^{-(1-2/L)}` instead of ln(1/a0). Source: docs/theory.md, section 3.5.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import integrate
from theory.proofs.symbols import a, a0, c, positive, s, t

THEOREM = Theorem(
    name="deep",
    title="Depth L",
    source="beyond the paper, whose network has two layers",
    assumptions=(
        r"$L \ge 3$ aligned layers with equal factors $w$, $a = w^L$; loss $c(a - s)^2$, not halved.",
        r"$0 < a_0 < s$ for the implicit solution.",
    ),
    statement=(
        r"$\dot a = 2 L c\, a^q (s - a)$ with $q = 2 - 2/L$; $t = s^{-q}[\Psi(a/s) - \Psi(a_0/s)]/(2Lc)$ with "
        r"$\Psi'(x) = x^{-q}/(1-x)$, $\Psi(x) = \frac{x^{1-q}}{1-q}\, {}_2F_1(1, 1-q; 2-q; x)$. For $s = 0$: "
        r"$a = (a_0^{-q} + 2Lqct)^{-1/q}$. From small $a_0$ escape takes $a_0^{-(1-2/L)}/(2Lcs(1-2/L))$."
    ),
)


def derive(d: Derivation) -> None:
    """Mode equation for symbolic L, antiderivative by its series, limits; the implicit solution also against scipy."""
    depth, w, x, q = positive("L w x q")
    factor_speed = 2 * c * (s - w**depth) * w ** (depth - 1)
    speed = sp.powsimp(depth * w ** (depth - 1) * factor_speed, force=True)
    expected = (2 * depth * c * a ** (2 - 2 / depth) * (s - a)).subs(a, w**depth)
    d.equal("Mode equation", speed, sp.powsimp(expected, force=True), r"\dot a = 2 L c\, a^{2 - 2/L} (s - a)")
    d.equal(
        "Two layers give the logistic equation",
        expected.subs(depth, 2),
        4 * c * w**2 * (s - w**2),
        r"L = 2: \quad \dot a = 4 c a (s - a)",
    )
    wi, wj, rest = positive("w_i w_j P")  # P: the product of all other layers
    pull = 2 * c * (s - wi * wj * rest) * rest
    d.equal(
        "Every imbalance is conserved",
        2 * wi * (pull * wj) - 2 * wj * (pull * wi),
        sp.S(0),
        r"\frac{d}{dt}(w_i^2 - w_j^2) = 0",
    )
    _antiderivative(d)
    psi = sp.Function("Psi")
    moving = sp.Function("a")(t)
    inner = s ** (-q) * sp.diff(psi(x), x).subs(sp.diff(psi(x), x), x ** (-q) / (1 - x)).subs(x, moving / s) / s
    flowing = inner / (2 * depth * c) * (2 * depth * c * moving**q * (s - moving))
    d.equal(
        "The implicit solution advances at unit speed",
        sp.simplify(sp.expand_power_base(flowing, force=True)),
        sp.S(1),
        r"\frac{d}{dt} \frac{s^{-q}\Psi(a/s)}{2Lc} = 1",
    )
    decayed = (a0 ** (-q) + 2 * depth * q * c * t) ** (-1 / q)
    d.solves("No target: algebraic decay", decayed, lambda y: -2 * depth * c * y ** (q + 1), t, a0)
    escape = a ** (1 - q) / ((q - 1) * 2 * depth * c * s)
    d.equal(
        "Escape time of the growth law, which is finite at the far end because $q > 1$",
        sp.diff(-escape, a),
        1 / (2 * depth * c * s * a**q),
        r"\int_{a_0}^\infty \frac{da}{2 L c s a^q} = \frac{a_0^{1-q}}{2 L c s (q-1)}, \quad q - 1 = 1 - 2/L",
    )
    d.agree("Depths 3 to 6 against an adaptive integrator", _against_scipy(), 1e-8)


def _antiderivative(d: Derivation) -> None:
    n = sp.Symbol("n", integer=True, nonnegative=True)
    q, x = positive("q x")
    coefficient = sp.rf(1 - q, n) / sp.rf(2 - q, n)  # (1)_n / n! = 1
    d.equal(
        "Terms of the hypergeometric series",
        sp.combsimp(sp.gammasimp(coefficient.rewrite(sp.gamma))),
        (1 - q) / (1 - q + n),
        r"\frac{(1)_n (1-q)_n}{(2-q)_n n!} = \frac{1-q}{1-q+n}",
    )
    psi = x ** (1 - q) / (1 - q) * sp.hyper((1, 1 - q), (2 - q,), x)
    first, second = sp.hyper((1, 1 - q), (2 - q,), x), sp.hyper((2, 2 - q), (3 - q,), x)
    d.equal(
        "Derivative of a hypergeometric function",
        sp.powsimp(sp.expand(x**q * sp.diff(psi, x))),
        first + x / (2 - q) * second,
        r"\Psi' = x^{-q} [{}_2F_1(1, 1-q; 2-q; x) + \frac{x}{2-q}\, {}_2F_1(2, 2-q; 3-q; x)]",
    )
    other = sp.rf(2, n) * sp.rf(2 - q, n) / (sp.rf(3 - q, n) * sp.factorial(n) * (2 - q))
    d.equal(
        "Terms of the second series",
        sp.combsimp(sp.gammasimp(other.rewrite(sp.gamma))),
        (n + 1) / (2 - q + n),
        r"\frac{(2)_n (2-q)_n}{(2-q) (3-q)_n n!} = \frac{n+1}{2-q+n}",
    )
    d.equal(
        "The bracket has the coefficient 1 at every power $x^{n+1}$ (and at $x^0$, where the first series begins with 1)",
        (1 - q) / (2 - q + n) + (n + 1) / (2 - q + n),
        sp.S(1),
        r"\frac{1-q}{1-q+(n+1)} + \frac{n+1}{2-q+n} = 1",
    )
    odds = positive("p")
    d.equal(
        "so it is a geometric series, at $x = p/(1+p)$",
        sp.summation((odds / (1 + odds)) ** n, (n, 0, sp.oo)),
        1 / (1 - odds / (1 + odds)),
        r"\sum_n x^n = \frac{1}{1-x} \ (0 < x < 1), \quad \Psi' = \frac{x^{-q}}{1-x}",
    )


def _against_scipy() -> float:
    worst = 0.0
    for depth in (3, 4, 5, 6):
        power = 2 - 2 / depth
        run = integrate(
            lambda _, y, depth=depth, power=power: 2 * depth * 0.7 * y**power * (1.3 - y),
            [0.08],
            0.9,
        )
        exact = evolve(0.08, variance=0.7, sigma=1.3, time=0.9, depth=depth)
        worst = max(worst, float(np.abs(run[0] - exact)))
    return worst
