"""The exposure law: a mode that only D_post trains depends on the schedule through `E = int p(t) dt` alone.

For three stages E = alpha T1 + T2, so early exposure gives a specialised mode exactly what alpha T1 more stage-2 time would.
Holds for any depth, imbalance and schedule p(t). Source: docs/theory.md, section 1.5.
"""

import numpy as np
import sympy as sp

from theory.modes import Drive, State, advance
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a0, logistic, positive, t

THEOREM = Theorem(
    name="exposure-law",
    title="Exposure law",
    source="not in the paper; contrast Sec. 5.1",
    assumptions=(
        r"A mode without variance under every task but $D_{post}$; $D_{post}$ has weight $p(t) \ge 0$ at time $t$.",
        r"Any flow $\dot a = p(t) f(a)$: any depth, any (conserved) imbalance; no decay, dropout or leakage.",
    ),
    statement=(
        r"$a(t) = \Phi(E(t))$ with $E = \int_0^t p$ and $\Phi' = f(\Phi)$, $\Phi(0) = a_0$. In particular "
        r"$b_2 = F(\delta^2; 1, \beta, \alpha T_1 + T_2)$; the mode is half learned at $E = \ln(\beta/\delta^2 - "
        r"1)/(4\beta)$, and the "
        r"split of a fixed $D_{post}$ budget does not matter."
    ),
)


def derive(d: Derivation) -> None:
    """Change of time for an arbitrary velocity, then the logistic case; schedules against each other numerically."""
    phi, exposure, velocity, weight = (sp.Function(name) for name in ("Phi", "E", "f", "p"))
    moved = sp.diff(phi(exposure(t)), t).subs(sp.Derivative(exposure(t), t), weight(t))
    inner = sp.Derivative(phi(exposure(t)), exposure(t))  # Phi'(E), which is f(Phi(E)) by the definition of Phi
    d.equal(
        "Any weighted flow is the plain flow in the time $E$",
        moved.subs(inner, velocity(phi(exposure(t)))),
        weight(t) * velocity(phi(exposure(t))),
        r"\frac{d}{dt} \Phi(E(t)) = p(t)\, f(\Phi(E(t)))",
    )
    alpha, beta, first, second = positive("alpha beta T_1 T_2")
    after = logistic(logistic(a0, alpha, beta, first), sp.S(1), beta, second)
    d.equal(
        "Two stages are one of length $\\alpha T_1 + T_2$",
        after,
        logistic(a0, sp.S(1), beta, alpha * first + second),
        r"F(F(\delta^2; \alpha, \beta, T_1); 1, \beta, T_2) = F(\delta^2; 1, \beta, \alpha T_1 + T_2)",
    )
    threshold = sp.log(beta / a0 - 1) / (4 * beta)
    d.equal(
        "Exposure needed",
        logistic(a0, sp.S(1), beta, threshold),
        beta / 2,
        r"F = \beta/2 \text{ at } E = \ln(\beta/\delta^2 - 1)/(4\beta)",
    )
    lam, budget, time = positive("lambda B P")
    total = lam * budget / (time + lam * budget) * (time + lam * budget) + (1 - lam) * budget
    d.equal(
        "Compute-matched: the exposure is the budget",
        total,
        budget,
        r"\alpha T_1 + T_2 = \lambda B + (1 - \lambda) B = B",
    )
    d.agree("Random schedules at depths 2 to 4 and with imbalance, spread at equal exposure", _spread(), 1e-10)


def _spread() -> float:
    rng = np.random.default_rng(4)
    worst = 0.0
    for depth, imbalance in ((2, 0.0), (3, 0.0), (4, 0.0), (2, 0.3)):
        ends = []
        for _ in range(4):
            weights = rng.uniform(0, 1, 5)
            times = rng.dirichlet(np.ones(5)) * 0.8 / weights  # sum of weight x time = 0.8
            state = State(np.array([0.1]), np.array([0.8]))
            for weight, time in zip(weights, times, strict=True):
                drive = Drive(weight, weight * 0.9, 0.0)
                state = advance(state, drive, time, depth=depth, imbalance=imbalance)
            ends.append(float(np.asarray(state.strength)[0]))
        worst = max(worst, max(ends) - min(ends))
    return worst
