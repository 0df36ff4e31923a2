"""Stage 2 to convergence: is the benefit of early exposure latent, from which exposure on, and at what price (P2, P8, P9, P10, P11)?

exposure   loss_im, loss_ret and D_pre damage after stage 2 against alpha, stage 2 long enough to converge on D_post
window     the losses of the stage-1 mixture itself against the length of stage 1 (no stage 2): what it learns first, and its price
matched    stage 2 stopped at one loss_im for mixed and unmixed, then fine-tuned
"""

from dataclasses import asdict
from typing import Any

import numpy as np

from common.curves import by_seed, paired
from common.curves import latent as is_latent
from common.minima import NOTABLE_GAIN, over_seeds
from common.results import column
from common.seeds import mean_interval
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
from sims.verdict import Verdict, around, ends, verdict, within
from theory.features import Blocks

SECOND_MOMENT = {"linear": 1.0, "relu": 0.5, "tanh": 0.3943}
"""E phi(z)^2 of a standard normal z: what an error of 1 in a feature's weight costs."""

CLOSE = 0.1
"""Tenths are the tolerance of the verdicts on times, prices and damages, as in the definition of latent."""
SHARP, LINEAR_ONSET = 0.1, (0.15, 0.5)
"""Onset: at a quarter of the weight that gives half the effect on sqrt(loss_ret), a threshold leaves next to nothing of that half, a
proportional effect a quarter of it."""


def asked(table: Any, model: str, question: str, time: float | None = None) -> Any:
    """Mask of the rows of one question to one network, at a fine-tuning length."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == question)
    return keep if time is None else keep & np.isclose(column(table, "t_ft"), time, rtol=1e-6, atol=0)


def judge(table: Any) -> list[Verdict]:
    """P2, P9, P10 and P8 for every network in the table, P11 where stage 2 was stopped."""
    model, question = column(table, "model"), column(table, "sims.question")
    present = set(zip(model.tolist(), question.tolist(), strict=True))
    made = []
    for name in NETWORKS:
        if (name, "exposure") in present:
            made += [_latent(table, name), _damage(table, name)]
        if name in ("rp", "rp-shared") and (name, "exposure") in present:
            made.append(_onset(table, name))
        if (name, "window") in present:
            made.append(_window(table))
        if (name, "price") in present:
            made.append(_priced(table, name))
        if (name, "matched") in present:
            made.append(_crossover(table, name))
    return made


def latent_share(loss_im: Any, loss_ret: Any) -> Any:
    """The largest latent fall of loss_ret, as a share of what the unmixed model forgets; 0 where none is latent. Alphas are last."""
    im, ret = np.moveaxis(loss_im, -1, 0), np.moveaxis(loss_ret, -1, 0)
    hidden = is_latent(im, ret)[1]
    forgetting = ret[0] - im[0]
    share = (ret[0] - ret[1:]) / np.where(forgetting > 0, forgetting, 1.0)
    return np.where(hidden, share, 0.0).max(0)


def _latent(table: Any, model: str) -> Verdict:
    """P2: none in the plain model; in the others loss_im is flat and loss_ret falls."""
    runs = asked(table, model, "exposure", LENGTH)
    _, both = paired(table, "alpha", (runs, "loss_im"), (runs, "loss_ret"))
    share = over_seeds(lambda mean: latent_share(mean[:, 0], mean[:, 1]), np.stack(both, axis=1))
    said = "largest latent fall of loss_ret, share of the unmixed forgetting"
    if not NETWORKS[model].redundant:
        return verdict("P2", model, share.value == 0 and ends(share)[1] < CLOSE, said, share,
                       f"none is latent, and interval below {CLOSE:g}")  # fmt: skip
    sure = share.low is None or share.low > 0
    return verdict("P2", model, bool(share.value > 0 and sure), said, share, "some alpha gives a latent benefit")


def _damage(table: Any, model: str) -> Verdict:
    """P10: what stage 2 does to the loss on D_pre, at the largest alpha over unmixed."""
    _, damage = by_seed(table, asked(table, model, "exposure", AT_ONCE * LENGTH), "alpha", "loss_pre")
    share = over_seeds(lambda mean: mean[..., -1] / mean[..., 0], damage)
    said = f"loss on D_pre after stage 2, mixed over unmixed ({damage[:, 0].mean():.3g})"
    if not NETWORKS[model].redundant:
        return around("P10", model, said, share, 1.0, CLOSE)
    return within("P10", model, said, share, f"at most {CLOSE:g}, the whole interval", at_most=CLOSE, whole=True)


def _onset(table: Any, model: str) -> Verdict:
    """P9: the effect on sqrt(loss_ret) at a quarter of the weight that gives half of it, over that half."""
    alphas, ret = by_seed(table, asked(table, model, "exposure", LENGTH), "alpha", "loss_ret")
    share = mean_interval(np.array([_quarter(alphas, np.sqrt(row[0]) - np.sqrt(row)) for row in ret]))
    low, high = (0.0, SHARP) if model == "rp" else LINEAR_ONSET
    kind = "a threshold" if model == "rp" else "proportional"
    return within("P9", model, "effect at a quarter of the half-effect weight, over the half effect",
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
    ratio = (closes - opens) / float(predicted)
    return around(
        "P8", "plain", f"window from t_pre {opens:.3g} to {closes:.3g}, length over the predicted", ratio, 1.0, CLOSE
    )


def _priced(table: Any, model: str) -> Verdict:
    """P8: what mixing costs on D_pre at the end of stage 1, over alpha^2 gap^2 times the feature's second moment.

    gap: from what D_pre to what D_post asks of the shared feature.
    """
    _, pre = by_seed(table, asked(table, model, "price"), "alpha", "loss_pre")
    plain = PRICE_ALPHA**2 * _gap(model) ** 2 * SECOND_MOMENT[NETWORKS[model].setup.activation]
    price = over_seeds(lambda mean: (mean[..., 1] - mean[..., 0]) / plain, pre)
    said = f"price of mixing in the loss on D_pre after stage 1, over alpha^2 gap^2 E phi^2 = {plain:.3g}"
    if not NETWORKS[model].redundant:
        return around("P8", model, said, price, 1.0, CLOSE)
    criterion = f"at most {CLOSE:g}, the whole interval: no price at convergence"
    return within("P8", model, said, price, criterion, at_most=CLOSE, whole=True)


def _gap(model: str) -> float:
    if NETWORKS[model].setup.problem == "pathways":
        return 1.0  # S - sigma_pre with the targets' defaults
    values = asdict(Blocks()) | dict(NETWORKS[model].values)
    return float(values["sigma_post"] - values["sigma_pre"])


def _crossover(table: Any, model: str) -> Verdict:
    """P11: at matched loss_im, mixing loses first and wins in the end."""
    moments = [(asked(table, model, "matched", share * STOP_LENGTH), "loss_ret") for share in STOP_AT]
    both = np.stack([ret[:, 0] - ret[:, 1] for ret in paired(table, "alpha", *moments)[1]], axis=1)
    mean = both.mean(0)
    worst = over_seeds(lambda drawn: drawn[:, : len(STOP_AT) // 2].min(-1), both)
    last = over_seeds(lambda drawn: drawn[:, -1], both)
    loses = worst.value <= -NOTABLE_GAIN and ends(worst)[1] < 0
    wins = last.value >= NOTABLE_GAIN and ends(last)[0] > 0
    times = STOP_LENGTH * np.array(STOP_AT)
    crossing = next((float(t) for t, gain in zip(times, mean, strict=True) if gain > 0), np.inf)
    said = (
        f"gain of mixing at t_ft {STOP_LENGTH:g}, matched loss_im {STOP[model][0]:g}; worst {worst.value:.2g}, "
        f"first positive at {crossing:.3g}"
    )
    return verdict(
        "P11", model, bool(loses and wins), said, last, f"a loss and then a gain of {NOTABLE_GAIN:g} or more"
    )


LATENT = Study(
    "latent", "stage 2 to convergence: latent benefit, its onset, window and price (P2, P8, P9, P10, P11)", cases, judge,
    closed_form=closed_rows,
)  # fmt: skip
