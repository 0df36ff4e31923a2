"""Gradient flow on matrices falls apart into scalar modes, for any width n and hidden width m.

If `W1 = U diag(w1) Q^T`, `W2 = Q diag(w2) V^T` and every task is diagonal in the same U, V, this form is kept for ever and
`dw1/dt = 2 c (s - a) w2`, `dw2/dt = 2 c (s - a) w1` with a = w1 w2; balanced modes obey `da/dt = 4 c a (s - a)`.
A mixture of tasks acts on a mode as one task with `c = sum p c_t` and `c s = sum p c_t s_t`. Source: docs/theory.md, sections 0 and 1.1.
"""

import numpy as np
import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import aligned, flow, orthogonal
from theory.proofs.symbols import a, c, positive, s, w1, w2

THEOREM = Theorem(
    name="mode-ode",
    title="Mode equations from the matrix gradient",
    source="App. C.1 and C.3, with the corrected alignment of C.8",
    assumptions=(
        r"$L(W_1, W_2) = E\|W_1 W_2 x - A x\|^2$ with $x \sim N(0, C)$, $A = U S V^\top$, $C = V \mathrm{diag}(c) V^\top$.",
        r"$W_1 = U \mathrm{diag}(w_1) Q^\top$, $W_2 = Q \mathrm{diag}(w_2) V^\top$ at the start, $Q^\top Q = I$.",
    ),
    statement=(
        r"Gradient flow keeps this form, with $\dot w_1 = 2 c (s - a) w_2$ and $\dot w_2 = 2 c (s - a) w_1$, $a = w_1 w_2$, "
        r"for every mode on its own; $\kappa = w_1^2 - w_2^2$ is conserved and $\dot a = 4 c a (s - a)$ if $\kappa = 0$."
    ),
)


def derive(d: Derivation) -> None:
    """Matrix gradients for symbolic sizes, projection on the aligned form, scalar consequences, mixtures."""
    _gradients(d)
    _projection(d)
    velocity = 2 * c * (s - w1 * w2)
    d.equal("The strength moves with", velocity * w2 * w2 + w1 * velocity * w1, velocity * (w1**2 + w2**2))
    d.equal("The imbalance is conserved", 2 * w1 * velocity * w2 - 2 * w2 * velocity * w1, sp.S(0), r"\dot\kappa = 0")
    balanced = (velocity * (w1**2 + w2**2)).subs({w1: sp.sqrt(a), w2: sp.sqrt(a)})
    d.equal("Balanced modes", balanced, 4 * c * a * (s - a), r"\dot a = 4 c a (s - a)")
    p, cb, sb = positive("p c_B s_B")
    mixed_c = p * c + (1 - p) * cb
    mixed_s = (p * c * s + (1 - p) * cb * sb) / mixed_c
    mixed = p * c * (a - s) ** 2 + (1 - p) * cb * (a - sb) ** 2
    d.equal(
        "A mixture pulls like one task",
        sp.diff(mixed, a),
        sp.diff(mixed_c * (a - mixed_s) ** 2, a),
        r"\partial_a [p c (a - s)^2 + (1-p) c_B (a - s_B)^2] = \partial_a\, \bar c (a - \bar s)^2, "
        r"\quad \bar c = p c + (1-p) c_B, \quad \bar c \bar s = p c s + (1-p) c_B s_B",
    )
    d.agree("Two stages of random matrices against the mode formula", _against_matrices(), 1e-9)


def _gradients(d: Derivation) -> None:
    n, m = sp.symbols("n m", integer=True, positive=True)
    first, second = sp.MatrixSymbol("W_1", n, m), sp.MatrixSymbol("W_2", m, n)
    target, covariance = sp.MatrixSymbol("A", n, n), sp.MatrixSymbol("C", n, n)
    error = first * second - target
    loss = sp.Trace(error * covariance * error.T)
    for layer, gradient in ((first, 2 * error * covariance * second.T), (second, 2 * first.T * error * covariance)):
        found = loss.diff(layer).subs(covariance.T, covariance)  # a covariance is symmetric
        difference = sp.expand((found - gradient).doit()).doit()
        d.equal(
            f"Matrix derivative of the loss in ${layer.name}$, symbolic sizes",
            sp.S(0) if difference == sp.ZeroMatrix(*layer.shape) else sp.S(1),
            sp.S(0),
            rf"\nabla_{{{layer.name}}} L = {sp.latex(gradient)}",
        )


def _projection(d: Derivation) -> None:
    u, ut, v, vt, q, qt = sp.symbols("U U^T V V^T Q Q^T", commutative=False)
    k1, k2, kc, ks = sp.symbols("d_1 d_2 C_d S_d", commutative=False)  # diagonal matrices
    theta_gap, covariance = u * k1 * qt * q * k2 * vt - u * ks * vt, v * kc * vt

    def reduce(expression: sp.Expr) -> sp.Expr:
        for pair in (vt * v, qt * q, ut * u):
            expression = sp.expand(expression).subs(pair, 1)
        return sp.expand(expression)

    step1, step2 = -2 * theta_gap * covariance * v * k2 * qt, -2 * q * k1 * ut * theta_gap * covariance
    d.equal(
        "Velocity of $W_1$ in the aligned form",
        reduce(step1),
        sp.expand(u * 2 * (ks - k1 * k2) * kc * k2 * qt),
        r"\dot W_1 = U \, [2 (S - d_1 d_2) C d_2] \, Q^\top",
    )
    d.equal(
        "Velocity of $W_2$ in the aligned form",
        reduce(step2),
        sp.expand(q * 2 * k1 * (ks - k1 * k2) * kc * vt),
        r"\dot W_2 = Q \, [2 d_1 (S - d_1 d_2) C] \, V^\top",
    )
    d.argue(
        r"Both brackets are diagonal, so the aligned form solves the flow; the flow from a given start is unique, so it is "
        r"kept, and the diagonal entries obey the scalar equations"
    )


def _against_matrices() -> float:
    rng = np.random.default_rng(0)
    n, m = 4, 6
    u, v, q = orthogonal(rng, n), orthogonal(rng, n), orthogonal(rng, m, n)
    start = rng.uniform(0.05, 0.5, n)
    stages = [(rng.uniform(0.2, 2, n), np.append(rng.uniform(0.5, 1, n - 1), 0.0), time) for time in (0.7, 0.4)]
    after = flow(
        aligned(u, v, q, np.sqrt(start), np.sqrt(start)),
        [((u * sigma) @ v.T, (v * variance) @ v.T, time) for sigma, variance, time in stages],
    )
    expected = start
    for sigma, variance, time in stages:
        expected = evolve(expected, variance=variance, sigma=sigma, time=time)
    return float(np.abs(u.T @ after[0] @ after[1] @ v - np.diag(expected)).max())
