"""Replay in stage 2: at fixed length it never helps loss_im or loss_ret in the plain model.

Stage 2 on (1-r) D_post + r D_pre acts as a task with target (1-r) s_post + r s_pre. Source: docs/theory.md, section 2.1.
"""

import numpy as np
import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, logistic, nonnegative, positive
from theory.stages import predict

THEOREM = Theorem(
    name="replay",
    title="Replay in the plain model",
    source="Sec. 4 (intervention); not analysed in App. C",
    assumptions=(
        r"Stage 2 on $(1-r) D_{post} + r D_{pre}$ for a fixed time $T_2$, the same stage 1 and 3.",
        r"$0 < s_{pre} \le s_{post}$, $0 \le s_{ft} \le s_{post}$, and strengths after stage 1 at most their $D_{post}$ targets.",
    ),
    statement=(
        r"Specialised modes see $(c, s) = (1-r, \beta)$, inconsistent ones $(1, (1-r) s_{post} + r s_{pre})$. "
        r"Replay lowers both, so it never "
        r"lowers $L_{im}$ or $L_{ret}$. At equal $D_{post}$ exposure, $T_2/(1-r)$, the specialised block is unchanged."
    ),
)


def derive(d: Derivation) -> None:
    """Mixture parameters, both end points falling with r, order through stage 3, the default problem swept."""
    r, beta, pre, post, time, start = positive("r beta s_pre s_post T_2 a_0")
    special = (1 - r) * (a - beta) ** 2
    d.equal("Specialised", sp.diff(special, a), 2 * (1 - r) * (a - beta), r"(c, s) = (1 - r, \beta)")
    shared = (1 - r) * (a - post) ** 2 + r * (a - pre) ** 2
    d.equal(
        "Inconsistent",
        sp.diff(shared, a),
        2 * (a - ((1 - r) * post + r * pre)),
        r"(c, s) = (1, (1-r) s_{post} + r s_{pre})",
    )
    d.equal(
        "Invariant modes, of which both ask the same, are as without replay",
        sp.diff((1 - r) * (a - pre) ** 2 + r * (a - pre) ** 2, a),
        2 * (a - pre),
        r"(c, s) = (1, s_{inv})",
    )
    _lower(d)
    _costs(d)
    share = 1 / (1 + positive("q"))
    d.equal(
        "At equal exposure",
        logistic(start, share, beta, time / share),
        logistic(start, sp.S(1), beta, time),
        r"F(a_1; 1-r, \beta, T_2/(1-r)) = F(a_1; 1, \beta, T_2)",
    )
    replay = np.linspace(0, 1, 41)
    losses = predict({"replay": replay[:, None], "alpha": 0.2, "t_post": np.geomspace(0.01, 20, 30), "t_ft": 0.7})
    falls = max(float(np.maximum(-np.diff(loss, axis=0), 0).max()) for loss in (losses.loss_im, losses.loss_ret))
    d.agree("The default problem over replay and length, largest fall of a loss", falls, 1e-12)


def _lower(d: Derivation) -> None:
    """Both kinds of modes end stage 2 the lower the larger r is, and at or below their targets."""
    start, s, time, x, beta = positive("a_1 s T_2 x beta")
    c, slack, lag, lack = nonnegative("c p h k")  # e^{-x} = 1/(1+p); a start below its target by the factor 1/(1+h)
    inverse = sp.exp(-4 * s * time) / start + (1 - sp.exp(-4 * s * time)) / s
    d.equal("Inverse strength of an inconsistent mode", inverse, 1 / logistic(start, sp.S(1), s, time), "1/a_2")
    d.equal(
        "Its slope in the target",
        sp.diff(inverse, s),
        -(4 * time * sp.exp(-4 * s * time) / start + (1 - (1 + 4 * s * time) * sp.exp(-4 * s * time)) / s**2),
        r"\partial_s (1/a_2) = -\frac{4 T_2 e^{-x}}{a_1} - \frac{1 - (1+x) e^{-x}}{s^2}, \quad x = 4 s T_2",
    )
    numerator = 1 - (1 + x) * sp.exp(-x)
    d.equal(
        "of which the last numerator vanishes at $x = 0$",
        numerator.subs(x, 0),
        sp.S(0),
        r"(1 - (1+x) e^{-x})|_{x=0} = 0",
    )
    d.sign("and rises", sp.diff(numerator, x), formula=r"\frac{d}{dx} (1 - (1+x) e^{-x}) = x e^{-x} \ge 0")
    r, gap = nonnegative("r g")
    low = positive("s_pre")
    d.sign(
        "The target falls with $r$, and so does $a_2$",
        -sp.diff((1 - r) * (low + gap) + r * low, r),
        formula=r"-\partial_r [(1-r) s_{post} + r s_{pre}] = s_{post} - s_{pre} \ge 0",
    )
    end = beta / (1 + lag / (1 + slack))  # F from beta/(1+h)
    d.sign(
        "A specialised mode stays at or below its target",
        sp.factor(beta - end),
        formula=r"\beta - F = \beta\, \frac{h e^{-x}}{1 + h e^{-x}} \ge 0, \quad b_1 = \beta/(1+h)",
    )
    d.sign(
        "so that it ends the lower the less variance it sees, $c = 1 - r$",
        sp.diff(logistic(beta / (1 + lag), c, beta, time), c),
        formula=r"\partial_c F(b_1; c, \beta, T_2) = 4 T_2 F (\beta - F) \ge 0",
    )
    post = s * (1 + lack)
    d.sign(
        "An inconsistent mode stays at or below $s_{post}$ ($s = s_{post}/(1+k)$)",
        sp.factor((1 + lag) / post / (1 + slack) + slack / (1 + slack) / s - 1 / post),
        formula=r"1/a_2 - 1/s_{post} = e^{-x} (1/a_1 - 1/s_{post}) + (1 - e^{-x})(1/s - 1/s_{post}) \ge 0",
    )


def _costs(d: Derivation) -> None:
    """A lower mode costs more, at once and after fine-tuning, which keeps the order and lifts none above its target."""
    strength, ft, time = positive("a_2 s_ft T_3")
    slack, lag, below, lack = nonnegative("p h d k")
    d.sign(
        "A lower strength below the target costs more",
        -sp.diff((sp.Symbol("s_post") - strength) ** 2, strength).subs(sp.Symbol("s_post"), strength + below),
        formula=r"-\partial_a (s_{post} - a)^2 = 2 (s_{post} - a) \ge 0",
    )
    after = 1 / (1 / (strength * (1 + slack)) + slack / (1 + slack) / ft)
    d.equal(
        "Fine-tuning, $e^{-4 s_{ft} T_3} = 1/(1+p)$",
        after.subs(slack, sp.exp(4 * ft * time) - 1),
        logistic(strength, sp.S(1), ft, time),
        r"1/a_3 = e^{-4 s_{ft} T_3}/a_2 + (1 - e^{-4 s_{ft} T_3})/s_{ft}",
    )
    d.sign("keeps the order", sp.factor(sp.diff(after, strength)), formula=r"\partial a_3/\partial a_2 \ge 0")
    post = ft * (1 + lack)
    d.sign(
        "and lifts no mode above $s_{post} = (1+k) s_{ft}$ from $a_2 = s_{post}/(1+h)$",
        sp.factor(post - after.subs(strength, post / (1 + lag))),
        formula=r"s_{post} - a_3 \ge 0",
    )
    decayed = strength / (1 + 4 * strength * time)
    d.sign(
        "Target zero: the order is kept",
        sp.factor(sp.diff(decayed, strength)),
        formula=r"s_{ft} = 0: \ \partial a_3/\partial a_2 \ge 0",
    )
    d.sign("and nothing rises", sp.factor(strength - decayed), formula=r"s_{ft} = 0: \ a_2 - a_3 \ge 0")
