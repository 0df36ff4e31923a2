"""Theorem 5.3: does the unmixed model forget more? From exact zeros yes; otherwise the order reverses for long fine-tuning.

With ordered targets the mixed model knows the inconsistent block better after post-training. Long fine-tuning takes both to the same
place, so the one that was better before has lost more. Source: arXiv 2605.12705 Sec. 5.3 and C.17; docs/theory.md, section 4.
"""

import sympy as sp

from theory.proofs.core import Derivation, Theorem
from theory.proofs.symbols import a, a0, logistic, nonnegative, positive, s, t
from theory.stages import predict

THEOREM = Theorem(
    name="theorem-5-3",
    title="Forgetting of the unmixed and of the mixed model",
    source="Theorem 5.3 (informal) and C.17, repaired",
    assumptions=(
        r"Modes obey the mode equations; $\Delta = L_{ret} - L_{im}$; both models have the same $T_1$, $T_2$, $T_3$; no leakage.",
        r"For the reversal: $0 < \delta^2 \le s_{post}$, $s_{pre} < s_{post}$, $s_{ft} \ge 0$, $0 < \alpha \le 1$ and $T_1 > 0$ "
        r"in the mixed model.",
    ),
    statement=(
        r"From exact zeros and converged stages $\Delta_u - \Delta_m = k(s_{post} - s_{ft})^2 > 0$, as printed. From positive starts "
        r"$a_2^u < a_2^m \le s_{post}$, and $\Delta_m - \Delta_u \to L_{im,inc}^u - L_{im,inc}^m > 0$ as $T_3 \to \infty$ "
        r"at every finite $T_2$: for long fine-tuning the mixed model forgets more."
    ),
)


def derive(d: Derivation) -> None:
    """The printed case; the order after stage 2; the limit of the difference; then the printed order, evaluated."""
    post, ft = positive("s_post s_ft")
    gap = positive("g")
    d.sign(
        "From exact zeros: unmixed goes from $s_{post}$ to $s_{ft}$, mixed stays",
        sp.expand(((ft - post) ** 2 - (post - post) ** 2 - ((0 - post) ** 2 - (0 - post) ** 2)).subs(post, ft + gap)),
        strict=True,
        formula=r"\Delta_u - \Delta_m = (s_{ft} - s_{post})^2 - 0 > 0",
    )
    _after_stage_one(d)
    _after_stage_two(d)
    _limit(d, post)
    at = {"sigma_pre": 0.4, "sigma_post": 1.4, "sigma_ft": 0.4, "t_post": 0.4, "t_ft": 10.0}
    unmixed, mixed = (predict(at | {"alpha": alpha}) for alpha in (0.0, 0.5))
    difference = float((mixed.loss_ret - mixed.loss_im) - (unmixed.loss_ret - unmixed.loss_im))
    d.refute(
        "5.3: $\\Delta_m - \\Delta_u \\le 0$ at $T_3 = 10$ ($\\alpha$ .5, $T_2$ .4)",
        0.0,
        max(difference, 0.0),
        margin=0.05,
    )


def _after_stage_one(d: Derivation) -> None:
    """A higher target gives a higher strength, from any start."""
    alpha, pre, post, tau = positive("alpha s_pre s_post tau")
    d.equal(
        "Exposure raises the stage-1 target",
        (1 - alpha) * pre + alpha * post - pre,
        alpha * (post - pre),
        r"s_{mix} - s_{pre} = \alpha (s_{post} - s_{pre}) > 0",
    )
    inverse = sp.exp(-4 * s * t) / a0 + sp.integrate(4 * sp.exp(-4 * s * tau), (tau, 0, t))
    d.equal(
        "Inverse strength",
        1 / logistic(a0, sp.S(1), s, t),
        inverse,
        r"1/F = e^{-4st}/a_0 + \int_0^t 4 e^{-4s\tau} d\tau",
    )
    now, more = positive("y x")  # y = e^{-4 s tau}, e^{-4 g tau} = 1/(1 + x), with g > 0 the difference of the targets
    higher = now / (1 + more)
    d.sign(
        "The term of the start falls with the target",
        now / a0 - higher / a0,
        strict=True,
        formula=r"e^{-4st}/a_0 > e^{-4(s+g)t}/a_0",
    )
    d.sign(
        "and so does the integrand at every $\\tau$",
        4 * now - 4 * higher,
        strict=True,
        formula=r"4e^{-4s\tau} > 4e^{-4(s+g)\tau}",
    )


def _after_stage_two(d: Derivation) -> None:
    post, first, step, second = positive("s_post u_1 q E_2")
    after = second * first + (1 - second) / post
    d.equal(
        "Stage 2 in inverse strengths",
        1 / logistic(1 / first, sp.S(1), post, t),
        after.subs(second, sp.exp(-4 * post * t)),
        r"u_2 = E_2 u_1 + (1 - E_2)/s_{post}",
    )
    d.sign(
        "keeps the order at every finite $T_2$",
        after.subs(first, first + step) - after,
        strict=True,
        formula=r"u_1^u > u_1^m \Rightarrow u_2^u > u_2^m",
    )
    low, mixed, unit = nonnegative("p"), nonnegative("r"), 1 / (1 + nonnegative("x"))
    start, target = post / (1 + low), post / (1 + mixed)
    d.sign(
        "and both stay at most at the target",
        sp.factor((unit / start + (1 - unit) / target) - 1 / post),
        formula=r"\delta^2, s_{mix} \le s_{post} \Rightarrow u_1 \ge 1/s_{post}",
    )
    d.equal(
        "also in stage 2", after - 1 / post, second * (first - 1 / post), r"u_2 - 1/s_{post} = E_2 (u_1 - 1/s_{post})"
    )


def _limit(d: Derivation, post: sp.Symbol) -> None:
    ft, decay, unmixed, mixed, u2 = positive("s_ft E a_u a_m u_2")
    d.equal(
        "Long fine-tuning forgets its start",
        (ft / (1 + (ft * u2 - 1) * decay)).subs(decay, 0),
        ft,
        r"a_3|_{E = 0} = s_{ft}",
    )
    d.equal("also to zero", sp.limit(1 / (u2 + 4 * t), t, sp.oo), sp.S(0), r"s_{ft} = 0: \ a_3 = 1/(u_2 + 4T_3) \to 0")
    forgetting = [(post - ft) ** 2 - (post - strength) ** 2 for strength in (mixed, unmixed)]
    d.equal(
        "The difference of what is forgotten",
        forgetting[0] - forgetting[1],
        (post - unmixed) ** 2 - (post - mixed) ** 2,
        r"\Delta_m - \Delta_u \to \sum_{inc} [(s_{post} - a_2^u)^2 - (s_{post} - a_2^m)^2] = L_{im,inc}^u - L_{im,inc}^m",
    )
    more, room = positive("d"), nonnegative("h")
    ordered = ((post - unmixed) ** 2 - (post - mixed) ** 2).subs(post, mixed + room).subs(mixed, unmixed + more)
    d.sign(
        "is positive",
        sp.expand(ordered),
        strict=True,
        formula=r"a_2^u < a_2^m \le s_{post} \Rightarrow L_{im,inc}^u > L_{im,inc}^m",
    )
    c = positive("c")
    d.equal("Specialised modes are frozen in fine-tuning", sp.limit(logistic(a0, c, ft, t), c, 0), a0, r"b_3 = b_2")
    alpha, sigma = positive("alpha sigma")
    d.equal(
        "Invariant modes do not see the mixture",
        (1 - alpha) * (a - sigma) ** 2 + alpha * (a - sigma) ** 2,
        (a - sigma) ** 2,
        r"\text{equal in both models}",
    )
