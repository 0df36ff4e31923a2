"""Redundant pathways in one fully connected network: the pair shares a hidden unit, so b needs no seed.

The network is w1 (w2a x_a + w2b x_b), a = w1 w2a, b = w1 w2b. Source: docs/theory.md, section 3.7 (ii).
"""

import numpy as np
import sympy as sp
from scipy.optimize import brentq

from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import integrate
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="shared-unit",
    title="Redundant pathways on a shared hidden unit",
    source="the minimal change to App. C under which Sec. 5.2 holds, fully connected",
    assumptions=(
        r"$\chi = 1$, one hidden unit for the pair, $\kappa = w_1^2 - w_{2a}^2 - w_{2b}^2 = 0$ (small start).",
        r"Exposure: $\alpha \to 0$ after convergence on $D_{pre}$, $E = \alpha T_1$ fixed.",
    ),
    statement=(
        r"$\frac{db}{dE} = \frac{4(g-b)(s_{pre}^2+b^2)^{3/2}}{2 s_{pre}^2 + b^2}$, so $b \approx 2 g s_{pre} E$ "
        r"at first: no threshold. "
        r"Unmixed stage 2 conserves $w_{2a} - w_{2b} = q = \sqrt{s_{pre}}$ and ends at $\sqrt{(q+y)^2 + y^2}\,(q "
        r"+ 2y) = S$, $b_2 = w_1 y$; fine-tuning then ends at "
        r"$w_1^2 = (y^2 + \sqrt{y^4 + 4 s_{ft}^2})/2$, $b_3 = w_1 y$."
    ),
)


def derive(d: Derivation) -> None:
    """Slow motion along the zero-loss curve of D_pre, the stage-2 and stage-3 end points; integrations as checks."""
    pre, g, w1, wa, wb = positive("s_pre g w_1 w_2a w_2b")
    _slow(d, pre, g, w1, wa, wb)
    total, ft, y, q = positive("S s_ft y q")
    post = (w1 * wa + w1 * wb - total) ** 2
    d.equal(
        "Stage 2 moves both inner weights alike",
        sp.diff(post, wa) - sp.diff(post, wb),
        sp.S(0),
        r"\frac{d}{dt} (w_{2a} - w_{2b}) = 0",
    )
    balance = w1 * sp.diff(post, w1) - wa * sp.diff(post, wa) - wb * sp.diff(post, wb)
    d.equal("and keeps the balance", balance, sp.S(0), r"\frac{d}{dt} (w_1^2 - w_{2a}^2 - w_{2b}^2) = 0")
    root = sp.sqrt((q + y) ** 2 + y**2)
    d.equal(
        "On both, the output is",
        (w1 * wa + w1 * wb).subs({w1: root, wa: q + y, wb: y}),
        root * (q + 2 * y),
        r"a + b = \sqrt{(q+y)^2 + y^2}\,(q + 2y)",
    )
    end2 = (y**2 + sp.sqrt(y**4 + 4 * ft**2)) / 2
    d.equal(
        "Fine-tuning fits the shared feature at constant $w_{2b} = y$",
        end2 * (end2 - y**2),
        ft**2,
        r"w_1^2 (w_1^2 - y^2) = s_{ft}^2 \iff w_1^2 = (y^2 + \sqrt{y^4 + 4 s_{ft}^2})/2",
    )
    ft_loss = (w1 * wa - ft) ** 2
    d.equal("which nothing moves", sp.diff(ft_loss, wb), sp.S(0), r"\partial L_{ft}/\partial w_{2b} = 0")
    b2, b3 = end_points(1.0, 2.0, 1.0)
    flow2, flow3 = _integrated(1.0, 2.0, 1.0)
    d.agree(
        "Both end points against the integrated network, $s_{pre} = s_{ft} = 1$, $S = 2$",
        max(abs(b2 - flow2), abs(b3 - flow3)),
        1e-8,
    )
    d.agree("Slow motion against the integrated mixture at $\\alpha = 0.001$", _slow_error(), 2e-3)


def _slow(d: Derivation, pre: sp.Symbol, g: sp.Symbol, w1: sp.Symbol, wa: sp.Symbol, wb: sp.Symbol) -> None:
    b = positive("b")
    post = (w1 * wa + w1 * wb - (g + pre)) ** 2
    gradient = [sp.diff(post, x) for x in (w1, wa, wb)]
    normal = [wa, w1, sp.S(0)]  # gradient of a = w1 w2a, which D_pre pins to s_pre
    share = sum(x * y for x, y in zip(gradient, normal, strict=True)) / (wa**2 + w1**2)
    velocity = [-(x - share * y) for x, y in zip(gradient, normal, strict=True)]
    d.equal(
        "The projected gradient stays on the zero-loss set of $D_{pre}$",
        wa * velocity[0] + w1 * velocity[1],
        sp.S(0),
        r"\frac{da}{dE} = 0",
    )
    d.equal(
        "and keeps the balance",
        w1 * velocity[0] - wa * velocity[1] - wb * velocity[2],
        sp.S(0),
        r"\frac{d\kappa}{dE} = 0",
    )
    root = (pre**2 + b**2) ** sp.Rational(1, 4)
    on_curve = {w1: root, wa: pre / root, wb: b / root}
    d.equal(
        "On it, $\\kappa = 0$ gives $w_1^4 = s_{pre}^2 + b^2$",
        (w1**2 - wa**2 - wb**2).subs(on_curve),
        sp.S(0),
        r"w_1^4 = s_{pre}^2 + b^2, \quad w_{2a} = s_{pre}/w_1, \quad w_{2b} = b/w_1",
    )
    speed = (wb * velocity[0] + w1 * velocity[2]).subs(on_curve)
    law = 4 * (g - b) * (pre**2 + b**2) ** sp.Rational(3, 2) / (2 * pre**2 + b**2)
    d.equal("Speed of $b$ in exposure", speed, law, rf"\frac{{db}}{{dE}} = {sp.latex(law)}")
    d.equal("at the start", sp.limit(law, b, 0), 2 * g * pre, r"\frac{db}{dE}(0) = 2 g s_{pre} > 0")
    d.argue(
        r"For $\alpha \to 0$ at fixed $E = \alpha T_1$ the fast flow of $D_{pre}$ returns to its zero-loss set, "
        r"which is normally hyperbolic, and the motion "
        r"along it is the projected gradient (averaging)"
    )


def end_points(pre: float, total: float, ft: float) -> tuple[float, float]:
    """(b2, b3) of the unmixed model, from the closed forms."""
    q = np.sqrt(pre)
    y = float(brentq(lambda z: np.hypot(q + z, z) * (q + 2 * z) - total, 0.0, total + 1.0, xtol=1e-15))
    return float(np.hypot(q + y, y) * y), float(np.sqrt((y**2 + np.sqrt(y**4 + 4 * ft**2)) / 2) * y)


def _velocity(weights: np.ndarray, shared: float, goal: float, weight: float) -> np.ndarray:
    """Gradient flow on (1 - weight) (a - shared)^2 + weight (a + b - goal)^2."""
    w1, wa, wb = weights
    lone, both = (1 - weight) * (w1 * wa - shared), weight * (w1 * wa + w1 * wb - goal)
    return -2 * np.array([lone * wa + both * (wa + wb), (lone + both) * w1, both * w1])


def _integrated(pre: float, total: float, ft: float) -> tuple[float, float]:
    state = np.array([np.sqrt(pre), np.sqrt(pre), 0.0])
    ends = []
    for shared, weight in ((0.0, 1.0), (ft, 0.0)):
        state = integrate(lambda _, y, s=shared, w=weight: _velocity(y, s, total, w), state, 12.0)
        ends.append(float(state[0] * state[2]))
    return ends[0], ends[1]


def _slow_error() -> float:
    alpha, exposure, pre, g = 1e-3, 0.15, 1.0, 1.0
    mixed = integrate(lambda _, y: _velocity(y, pre, pre + g, alpha), [1.0, 1.0, 0.0], exposure / alpha, rtol=1e-9)
    slow = integrate(lambda _, b: 4 * (g - b) * (pre**2 + b**2) ** 1.5 / (2 * pre**2 + b**2), [0.0], exposure)
    return float(abs(mixed[0] * mixed[2] - slow[0]))
