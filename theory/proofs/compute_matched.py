"""Slopes of both losses in the compute-matched exposure lambda, and when an interior optimum exists.

The D_post budget B is split: lambda B early at per-sample step ratio rho = eta1/eta2, the rest in stage 2, D_pre time P fixed.
At rho = 1 the order theorem forbids an interior optimum where post-training raises the shared targets (s_pre <= s_post); rho > 1
allows one, and so does s_pre > s_post (`lowered-feature`). Source: docs/theory.md, section 1.6.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import logistic, nonnegative, positive

THEOREM = Theorem(
    name="compute-matched",
    title="Slope of the losses in compute-matched exposure",
    source="not in the paper; contrast its Figure 3b",
    assumptions=(
        r"Depth two, balanced; exposure $x = \rho\lambda B$ added to $D_{pre}$ time $P$: $T_1 = P + x$, $T_2 = (1-\lambda) B$, "
        r"$S = P s_{pre} + x s_{post}$; $u_j = 1/a_j$, $E_1 = e^{-4S}$, $e_2 = e^{-4 s_{post} T_2}$.",
        r"Inconsistent and specialised block ($k$ modes each); the invariant block is constant in $\lambda$ at "
        r"$\rho = 1$ or once converged.",
        r"For the no-go at $\rho = 1$: $s_{pre} \le s_{post}$, $s_{ft} \le s_{post}$ and $\delta^2 \le s_{pre}$.",
    ),
    statement=(
        r"$\frac{dL_{im}}{d\lambda} = k\{-8(\rho-1) B b_2 (\beta-b_2)^2 + 2(s_{post}-a_2) a_2^2 u_2'\}$ and "
        r"$\frac{dL_{ret}}{d\lambda} = k\{-8(\rho-1) B b_2 (\beta-b_2)^2 + 2(s_{post}-a_3) a_3^2 e^{-4 s_{ft} T_3} u_2'\}$. At "
        r"$\rho = 8$ there is an example whose $L_{ret}$ at $\lambda = 1/2$ is below those at $\lambda = 0$ and $1$: an interior minimum. "
        r"At $\rho = 1$ with the ordered targets above, $u_2' \ge 0$ and neither loss is anywhere below its value at $\lambda = 0$."
    ),
)


def derive(d: Derivation) -> None:
    """The chain of closed forms, differentiated; the condition; an example against finite differences."""
    lam, budget, rho, time, beta, start = positive("lambda B rho P beta a_0")
    pre, post, ft, last = positive("s_pre s_post s_ft T_3")
    x = rho * lam * budget
    total, work = time + x, time * pre + x * post
    decay = sp.exp(-4 * work)
    second = (1 - lam) * budget
    u1 = decay / start + (1 - decay) * total / work
    d.equal(
        "Stage 1 of the inconsistent mode",
        1 / u1,
        logistic(start, sp.S(1), work / total, total),
        r"u_1 = E_1/\delta^2 + (1 - E_1) T_1/S",
    )
    slope1 = (
        rho
        * budget
        * (-4 * post * decay / start + 4 * post * decay * total / work + (1 - decay) * (work - total * post) / work**2)
    )
    d.equal(
        "Its slope",
        sp.diff(u1, lam),
        slope1,
        r"u_1' = \rho B [-4 s_{post} E_1/\delta^2 + 4 s_{post} E_1 T_1/S + (1 - E_1)(S - T_1 s_{post})/S^2]",
    )
    inverse = sp.Function("u_1")(lam)
    after = sp.exp(-4 * post * second)
    u2 = after * inverse + (1 - after) / post
    d.equal(
        "Stage 2",
        sp.diff(u2, lam),
        after * (4 * budget * (post * inverse - 1) + sp.diff(inverse, lam)),
        r"u_2' = e_2 [4 B (s_{post} u_1 - 1) + u_1']",
    )
    b2 = logistic(start, sp.S(1), beta, x + second)
    d.equal(
        "Specialised block",
        sp.diff((beta - b2) ** 2, lam),
        -8 * (rho - 1) * budget * b2 * (beta - b2) ** 2,
        r"\partial_\lambda (\beta - b_2)^2 = -8 (\rho - 1) B b_2 (\beta - b_2)^2",
    )
    end = sp.Function("u_2")(lam)
    a2 = 1 / end
    d.equal(
        "Inconsistent block, at once",
        sp.diff((post - a2) ** 2, lam),
        2 * (post - a2) * a2**2 * sp.diff(end, lam),
        r"\partial_\lambda (s_{post} - a_2)^2 = 2 (s_{post} - a_2) a_2^2 u_2'",
    )
    forget = sp.exp(-4 * ft * last)
    a3 = 1 / (forget * end + (1 - forget) / ft)
    d.equal(
        "and retained",
        sp.diff((post - a3) ** 2, lam),
        2 * (post - a3) * a3**2 * forget * sp.diff(end, lam),
        r"\partial_\lambda (s_{post} - a_3)^2 = 2 (s_{post} - a_3) a_3^2 e^{-4 s_{ft} T_3} u_2'",
    )
    _no_go(d, u1, rho, {"lam": lam, "B": budget, "P": time, "pre": pre, "post": post, "ft": ft, "start": start})
    d.agree("Slope at $\\rho = 1$ over 20000 random settings, most negative $u_2'$ (relative)", _most_negative(), 1e-12)
    none, half, all_ = (retained(sp.Rational(k, 2), sp.S(8), EXAMPLE) for k in range(3))
    d.sign(
        "At $\\rho = 8$, in exact numbers, half of the budget early beats none",
        none - half,
        strict=True,
        formula=rf"L_{{ret}}(0) - L_{{ret}}(1/2) = {float(none - half):.4g} > 0",
    )
    d.sign(
        "and all: an interior minimum exists",
        all_ - half,
        strict=True,
        formula=rf"L_{{ret}}(1) - L_{{ret}}(1/2) = {float(all_ - half):.4g} > 0",
    )
    d.agree("Slopes of the example against central differences", _against_differences(), 1e-6)


def _no_go(d: Derivation, u1: Any, rho: Any, at: Mapping[str, Any]) -> None:
    """At equal step sizes and ordered targets no slope is negative: u_2' in closed form, its sign, and both strengths below s_post."""
    lam, budget, time, pre, post, ft = (at[name] for name in ("lam", "B", "P", "pre", "post", "ft"))
    work = time * pre + lam * budget * post
    equal = u1.subs(rho, 1)
    d.equal(
        "At $\\rho = 1$ the start drops out of the slope after stage 2",
        4 * budget * (post * equal - 1) + sp.diff(equal, lam),
        budget * time * (post - pre) * (4 * work - 1 + sp.exp(-4 * work)) / work**2,
        r"u_2' = e_2 B P (s_{post} - s_{pre})\, \frac{4 S - 1 + e^{-4S}}{S^2}",
    )
    y = positive("y")
    short = y - 1 + sp.exp(-y)
    d.equal(
        "Its last factor vanishes at $S = 0$", short.subs(y, 0), sp.S(0), r"(y - 1 + e^{-y})|_{y = 0} = 0, \quad y = 4S"
    )
    slack, above, more = nonnegative("p g h")
    d.sign(
        "and rises from there ($e^{-y} = 1/(1+p)$), so $u_2' \\ge 0$",
        sp.factor(sp.diff(short, y).subs(sp.exp(-y), 1 / (1 + slack))),
        formula=r"\frac{d}{dy}(y - 1 + e^{-y}) = 1 - e^{-y} \ge 0",
    )
    start = pre / (1 + more)
    after = sp.factor((1 / (1 + slack)) * (1 / start) + slack / (1 + slack) * (time + lam * budget) / work)
    d.sign(
        "The inconsistent mode stays at or below $s_{post} = s_{pre} + g$ in stage 1, from $\\delta^2 = s_{pre}/(1+h)$",
        sp.factor((after - 1 / post).subs(post, pre + above)),
        formula=r"u_1 - 1/s_{post} \ge 0 \Rightarrow a_1 \le s_{post}",
    )
    inverse = nonnegative("v") + 1 / post
    d.sign(
        "in stage 2",
        sp.factor(inverse / (1 + slack) + slack / (1 + slack) / post - 1 / post),
        formula=r"u_2 - 1/s_{post} = e_2 (u_1 - 1/s_{post}) \ge 0",
    )
    d.sign(
        "and in stage 3, where $s_{post} = s_{ft} + g$",
        sp.factor((inverse / (1 + slack) + slack / (1 + slack) / ft - 1 / post).subs(post, ft + above)),
        formula=r"u_3 - 1/s_{post} = e_3 (u_2 - 1/s_{post}) + (1 - e_3)(1/s_{ft} - 1/s_{post}) \ge 0",
    )
    lag, strength, rise = nonnegative("d a w")
    d.sign(
        "So no slope is negative ($s_{post} - a = d \\ge 0$, $u_2' = w \\ge 0$; the specialised term has the factor $\\rho - 1 = 0$)",
        2 * lag * strength**2 * rise,
        formula=r"\partial_\lambda L = 2 k (s_{post} - a)\, a^2 u' \ge 0",
    )


def _slope_u2(lam: Any, budget: Any, rho: float, time: Any, start: Any, pre: Any, post: Any) -> tuple[Any, Any]:
    """`u_2` and its slope, by the formulas of the theorem (arrays welcome)."""
    x = rho * lam * budget
    total, work = time + x, time * pre + x * post
    decay, after = np.exp(-4 * work), np.exp(-4 * post * (1 - lam) * budget)
    u1 = decay / start + (1 - decay) * total / work
    bracket = (
        -4 * post * decay / start + 4 * post * decay * total / work + (1 - decay) * (work - total * post) / work**2
    )
    return after * u1 + (1 - after) / post, after * (4 * budget * (post * u1 - 1) + rho * budget * bracket)


def _most_negative() -> float:
    rng = np.random.default_rng(7)
    pre = rng.uniform(0.01, 2, 20000)
    post = pre + rng.uniform(0, 2, pre.size)
    start = np.minimum(pre, 1) * 10 ** rng.uniform(-6, 0, pre.size)
    lam, budget, time = (
        rng.uniform(0, 1, pre.size),
        10 ** rng.uniform(-2, 1, pre.size),
        10 ** rng.uniform(-1, 1.5, pre.size),
    )
    u2, slope = _slope_u2(lam, budget, 1.0, time, start, pre, post)
    return float(np.maximum(-slope / np.maximum(u2, 1), 0).max())


EXAMPLE = {
    "P": sp.S(5),
    "B": sp.S(2),
    "beta": sp.Rational(3, 5),
    "pre": sp.Rational(4, 5),
    "post": sp.Rational(6, 5),
    "ft": sp.Rational(4, 5),
    "last": sp.Rational(2, 5),
    "start": sp.Rational(1, 10**4),
}
"""Exact numbers, so that a sign of the loss is a symbolic fact: an inconsistent and a specialised mode."""


def kept(lam: Any, rho: Any, at: Mapping[str, Any]) -> Any:
    """Strength of the inconsistent mode after fine-tuning; exact if the numbers are."""
    x = rho * lam * at["B"]
    total = at["P"] + x
    first = logistic(at["start"], sp.S(1), (at["P"] * at["pre"] + x * at["post"]) / total, total)
    second = logistic(first, sp.S(1), at["post"], (1 - lam) * at["B"])
    return logistic(second, sp.S(1), at["ft"], at["last"])


def retained(lam: Any, rho: Any, at: Mapping[str, Any]) -> Any:
    """Retained loss of one inconsistent and one specialised mode; exact if the numbers are."""
    b2 = logistic(at["start"], sp.S(1), at["beta"], (rho * lam + 1 - lam) * at["B"])
    return (at["post"] - kept(lam, rho, at)) ** 2 + (at["beta"] - b2) ** 2


def _slope_retained(lam: float, rho: float) -> float:
    v = {name: float(value) for name, value in EXAMPLE.items()}
    x, time, start = rho * lam * v["B"], v["P"], v["start"]
    mixed = (time * v["pre"] + x * v["post"]) / (time + x)
    first = evolve(start, variance=1.0, sigma=mixed, time=time + x)
    a2 = evolve(first, variance=1.0, sigma=v["post"], time=(1 - lam) * v["B"])
    b2 = float(evolve(start, variance=1.0, sigma=v["beta"], time=x + (1 - lam) * v["B"]))
    a3 = float(evolve(a2, variance=1.0, sigma=v["ft"], time=v["last"]))
    _, slope = _slope_u2(lam, v["B"], rho, time, start, v["pre"], v["post"])
    special = -8 * (rho - 1) * v["B"] * b2 * (v["beta"] - b2) ** 2
    return float(special + 2 * (v["post"] - a3) * a3**2 * np.exp(-4 * v["ft"] * v["last"]) * slope)


def _against_differences() -> float:
    h = 1e-5
    return max(
        abs(
            float(retained(lam + h, 8.0, EXAMPLE) - retained(lam - h, 8.0, EXAMPLE)) / (2 * h)
            - _slope_retained(lam, 8.0)
        )
        for lam in (0.1, 0.3, 0.5, 0.9)
    )
