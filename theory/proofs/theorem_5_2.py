"""Theorem 5.2: what post-training changes from either checkpoint. It holds from exact zeros only.

After "sufficient" post-training it is false: from any positive start both models end at the same parameters.
Source: arXiv 2605.12705 Sec. 5.2 and C.15; docs/theory.md, section 4.
"""

import sympy as sp

from theory.modes import evolve
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, logistic, positive, s, t

THEOREM = Theorem(
    name="theorem-5-2",
    title="Post-training of the mixed and the unmixed model",
    source="Theorem 5.2 (informal) and C.15, repaired",
    assumptions=(
        r"Modes obey the mode equations; post-training on $D_{post}$ alone, $c = 1$ on every mode, no penalty; $s_{post}, \beta > 0$.",
    ),
    statement=(
        r"From exact zeros: unmixed $\to (s_{post}, 0)$ and mixed $\to (0, \beta)$ (inconsistent, specialised). From positive starts both "
        r"tend to $(s_{post}, \beta)$. The unmixed specialised mode stays below $\epsilon < \beta$ only until "
        r"$T_2 = \ln[(\beta/\delta^2 - 1)/(\beta/\epsilon - 1)]/(4\beta)$: the statement holds for short post-training, not for sufficient."
    ),
)


def derive(d: Derivation) -> None:
    """Zero is kept, everything else is learned; the time until then; then what is printed, evaluated."""
    d.equal("Zero is kept", (4 * a * (s - a)).subs(a, 0), sp.S(0), r"\dot a|_{a = 0} = 0")
    solution = logistic(a0, sp.S(1), s, t)
    d.solves("Any other start moves as", solution, lambda x: 4 * x * (s - x), t, a0)
    decay, small = positive("E epsilon")
    shape = s / (1 + (s / a0 - 1) * decay)
    d.equal("to the target", shape.subs(decay, 0), s, r"a|_{E = 0} = s \text{ for every } a_0 > 0")
    d.equal(
        "and whatever it was before is forgotten",
        sp.diff(shape, a0).subs(decay, 0),
        sp.S(0),
        r"\partial a/\partial a_0|_{E = 0} = 0: \text{ mixed and unmixed end alike}",
    )
    d.equal(
        "Time until a strength is reached",
        solution.subs(t, sp.log((s / a0 - 1) / (s / small - 1)) / (4 * s)),
        small,
        r"F(\delta^2; 1, \beta, T_2) = \epsilon \text{ at } T_2 = \ln[(\beta/\delta^2 - 1)/(\beta/\epsilon - 1)]/(4\beta)",
    )
    d.sign(
        "Below its target a mode only grows",
        (4 * a * (s - a)).subs(s, a + small),
        strict=True,
        formula=r"a < s \Rightarrow \dot a > 0",
    )
    learned = float(evolve(1e-6, variance=1.0, sigma=0.9, time=10.0))
    d.refute(
        "5.2: the unmixed model modifies only inconsistent features ($b_2$ from $10^{-6}$, $T_2 = 10$)",
        0.0,
        learned,
        margin=0.5,
    )
