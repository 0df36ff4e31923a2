"""The plain model does have interior optima at equal step sizes when post-training lowers a shared feature (s_pre > s_post).

Early exposure then leaves more of the feature after stage 2. Fine-tuning to a still lower target overshoots s_post from above: with
too little exposure it ends below s_post, with too much above. This is the case that the no-go of `compute-matched` leaves out.
Source: not in the paper, whose C.3 asks for s_post > s_pre; docs/theory.md, section 1.6.
"""

import numpy as np
import sympy as sp

from common.minima import minimise
from theory.modes import evolve
from theory.proofs.compute_matched import kept, retained
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="lowered-feature",
    title="Interior optima where post-training lowers a shared feature",
    source="not in the paper; limits the no-go for compute-matched exposure",
    assumptions=(
        r"As in compute-matched, $\rho = 1$, $D_{post}$ added to $D_{pre}$ time $P$; one shared mode with $s_{pre} > s_{post} > s_{ft}$.",
        r"The specialised and invariant blocks do not depend on $\lambda$ (exposure law).",
    ),
    statement=(
        r"$L_{ret}' = 2(s_{post} - a_3) a_3^2 e^{-4 s_{ft} T_3} u_2'$ vanishes where $a_3 = s_{post}$, where the block is retained "
        r"perfectly. At $s_{pre} = 2$, $s_{post} = 1$, $s_{ft} = 1/2$, $\delta^2 = 1/100$, $P = 2$, $B = 1$, $T_3 = 1/10$, "
        r"$a_3 < s_{post}$ at $\lambda = 0$ and $a_3 > s_{post}$ at $\lambda = 1$, and $L_{ret}(2/5)$ is below both ends: "
        r"an interior optimum in the plain model at equal step sizes."
    ),
)

LOWERED = {
    "P": sp.S(2),
    "B": sp.S(1),
    "beta": sp.Rational(3, 5),
    "pre": sp.S(2),
    "post": sp.S(1),
    "ft": sp.Rational(1, 2),
    "last": sp.Rational(1, 10),
    "start": sp.Rational(1, 100),
}
"""The counterexample, in exact numbers."""


def derive(d: Derivation) -> None:
    """The slope and its zero; the counterexample in exact numbers; how often it happens in random settings."""
    post, ft, last, lam = positive("s_post s_ft T_3 lambda")
    end, forget = sp.Function("u_2")(lam), sp.exp(-4 * ft * last)
    a3 = 1 / (forget * end + (1 - forget) / ft)
    slope = 2 * (post - a3) * a3**2 * forget * sp.diff(end, lam)
    d.equal(
        "Slope of the retained loss",
        sp.diff((post - a3) ** 2, lam),
        slope,
        r"L_{ret}' = 2 (s_{post} - a_3) a_3^2 e^{-4 s_{ft} T_3} u_2'",
    )
    strength, rate = positive("a_3 r")
    d.equal(
        "It vanishes at perfect retention",
        (2 * (post - strength) * rate).subs(strength, post),
        sp.S(0),
        r"a_3 = s_{post}",
    )
    for name, exposure, sign in (("below", 0, 1), ("above", 1, -1)):
        margin = LOWERED["post"] - kept(sp.S(exposure), sp.S(1), LOWERED)
        d.sign(
            f"At $\\lambda = {exposure}$ fine-tuning ends {name} the post-training target",
            sign * margin,
            strict=True,
            formula=rf"s_{{post}} - a_3({exposure}) = {float(margin):.4g}",
        )
    best = retained(sp.Rational(2, 5), sp.S(1), LOWERED)
    for exposure in (0, 1):
        gain = retained(sp.S(exposure), sp.S(1), LOWERED) - best
        d.sign(
            f"The retained loss at $\\lambda = 2/5$ is below that at {exposure}",
            gain,
            strict=True,
            formula=rf"L_{{ret}}({exposure}) - L_{{ret}}(2/5) = {float(gain):.4g} > 0",
        )
    better, notable = counts()
    d.example(
        "Random unordered targets (20000 draws): share with a better exposure than 0",
        better,
        rf"{100 * better:.1f}\,\%",
        needed=False,
    )
    d.example("and share with a notable interior optimum", notable, rf"{100 * notable:.1f}\,\%", needed=False)
    ordered, _ = counts(ordered=True)
    d.agree(
        "With ordered targets, $s_{pre} \\le s_{post}$ and $s_{ft} \\le s_{post}$: share with a better exposure",
        ordered,
        0.0,
    )


def counts(*, ordered: bool = False, draws: int = 20_000, seed: int = 11) -> tuple[float, float]:
    """Shares of random settings at rho = 1 where some lambda > 0 retains better, and where the optimum is notably interior.

    Targets are uniform on (.01, 2), the start 1e-2 of the lowest target or less, P in [.1, 30], B in [.01, 10] and T3 in [.01, 10]
    log-uniform, beta uniform on (.1, 2). `ordered` sorts the targets so that s_post is the largest. "Notable" is as in `common.minima`.
    """
    rng = np.random.default_rng(seed)
    pre, post, ft = rng.uniform(0.01, 2, (3, draws))
    if ordered:
        post, pre, ft = (
            np.maximum(np.maximum(pre, post), ft),
            np.minimum(pre, post),
            np.minimum(ft, np.maximum(pre, post)),
        )
    time, budget, last = (10 ** rng.uniform(low, high, draws) for low, high in ((-1, 1.5), (-2, 1), (-2, 1)))
    beta = rng.uniform(0.1, 2, draws)
    start = np.minimum(np.minimum(pre, post), np.minimum(ft, beta)) * 10 ** rng.uniform(-6, -2, draws)
    special = (beta - evolve(start, variance=1.0, sigma=beta, time=budget)) ** 2  # the same for every lambda

    def loss(lam: np.ndarray) -> np.ndarray:
        x = lam * budget
        first = evolve(start, variance=1.0, sigma=(time * pre + x * post) / (time + x), time=time + x)
        second = evolve(first, variance=1.0, sigma=post, time=budget - x)
        return np.asarray((post - evolve(second, variance=1.0, sigma=ft, time=last)) ** 2 + special)

    found = minimise(loss, (draws,), points=33, zooms=1)
    return float(np.mean(found.depth_below_zero > 1e-9 * found.at_zero)), float(np.mean(found.interior))
