"""Stage 2 to convergence: is the benefit of early exposure latent, from which exposure on, and at what price (P2, P8, P9, P10, P11)?

exposure   loss_im, loss_ret and D_pre damage after stage 2 against alpha, stage 2 long enough to converge on D_post
window     the losses of the stage-1 mixture itself against the length of stage 1 (no stage 2): what it learns first, and its price
matched    stage 2 stopped at one loss_im for mixed and unmixed, then fine-tuned
"""

from dataclasses import asdict, replace
from typing import Any

import numpy as np

from sims.studies.networks import LINEAR, NETWORKS, THEORY, with_seeds
from sims.study import Case, Study, by_seed, closed_columns
from sims.verdict import Verdict, ends, verdict
from theory.allocation import NOTABLE_GAIN
from theory.features import Blocks
from theory.headline import latent as is_latent
from theory.losses import Losses
from theory.minima import over_seeds
from theory.models import MODELS
from theory.results import column
from theory.seeds import mean_interval
from theory.studies.compare import LATENT as LINEAR_SETTINGS

AT_ONCE = 1e-9
"""Where stage 3 is first observed, as a fraction of it: so early that the losses are those after stage 2."""
LENGTH = 5.0
"""Fine-tuning length: five (tanh) to twenty times the time 1/(4 c sigma_ft) in which the shared block is forgotten by a factor e."""
OBSERVED = (AT_ONCE, 0.05, 0.2, 1.0)
FINE = np.concatenate([[0.0], np.geomspace(1e-3, 0.3, 37)])
COARSE = np.array([0.0, 0.01, 0.02, 0.05, 0.1, 0.2])
"""Weights of D_post in stage 1, for linear and for nonlinear networks."""
CONVERGED: dict[str, Any] = {"t_pre": 40.0, "t_post": 40.0}
"""Schedule of the nonlinear networks: at least ten times the compute-matched budget for stage 2."""
STEPS = (2000, 800, 400)
NONLINEAR_STEPS = (500, 500, 160)

WINDOW: dict[str, Any] = {
    "sigma_pre": 0.1,
    "sigma_post": 0.6,
    "sigma_ft": 0.1,
    "beta": 1.5,
    "init_scale": 1e-6,
    "alpha": 0.3,
}
"""The plain setting whose window is open: alpha beta exceeds the mixture's target of the inconsistent mode (theory: Errata, C.10)."""
WINDOW_TIMES = np.geomspace(4.0, 200.0, 121)
WINDOW_STEPS = (8000, 1, 1)
PRICE_ALPHA, PRICE_TIME = 0.2, {"plain": 100.0, "rp": 400.0, "rp-shared": 400.0}
"""Where the price of mixing is read off: long after the mixture has been learned (redundant pathways learn it last)."""
NONLINEAR_PRICE_TIME = 200.0
PRICE_STEPS, NONLINEAR_PRICE_STEPS = (4000, 1, 1), (2000, 1, 1)

STOP: dict[str, tuple[float, dict[str, Any]]] = {
    "plain": (0.02, {"t_pre": 60.0, "t_post": 8.0, "beta": 0.5}),
    "relu": (0.06, {"t_pre": 40.0, "t_post": 10.0}),
}
"""Model -> loss_im at which stage 2 stops, and the schedule; 2 and 8 % of the loss that D_post begins with, and reached by both recipes."""
STOP_ALPHA = 0.2
STOP_LENGTH = 10.0
STOP_AT = (0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
STOP_STEPS, NONLINEAR_STOP_STEPS = (2000, 8000, 1000), (500, 500, 300)

SECOND_MOMENT = {"linear": 1.0, "relu": 0.5, "tanh": 0.3943}
"""E phi(z)^2 of a standard normal z: what an error of 1 in a feature's weight costs."""

CLOSE = 0.1
"""Tenths are the tolerance of the verdicts on times, prices and damages, as in the definition of latent."""
SHARP, LINEAR_ONSET = 0.1, (0.15, 0.5)
"""Onset: at a quarter of the weight that gives half the effect on sqrt(loss_ret), a threshold leaves next to nothing of that half, a
proportional effect a quarter of it."""


def cases() -> list[Case]:
    """Every network over alpha; window and price of the mixture; matched immediate losses."""
    made = []
    for model, network in NETWORKS.items():
        alphas = FINE if network.linear else COARSE
        settings = with_seeds(network, alpha=alphas) | LINEAR_SETTINGS.get(model, CONVERGED) | {"t_ft": LENGTH}
        steps = STEPS if network.linear else NONLINEAR_STEPS
        own = {name: value for name, value in settings.items() if name not in ("n", "k")}
        if model in LINEAR:
            own |= dict(network.values)  # the start of a network, where the closed form has that of its pathways
        setup = replace(network.setup, steps=steps, observe=OBSERVED)
        made.append(Case(model, setup, own, {"sims.question": "exposure"}))
        made.append(_price(model))
    window = replace(NETWORKS["plain"].setup, steps=WINDOW_STEPS)
    made.append(
        Case("plain", window, WINDOW | {"t_pre": WINDOW_TIMES, "t_post": 0.0, "t_ft": 0.0}, {"sims.question": "window"})
    )
    return made + [_matched(model) for model in STOP]


def _price(model: str) -> Case:
    """Stage 1 alone, unmixed and mixed, to convergence."""
    network = NETWORKS[model]
    settings = with_seeds(network, alpha=(0.0, PRICE_ALPHA))
    settings |= {"t_pre": PRICE_TIME.get(model, NONLINEAR_PRICE_TIME), "t_post": 0.0, "t_ft": 0.0}
    setup = replace(network.setup, steps=PRICE_STEPS if network.linear else NONLINEAR_PRICE_STEPS)
    return Case(model, setup, settings, {"sims.question": "price"})


def _matched(model: str) -> Case:
    network, (level, schedule) = NETWORKS[model], STOP[model]
    settings = with_seeds(network, alpha=(0.0, STOP_ALPHA)) | schedule | {"stop_at": level, "t_ft": STOP_LENGTH}
    steps = STOP_STEPS if network.linear else NONLINEAR_STOP_STEPS
    setup = replace(network.setup, steps=steps, observe=STOP_AT, early_stopping=True)
    return Case(model, setup, settings, {"sims.question": "matched"})


def selected(table: Any, model: str, question: str, axis: str, loss: str, time: float | None = None) -> tuple[Any, Any]:
    """Points of an axis and a loss of shape (seeds, points), of one question to one network."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == question)
    if time is not None:
        keep &= np.isclose(column(table, "t_ft"), time, rtol=1e-6, atol=0)
    return by_seed(table, keep, axis, loss)


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


def closed_form(model: str, alpha: Any, time: float) -> Losses:
    """The closed form's losses of a linear network after stage 2 has converged, at a fine-tuning length."""
    settings = LINEAR_SETTINGS[model] | THEORY[model] | {"alpha": alpha, "t_ft": time}
    return MODELS[model].predict(settings)


def closed_rows() -> list[dict[str, Any]]:
    """The closed form along the simulated alphas, after stage 2 and after stage 3."""
    made = []
    for model in LINEAR:
        settings = MODELS[model].defaults() | LINEAR_SETTINGS[model] | THEORY[model] | {"alpha": FINE}
        for time in (AT_ONCE * LENGTH, LENGTH):
            made.append(closed_columns("latent", model, settings | {"t_ft": time}, closed_form(model, FINE, time)))
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
    _, im = selected(table, model, "exposure", "alpha", "loss_im", LENGTH)
    _, ret = selected(table, model, "exposure", "alpha", "loss_ret", LENGTH)
    share = over_seeds(lambda mean: latent_share(mean[:, 0], mean[:, 1]), np.stack([im, ret], axis=1))
    said = "largest latent fall of loss_ret, share of the unmixed forgetting"
    if not NETWORKS[model].redundant:
        return verdict("P2", model, share.value == 0 and ends(share)[1] < CLOSE, said, share,
                       f"none is latent, and interval below {CLOSE:g}")  # fmt: skip
    sure = share.low is None or share.low > 0
    return verdict("P2", model, bool(share.value > 0 and sure), said, share, "some alpha gives a latent benefit")


def _damage(table: Any, model: str) -> Verdict:
    """P10: what stage 2 does to the loss on D_pre, at the largest alpha over unmixed."""
    _, damage = selected(table, model, "exposure", "alpha", "loss_pre", AT_ONCE * LENGTH)
    share = over_seeds(lambda mean: mean[..., -1] / mean[..., 0], damage)
    said = f"loss on D_pre after stage 2, mixed over unmixed ({damage[:, 0].mean():.3g})"
    if not NETWORKS[model].redundant:
        return verdict("P10", model, abs(share.value - 1) <= CLOSE, said, share, f"within {CLOSE:g} of 1")
    return verdict("P10", model, ends(share)[1] <= CLOSE, said, share, f"at most {CLOSE:g}")


def _onset(table: Any, model: str) -> Verdict:
    """P9: the effect on sqrt(loss_ret) at a quarter of the weight that gives half of it, over that half."""
    alphas, ret = selected(table, model, "exposure", "alpha", "loss_ret", LENGTH)

    share = mean_interval(np.array([_quarter(alphas, np.sqrt(row[0]) - np.sqrt(row)) for row in ret]))
    low, high = (0.0, SHARP) if model == "rp" else LINEAR_ONSET
    kind = "a threshold" if model == "rp" else "proportional"
    return verdict("P9", model, bool(low <= share.value <= high), "effect at a quarter of the half-effect weight, over the half effect",
                   share, f"{kind}: {low:g} to {high:g}")  # fmt: skip


def _quarter(alphas: Any, effect: Any) -> float:
    half = effect.max() / 2
    dose = float(np.interp(half, np.maximum.accumulate(effect), alphas))
    return float(np.interp(dose / 4, alphas, effect) / half)


def _window(table: Any) -> Verdict:
    """P8: between which lengths of stage 1 the specialised mode is half learned and the inconsistent one not yet."""
    times, post = selected(table, "plain", "window", "t_pre", "loss_im")
    alpha, beta, start = WINDOW["alpha"], WINDOW["beta"], WINDOW["init_scale"] ** 2
    mixed = (1 - alpha) * WINDOW["sigma_pre"] + alpha * WINDOW["sigma_post"]
    half_specialised = WINDOW["sigma_post"] ** 2 + beta**2 / 4
    half_inconsistent = (WINDOW["sigma_post"] - mixed / 2) ** 2
    opens, closes = (float(np.interp(-level, -post[0], times)) for level in (half_specialised, half_inconsistent))
    predicted = np.log(mixed / start - 1) / (4 * mixed) - np.log(beta / start - 1) / (4 * alpha * beta)
    ratio = (closes - opens) / float(predicted)
    return verdict("P8", "plain", abs(ratio - 1) <= CLOSE, f"window from t_pre {opens:.3g} to {closes:.3g}, length over the predicted",
                   ratio, f"within {CLOSE:g} of 1")  # fmt: skip


def _priced(table: Any, model: str) -> Verdict:
    """P8: what mixing costs on D_pre at the end of stage 1, over alpha^2 gap^2 times the feature's second moment.

    gap: from what D_pre to what D_post asks of the shared feature.
    """
    _, pre = selected(table, model, "price", "alpha", "loss_pre")
    plain = PRICE_ALPHA**2 * _gap(model) ** 2 * SECOND_MOMENT[NETWORKS[model].setup.activation]
    price = over_seeds(lambda mean: (mean[..., 1] - mean[..., 0]) / plain, pre)
    said = f"price of mixing in the loss on D_pre after stage 1, over alpha^2 gap^2 E phi^2 = {plain:.3g}"
    if not NETWORKS[model].redundant:
        agrees = abs(price.value - 1) <= CLOSE
        return verdict("P8", model, agrees, said, price, f"within {CLOSE:g} of 1")
    return verdict("P8", model, ends(price)[1] <= CLOSE, said, price, f"at most {CLOSE:g}: no price at convergence")


def _gap(model: str) -> float:
    if NETWORKS[model].setup.problem == "pathways":
        return 1.0  # S - sigma_pre with the targets' defaults
    values = asdict(Blocks()) | dict(NETWORKS[model].values)
    return float(values["sigma_post"] - values["sigma_pre"])


def _crossover(table: Any, model: str) -> Verdict:
    """P11: at matched loss_im, mixing loses first and wins in the end."""
    gains = []
    for share in STOP_AT:
        _, ret = selected(table, model, "matched", "alpha", "loss_ret", share * STOP_LENGTH)
        gains.append(ret[:, 0] - ret[:, 1])
    both = np.stack(gains, axis=1)
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
