"""The order theorem: moving D_post to a later place in the schedule never lowers a mode's strength after stage 2.

Reason: the bracket of the two velocities has a sign, and flows on a line preserve order. Its corollary is a no-go: with
equal step sizes and a fixed D_post budget, exposure 0 is best for both losses. Source: docs/theory.md, section 1.6.
"""

import numpy as np
import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.matrices import integrate
from theory.proofs.symbols import nonnegative, positive

THEOREM = Theorem(
    name="order",
    title="Order theorem and the no-go for compute-matched exposure",
    source="not in the paper; contrast its Figure 3b",
    assumptions=(
        r"$f_t(a) = c_t g(a)(s_t - a)$ with $g > 0$ (any depth, balanced), $s_{post} \ge s_{pre}$; equal step sizes.",
        r"No weight decay, or the same $\mu$ in both stages at depth two (the bracket is then also $\ge 0$ where "
        r"$c_{pre} \le c_{post}$).",
        r"Schedules with the same total time on $D_{pre}$ and on $D_{post}$, mixed in any proportion at any time.",
        r"For the corollary (adding to $D_{pre}$): $s_{ft} \le s_{post}$ and $\delta^2 \le \min(s_{pre}, \sigma, \beta)$.",
    ),
    statement=(
        r"$f_{pre} f_{post}' - f_{post} f_{pre}' = c_{pre} c_{post} g^2 (s_{post} - s_{pre}) \ge 0$, and moving "
        r"$D_{post}$ later never lowers "
        r"$a_2$ (unchanged where $c_{pre} = 0$). Hence $L_{im}$ and $L_{ret}$ do not fall with $\lambda$: $\lambda = 0$ is best."
    ),
)


def derive(d: Derivation) -> None:
    """Bracket, swap of two pieces, any rearrangement, corollary; weight decay, at depth two only (see deep-decay)."""
    _bracket(d)
    _swap(d)
    d.argue(
        r"Every schedule is a limit of pieces of pure $D_{pre}$ and pure $D_{post}$ (Trotter); moving $D_{post}$ "
        r"later is a sequence of "
        r"swaps of neighbouring pieces, each of which raises $a_2$ or keeps it, and the flows after it preserve the order"
    )
    _corollary(d)
    d.agree("Random rearranged schedules, depths 2 to 4: largest violation", _violation(), 1e-9)


def _bracket(d: Derivation) -> None:
    a, first, second = positive("a c_pre c_post")
    pre, post = sp.symbols("s_pre s_post", real=True)
    g = sp.Function("g")(a)
    f_pre, f_post = first * g * (pre - a), second * g * (post - a)
    bracket = f_pre * sp.diff(f_post, a) - f_post * sp.diff(f_pre, a)
    d.equal(
        "The bracket, for any $g$",
        bracket,
        first * second * g**2 * (post - pre),
        r"f_{pre} f_{post}' - f_{post} f_{pre}' = c_{pre} c_{post} g^2 (s_{post} - s_{pre})",
    )
    p, q = sp.symbols("p q", real=True)
    mix = [(1 - weight) * f_pre + weight * f_post for weight in (p, q)]
    d.equal(
        "of two mixtures",
        mix[0] * sp.diff(mix[1], a) - mix[1] * sp.diff(mix[0], a),
        (q - p) * bracket,
        r"[f_p, f_q] = (q - p) [f_{pre}, f_{post}]",
    )
    mu = positive("mu")
    decayed = [4 * a * (c * target - mu - c * a) for c, target in ((first, pre), (second, post))]
    found = decayed[0] * sp.diff(decayed[1], a) - decayed[1] * sp.diff(decayed[0], a)
    d.equal(
        "with the same weight decay in both stages, depth two",
        found,
        16 * a**2 * (first * second * (post - pre) + mu * (second - first)),
        r"[f_{pre}, f_{post}] = 16 a^2 [c_{pre} c_{post} (s_{post} - s_{pre}) + \mu (c_{post} - c_{pre})]",
    )


def _swap(d: Derivation) -> None:
    """X = post after pre, Y = pre after post, for pieces of lengths p and q from the same state."""
    q, z = sp.symbols("q z", real=True)
    flow, f, h = (sp.Function(name) for name in ("Q", "f_post", "f_pre"))
    state, x = flow(q, z), sp.Symbol("x", real=True)
    slope = sp.diff(state, z)
    excess = slope * h(z) - h(state)
    moving = {sp.diff(state, q): f(state)}
    rate = sp.diff(slope, q).subs(sp.Derivative(state, q, z), sp.diff(f(state), z)).doit() * h(z)
    rate = (rate - sp.diff(h(state), q)).doit().subs(moving)
    f_slope, h_slope = (sp.Subs(sp.Derivative(func(x), x), x, state).doit() for func in (f, h))
    d.equal(
        "The excess $W = (\\partial_z Q_q) f_{pre}(z) - f_{pre}(Q_q)$ of the two orders obeys",
        sp.expand(rate.doit()),
        sp.expand((f_slope * excess + (h(state) * f_slope - f(state) * h_slope)).doit()),
        r"\partial_q W = f_{post}'(Q_q)\, W + [f_{pre}, f_{post}](Q_q), \quad W(0) = 0",
    )
    growth, source = sp.Function("k")(q), sp.Function("B")(q)
    w = sp.Function("W")(q)
    factor = sp.exp(-sp.Integral(growth, (q, 0, q)))
    d.equal(
        "with an integrating factor",
        sp.diff(factor * w, q).doit().subs(sp.Derivative(w, q), growth * w + source).expand(),
        (factor * source).expand(),
        r"\partial_q (e^{-\int f_{post}'} W) = e^{-\int f_{post}'} [f_{pre}, f_{post}] \ge 0 \Rightarrow W \ge 0",
    )
    d.argue(
        r"$X = Q_q(P_p(a))$ has $\partial_p X = f_{pre}(X) + W \ge f_{pre}(X)$ and $Y = P_p(Q_q(a))$ has "
        r"$\partial_p Y = f_{pre}(Y)$, both "
        r"starting from $Q_q(a)$; by comparison $X \ge Y$: $D_{post}$ last is the stronger order"
    )


def _corollary(d: Derivation) -> None:
    strength, post, more = positive("a s_post u")
    low = nonnegative("d")
    d.sign(
        "A lower strength below the target costs more",
        sp.expand(((post - strength) + low) ** 2 - (post - strength) ** 2).subs(post, strength + more),
        formula=r"a' \le a \le s_{post} \Rightarrow (s_{post} - a')^2 \ge (s_{post} - a)^2",
    )
    s = positive("s_ft")
    slack = nonnegative("p")
    after = s / (1 + (s / strength - 1) / (1 + slack))  # F with e^{-4 s_ft T3} = 1/(1 + p)
    d.sign(
        "Fine-tuning keeps the order",
        sp.factor(sp.diff(after, strength)),
        strict=True,
        formula=r"\partial a_3/\partial a_2 > 0",
    )
    d.equal(
        "and stays below the post-training target, because",
        sp.numer(sp.together(post - after)),
        strength * slack * (post - s) + s * (post - strength),
        r"s_{post} - a_3 = \frac{a_2 p (s_{post} - s_{ft}) + s_{ft} (s_{post} - a_2)}{a_2 p + s_{ft}}, \quad p = "
        r"e^{4 s_{ft} T_3} - 1",
    )
    d.argue(
        r"From $\delta^2 \le \min(s_{pre}, \sigma, \beta)$ all strengths stay below $s_{post}$ until the end of "
        r"stage 2. Raising $\lambda$ moves "
        r"$D_{post}$ earlier at equal totals, so inconsistent $a_2$ and $a_3$ do not rise, specialised and "
        r"(adding to $D_{pre}$) invariant modes do "
        r"not change, and both losses do not fall"
    )
    d.argue(
        r"If $D_{post}$ replaces $D_{pre}$ instead, $\lambda > 0$ has less $D_{pre}$ too; from below their "
        r"targets strengths only rise with "
        r"more of it, so $\lambda = 0$ is again best (though the losses need not be monotone)"
    )


def _violation() -> float:
    rng = np.random.default_rng(6)
    worst = 0.0
    for trial in range(24):
        depth = 2 + trial % 3
        power, c_pre, pre = 2 - 2 / depth, rng.uniform(0, 1), rng.uniform(0, 1)
        post, budget, steps = pre + rng.uniform(0, 1), rng.uniform(0.2, 2), 6
        late = np.sort(rng.uniform(0, 1, steps))
        early = rng.permutation(late)

        def end(
            weights: np.ndarray,
            c_pre: float = c_pre,
            pre: float = pre,
            post: float = post,
            power: float = power,
            depth: int = depth,
            budget: float = budget,
            steps: int = steps,
        ) -> float:
            state = np.array([0.02])
            for weight in weights:
                mixed = c_pre * (1 - weight) + weight, c_pre * (1 - weight) * pre + weight * post
                state = integrate(lambda _, a, m=mixed: 2 * depth * a**power * (m[1] - m[0] * a), state, budget / steps)
            return float(state[0])

        worst = max(worst, end(early) - end(late))
    return worst
