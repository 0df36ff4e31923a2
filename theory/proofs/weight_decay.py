"""Weight decay mu(|W1|^2 + |W2|^2): lower targets, a true learning threshold, and erosion of frozen modes.

Source: docs/theory.md, section 2.3. Without decay there is no threshold, only an exposure time; Sec. 5.1 of the paper says otherwise.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, c, positive, s, t

THEOREM = Theorem(
    name="weight-decay",
    title="Weight decay",
    source="Sec. 4 (intervention); contrast Sec. 5.1",
    assumptions=(r"Penalty $\mu(\|W_1\|_F^2 + \|W_2\|_F^2)$, depth two, balanced, $\mu > 0$.",),
    statement=(
        r"$\dot a = 4a(cs - \mu - ca)$: the target is $s - \mu/c$ if $cs > \mu$ and 0 otherwise; a mode without "
        r"variance decays as "
        r"$e^{-4\mu t}$. Stage 1 learns a specialised mode iff $\alpha\beta > \mu$, to $\beta - \mu/\alpha$. "
        r"Decay in stage 2 slows every mode."
    ),
)


def derive(d: Derivation) -> None:
    """Mode equation, its solution, threshold, frozen modes."""
    x, y, mu = positive("w_1 w_2 mu")
    objective = c * (x * y - s) ** 2 + mu * (x**2 + y**2)
    speed = -(sp.diff(objective, x) * y + sp.diff(objective, y) * x)
    w = positive("w")
    d.equal(
        "Mode equation",
        speed.subs({x: w, y: w}),
        (4 * a * (c * s - mu - c * a)).subs(a, w**2),
        r"\dot a = 4 a (cs - \mu - ca)",
    )
    g = sp.Symbol("g", real=True, nonzero=True)
    solution = a0 * sp.exp(4 * g * t) / (1 + a0 * c * (sp.exp(4 * g * t) - 1) / g)
    d.solves("Solution for $g = cs - \\mu$ of either sign", solution, lambda z: 4 * z * (g - c * z), t, a0)
    rate, decay = positive("g E")
    grown = a0 / (decay + a0 * c * (1 - decay) / rate)
    d.equal("the same with $E = e^{-4gt}$", grown.subs(decay, sp.exp(-4 * rate * t)), solution.subs(g, rate))
    d.equal(
        "whose end for $g > 0$ is the lowered target", grown.subs(decay, 0), rate / c, r"a(\infty) = g/c = s - \mu/c"
    )
    shrunk = solution.subs(g, -rate)
    d.sign(
        "and for $g < 0$ is 0, reached at least exponentially",
        sp.factor(sp.together(a0 * sp.exp(-4 * rate * t) - shrunk).subs(t, sp.log(1 + x) / 4 / rate)),
        formula=r"g < 0 \Rightarrow a(t) \le a_0 e^{-4|g|t}",
    )
    alpha, beta = positive("alpha beta")
    stage = (rate / c).subs(rate, alpha * beta - mu).subs(c, alpha)
    d.equal(
        "Stage 1, specialised",
        stage,
        beta - mu / alpha,
        r"\alpha\beta > \mu \Rightarrow b_1(\infty) = \beta - \mu/\alpha",
    )
    d.equal(
        "No variance: erosion",
        sp.limit(solution.subs(g, -mu), c, 0),
        a0 * sp.exp(-4 * mu * t),
        r"\lim_{c \to 0} a(t) = a_0 e^{-4 \mu t}",
    )
    d.sign("Decay slows every mode", sp.expand(4 * a * (c * s - c * a) - 4 * a * (c * s - mu - c * a)), strict=True)
