"""Where the order theorem ends: weight decay at depth three or more, which makes an interior exposure best at equal step sizes.

A mode of depth L >= 3 grows faster than linearly while it is small, so D_post before the decay of a long D_pre stage can be worth more
than after it. The plain no-go (docs/theory.md, section 1.6) covers weight decay at depth two only. Source: not in the paper.
"""

import numpy as np
import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import integrate
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="deep-decay",
    title="Weight decay at depth 3 turns the order round",
    source="not in the paper; limits the order theorem",
    assumptions=(
        r"Depth $L$, balanced, penalty $\mu \sum_l \|W_l\|_F^2$ in both stages, $\mu > 0$; a specialised mode ($c_{pre} = 0$).",
        r"Equal step sizes, fixed $D_{post}$ budget.",
    ),
    statement=(
        r"$[f_{pre}, f_{post}] \propto \mu c\, a^q (q a - (q - 1)\beta)$ with $q = 2 - 2/L$: nonnegative for all "
        r"$a$ iff $L = 2$; for $L \ge 3$ it is "
        r"negative while $a < \beta (q-1)/q$, and there moving $D_{post}$ earlier raises $b_2$. An interior "
        r"$\lambda$ can then be best at $\rho = 1$."
    ),
)


def derive(d: Derivation) -> None:
    """Mode equation with decay, the bracket and its sign; one compute-matched example, integrated."""
    a, c, beta, mu, w, depth = positive("a c beta mu w L")
    decay = depth * w ** (depth - 1) * (-2 * mu * w)
    d.equal(
        "Decay of a mode",
        sp.powsimp(decay),
        -2 * depth * mu * w**depth,
        r"\dot w = -2 \mu w \Rightarrow \dot a = -2 L \mu a, \quad a = w^L",
    )
    excess = positive("e")  # q = 1 + e, and e = 1 - 2/L > 0 for L >= 3
    q = 1 + excess
    f_pre, f_post = -mu * a, c * a**q * (beta - a) - mu * a  # both over 2 L
    bracket = f_pre * sp.diff(f_post, a) - f_post * sp.diff(f_pre, a)
    d.equal(
        "The bracket of the two velocities, over $4 L^2$",
        bracket,
        mu * c * a**q * (q * a - (q - 1) * beta),
        r"[f_{pre}, f_{post}] = \mu c\, a^q (q a - (q - 1) \beta)",
    )
    d.sign("is positive at depth two", (mu * c * a**q * (q * a - (q - 1) * beta)).subs(excess, 0), strict=True)
    below = (q * a - (q - 1) * beta).subs(a, excess * beta / (1 + excess) / (1 + positive("u")))
    d.sign(
        "and negative for small modes at depth $L \\ge 3$",
        sp.factor(-below),
        strict=True,
        formula=r"a < \beta (q - 1)/q \Rightarrow [f_{pre}, f_{post}] < 0",
    )
    d.argue(
        r"The swap lemma of the order theorem, with the sign of the bracket reversed, shows that $D_{post}$ first "
        r"is then the stronger order"
    )
    late, middle, early = (strength(exposure) for exposure in (0.0, 0.7, 1.0))
    d.example(
        "Depth 3: part of the budget early beats none",
        middle - late,
        rf"b_2(\lambda = 0.7) = {middle:.4g} > b_2(\lambda = 0) = {late:.4g}",
    )
    d.example("and all", middle - early, rf"b_2(\lambda = 0.7) = {middle:.4g} > b_2(\lambda = 1) = {early:.4g}")
    d.example(
        "The same at depth 2: none early is best",
        strength(0.0, 2) - strength(0.7, 2),
        rf"b_2(\lambda = 0) = {strength(0.0, 2):.4g} > b_2(\lambda = 0.7) = {strength(0.7, 2):.4g}",
    )


def strength(exposure: float, depth: int = 3) -> float:
    """b2 of the example: mu .02, a0 .05, beta 1, D_pre time 2, D_post budget 1.5, rho = 1."""
    mu, start, beta, pre, budget = 0.02, 0.05, 1.0, 2.0, 1.5
    power, state = 2 - 2 / depth, np.array([start])
    first = pre + exposure * budget
    for alpha, time in ((exposure * budget / first, first), (1.0, (1 - exposure) * budget)):
        if time > 0:
            state = integrate(
                lambda _, a, alpha=alpha: 2 * depth * (alpha * a**power * (beta - a) - mu * a), state, time
            )
    return float(state[0])
