"""The law Slin derived: linear regression on redundant features, D_post rare in stage 1, forgets as the law says.

The network is that of `theory.laws.mechanism`. Source: not in the paper.
"""

import numpy as np
import sympy as sp

from theory.laws import mechanism
from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import positive

THEOREM = Theorem(
    name="law-derived",
    title="Law of provenance derived: redundant features in a linear model",
    source="not in the paper; contrast Sec. 4.2",
    assumptions=(
        r"Linear regression: $D_{post}$ excites each mode through a feature of its own and one, with share $o < 1$ of the squared norm, "
        r"that $D_{pre}$ and $D_{ft}$ excite too; $D_{pre}$ asks nothing of it, $D_{ft}$ something with mean 0 and variance $v$.",
        r"$\alpha \to 0$ with $x = \alpha t_{pre}$ given: $D_{post}$ is a small part of stage 1.",
        r"The rates $\gamma$ of the own features have the density $\gamma^{a - 1} e^{-2 \gamma d_0}$.",
    ),
    statement=(
        r"$L(e) = E + A (e + d_0)^{-a}$, $L_{im} = L(x + z)$ with $z = m t_{post}$, $m = \rho/(1 - o)$, and "
        r"$L_{ret} = L_{im} + \psi + \kappa^2 [L(x) - L_{im}] + 2 \kappa (1 - \kappa) [L(x + z/2) - L_{im}]$ with "
        r"$\kappa = o\,(1 - e^{-g t_{ft}})$. Under one pass in all $L_{ret}$ is strictly convex in $\lambda$; $\lambda = 1$ is best iff "
        r"$\kappa \ge 1 - 1/m$: at $\rho = 1$ never."
    ),
)


def derive(d: Derivation) -> None:
    """The three stages of one mode, the spectrum, the law, and its minimum along lambda."""
    _stages(d)
    _law(d)
    _minimum(d)
    d.agree("Network against law as exposure becomes rare: errors in proportion to alpha", _reduction(), 0.02)


def _stages(d: Derivation) -> None:
    alpha, t, gamma, w, hold = positive("alpha t gamma w g")
    learn, back = alpha * gamma, (1 - alpha) * hold
    apart = sp.sqrt((learn * (1 + w) - back) ** 2 + 4 * learn * w * back)
    fast = (learn * (1 + w) + back + apart) / 2
    slow = learn * back / fast
    total, product = fast + slow, fast * slow
    d.equal(
        "Sum of both rates of stage 1",
        total,
        learn * (1 + w) + back,
        r"\Lambda_1 + \Lambda_2 = \alpha\gamma(1 + w) + (1 - \alpha) g",
    )
    d.equal("Their product", product, learn * back, r"\Lambda_1 \Lambda_2 = \alpha\gamma\,(1 - \alpha) g")
    d.equal(
        "The slow one learns the own feature alone",
        sp.limit(slow / alpha, alpha, 0, "+"),
        gamma,
        r"\lim_{\alpha \to 0} \Lambda_2/\alpha = \gamma",
    )
    d.equal(
        "The fast one is the hold of pretraining",
        sp.limit(fast, alpha, 0, "+"),
        hold,
        r"\lim_{\alpha \to 0} \Lambda_1 = g",
    )
    # r(t) = c e^(-slow t) + (1 - c) e^(-fast t), from r(0) = 1 and r'(0) = -learn (1 + w); q(t) = k (e^(-slow t) - e^(-fast t))
    rates = positive("Lambda_1 Lambda_2")
    share = (rates[0] - learn * (1 + w)) / (rates[0] - rates[1])
    height = learn * w / (rates[0] - rates[1])
    missing = share * sp.exp(-rates[1] * t) + (1 - share) * sp.exp(-rates[0] * t)
    shared = height * (sp.exp(-rates[1] * t) - sp.exp(-rates[0] * t))
    hold_back = rates[0] + rates[1] - learn * (1 + w)  # (1 - alpha) g, by the sum
    flow = sp.diff(missing, t) + learn * (1 + w) * missing - hold_back * shared
    # what is left is a multiple of Lambda_1 Lambda_2 - learn back, which is 0
    for name, equation in (("r", flow), ("q", sp.diff(shared, t) - learn * w * missing + hold_back * shared)):
        bound = sp.solve(rates[0] * rates[1] - learn * hold_back, w)[0]
        d.equal(
            f"Stage 1, the equation of {name}",
            equation.subs(w, bound),
            0,
            rf"\dot {name} \text{{ of stage 1 is solved by }} e^{{-\Lambda_1 t}}, e^{{-\Lambda_2 t}}",
        )
    d.equal("It starts from nothing", missing.subs(t, 0) + shared.subs(t, 0), 1, r"r(0) = 1, \quad q(0) = 0")
    weight = (fast - learn * (1 + w)) / (fast - slow)
    d.equal("All of what is missing follows the slow rate", sp.limit(weight, alpha, 0, "+"), 1, r"r \to e^{-\gamma x}")
    d.equal(
        "Stage 1 leaves nothing in the shared feature",
        sp.limit(learn * w / (fast - slow), alpha, 0, "+"),
        0,
        r"q \to 0: \text{ what stage 1 learns lies where } D_{ft} \text{ has no gradient}",
    )
    rho, post, forget, before, pull = positive("rho t_2 G r_1 delta")
    after = before * sp.exp(-rho * gamma * (1 + w) * t)
    d.solves("Stage 2 moves both features", after, lambda r: -rho * gamma * (1 + w) * r, t, before)
    overlap = w / (1 + w)
    d.solves(
        "The shared one takes the share o of it",
        overlap * (before - after),
        lambda q: rho * gamma * w * (before - q / overlap),
        t,
        0,
        r"q_2 = o\,(r_1 - r_2), \quad o = w/(1 + w)",
    )
    d.equal(
        "m, the worth of a stage-2 token",
        sp.log(before / after.subs(t, post)).expand(force=True) / gamma,
        rho * post / (1 - overlap),
        r"z = \rho\, t_{post}/(1 - o)",
    )
    start = sp.Symbol("q_2", positive=True)
    held = pull + (start - pull) * sp.exp(-forget * t)
    d.solves(
        "Stage 3 takes the shared feature to what fine-tuning wants", held, lambda q: forget * (pull - q), t, start
    )


def _law(d: Derivation) -> None:
    gamma, power, offset, e, x, z = positive("gamma a d_0 e x z")
    kappa, erased, variance = positive("kappa epsilon v")
    first, second, pull = sp.symbols("r_1 r_2 delta", real=True)
    overlap = kappa / erased
    third = second + erased * (overlap * (first - second) - pull)  # r_2 + (q_2 - q_3)
    mean = sp.expand(third**2).coeff(pull, 0) + sp.expand(third**2).coeff(pull, 2) * variance
    d.equal(
        "Squared residual after stage 3, averaged over what fine-tuning wants",
        mean,
        (1 - kappa) ** 2 * second**2
        + 2 * kappa * (1 - kappa) * first * second
        + kappa**2 * first**2
        + erased**2 * variance,
        r"\operatorname{E} r_3^2 = (1 - \kappa)^2 r_2^2 + 2\kappa(1 - \kappa)\, r_1 r_2 + \kappa^2 r_1^2 + \psi",
    )
    decay = sp.exp(-gamma * x), sp.exp(-gamma * (x + z))
    d.equal(
        "The cross term is a loss half-way through stage 2",
        decay[0] * decay[1],
        sp.exp(-2 * gamma * (x + z / 2)),
        r"r_1 r_2 = e^{-2\gamma (x + z/2)}",
    )
    density = 2**power / sp.gamma(power) * gamma ** (power - 1) * sp.exp(-2 * gamma * offset)
    d.equal(
        "The learning curve of the spectrum",
        sp.integrate(density * sp.exp(-2 * gamma * e), (gamma, 0, sp.oo)),
        (e + offset) ** -power,
        r"\int_0^\infty \tfrac{2^a}{\Gamma(a)} \gamma^{a - 1} e^{-2\gamma (e + d_0)} d\gamma = (e + d_0)^{-a}",
    )
    early, late = sp.symbols("g_1 g_2", nonnegative=True)  # L(x) - L(x + z/2), L(x + z/2) - loss_im
    share = sp.Symbol("s", positive=True)  # kappa = s/(1 + s)
    lost = (kappa**2 * (early + late) + 2 * kappa * (1 - kappa) * late).subs(kappa, share / (1 + share))
    least, most = (bound.subs(kappa, share / (1 + share)) * (early + late) for bound in (kappa**2, kappa * (2 - kappa)))
    d.sign(
        "At least what S loses at phi = kappa squared",
        lost - least,
        formula=r"L_{ret} \ge L_{im} + \psi + \kappa^2 [L(x) - L_{im}]",
    )
    d.sign(
        "At most what S loses at phi = kappa (2 - kappa)",
        most - lost,
        formula=r"L_{ret} \le L_{im} + \psi + \kappa(2 - \kappa) [L(x) - L_{im}]",
    )
    done = sp.Symbol(
        "f", positive=True
    )  # r in {0, 1}: what is known stays known, so r_1 r_2 = r_2 and both are their squares
    d.equal(
        "S itself where modes are learned or not",
        ((1 - kappa) ** 2 + 2 * kappa * (1 - kappa)) * done + kappa**2,
        done + kappa**2 * (1 - done),
        r"r \in \{0, 1\}:\ L_{ret} = L_{im} + \psi + \kappa^2 [L(x) - L_{im}]",
    )


def _minimum(d: Derivation) -> None:
    lam = sp.Symbol("lambda", real=True)
    size, m, power, offset, share = positive("D m a d_0 s")
    kappa = share / (1 + share)
    weights = (1 - kappa) ** 2, 2 * kappa * (1 - kappa), kappa**2
    known = [lam * size + part * m * (1 - lam) * size + offset for part in (1, sp.Rational(1, 2), 0)]
    loss = sum(weight * one**-power for weight, one in zip(weights, known, strict=True))
    level = positive("u")
    pace = sp.Symbol("b", real=True)
    bend = power * (power + 1) * pace**2 * level ** (-power - 2)
    d.equal(
        "Curvature of each of its three terms, which know b lambda + c",
        sp.diff((pace * lam + offset) ** -power, lam, 2),
        bend.subs(level, pace * lam + offset),
        r"\frac{d^2}{d\lambda^2} u^{-a} = a(a + 1)\, b^2 u^{-a-2}, \quad u = b\lambda + c",
    )
    d.sign("Each is convex", bend, formula=r"a(a + 1)\, b^2 u^{-a-2} \ge 0")
    d.sign(
        "The last one strictly: its b is D",
        weights[2] * bend.subs(pace, size),
        strict=True,
        formula=r"\kappa^2 a(a + 1) D^2 u^{-a-2} > 0",
    )
    slope = sp.diff(loss, lam).subs(lam, 1)
    d.equal(
        "Slope at lambda = 1",
        sp.simplify(slope / (power * size * (size + offset) ** (-power - 1))),
        m * (1 - kappa) - 1,
        r"L_{ret}'(1) \propto m (1 - \kappa) - 1 > 0 \iff \kappa < 1 - 1/m",
    )
    start = -sp.diff(loss, lam).subs(lam, 0) / (power * size)
    first, half, whole = (one.subs(lam, 0) ** (-power - 1) for one in reversed(known))
    d.equal(
        "Slope at lambda = 0",
        start,
        kappa**2 * first - (m - 2) * kappa * (1 - kappa) * half - (m - 1) * (1 - kappa) ** 2 * whole,
        r"L_{ret}'(0) < 0 \iff (m - 1)(1 - \kappa)^2 (1 + R)^{-a-1} + (m - 2)\,\kappa(1 - \kappa) (1 + \tfrac{R}{2})^{-a-1} < \kappa^2,"
        r"\quad R = mD/d_0",
    )
    shared, forget = positive("w G")
    overlap = shared / (1 + shared)
    d.sign(
        "At equal step sizes kappa stays below 1 - 1/m, so that lambda = 1 is never best",
        overlap - overlap * (1 - sp.exp(-forget)),
        strict=True,
        formula=r"1 - 1/m = o > o\,(1 - e^{-g t_{ft}}) = \kappa",
    )


def _reduction() -> float:
    """How far the error of the law is from proportional to alpha, over ten settings."""
    rng = np.random.default_rng(3)
    worst = 0.0
    for _ in range(10):
        overlap, erased, power, offset = rng.uniform((0.1, 0.2, 0.2, 5.0), (0.9, 0.95, 1.5, 80.0))
        t_post, exposure = rng.uniform(20, 300), rng.uniform(5, 300)
        v = mechanism.law_values(overlap, 1.0, erased)
        known = exposure + v["post_worth"] * t_post * np.array([1.0, 0.5, 0.0]) + offset
        kappa = float(v["undone"])
        law = np.array([(1 - kappa) ** 2, 2 * kappa * (1 - kappa), kappa**2]) @ known**-power
        alphas = np.array([1e-4, 1e-5])
        stages = {"overlap": overlap, "alpha": alphas, "t_pre": exposure / alphas, "t_post": t_post, "erased": erased}
        error = np.abs(mechanism.losses(power, offset, **stages, hold=3.0)[2] / law - 1)
        worst = max(worst, abs(error[0] / error[1] / 10 - 1))
    return worst
