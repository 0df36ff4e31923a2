"""Whether gradient noise, momentum and Adam keep what the flow promises: the gain, frozen features, and the exposure law.

SGD draws fresh examples, with noisy labels or without. Momentum 0.9 takes steps ten times as long, so it runs a tenth of the flow
time. Adam divides every gradient by its size: small modes leave their saddle at once, and a zero gradient along a direction is no
longer zero after the division. The exposure law (P1) is tested by moving D_post examples from stage 2 into stage 1 at equal step
size; what it costs or gains is read off loss_ret.

`python -m sims noise`, about a minute on two cores. What came out: SGD keeps the gain; momentum and Adam
break the exposure law at equal step sizes: early exposure pays there.
"""

from typing import Any

import numpy as np

from common.curves import paired
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, product
from sims.setup import Setup
from sims.studies.gains import SEEDS, lawful, lost, mean_at, noticed, specialised_loss
from sims.study import Study, seeds

MIXED = 0.2
TIMES = {"t_pre": 20.0, "t_post": 1.0, "t_ft": 1.0}
STEP_SIZES = {8: (0.01, 0.02), 32: (0.01, 0.02, 0.04)}
"""Batch size -> learning rates."""
LABEL_NOISE = (0.0, 1.0)
MOMENTUM = 10.0
"""1/(1 - 0.9): how much longer a step of momentum is."""
ADAM_RATES = (0.002, 0.003, 0.005, 0.007, 0.01)
ADAM_STEPS = (2000, 100, 100)
SHARES = (0.0, 0.5, 1.0)
"""Shares of the D_post budget that are moved into stage 1."""
BUDGET = {"gd": 4.0, "momentum": 4.0, "adam": 0.6}
"""D_post flow time; for Adam 120 steps. Each about what an unmixed network needs for the specialised mode."""
LAWS = (("gd", 0.02, "SGD"), ("momentum", 0.02, "momentum"), ("momentum", 0.005, "momentum"), ("adam", 0.005, "Adam"))
"""Optimiser, effective learning rate, name. The inertia of momentum is a matter of the step size, hence two."""


def _steps(times: dict[str, float], rate: float) -> tuple[int, int, int]:
    pre, post, ft = (max(1, round(time / rate)) for time in times.values())
    return pre, post, ft


def flow_gain() -> float:
    """The gain in loss_ret under gradient flow, from the closed form."""
    from theory import predict

    unmixed, mixed = (float(predict({**TIMES, "alpha": alpha}).loss_ret) for alpha in (0.0, MIXED))
    return unmixed - mixed


def _gain_cases() -> list[Case]:
    flow = flow_gain()
    runs = product(label_noise=LABEL_NOISE, alpha=(0.0, MIXED), seed=seeds(SEEDS))
    made = []
    for batch, rates in STEP_SIZES.items():
        for rate in rates:
            setup = Setup(steps=_steps(TIMES, rate), batch=batch, record=1)
            made.append(
                Case("plain", setup, runs | TIMES, {"sims.rate": rate, "sims.part": "gain", "sims.flow_gain": flow})
            )
    shorter = {name: time / MOMENTUM for name, time in TIMES.items()}
    setup = Setup(steps=_steps(TIMES, 0.01), batch=8, optimiser="momentum", record=1)
    made.append(Case("plain", setup, runs | shorter, {"sims.rate": 0.01, "sims.part": "gain", "sims.flow_gain": flow}))
    rated = product(rate=ADAM_RATES, alpha=(0.0, MIXED), seed=seeds(SEEDS))
    rates = rated.pop("rate")
    times = {name: rates * steps for name, steps in zip(TIMES, ADAM_STEPS, strict=True)}
    setup = Setup(steps=ADAM_STEPS, batch=8, optimiser="adam", record=1)
    made.append(Case("plain", setup, rated | times, {"sims.rate": rates, "sims.part": "gain", "sims.flow_gain": flow}))
    return made


def _law_cases() -> list[Case]:
    made = []
    for optimiser, rate, _ in LAWS:
        budget, scale = BUDGET[optimiser], MOMENTUM if optimiser == "momentum" else 1.0
        pre_time = 10.0 if optimiser == "adam" else 20.0
        for share in SHARES:
            times = {"t_pre": pre_time + share * budget, "t_post": (1 - share) * budget, "t_ft": 1.0}
            setup = Setup(steps=_steps(times, rate), batch=8, optimiser=optimiser, record=1)  # type: ignore[arg-type]
            values: dict[str, Any] = {name: time / scale for name, time in times.items()}
            values |= {"alpha": share * budget / times["t_pre"], "seed": seeds(SEEDS)}
            made.append(Case("plain", setup, values, {"sims.rate": rate, "sims.part": "law", "sims.share": share}))
    return made


def cases() -> list[Case]:
    """Gain and drift over batch sizes, step sizes, label noise and optimisers; then the exposure law for each optimiser."""
    return _gain_cases() + _law_cases()


def judge(table: Any) -> list[Verdict]:
    """P1 for SGD, momentum and Adam; P7: label noise and Adam move features without variance, silent batches do not."""
    part, kind, batch, noise, alpha = (
        column(table, name) for name in ("sims.part", "sims.optimiser", "sims.batch", "problem.label_noise", "alpha")
    )
    made = []
    rate = column(table, "sims.rate")
    for optimiser, law_rate, name in LAWS:
        chosen = (part == "law") & (kind == optimiser) & (rate == law_rate)
        shares, losses = specialised_loss(table, chosen, "sims.share")
        made.append(lawful("plain", shares, losses, f", step {law_rate:g}", name))
    mixed = (part == "gain") & (alpha > 0)
    for label in LABEL_NOISE:
        chosen = mixed & (kind == "gd") & (batch == 8) & (noise == label)
        points, share_lost = lost(table, chosen, "sims.rate")
        effect = f"share of a frozen strength lost in stage 3, batch 8, label noise {label:g}"
        made.append(noticed("P7", effect, mean_at(share_lost, points, 0.01), "SGD", expected=label > 0))
    adam = mixed & (kind == "adam")
    points, (before, after) = paired(table, "sims.rate", (adam, "sims.specialised_im"), (adam, "sims.specialised"))
    effect = "share by which a strength without variance moves in stage 3, Adam at 0.005"
    made.append(noticed("P7", effect, mean_at(np.abs(after - before) / before, points, 0.005), "Adam"))
    return made


NOISE = Study("noise", "SGD, label noise, momentum and Adam against the flow (P1, P7)", cases, judge)
