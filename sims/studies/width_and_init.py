"""Start and width of the network: the gain, the effective initial strength of random weights, and what large ones erode (P1, P7).

gain    aligned, scaled identity and random starts of several widths and scales, unmixed and mixed
start   the strength that a closed form would have to start from to give the specialised strength after stage 1; theory for
        independent entries of variance zeta^2: `(m - r) zeta^2/2` on average, r = n - 1 modes being faster
law     the same exposure shared out between stages 1 and 2
frozen  every stage to convergence: what fine-tuning without variance there adds to the specialised features' share of loss_ret,
        which is loss_ret - k (sigma_post - sigma_ft)^2 - loss_im; 0 in aligned networks, whatever the target

`python -m sims width-and-init`, under half a minute on two cores. What came out: the gain falls from most of it to none as
initial weights grow from .001 to .1.
"""

from typing import Any

import numpy as np

from common.curves import by_seed, paired
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, product
from sims.effects import judged, mean
from sims.setup import Setup
from sims.studies.gains import SEEDS, lawful, mean_at, noticed, specialised_loss
from sims.study import Study, seeds

BETA = 0.9
N = 6
STEPS = (800, 100, 100)
WIDTHS = (6, 12, 32)
SCALES = (1e-3, 1e-2, 0.03, 0.1, 0.3)
SMALL = 1e-2
"""Initial scale at which effective strengths are read off; the law of 1.4 is one for small weights."""
MIXED = 0.2
T_PRE = 20.0
LAW_EXPOSURE = {1e-2: 2.0, 0.1: 0.8, 0.3: 0.4}
"""About half learned, for the widest network."""
SHARES = np.linspace(0.0, 1.0, 5)
FROZEN_SCALES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5)
SHIFT = 1.0
"""sigma_post - sigma_ft of the part `frozen`."""
START_SEEDS = 96
"""Of effective strengths, which scatter like chi-square variables, the narrowest network's with one degree of freedom."""
START_EXPOSURES = np.log(BETA / (np.array([30.0, 3.0, 0.3, 0.03]) * SMALL**2) - 1) / (4 * BETA)
"""Half-learning exposures of effective strengths of so many SMALL^2: the range in which seeds and widths fall."""
FACTOR = 1.25
"""The mean effective strength counts as predicted if it is within this factor."""


def expected_gain(width: int, scale: float) -> float:
    """The gain in loss_ret by the closed form, started from the mean effective strength `(m - n + 1) zeta^2/2`."""
    from theory import predict

    start = {"init_scale": ((width - N + 1) / 2) ** 0.5 * scale, "t_pre": T_PRE}
    unmixed, mixed = (float(predict({**start, "alpha": alpha}).loss_ret) for alpha in (0.0, MIXED))
    return unmixed - mixed


def cases() -> list[Case]:
    """Starts and widths over exposure and seeds."""
    runs = product(alpha=(0.0, MIXED), seed=seeds(SEEDS)) | {"t_pre": T_PRE}
    made = []
    for init in ("aligned", "identity"):
        setup = Setup(init=init, vectors="identity" if init == "identity" else "random", steps=STEPS, record=1)
        made.append(Case("plain", setup, runs, {"sims.part": "gain"}))
    for width in WIDTHS:
        setup = Setup(init="random", width=width, steps=STEPS, record=1)
        scaled = product(init_scale=SCALES, alpha=(0.0, MIXED), seed=seeds(SEEDS)) | {"t_pre": T_PRE}
        expected = {scale: expected_gain(width, scale) for scale in SCALES}
        closed = np.array([expected[scale] for scale in scaled["init_scale"]])
        made.append(Case("plain", setup, scaled, {"sims.part": "gain", "sims.expected_gain": closed}))
        timed = product(exposure=START_EXPOSURES, seed=seeds(START_SEEDS))
        alpha = timed.pop("exposure") / T_PRE
        only = {"t_pre": T_PRE, "t_post": 0.0, "t_ft": 0.0, "init_scale": SMALL, "alpha": alpha}
        made.append(Case("plain", setup, timed | only, {"sims.part": "start"}))
        long = product(init_scale=FROZEN_SCALES, seed=seeds(SEEDS)) | {"alpha": MIXED, "t_pre": T_PRE}
        long |= {"t_post": 10.0, "t_ft": 10.0, "sigma_post": 1.4, "sigma_ft": 1.4 - SHIFT}
        converging = Setup(init="random", width=width, steps=(1200, 600, 600), record=1)
        made.append(Case("plain", converging, long, {"sims.part": "frozen"}))
    wide = Setup(init="random", width=WIDTHS[-1], steps=(800, 600, 100), record=1)
    shared = product(share=SHARES, init_scale=tuple(LAW_EXPOSURE), seed=seeds(SEEDS))
    share = shared.pop("share")
    budget = np.array([LAW_EXPOSURE[scale] for scale in shared["init_scale"]])
    total = T_PRE + share * budget
    times = {"t_pre": total, "t_post": (1 - share) * budget, "alpha": share * budget / total}
    return [*made, Case("plain", wide, shared | times, {"sims.part": "law", "sims.share": share})]


def chosen(table: Any, part: str, init: str, width: int, scale: float | None = None) -> Any:
    """Mask of the rows of a part, a start, a width and an initial scale."""
    keep = (column(table, "sims.part") == part) & (column(table, "sims.init") == init)
    keep &= column(table, "sims.width") == width
    return keep if scale is None else keep & (column(table, "problem.init_scale") == scale)


def effective_strength(table: Any, width: int) -> Any:
    """The initial strength that gives a seed's specialised strength after stage 1, over `(m - r) zeta^2/2`; one per seed.

    Of the exposures the one is used at which the seed is nearest to half learned: early, fluctuations from other
    modes hide the strength; late, it no longer depends on its start.
    """
    alpha, learned = by_seed(table, chosen(table, "start", "random", width), "alpha", "sims.specialised")
    best = np.abs(learned - BETA / 2).argmin(1)
    strength = learned[np.arange(len(learned)), best]
    exposure = alpha[best] * T_PRE
    start = 1 / ((1 / strength - 1 / BETA) * np.exp(4 * BETA * exposure) + 1 / BETA)
    return start / ((width - (N - 1)) * SMALL**2 / 2)


def eroded(table: Any, width: int) -> tuple[Any, Any]:
    """Initial scales, and what fine-tuning adds to the specialised features' loss, over beta^2: shape (seeds, scales)."""
    keep = chosen(table, "frozen", "random", width)
    points, (retained, immediate) = paired(table, "problem.init_scale", (keep, "loss_ret"), (keep, "loss_im"))
    return points, (retained - SHIFT**2 - immediate) / BETA**2


def judge(table: Any) -> list[Verdict]:
    """P1: effective start and exposure law of random weights; P7: what random weights erode without variance."""
    made = []
    for width in WIDTHS:
        effect = "effective initial strength of random weights over (m - n + 1) zeta^2/2"
        made.append(judged("P1", "plain", effect, mean(effective_strength(table, width)), f"within a factor {FACTOR:g} of 1",
                           f"random start, width {width}", at_least=1 / FACTOR, at_most=FACTOR))  # fmt: skip
    wide = WIDTHS[-1]
    for scale in LAW_EXPOSURE:
        shares, losses = specialised_loss(table, chosen(table, "law", "random", wide, scale), "sims.share")
        made.append(lawful("plain", shares, losses, f", initial scale {scale:g}", f"random start, width {wide}"))
    for width in WIDTHS:
        points, share_back = eroded(table, width)
        effect = f"share of beta^2 that stage 3 brings back, initial scale {FROZEN_SCALES[-1]:g}"
        found = mean_at(share_back, points, FROZEN_SCALES[-1])
        made.append(noticed("P7", effect, found, f"random start, width {width}"))
    return made


WIDTH_AND_INIT = Study("width-and-init", "starts and widths: gain, effective strength, erosion (P1, P7)", cases, judge)
