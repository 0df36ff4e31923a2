"""Sequential learning (C.9) and the window in which mixing has learned the specialised modes only (C.10).

As printed, C.10 says that "sufficient" mixed pretraining ends with inconsistent modes at 0 and specialised ones at
alpha beta. In truth the values are beta and s_mix, and the inconsistent modes are at 0 only inside a finite window.
Source: arXiv 2605.12705 C.9, C.10; docs/theory.md, section 3.2.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, logistic, nonnegative, positive, s

THEOREM = Theorem(
    name="sequential",
    title="Sequential learning and the mixing window",
    source="Theorems C.9 and C.10, repaired",
    assumptions=(
        r"Aligned balanced start $a_0 = \delta^2 = e^{-2T}$; stage 1 trains on $(1-\alpha) D_{pre} + \alpha D_{post}$.",
        r"$\beta, s_{pre}, s_{post} > \delta^2$ and $0 < \alpha < 1$. Each mode obeys its own mode equation, so any number of them "
        r"can be treated one by one.",
    ),
    statement=(
        r"With $s_{mix} = (1-\alpha) s_{pre} + \alpha s_{post}$, half-learning happens at "
        r"$t_{spec} = \ln(\beta/\delta^2 - 1)/(4\alpha\beta)$ and $t_{inc} = \ln(s_{mix}/\delta^2 - 1)/(4 "
        r"s_{mix})$; in the limit of "
        r"small $\delta$ the window is open iff $\alpha\beta > s_{mix}$. After it the mixed model has $(s_{mix}, "
        r"\beta)$, the unmixed "
        r"one $(s_{pre}, 0)$. For any number of modes, the slowest of the learned with rate $x_1 > x_2$ of the fastest of the "
        r"others, the best accuracy between them is of order $\delta^{C}$, $C = 2(x_1 - x_2)/(2x_1 + x_2)$, at $t = 3T/(4x_1 + 2x_2)$."
    ),
)


def derive(d: Derivation) -> None:
    """Fixed points and half times, window in the limit, the exponent; then what C.10 prints, evaluated."""
    alpha, beta, pre, post, depth = positive("alpha beta s_pre s_post T")
    weight = 1 - alpha
    specialised = weight * 0 * a**2 + alpha * (a - beta) ** 2
    d.equal(
        "Specialised modes are pulled to $\\beta$",
        sp.diff(specialised, a).subs(a, beta),
        sp.S(0),
        r"\partial_a [\alpha (a - \beta)^2] = 0 \iff a = \beta",
    )
    mixed = weight * pre + alpha * post
    inconsistent = weight * (a - pre) ** 2 + alpha * (a - post) ** 2
    d.equal("inconsistent ones to $s_{mix}$", sp.diff(inconsistent, a), 2 * (a - mixed))
    start, target, variance = positive("a_0 s c")
    decay = positive("E")
    d.equal(
        "and every mode gets there",
        (target / (1 + (target / start - 1) * decay)).subs(decay, 0),
        target,
        r"F|_{E = 0} = s, \quad E = e^{-4cst}",
    )
    half = sp.log(target / start - 1) / (4 * variance * target)
    d.equal(
        "Half-learning time",
        logistic(start, variance, target, half),
        target / 2,
        r"F = s/2 \text{ at } t = \ln(s/a_0 - 1)/(4 c s)",
    )
    rate = positive("x")
    limit = sp.limit(sp.log(s * sp.exp(2 * depth) - 1) / (4 * rate * depth), depth, sp.oo)
    d.equal(
        "measured in $T$, for small starts",
        limit,
        1 / (2 * rate),
        r"\lim_{T\to\infty} \frac{t_{1/2}}{T} = \frac{1}{2x}, \quad x = c s: \quad t_{spec} < t_{inc} \iff \alpha\beta > s_{mix}",
    )
    _exponent(d)
    _printed(d)


def _exponent(d: Derivation) -> None:
    fast, slow, tau, depth = positive("x_1 x_2 tau T")
    start = sp.exp(-2 * depth)
    time = tau * depth
    residual = logistic(start, fast, sp.S(1), time)
    behind = sp.limit(((1 - residual) / residual).simplify() * sp.exp((4 * fast * tau - 2) * depth), depth, sp.oo)
    d.equal(
        "The faster mode's error decays as",
        behind,
        sp.S(1),
        r"1 - a_1/s_1 \sim e^{-(4 x_1 \tau - 2) T}, \quad t = \tau T",
    )
    d.equal(
        "the slower factor grows as",
        sp.sqrt(start * sp.exp(4 * slow * time)),
        sp.exp(-(1 - 2 * slow * tau) * depth),
        r"w_2 \sim \delta e^{2 x_2 t} = e^{-(1 - 2 x_2 \tau) T}",
    )
    first, second = 4 * fast * tau - 2, 1 - 2 * slow * tau
    best = 3 / (4 * fast + 2 * slow)
    d.equal(
        "The exponents meet",
        first.subs(tau, best),
        second.subs(tau, best),
        r"4 x_1 \tau - 2 = 1 - 2 x_2 \tau \text{ at } \tau = 3/(4 x_1 + 2 x_2)",
    )
    d.equal("at the value", second.subs(tau, best), 2 * (fast - slow) / (2 * fast + slow))
    d.sign("One exponent rises with time", sp.diff(first, tau), strict=True)
    d.sign("and the other falls, so the meeting point is the best", -sp.diff(second, tau), strict=True)
    more, count = nonnegative("y"), positive("k")
    d.sign("Other learned modes, with larger rates, are further ahead", (4 * (fast + more) * tau - 2) - first)
    slower = slow / (1 + more)
    d.sign(
        "and other modes still to come, with smaller rates, further behind",
        sp.factor((1 - 2 * slower * tau) - second),
        formula=r"x \le x_2 \Rightarrow 1 - 2x\tau \ge 1 - 2x_2\tau",
    )
    exponent = positive("z")
    d.equal(
        "and $k$ times the largest error has the same exponent",
        sp.limit((sp.log(count) - exponent * depth) / depth, depth, sp.oo),
        -exponent,
        r"\lim_{T\to\infty} \frac1T \ln(k\, e^{-zT}) = -z",
    )
    d.agree(
        "Measured exponent at $x_1 = 0.3 \\cdot 1.5$, $x_2 = 0.25$",
        abs(_measured_exponent(0.3, 1.5, 0.25) - 8 / 23),
        1e-3,
    )


def _measured_exponent(variance: float, sigma: float, slower: float) -> float:
    """Slope of ln(best accuracy) in ln(delta); accuracy is the larger error of the two factors, on the exact solution."""
    fast, depths, errors = variance * sigma, np.array([40.0, 80.0]), []
    for depth in depths:
        times = np.linspace(0.97, 1.03, 40001) * 3 * depth / (4 * fast + 2 * slower)
        odds = np.exp(2 * depth + np.log(sigma) - 4 * fast * times)  # s/a - 1 of the faster mode, up to delta^2
        behind = -np.sqrt(sigma) * np.expm1(-0.5 * np.log1p(odds))
        ahead = np.sqrt(evolve(np.exp(-2 * depth), variance=1.0, sigma=slower, time=times))
        errors.append(np.log(np.maximum(behind, ahead).min()))
    return float(-(errors[1] - errors[0]) / (depths[1] - depths[0]))


def _printed(d: Derivation) -> None:
    alpha, beta, pre, post, start = 0.3, 1.5, 0.1, 0.6, 1e-12
    mixed = (1 - alpha) * pre + alpha * post
    at = {time: float(evolve(start, variance=alpha, sigma=beta, time=time)) for time in (20.0, 40.0)}
    late = float(evolve(start, variance=1.0, sigma=mixed, time=40.0))
    alone = float(evolve(start, variance=1.0, sigma=pre, time=200.0))
    d.refute("C.10: mixing learns $\\alpha\\beta$", alpha * beta, at[20.0], margin=0.1)
    d.refute("C.10: inconsistent modes of the mixed model stay 0", 0.0, late, margin=0.1)
    d.refute("C.10: the unmixed model learns $s_{post}$", post, alone, margin=0.1)
