"""Stage 2 to convergence: is the benefit of early exposure latent, from which exposure on, and at what price (P2, P8 to P11, T1, T2)?

exposure   loss_im, loss_ret and D_pre damage after stage 2 against alpha, stage 2 long enough to converge on D_post
window     the losses of the stage-1 mixture itself against the length of stage 1 (no stage 2): what it learns first, and its price
matched    stage 2 stopped at one loss_im for mixed and unmixed, then fine-tuned

`python -m sims latent`, one to two minutes on two cores. What came out: the benefit is latent exactly where the two features
can stand in for one another.
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from common.curves import NOTABLE, by_seed, paired
from common.minima import NOTABLE_GAIN
from common.results import column
from common.verdicts import Verdict, all_of
from sims.effects import Effect, judged, largest, mean, ratio
from sims.studies.latent_cases import (
    AT_ONCE,
    LENGTH,
    PRICE_ALPHA,
    STOP,
    STOP_AT,
    STOP_LENGTH,
    WINDOW,
    cases,
    closed_rows,
)
from sims.studies.networks import NETWORKS
from sims.study import Study
from theory.features import Blocks

SECOND_MOMENT = {"linear": 1.0, "relu": 0.5, "tanh": 0.3943}
"""E phi(z)^2 of a standard normal z: what an error of 1 in a feature's weight costs."""

CLOSE = 0.1
"""Tenths are the tolerance of the verdicts on times, prices and damages, as in the definition of latent."""
INDEPENDENT = ("plain", "relu", "tanh")
"""Networks in which nothing but the specialised feature serves its output: what Theorem 5.1 is about."""
SHARP, LINEAR_ONSET = 0.1, (0.15, 0.5)
"""Onset: at a quarter of the weight that gives half the effect on sqrt(loss_ret), a threshold leaves next to nothing of that half, a
proportional effect a quarter of it."""


def asked(table: Any, model: str, question: str, time: float | None = None) -> Any:
    """Mask of the rows of one question to one network, at a fine-tuning length."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == question)
    return keep if time is None else keep & np.isclose(column(table, "t_ft"), time, rtol=1e-6, atol=0)


def judge(table: Any) -> list[Verdict]:
    """P2, T2, P9, P10 and P8 for every network in the table, T1 where features are independent, P11 where stage 2 was stopped."""
    model, question = column(table, "model"), column(table, "sims.question")
    present = set(zip(model.tolist(), question.tolist(), strict=True))
    made = []
    for name in NETWORKS:
        if (name, "exposure") in present:
            made += [_latent(table, name), _damage(table, name), _untouched(table, name)]
        if name in ("rp", "rp-shared") and (name, "exposure") in present:
            made.append(_onset(table, name))
        if (name, "window") in present:
            made.append(_window(table))
        if (name, "price") in present:
            made.append(_priced(table, name))
            if name in INDEPENDENT:
                made.append(_learned(table, name))
        if (name, "matched") in present:
            made.append(_crossover(table, name))
    return made


def latent_excess(loss_im: Any, loss_ret: Any) -> Effect:
    """By how much the best alpha meets the definition of a latent benefit (`common.curves.latent`), as shares of the unmixed forgetting.

    The smallest of three: the fall of loss_ret beyond a tenth of the forgetting, and that fall beyond ten times what loss_im moved by, down
    or up. Above 0 the benefit is latent.

    Args:
        loss_im: shape (seeds, alphas), unmixed first.
        loss_ret: likewise.
    """
    forgetting = (loss_ret[:, :1] - loss_im[:, :1])[..., None]
    fall, moved = loss_ret[:, :1] - loss_ret[:, 1:], loss_im[:, :1] - loss_im[:, 1:]
    parts = [fall - NOTABLE * forgetting[..., 0], fall - moved / NOTABLE, fall + moved / NOTABLE]
    return largest(np.stack(parts, axis=-1), forgetting)


def _latent(table: Any, model: str) -> Verdict:
    """P2: none in the plain model; in the others loss_im is flat and loss_ret falls."""
    runs = asked(table, model, "exposure", LENGTH)
    _, (immediate, retained) = paired(table, "alpha", (runs, "loss_im"), (runs, "loss_ret"))
    excess = latent_excess(immediate, retained)
    fall = (retained[:, 0] - retained[:, 1 + excess.cell]).mean() / (retained[:, 0] - immediate[:, 0]).mean()
    said = f"by how much a fall of loss_ret is latent, shares of the unmixed forgetting; the fall {fall:.3g}"
    if not NETWORKS[model].redundant:
        return judged("P2", model, said, excess, "at no alpha is there a latent benefit", at_most=0.0)
    return judged("P2", model, said, excess, "some alpha gives a latent benefit", at_least=0.0)


def _damage(table: Any, model: str) -> Verdict:
    """P10: what stage 2 does to the loss on D_pre, at the largest alpha over unmixed."""
    _, damage = by_seed(table, asked(table, model, "exposure", AT_ONCE * LENGTH), "alpha", "loss_pre")
    share = ratio(damage[:, -1], damage[:, 0])
    said = f"loss on D_pre after stage 2, mixed over unmixed ({damage[:, 0].mean():.3g})"
    if not NETWORKS[model].redundant:
        return near_one("P10", model, said, share)
    return judged("P10", model, said, share, f"at most {CLOSE:g}", at_most=CLOSE)


def _untouched(table: Any, model: str) -> Verdict:
    """T2 where stage 2 has converged: after mixing it leaves the inconsistent features alone, so D_pre is not damaged."""
    _, damage = by_seed(table, asked(table, model, "exposure", AT_ONCE * LENGTH), "alpha", "loss_pre")
    said = f"D_pre damage of a converged stage 2, mixed over unmixed ({damage[:, 0].mean():.3g})"
    criterion = f"at most {CLOSE:g}: after mixing the inconsistent features are left alone"
    return judged("T2", model, said, ratio(damage[:, -1], damage[:, 0]), criterion, at_most=CLOSE)


def _learned(table: Any, model: str) -> Verdict:
    """T1: how much of the specialised feature stage 1 has learned, without and with mixing, in shares of its loss.

    A shared feature at the mixture's target explains the rest of the loss on D_post: `(1 - alpha)^2 gap^2` of its second moment.
    """
    _, after = by_seed(table, asked(table, model, "price"), "alpha", "loss_im")  # no stage 2: the loss on D_post
    gap = _gap(model)
    beta = (asdict(Blocks()) | dict(NETWORKS[model].values))["beta"]
    moment = SECOND_MOMENT[NETWORKS[model].setup.activation]
    unmixed, mixed = (
        mean(1 - (after[:, arm] / moment - (1 - alpha) ** 2 * gap**2) / beta**2)
        for arm, alpha in ((0, 0.0), (1, PRICE_ALPHA))
    )
    said = "share of the specialised feature learned in stage 1,"
    parts = [
        judged("T1", model, f"{said} unmixed", unmixed, f"at most {CLOSE:g}", at_most=CLOSE),
        judged("T1", model, f"{said} alpha {PRICE_ALPHA:g}", mixed, f"at least {1 - CLOSE:g}", at_least=1 - CLOSE),
    ]
    return all_of(parts, f"at most {CLOSE:g} without mixing and at least {1 - CLOSE:g} with it")


def near_one(prediction: str, model: str, effect: str, found: Effect | float) -> Verdict:
    """A verdict by the criterion that something is 1 within a tenth."""
    return judged(prediction, model, effect, found, f"within {CLOSE:g} of 1", at_least=1 - CLOSE, at_most=1 + CLOSE)


def _onset(table: Any, model: str) -> Verdict:
    """P9: the effect on sqrt(loss_ret) at a quarter of the weight that gives half of it, over that half."""
    alphas, ret = by_seed(table, asked(table, model, "exposure", LENGTH), "alpha", "loss_ret")
    share = mean(np.array([_quarter(alphas, np.sqrt(row[0]) - np.sqrt(row)) for row in ret]))
    low, high = (0.0, SHARP) if model == "rp" else LINEAR_ONSET
    kind = "a threshold" if model == "rp" else "proportional"
    return judged("P9", model, "effect at a quarter of the half-effect weight, over the half effect",
                  share, f"{kind}: {low:g} to {high:g}", at_least=low, at_most=high)  # fmt: skip


def _quarter(alphas: Any, effect: Any) -> float:
    half = effect.max() / 2
    dose = float(np.interp(half, np.maximum.accumulate(effect), alphas))
    return float(np.interp(dose / 4, alphas, effect) / half)


def _window(table: Any) -> Verdict:
    """P8: between which lengths of stage 1 the specialised mode is half learned and the inconsistent one not yet."""
    times, post = by_seed(table, asked(table, "plain", "window"), "t_pre", "loss_im")
    alpha, beta, start = WINDOW["alpha"], WINDOW["beta"], WINDOW["init_scale"] ** 2
    mixed = (1 - alpha) * WINDOW["sigma_pre"] + alpha * WINDOW["sigma_post"]
    half_specialised = WINDOW["sigma_post"] ** 2 + beta**2 / 4
    half_inconsistent = (WINDOW["sigma_post"] - mixed / 2) ** 2
    opens, closes = (float(np.interp(-level, -post[0], times)) for level in (half_specialised, half_inconsistent))
    predicted = np.log(mixed / start - 1) / (4 * mixed) - np.log(beta / start - 1) / (4 * alpha * beta)
    said = f"window from t_pre {opens:.3g} to {closes:.3g}, length over the predicted"
    return near_one("P8", "plain", said, (closes - opens) / float(predicted))


def _priced(table: Any, model: str) -> Verdict:
    """P8: what mixing costs on D_pre at the end of stage 1, over alpha^2 gap^2 times the feature's second moment.

    gap: from what D_pre to what D_post asks of the shared feature.
    """
    _, pre = by_seed(table, asked(table, model, "price"), "alpha", "loss_pre")
    plain = PRICE_ALPHA**2 * _gap(model) ** 2 * SECOND_MOMENT[NETWORKS[model].setup.activation]
    price = mean((pre[:, 1] - pre[:, 0]) / plain)
    said = f"price of mixing in the loss on D_pre after stage 1, over alpha^2 gap^2 E phi^2 = {plain:.3g}"
    if not NETWORKS[model].redundant:
        return near_one("P8", model, said, price)
    return judged("P8", model, said, price, f"at most {CLOSE:g}: no price at convergence", at_most=CLOSE)


def _gap(model: str) -> float:
    if NETWORKS[model].setup.problem == "pathways":
        return 1.0  # S - sigma_pre with the targets' defaults
    values = asdict(Blocks()) | dict(NETWORKS[model].values)
    return float(values["sigma_post"] - values["sigma_pre"])


def _crossover(table: Any, model: str) -> Verdict:
    """P11: at matched loss_im, mixing loses first and wins in the end."""
    moments = [(asked(table, model, "matched", share * STOP_LENGTH), "loss_ret") for share in STOP_AT]
    both = np.stack([ret[:, 0] - ret[:, 1] for ret in paired(table, "alpha", *moments)[1]], axis=1)
    early, last = largest(-both[:, : len(STOP_AT) // 2]), mean(both[:, -1])
    times = STOP_LENGTH * np.array(STOP_AT)
    crossing = next((float(t) for t, gain in zip(times, both.mean(0), strict=True) if gain > 0), np.inf)
    said = (
        f"gain of mixing at t_ft {STOP_LENGTH:g}, matched loss_im {STOP[model][0]:g}; before {-early.value:.2g}, "
        f"first positive at {crossing:.3g}"
    )
    parts = [
        judged("P11", model, said, last, f"at least {NOTABLE_GAIN:g}", at_least=NOTABLE_GAIN),
        judged("P11", model, f"largest loss by mixing up to t_ft {times[len(STOP_AT) // 2 - 1]:g}", early,
               f"at least {NOTABLE_GAIN:g}", at_least=NOTABLE_GAIN),
    ]  # fmt: skip
    return all_of(parts, f"a loss and then a gain of {NOTABLE_GAIN:g} or more")


LATENT = Study(
    "latent", "stage 2 to convergence: latent benefit, its onset, window and price (P2, P8 to P11, T1, T2)", cases, judge,
    closed_form=closed_rows,
)  # fmt: skip
