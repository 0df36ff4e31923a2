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
        r"$s_{pre}, s_{ft} \le s_{post}$, and strengths after stage 1 at most their $D_{post}$ targets.",
    ),
    statement=(
        r"Specialised modes see $(c, s) = (1-r, \beta)$, inconsistent ones $(1, (1-r) s_{post} + r s_{pre})$. "
        r"Replay lowers both, so it never "
        r"lowers $L_{im}$ or $L_{ret}$. At equal $D_{post}$ exposure, $T_2/(1-r)$, the specialised block is unchanged."
    ),
)


def derive(d: Derivation) -> None:
    """Mixture parameters, comparison of velocities, order through stage 3, the default problem swept."""
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
    gap = nonnegative("g")
    slower = -2 * a * (sp.diff((a - post) ** 2, a) - sp.diff(shared, a)).subs(post, pre + gap)
    d.sign(
        "Replay slows inconsistent modes",
        sp.expand(slower),
        formula=r"4 a (s_{post} - a) - 4 a (\bar s - a) = 4 a r (s_{post} - s_{pre}) \ge 0",
    )
    lag = nonnegative("h")
    d.sign(
        "and specialised ones below their target",
        sp.expand((4 * a * (beta - a) - 4 * (1 - r) * a * (beta - a)).subs(beta, a + lag)),
        formula=r"4 a (\beta - a) - 4 (1-r) a (\beta - a) = 4 r a (\beta - a) \ge 0",
    )
    d.argue(
        r"A slower flow from the same start stays behind, and both stay at or below their $D_{post}$ targets, so "
        r"$L_{im}$ does not fall; "
        r"fine-tuning keeps the order and does not lift a mode above its target (order theorem), so neither does $L_{ret}$"
    )
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
