"""Forgetting after fine-tuning (C.17), with the bounds that hold.

From the idealised checkpoints the unmixed model forgets at least `k c_mis (c_mis - 2 eps)`, the mixed one nothing. That
does not make the mixed model's retained loss the lower one. Source: arXiv 2605.12705 C.17; docs/theory.md, section 4.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import nonnegative, positive, real

THEOREM = Theorem(
    name="forgetting",
    title="Forgetting of the idealised checkpoints",
    source="Theorem C.17, repaired",
    assumptions=(
        r"Idealised checkpoints: unmixed with specialised modes exactly 0, mixed with inconsistent modes exactly "
        r"0; invariant exact.",
        r"The unmixed inconsistent modes end post-training within $\epsilon$ of $s_{post}$ and fine-tuning within "
        r"$\epsilon$ of $s_{ft}$; "
        r"$s_{post} - s_{ft} > c_{mis}$.",
    ),
    statement=(
        r"$\Delta_u \ge k c_{mis}(c_{mis} - 2\epsilon)$, positive iff $\epsilon < c_{mis}/2$, whatever $\beta$; "
        r"$\Delta_m = 0$. The mixed "
        r"model's retained loss is lower iff the mean of $s_{ft}(2 s_{post} - s_{ft})$ is below $\beta^2$. From "
        r"converged stages with "
        r"nothing exactly zero, $\Delta_m = \Delta_u$."
    ),
)


def derive(d: Derivation) -> None:
    """The bound, their algebra, the retained losses; then the printed condition and conclusion, evaluated."""
    gap, small, beta = positive("c_mis epsilon beta")
    more, below, inside = nonnegative("d e h")
    # |a3 - s_post| >= (s_post - s_ft) - |a3 - s_ft|, and |a2 - s_post| <= eps; parametrise both inequalities
    distance = (gap + more) - (small - below)
    d.sign(
        "The loss grows by at least the bound, per mode, if $\\epsilon \\le c_{mis}$",
        sp.expand((distance**2 - small**2 - gap * (gap - 2 * small)).subs(gap, small + inside)),
        formula=r"(s_{post} - a_3)^2 - (s_{post} - a_2)^2 \ge (c_{mis} - \epsilon)^2 - \epsilon^2 = c_{mis} "
        r"(c_{mis} - 2\epsilon)",
    )
    before, later, goal = real("a_2 a_3 s_post")
    losses = [(strength - goal) ** 2 + (sp.S(0) - beta) ** 2 for strength in (later, before)]
    d.equal(
        "The absent specialised modes cancel",
        losses[0] - losses[1],
        (later - goal) ** 2 - (before - goal) ** 2,
        r"[(a_3 - s_{post})^2 + \beta^2] - [(a_2 - s_{post})^2 + \beta^2] = (a_3 - s_{post})^2 - (a_2 - s_{post})^2",
    )
    d.equal(
        "The bound is zero exactly at half the gap",
        (gap * (gap - 2 * small)).subs(small, gap / 2),
        sp.S(0),
        r"c_{mis}(c_{mis} - 2\epsilon) > 0 \iff \epsilon < c_{mis}/2",
    )
    d.sign(
        "and positive below it",
        sp.expand((gap * (gap - 2 * small)).subs(gap, 2 * small + beta)),
        strict=True,
        formula=r"\epsilon < c_{mis}/2 \Rightarrow c_{mis}(c_{mis} - 2\epsilon) > 0",
    )
    printed = -4 * beta * small - 2 * gap * small + gap**2
    d.equal(
        "The printed algebra changes sign at",
        printed.subs(small, gap**2 / (2 * gap + 4 * beta)),
        sp.S(0),
        r"c_{mis}^2 - 2 c_{mis}\epsilon - 4\beta\epsilon = 0 \iff \epsilon = \frac{c_{mis}^2}{2 c_{mis} + 4\beta}",
    )
    post, ft = positive("s_post s_ft")
    d.equal(
        "Retained losses compare by",
        post**2 - ((post - ft) ** 2 + beta**2),
        ft * (2 * post - ft) - beta**2,
        r"L_{ret}^m - L_{ret}^u = \sum [s_{ft}(2 s_{post} - s_{ft}) - \beta^2]",
    )
    d.sign(
        "Immediately the mixed model is worse under C.4",
        ((2 * beta + more) ** 2 - beta**2).expand(),
        strict=True,
        formula=r"s_{post} > c_{mis} > 2\beta \Rightarrow L_{im}^m - L_{im}^u = \sum s_{post}^2 - k\beta^2 > 0",
    )
    start, decay = positive("a_1 E")  # E = exp(-4 s_post T_2) -> 0 in a converged stage
    converged = (post / (1 + (post / start - 1) * decay)).subs(decay, 0)
    d.equal(
        "A converged stage forgets any start but exact zero",
        sp.diff(converged, start),
        sp.S(0),
        r"a_2 = s_{post} \text{ for every } a_1 > 0 \Rightarrow \Delta_m = \Delta_u",
    )
    d.agree("The bound at random end points, worst violation", _bound_violation(), 1e-12)
    _printed(d)


def _bound_violation() -> float:
    rng = np.random.default_rng(3)
    gap = rng.uniform(0.1, 1, 20000)
    small = gap * rng.uniform(0, 0.5, gap.size)
    post = gap * (1 + rng.uniform(1e-6, 2, gap.size)) + rng.uniform(0, 1, gap.size)
    ft = post - gap * (1 + 1e-9)
    before = post + small * rng.uniform(-1, 1, gap.size)
    after = ft + small * rng.uniform(-1, 1, gap.size)
    delta = (after - post) ** 2 - (before - post) ** 2
    return float(np.maximum(gap * (gap - 2 * small) - delta, 0).max())


def _printed(d: Derivation) -> None:
    gap, beta, small = 0.1, 0.04, 2.0
    exact = sp.Rational(1, 10), sp.Rational(1, 25)
    d.equal(
        "The printed condition allows $\\epsilon = 2$ at $c_{mis} = 1/10$, $\\beta = 1/25$",
        exact[0] / (2 * exact[0] - 4 * exact[1]),
        sp.Rational(5, 2),
        r"\epsilon < \frac{c_{mis}}{2c_{mis} - 4\beta} = 2.5",
    )
    d.refute(
        "C.17: its condition makes its bound positive (sign of the bound)",
        1.0,
        float(np.sign(gap**2 - 2 * gap * small - 4 * beta * small)),
        margin=1.0,
    )
    post, ft = 3.0, 1.0
    after = float(evolve(post, variance=1.0, sigma=ft, time=50.0))
    mixed, unmixed = post**2, (after - post) ** 2 + 0.9**2
    d.refute(
        "C.17 read as retention: the lower retained loss is the mixed one's (retained loss of the mixed model)",
        unmixed,
        mixed,
        margin=1.0,
    )
