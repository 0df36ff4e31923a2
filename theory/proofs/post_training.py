"""Post-training with an L2 pull to its start (Eq. 2, C.13 to C.15), repaired.

The update needs a minus sign, a factor sigma(t) and the right powers; its limit is biased, `(s + lam a0)/(1 + lam)`; the
number of steps must grow as 1/eta; and a zero is kept only exactly. Source: arXiv 2605.12705 C.3; docs/theory.md, section 4.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a0, logistic, nonnegative, positive, s, t

THEOREM = Theorem(
    name="post-training",
    title="Post-training from the idealised checkpoint",
    source="Eq. (2), C.13, C.14 and C.15, repaired",
    assumptions=(
        r"Post-training on $D_{post}$ with $c = 1$ and penalty $\lambda \|\theta - \theta_0\|^2$ from an aligned balanced start; for "
        r"descent $4\eta(1 + \lambda)\max(a_0, a_\infty) \le 1$.",
        r"For the step count: $\lambda = 0$, every target lies in $[c_{min}, \Gamma]$, and either "
        r"$a_0 \ge s$ with $a_0 \le \Gamma$ or $a_0 \ge s (\epsilon/(100\Gamma))^3/100$.",
    ),
    statement=(
        r"A step maps $w \mapsto w - 2\eta w (w^2 - s) - 2\eta\lambda w (w^2 - a_0)$; zero stays zero; otherwise $a$ tends to "
        r"$a_\infty = (s + \lambda a_0)/(1 + \lambda)$ (geometrically: item convergence), whose distance to $s$ "
        r"is $\lambda |s - a_0|/(1 + \lambda)$. In flow time, $K\eta \ge \ln(100\Gamma/\epsilon)/c_{min}$ is enough for "
        r"$|a - s| \le \epsilon$ at $\lambda = 0$. A start $a_0 > 0$ leaves the "
        r"saddle in time $\ln(s/a_0 - 1)/(4s)$."
    ),
)


def derive(d: Derivation) -> None:
    """The update from its loss, limit and bias, enough steps, escape; then the printed claims, evaluated."""
    w, lam, eta, gap = positive("w lambda eta D")
    product, other = positive("w_1 w_2")
    objective = (product * other - s) ** 2 + lam * (product * other - a0) ** 2
    step = (product - eta * sp.diff(objective, product)).subs({product: w, other: w})
    true = w - 2 * eta * w * (w**2 - s) - 2 * eta * lam * w * (w**2 - a0)
    d.equal("The update, from the regularised loss", step, true)
    d.equal("Zero stays zero", true.subs(w, 0), sp.S(0), r"w = 0 \mapsto 0")
    limit = (s + lam * a0) / (1 + lam)
    d.equal(
        "Its non-zero fixed point",
        true.subs(w, sp.sqrt(limit)),
        sp.sqrt(limit),
        r"w^2 = (s + \lambda a_0)/(1 + \lambda)",
    )
    d.equal(
        "It is the plain step of a mode with variance $1 + \\lambda$ and that target, to which item convergence applies",
        true,
        w * (1 + 2 * eta * (1 + lam) * (limit - w**2)),
        r"w \mapsto w [1 + 2\eta(1 + \lambda)(a_\infty - w^2)]",
    )
    decay = positive("E")
    d.equal(
        "The flow ends there from any positive start",
        (limit / (1 + (limit / a0 - 1) * decay)).subs(decay, 0),
        limit,
        r"F(a_0; 1 + \lambda, a_\infty, t)|_{E = 0} = a_\infty",
    )
    d.equal(
        "The bias",
        (s - limit).subs(s, a0 + gap),
        lam * gap / (1 + lam),
        r"|s - a(\infty)| = \frac{\lambda D}{1 + \lambda}, \quad D = |s - a_0|",
    )
    small = positive("epsilon")
    threshold = small / (gap - small)
    d.equal(
        "reaches the accuracy asked for at",
        (lam * gap / (1 + lam)).subs(lam, threshold),
        small,
        r"\frac{\lambda D}{1+\lambda} \le \epsilon \iff \lambda \le \frac{\epsilon}{D - \epsilon}",
    )
    d.sign("because it grows with the penalty", sp.diff(lam * gap / (1 + lam), lam), strict=True)
    _enough_steps(d)
    d.equal(
        "Escape time",
        logistic(a0, sp.S(1), s, sp.log(s / a0 - 1) / (4 * s)),
        s / 2,
        r"F(a_0; 1, s, t) = s/2 \text{ at } t = \ln(s/a_0 - 1)/(4 s)",
    )
    _printed(d)


def _enough_steps(d: Derivation) -> None:
    bound, small, floor, more, extra = positive("Gamma epsilon c_min r k")
    start = nonnegative("a_0")
    solution = logistic(start, sp.S(1), s, t)
    d.equal(
        "Residual of the flow",
        (s - solution) * start,
        solution * (s - start) * sp.exp(-4 * s * t),
        r"s - F = (F/a_0)(s - a_0) e^{-4st}",
    )
    time = sp.log(100 * bound / small) / floor
    decay = sp.exp(-4 * floor * time)
    d.equal(
        "Decay after the repaired time, slowest target",
        decay,
        (small / (100 * bound)) ** 4,
        r"e^{-4 c_{min} t} = (\epsilon/100\Gamma)^4 \text{ at } t = \ln(100\Gamma/\epsilon)/c_{min}",
    )
    least = s * (small / (100 * bound)) ** 3 / 100
    worst = (s / least * s * (small / (100 * bound)) ** 4).subs(s, bound / (1 + more))
    d.sign(
        "From below: the residual is at most the accuracy",
        sp.simplify(small - worst),
        formula=r"(s/a_0)\, s\, (\epsilon/100\Gamma)^4 \le \epsilon \text{ for } a_0 \ge "
        r"s(\epsilon/100\Gamma)^3/100, \ s \le \Gamma",
    )
    above = (bound * (small / (100 * bound)) ** 4).subs(bound, small * (1 + extra))
    d.sign(
        "From above, where $F \\le a_0 \\le \\Gamma$ and $\\epsilon \\le \\Gamma$",
        sp.simplify(small - above),
        formula=r"\Gamma (\epsilon/100\Gamma)^4 \le \epsilon",
    )
    d.agree(
        "Gradient descent with that many steps (the statement is for the flow): worst of 60 draws, error over accuracy",
        _repaired_steps(),
        1.0,
    )


def _repaired_steps() -> float:
    rng = np.random.default_rng(2)
    worst = 0.0
    for _ in range(60):
        gamma, floor, small = rng.uniform(1, 3), rng.uniform(0.2, 0.8), 10 ** rng.uniform(-4, -1)
        target, strength = rng.uniform(floor, gamma), rng.uniform(1e-3, gamma)
        eta = rng.uniform(0.1, 1) / (8 * gamma)  # the printed step-size bound C.12 at lam = 0
        for _ in range(int(np.ceil(np.log(100 * gamma / small) / (eta * floor)))):
            strength *= (1 + 2 * eta * (target - strength)) ** 2
        worst = max(worst, abs(strength - target) / small)
    return worst


def _printed(d: Derivation) -> None:
    start, target, lam = 0.25, 1.0, 0.5
    sigma = 0.3  # the printed update, iterated with a small step, from the square root of nothing in particular
    for _ in range(20000):
        sigma += 1e-3 * (-2 * sigma * (sigma**2 - target) + 2 * lam * (sigma**2 - start))
    d.refute("Eq. (2): the limit of the printed update", sigma**2, (target + lam * start) / (1 + lam), margin=0.1)
    eta, accuracy, strength = 1e-3, 0.01, 0.2
    steps = round(np.log(100 * 2 / accuracy) / (1.0 * 0.5))
    factor = np.sqrt(strength)
    for _ in range(steps):
        factor += eta * (-2 * factor * (factor**2 - 1) - 2 * factor * (factor**2 - strength))
    d.refute("C.13: $K$ without $\\eta$ is enough", 1.0, float(factor**2), margin=0.5)
    d.refute("C.14: no bias at $\\lambda = 1$", 1.0, (1 + 0.2) / 2, margin=0.1)
    d.refute(
        "C.15: a near-zero stays near zero", 0.0, float(evolve(1e-6, variance=1.0, sigma=1.0, time=5.0)), margin=0.5
    )
