"""Unequal layers: `kappa = w1^2 - w2^2` is conserved and `Q = (w1 + w2)^2` obeys a Riccati equation with a closed solution.

A mode at a = 0 stays there only if both factors are zero; with kappa != 0 it starts learning at rate 2 c s |kappa|.
Source: docs/theory.md, section 1.3.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import c, logistic, nonnegative, positive, real, s, t, w1, w2

THEOREM = Theorem(
    name="unbalanced",
    title="One stage, one unbalanced mode",
    source="not in the paper, whose C.8 starts balanced",
    assumptions=(
        r"$\dot w_1 = 2c(s-a)w_2$, $\dot w_2 = 2c(s-a)w_1$, $a = w_1 w_2$, $c \ge 0$, $s$ real.",
        r"$Q_0 = (w_1 + w_2)^2 > 0$ at the start; if it is 0, the mirror $w_2 \mapsto -w_2$, $s \mapsto -s$ has $Q_0 > 0$ or the "
        r"mode is $(0, 0)$. $\kappa$ of either sign; $\kappa = s = 0$ stands apart.",
    ),
    statement=(
        r"$\kappa = w_1^2 - w_2^2$ is conserved, $\dot Q = c(\kappa^2 + 4 s Q - Q^2)$ for $Q = (w_1 + w_2)^2$, and with "
        r"$R = \sqrt{4 s^2 + \kappa^2}$, $Q_\pm = 2s \pm R$, $E = e^{-2cRt}$: "
        r"$Q = [Q_+(Q_0 - Q_-) + Q_-(Q_+ - Q_0) E] / [(Q_0 - Q_-) + (Q_+ - Q_0) E]$, $a = (Q - \kappa^2/Q)/4 \to s$; "
        r"(not if $\kappa = 0 > s$); for $\kappa = s = 0$, $Q = Q_0/(1 + c Q_0 t)$."
    ),
)


def derive(d: Derivation) -> None:
    """Riccati equation from the mode equations, solution substituted back, limits."""
    velocity = 2 * c * (s - w1 * w2)
    total, kappa2 = (w1 + w2) ** 2, (w1**2 - w2**2) ** 2
    d.equal(
        "The square of the sum moves by a Riccati equation",
        2 * (w1 + w2) * (velocity * w2 + velocity * w1),
        c * (kappa2 + 4 * s * total - total**2),
        r"\dot Q = c (\kappa^2 + 4 s Q - Q^2)",
    )
    d.equal("The strength from it", (total - kappa2 / total) / 4, w1 * w2, r"a = (Q - \kappa^2/Q)/4")
    d.equal(
        "Sum of squares", (w1**2 + w2**2) ** 2, kappa2 + 4 * (w1 * w2) ** 2, r"(w_1^2 + w_2^2)^2 = \kappa^2 + 4 a^2"
    )
    mirrored = {w2: -w2, s: -s}
    d.equal(
        "The mirror obeys the same equations, first factor",
        velocity.subs(mirrored, simultaneous=True) * -w2,
        velocity * w2,
    )
    d.equal("and second", velocity.subs(mirrored, simultaneous=True) * w1, -velocity * w1)
    # kappa enters through its square alone, R^2 = 4 s^2 + kappa^2, so one derivation serves both signs of kappa and of s
    q0, radius, target = positive("Q_0"), positive("R"), real("s")
    square = radius**2 - 4 * target**2
    high, low, e = 2 * target + radius, 2 * target - radius, sp.exp(-2 * c * radius * t)
    solution = (high * (q0 - low) + low * (high - q0) * e) / ((q0 - low) + (high - q0) * e)
    d.solves(
        "The solution, substituted back, for any signs of $s$ and $\\kappa$",
        solution,
        lambda q: c * (square + 4 * target * q - q**2),
        t,
        q0,
        r"Q = \frac{Q_+(Q_0 - Q_-) + Q_-(Q_+ - Q_0) E}{(Q_0 - Q_-) + (Q_+ - Q_0) E}",
    )
    decay, below = nonnegative("E"), nonnegative("r")  # 2 s = R (1 - r)/(1 + r) covers -R < 2 s <= R
    share = solution.subs(e, decay)
    d.sign(
        "Its denominator never vanishes, because $Q_- \\le 0 \\le Q_+$",
        sp.factor(((q0 - low) * (1 + decay) + (high - q0)).subs(target, radius * (1 - below) / (1 + below) / 2)),
        strict=True,
        formula=r"(Q_0 - Q_-) + (Q_+ - Q_0) E > 0 \text{ for } 0 < E \le 1",
    )
    d.equal("It tends to $Q_+$", share.subs(decay, 0), high, r"Q|_{E = 0} = Q_+")
    d.equal("The end point", (high - square / high) / 4, target, r"a(\infty) = (Q_+ - \kappa^2/Q_+)/4 = s")
    start = nonnegative("a_0")
    balanced = solution.subs(q0, 4 * start).subs(radius, 2 * s).subs(target, s) / 4
    d.equal(
        "Without imbalance it is the logistic", balanced, logistic(start, c, s, t), r"\kappa = 0: \quad a = Q/4 = F"
    )
    algebraic = q0 / (1 + c * q0 * t)
    d.solves("Neither target nor imbalance", algebraic, lambda q: -c * q**2, t, q0)
    signed = real("kappa")
    speed = 2 * c * s * sp.sqrt(signed**2 + 4 * sp.S(0) ** 2)
    d.equal("Speed at $a = 0$", speed, 2 * c * s * sp.Abs(signed), r"\dot a|_{a = 0} = 2 c s |\kappa|")
    d.equal(
        "No saddle escape without a seed",
        velocity.subs({w1: 0, w2: 0}) * w2,
        2 * c * s * w2,
        r"\dot w_1 = 2 c s w_2, \ \dot w_2 = 2 c s w_1 \text{ near } 0: \ (0, 0) \text{ is the only rest point there}",
    )
