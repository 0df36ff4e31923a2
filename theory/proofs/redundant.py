"""Redundant pathways with separate units: growth exponents, the ratio law of stage 2, dropout, replay, L2 to start.

An inconsistent feature (strength a) and a specialised one (b) feed the same output and are correlated (chi) under D_post.
Source: docs/theory.md, section 3.7 (i).
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import integrate
from theory.proofs.symbols import nonnegative, positive

THEOREM = Theorem(
    name="redundant",
    title="Redundant pathways: ratio law and growth exponents",
    source="the minimal change to App. C under which Sec. 5.2 holds",
    assumptions=(
        r"$L_{pre} = (a - s_{pre})^2$, $L_{post} = (a - t_i)^2 + (b - t_s)^2 + 2\chi(a - t_i)(b - t_s)$; separate "
        r"balanced units.",
        r"$S = t_i + t_s$, $g = S - s_{pre}$; weight $\alpha$ on $D_{post}$.",
    ),
    statement=(
        r"Once $a$ has saturated, $b$ grows with exponent $4\alpha[t_s(1 - \alpha\chi^2) + \chi(1-\alpha)(t_i - "
        r"s_{pre})]$; in stage 2, $4 t_s(1-\chi^2)$. "
        r"At $\chi = 1$ stage 2 conserves $a/b$ and $a + b = F(a_1 + b_1; 1, S, t)$, so $L_{im} \to 0$ with $b_2 "
        r"= S b_1/(a_1 + b_1)$ for every $b_1$: the "
        r"latent benefit. Replay: exponent $4r(1-r)g$. Dropout: $a = b = S/(2+\gamma)$."
    ),
)


def derive(d: Derivation) -> None:
    """Equations from the loss, exponents, ratio law and the interventions, each symbolic; one integration as a check."""
    al, chi, ti, ts, pre, a, b = positive("alpha chi t_i t_s s_pre a b")
    gamma, lam, a1, b1 = positive("gamma lambda a_1 b_1")
    post = (a - ti) ** 2 + (b - ts) ** 2 + 2 * chi * (a - ti) * (b - ts)
    objective = (1 - al) * (a - pre) ** 2 + al * post
    log_a, log_b = -2 * sp.diff(objective, a), -2 * sp.diff(objective, b)  # balanced units: d ln a/dt = -2 dL/da
    d.equal(
        "Shared unit",
        log_a,
        -4 * ((1 - al) * (a - pre) + al * ((a - ti) + chi * (b - ts))),
        r"\frac{d}{dt} \ln a = -4 [(1-\alpha)(a - s_{pre}) + \alpha ((a - t_i) + \chi (b - t_s))]",
    )
    d.equal(
        "Specialised unit",
        log_b,
        -4 * al * ((b - ts) + chi * (a - ti)),
        r"\frac{d}{dt} \ln b = -4 \alpha [(b - t_s) + \chi (a - t_i)]",
    )
    rest = (1 - al) * pre + al * (ti + chi * ts)
    d.equal(
        "While $b$ is small, $a$ saturates at",
        log_a.subs({a: rest, b: 0}),
        sp.S(0),
        r"a^* = (1-\alpha) s_{pre} + \alpha (t_i + \chi t_s)",
    )
    exponent = 4 * al * (ts * (1 - al * chi**2) + chi * (1 - al) * (ti - pre))
    d.equal(
        "Then $b$ grows with exponent",
        log_b.subs({a: rest, b: 0}),
        exponent,
        r"4 \alpha [t_s (1 - \alpha \chi^2) + \chi (1 - \alpha)(t_i - s_{pre})]",
    )
    d.equal("in stage 2", exponent.subs(al, 1), 4 * ts * (1 - chi**2), r"\alpha = 1: \quad 4 t_s (1 - \chi^2)")
    d.equal(
        "Advantage of stage 1 per $D_{post}$ sample",
        exponent / al - exponent.subs(al, 1),
        4 * (1 - al) * (ts * chi**2 + chi * (ti - pre)),
        r"4 (1 - \alpha) [t_s \chi^2 + \chi (t_i - s_{pre})]",
    )
    total = ti + ts
    g = total - pre
    d.equal(
        "Fully correlated: only the sum and the gap matter",
        exponent.subs(chi, 1),
        4 * al * (1 - al) * g,
        r"\chi = 1: \quad 4 \alpha (1 - \alpha) g",
    )
    r = positive("r")
    d.equal("Replay in stage 2", exponent.subs({chi: 1, al: 1 - r}), 4 * r * (1 - r) * g, r"4 r (1 - r) g")
    objective1 = objective.subs(chi, 1)
    d.equal("and its zero-loss point", objective1.subs({a: pre, b: g}), sp.S(0), r"L(s_{pre}, g) = 0")
    _ratio(d, post.subs(chi, 1), a, b, gamma, lam, a1, b1, total)
    d.agree("Stage 2 against an integrator: ratio and sum", _against_scipy(), 1e-8)


def _ratio(
    d: Derivation,
    post: sp.Expr,
    a: sp.Symbol,
    b: sp.Symbol,
    gamma: sp.Symbol,
    lam: sp.Symbol,
    a1: sp.Symbol,
    b1: sp.Symbol,
    total: sp.Expr,
) -> None:
    def ratio(objective: sp.Expr) -> sp.Expr:
        return -2 * sp.diff(objective, b) + 2 * sp.diff(objective, a)

    d.equal("Stage 2 conserves the ratio", ratio(post), sp.S(0), r"\frac{d}{dt} \ln (b/a) = 0 \quad (\chi = 1)")
    speed = -2 * (a * sp.diff(post, a) + b * sp.diff(post, b))
    d.equal(
        "and moves the sum like one mode",
        speed,
        4 * (a + b) * (total - (a + b)),
        r"\frac{d}{dt}(a + b) = 4 (a + b)(S - a - b)",
    )
    share = total * b1 / (a1 + b1)
    d.equal(
        "End point: no loss for any share",
        post.subs({a: total - share, b: share}),
        sp.S(0),
        r"b_2 = \frac{S b_1}{a_1 + b_1}, \quad L_{im} = 0",
    )
    ft = nonnegative("s_ft")
    d.equal(
        "After long fine-tuning of $a$",
        post.subs({a: ft, b: share}),
        (total - ft - share) ** 2,
        r"L_{ret} = (S - s_{ft} - b_2)^2",
    )
    d.equal(
        "Dropout equalises",
        ratio(post + gamma * (a**2 + b**2)),
        4 * gamma * (a - b),
        r"\frac{d}{dt} \ln (b/a) = 4 \gamma (a - b)",
    )
    level = total / (2 + gamma)
    for unit in (a, b):
        d.equal(
            f"Dropout's fixed point, ${unit}$",
            sp.diff(post + gamma * (a**2 + b**2), unit).subs({a: level, b: level}),
            sp.S(0),
            r"a = b = S/(2 + \gamma)",
        )
    d.equal(
        "Its immediate loss",
        post.subs({a: level, b: level}),
        (gamma * total / (2 + gamma)) ** 2,
        r"L_{im} = (\gamma S/(2 + \gamma))^2",
    )
    d.equal(
        "L2 to start",
        ratio(post + lam * ((a - a1) ** 2 + (b - b1) ** 2)),
        4 * lam * ((b1 - b) - (a1 - a)),
        r"\frac{d}{dt} \ln (b/a) = 4 \lambda [(b_1 - b) - (a_1 - a)]",
    )
    mu, w, x = positive("mu w_a w_b")
    decayed = (post + 2 * mu * (a + b)).subs({a: w**2, b: x**2})  # |w1|^2 + |w2|^2 = 2 a for a balanced unit
    rates = [-sp.diff(decayed, unit) / unit for unit in (w, x)]
    d.equal(
        "Weight decay conserves the ratio too",
        rates[1] - rates[0],
        sp.S(0),
        r"\frac{d}{dt} \ln (b/a) = 0 \text{ with } \mu > 0",
    )


def _against_scipy() -> float:
    goal, start = 2.0, np.log([0.8, 0.03])
    a, b = np.exp(integrate(lambda _, y: np.full(2, 4 * (goal - np.exp(y).sum())), start, 0.6))
    total = float(evolve(0.83, variance=1.0, sigma=goal, time=0.6))
    return float(max(abs(a / b - 0.8 / 0.03), abs(a + b - total)))
