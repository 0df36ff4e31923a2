"""Errata of the setup: C.1 to C.8 and the text between them."""

import numpy as np

from theory.errata.core import Erratum, Finding, Numbers
from theory.proofs.matrices import Layers, aligned, descend, flow, loss, orthogonal


def off_diagonal(matrix: Numbers) -> float:
    """The largest entry off the diagonal."""
    return float(np.abs(matrix - np.diag(np.diag(matrix))).max())


def swapped() -> Finding:
    """Sample covariances of y = A x in both readings, and the input variance of a mixture."""
    rng = np.random.default_rng(0)
    n, samples, alpha = 4, 200_000, 0.3
    u, v = orthogonal(rng, n), orthogonal(rng, n)
    sigma, variance = rng.uniform(0.5, 2, n), rng.uniform(0.2, 1.5, n)
    inputs = (rng.standard_normal((samples, n)) * np.sqrt(variance)) @ v.T
    outputs = inputs @ ((u * sigma) @ v.T).T
    cross, inner = inputs.T @ outputs / samples, inputs.T @ inputs / samples
    seen_late = rng.uniform(size=samples) < alpha
    numbers = {
        "off-diagonal of V^T Sigma_xy U (true reading)": off_diagonal(v.T @ cross @ u),
        "off-diagonal of U^T Sigma_xy V (printed)": off_diagonal(u.T @ cross @ v),
        "off-diagonal of V^T Sigma_xx V (true reading)": off_diagonal(v.T @ inner @ v),
        "off-diagonal of U^T Sigma_xx U (printed)": off_diagonal(u.T @ inner @ u),
        "variance of a specialised direction in the mixture, alpha = 0.3 (printed: 1)": float(
            np.mean((seen_late * rng.standard_normal(samples)) ** 2)
        ),
    }
    values = list(numbers.values())
    good = max(values[0], values[2]) < 0.02 and min(values[1], values[3]) > 0.1 and abs(values[4] - alpha) < 0.01
    return Finding(numbers=numbers, confirmed=good)


def definitions() -> Finding:
    """C.3: draws that meet the second inequality with c_mis > 0 and break the first."""
    rng = np.random.default_rng(1)
    post, pre, gap = rng.uniform(0, 3, (3, 200_000))
    second = post - pre > gap
    broken = int((second & (post <= pre)).sum())
    return Finding(
        numbers={"draws that meet the second": float(second.sum()), "of these break the first": float(broken)},
        confirmed=broken == 0 and bool(second.any()),
    )


def beta_bound() -> Finding:
    """What a specialised mode learns with and without variance under D_post, and forgetting beyond the bound."""
    rng = np.random.default_rng(2)
    u, v, q = (orthogonal(rng, 2) for _ in range(3))
    seed = np.full(2, 1e-2)
    learned = []
    for variance in (0.0, 1.0):
        cov = (v * np.array([1.0, variance])) @ v.T
        first, second = flow(aligned(u, v, q, seed, seed), [((u * np.array([2.0, 0.9])) @ v.T, cov, 12.0)])
        learned.append(float((u.T @ first @ second @ v)[1, 1]))
    post, ft, beta, gap = 2.0, 0.9, 0.9, 1.0  # beta > gap/2: C.4 is violated
    layers = aligned(u, v, q, np.array([np.sqrt(post), 0.0]), np.array([np.sqrt(post), 0.0]))
    target = (u * np.array([post, beta])) @ v.T
    after = flow(layers, [((u * np.array([ft, 0.0])) @ v.T, (v * np.array([1.0, 0.0])) @ v.T, 8.0)])
    forgetting = loss(after[0] @ after[1], target, np.eye(2)) - loss(layers[0] @ layers[1], target, np.eye(2))
    numbers = {
        "learned without variance under D_post (read literally)": learned[0],
        "learned with variance 1 under D_post": learned[1],
        "beta": beta,
        "c_mis/2": gap / 2,
        "forgetting of the unmixed model": forgetting,
    }
    good = learned[0] < 1e-3 and abs(learned[1] - 0.9) < 1e-6 and forgetting > gap**2
    return Finding(numbers=numbers, confirmed=good)


def contradiction() -> Finding:
    """Random settings: how many meet C.3, C.4 and C.6 together; and the exact condition without C.4."""
    rng = np.random.default_rng(3)
    draws, k = 400_000, 2
    alpha = rng.uniform(0, 1, (draws, 1))
    pre = rng.uniform(0, 2, (draws, k)) * (rng.uniform(size=(draws, 1)) < 0.8)
    gap = 10 ** rng.uniform(-3, 1, (draws, 1))
    post = pre + gap * (1 + rng.exponential(0.3, (draws, k)))
    tied = gap / 2 * rng.uniform(0, 1, (draws, 1))  # beta < c_mis/2
    free = 10 ** rng.uniform(-2, 1.5, (draws, 1))

    def c6(beta: Numbers) -> Numbers:
        return np.asarray((alpha * beta > (1 - alpha) * pre + alpha * post).all(axis=1))

    room = free - post
    exact = ((room > 0) & (alpha * (room + pre) > pre)).all(axis=1)
    numbers = {
        "draws": float(draws),
        "meet C.6 with C.4": float(c6(tied).sum()),
        "meet C.6 without C.4": float(c6(free).sum()),
        "disagree with beta > s_post and alpha > s_pre/(beta - s_post + s_pre)": float((c6(free) != exact).sum()),
    }
    values = list(numbers.values())
    return Finding(numbers=numbers, confirmed=values[1] == 0 and values[2] > 1000 and values[3] == 0)


def indices() -> Finding:
    """Draws that meet C.5, with C.6 at i = d_invariant (printed) and from d_invariant + 1 on (meant)."""
    rng = np.random.default_rng(4)
    alpha, pre, gap, beta = rng.uniform(0, 1, (4, 200_000)) * np.array([[1.0], [0.2], [1.0], [4.0]])
    post = pre + gap
    invariant = np.maximum(post, beta) * (1 + rng.uniform(0, 1, beta.size))
    meant = alpha * beta > (1 - alpha) * pre + alpha * post
    printed = meant & (alpha * beta > invariant)
    return Finding(
        numbers={"meet C.5 and C.6 as meant": float(meant.sum()), "meet C.5 and C.6 as printed": float(printed.sum())},
        confirmed=bool(meant.any()) and not printed.any(),
    )


def alignment() -> Finding:
    """Slowest mode at t = 4 from W1 = W2 = 1e-3 I: U = V, random U and V with either sign of det(U V^T), U = -V; aligned start."""
    sigma, delta, n = np.array([3.0, 2.5, 2.0, 1.5, 1.0]), 1e-3, 5
    small, seed = np.full(n, delta), delta * np.eye(n)

    def strengths(start: Layers, u: Numbers, v: Numbers) -> Numbers:
        first, second = flow(start, [((u * sigma) @ v.T, np.eye(n), 4.0)], rtol=1e-9)
        return np.asarray(np.diag(u.T @ first @ second @ v))

    rng = np.random.default_rng(5)
    apart: dict[int, list[float]] = {1: [], -1: []}
    for _ in range(40):
        u, v = orthogonal(rng, n), orthogonal(rng, n)
        apart[round(np.linalg.det(u @ v.T))].append(float(strengths((seed, seed), u, v)[-1]))
    numbers = {
        "U = V": float(strengths((seed, seed), u, u)[-1]),
        "random, det(U V^T) = 1: median": float(np.median(apart[1])),
        "random, det(U V^T) = 1: largest": max(apart[1]),
        "random, det(U V^T) = -1: median": float(np.median(apart[-1])),
        "random, det(U V^T) = -1: largest": max(apart[-1]),
        "U = -V, largest of all modes": float(np.abs(strengths((seed, seed), -u, u)).max()),
        "random U, V, aligned start": float(strengths(aligned(u, v, orthogonal(rng, n), small, small), u, v)[-1]),
    }
    same, middle, most, crossed, _, never, repaired = numbers.values()
    good = abs(same - 0.899) < 1e-3 and abs(repaired - same) < 1e-5 and middle < 0.7 and most < same
    return Finding(numbers=numbers, confirmed=bool(good and crossed < 0.01 and never < 1e-6))


def squared_norm() -> Finding:
    """Sample mean of |theta x - A x|^2 against the norm and its square."""
    rng = np.random.default_rng(6)
    gap = rng.standard_normal((4, 4))
    inputs = rng.standard_normal((400_000, 4))
    mean, norm = float(((inputs @ gap.T) ** 2).sum(axis=1).mean()), float(np.linalg.norm(gap))
    numbers = {"sample mean of the loss": mean, "|theta - A|_F^2": norm**2, "|theta - A|_F (printed)": norm}
    return Finding(numbers=numbers, confirmed=abs(mean / norm**2 - 1) < 0.01 and abs(mean / norm - 1) > 0.1)


def one_sided_bounds() -> Finding:
    """All four printed bounds hold (on W1), C.12 holds, and gradient descent diverges because W2 is unbounded."""
    gamma, step = 1.0, 0.12
    w1, w2 = np.array([[0.009]]), np.array([[100.0]])
    with np.errstate(over="ignore", invalid="ignore"):
        first, second = descend((w1, w2), np.array([[1.0]]), np.eye(1), step, 3)
    numbers = {
        "4 eta (lam + 2) Gamma": 8 * step * gamma,
        "largest |W1|_op at the start": float(w1[0, 0]),
        "loss before": float((w1 @ w2 - 1).item() ** 2),
        "loss after 3 steps": float((first @ second - 1).item() ** 2),
    }
    good = numbers["4 eta (lam + 2) Gamma"] < 1 and numbers["loss after 3 steps"] > 1e6 * numbers["loss before"]
    return Finding(numbers=numbers, confirmed=good)


ITEMS = (
    Erratum(
        name="transposed",
        where="C.1 and C.7",
        printed="Sigma_xy = U D V^T, Sigma_xx = U D_xx U^T, all lambda = 1",
        holds="Sigma_xy = V D U^T, Sigma_xx = V D_xx V^T",
        survives="yes, relabelled",
        detail="C.1 has A = U S V^T; with y = A x the roles of U and V swap in C.7. In a mixture D_xx is alpha, not 1, on the "
        "specialised directions, and that is what makes their learned value beta.",
        check=swapped,
        proofs=("setting",),
        grade="proved",
    ),
    Erratum(
        name="definitions",
        where="C.2 and C.3",
        printed="two inequalities for an inconsistent feature",
        holds="fine; the second implies the first",
        survives="yes",
        detail="Nothing is wrong here; the item is listed because the first inequality adds nothing when c_mis > 0.",
        check=definitions,
        proofs=("setting",),
        grade="proved",
        false=False,
    ),
    Erratum(
        name="beta-bound",
        where="C.4",
        printed="V_i^T x = 0; beta < c_mis/2",
        holds="zero variance only under D_pre, D_ft; drop the bound",
        survives="yes, without bound",
        detail="Read literally the feature could never be learned. The bound on beta is used only in C.17, where the right "
        "algebra does not need it, and it contradicts C.6 (next item).",
        check=beta_bound,
        proofs=("forgetting", "setting"),
        grade="proved",
    ),
    Erratum(
        name="contradiction",
        where="C.6 with C.3 and C.4",
        printed="alpha beta > (1-alpha) s_pre + alpha s_post",
        holds="never with C.4; without: beta > s_post and alpha large",
        survives="repaired by dropping C.4's bound",
        detail="C.6 forces beta > s_post > c_mis > 2 beta for non-negative targets, so C.10 and what builds on "
        "its checkpoint are vacuous as printed. "
        "Exact condition without C.4: beta > max s_post and alpha > s_pre/(beta - s_post + s_pre).",
        check=contradiction,
        proofs=("setting",),
        grade="proved",
    ),
    Erratum(
        name="indices",
        where="C.5 and C.6",
        printed="i from 0; C.6 includes i = d_invariant",
        holds="from 1; C.6 from d_invariant + 1",
        survives="yes",
        detail="i = d_invariant is an invariant feature, so C.6 as printed asks alpha beta > sigma_inv against C.5.",
        check=indices,
        proofs=("setting",),
        grade="proved",
    ),
    Erratum(
        name="alignment",
        where="C.8",
        printed="W1 = W2 = e^-T I",
        holds="W1 = e^-T U Q^T, W2 = e^-T Q V^T",
        survives="yes, aligned",
        detail="The identity is aligned only if U = V. Otherwise modes couple in hidden space and are learned "
        "late, later still if det(U V^T) = -1 "
        "(the map must pass through a singular one), and for U = -V never.",
        check=alignment,
        proofs=("mode-ode",),
        grade="argued",
    ),
    Erratum(
        name="squared-norm",
        where="C.3, text",
        printed="the loss equals |theta - A|_F",
        holds="|theta - A|_F^2",
        survives="yes",
        detail="For x ~ N(0, I) the expected squared error is the squared Frobenius norm.",
        check=squared_norm,
    ),
    Erratum(
        name="one-sided-bounds",
        where="C.11",
        printed="four bounds, all on W1",
        holds="two of them should be on W2",
        survives="yes",
        detail="With W2 unbounded the step-size assumption C.12 does not prevent divergence.",
        check=one_sided_bounds,
    ),
)
