"""Gradient descent with step eta acts on a balanced mode as `a <- a (1 + 2 eta c (s - a))^2`.

The fixed point a = s attracts iff `eta < 1/(2 c s)`; approach from below is monotone iff `eta <= 1/(4 c s)`. This is the
sharp form of the paper's step-size assumption C.12. Source: docs/theory.md, section 1.2.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import aligned, descend, orthogonal
from theory.proofs.symbols import a, c, nonnegative, positive, s

THEOREM = Theorem(
    name="descent",
    title="Gradient descent as a scalar map, and its stability",
    source="App. C.12 and Eq. (2), made sharp",
    assumptions=(r"Aligned balanced start as in the mode equations; step size $\eta > 0$, one task, $c, s > 0$.",),
    statement=(
        r"A step maps $a \mapsto a (1 + 2 \eta c (s - a))^2$. The fixed point $s$ has multiplier $1 - 4 \eta c s$, of modulus "
        r"below 1 if $\eta < 1/(2cs)$ and above 1 if $\eta > 1/(2cs)$. If $\eta \le 1/(4cs)$ a step from below $s$ goes up and "
        r"not beyond $s$."
    ),
)


def derive(d: Derivation) -> None:
    """Map, multiplier, monotone regime; the order of convergence to the flow is numeric."""
    eta, w = positive("eta w")
    step = w + eta * 2 * c * (s - w**2) * w
    after = a * (1 + 2 * eta * c * (s - a)) ** 2
    d.equal("A step on the factors, squared", step**2, after.subs(a, w**2), rf"a \mapsto {sp.latex(after)}")
    d.equal("The target is a fixed point", after.subs(a, s), s, r"a = s \mapsto s")
    multiplier = sp.diff(after, a).subs(a, s)
    d.equal("Multiplier there", multiplier, 1 - 4 * eta * c * s, r"1 - 4 \eta c s")
    below, above = nonnegative("p h")
    inside = multiplier.subs(eta, 1 / (2 * c * s * (1 + positive("h"))))
    d.sign(
        "It is above -1 for smaller steps",
        sp.simplify(inside + 1),
        strict=True,
        formula=r"\eta < 1/(2cs) \Rightarrow -1 < 1 - 4 \eta c s < 1",
    )
    d.sign("It is below 1 for every step", 1 - multiplier, strict=True)
    outside = multiplier.subs(eta, (1 + positive("h")) / (2 * c * s))
    d.sign(
        "and below -1 for larger ones",
        sp.simplify(-1 - outside),
        strict=True,
        formula=r"\eta > 1/(2cs) \Rightarrow 1 - 4 \eta c s < -1",
    )
    small = {eta: 1 / (4 * c * s * (1 + above)), a: s / (1 + below)}
    d.sign(
        "A small step from below does not overshoot",
        sp.factor((s - after).subs(small)),
        formula=r"\eta \le \frac{1}{4cs},\ 0 < a \le s \Rightarrow a (1 + 2 \eta c (s-a))^2 \le s",
    )
    d.sign(
        "and never goes down",
        sp.factor((after - a).subs(a, s / (1 + below))),
        formula=r"0 < a \le s \Rightarrow a (1 + 2 \eta c (s-a))^2 \ge a",
    )
    d.agree("Twenty steps on random matrices against the map", _against_matrices(), 1e-12)
    d.agree("Distance to the flow halves with the step (order one)", abs(_order() - 1), 0.05)


def _map(strength: float, eta: float, steps: int) -> float:
    for _ in range(steps):
        strength *= (1 + 2 * eta * (1 - strength)) ** 2
    return strength


def _against_matrices() -> float:
    rng = np.random.default_rng(1)
    n, m, eta = 4, 6, 0.02
    u, v, q = orthogonal(rng, n), orthogonal(rng, n), orthogonal(rng, m, n)
    strength, sigma, variance = rng.uniform(0.1, 1, n), rng.uniform(0.5, 2, n), rng.uniform(0.2, 1.5, n)
    root = np.sqrt(strength)
    first, second = descend(aligned(u, v, q, root, root), (u * sigma) @ v.T, (v * variance) @ v.T, eta, 20)
    for _ in range(20):
        strength = strength * (1 + 2 * eta * variance * (sigma - strength)) ** 2
    return float(np.abs(u.T @ first @ second @ v - np.diag(strength)).max())


def _order() -> float:
    exact = float(evolve(0.05, variance=1.0, sigma=1.0, time=0.8))
    errors = [abs(_map(0.05, 0.8 / steps, steps) - exact) for steps in (400, 800)]
    return float(np.log2(errors[0] / errors[1]))
