"""The runs whose stage 2 converges, those of stage 1 alone, and those stopped at one loss_im; judged in `latent`."""

from dataclasses import replace
from typing import Any

import numpy as np

from common.losses import Losses
from sims.cases import Case, closed_columns
from sims.studies.networks import LINEAR, NETWORKS, THEORY, with_seeds
from sims.study import FIRST_SEED
from theory.models import MODELS
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
"""The plain setting whose window is open: alpha beta exceeds the mixture's target of the inconsistent mode (docs/theory.md, section 3.2)"""
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
        Case(
            "plain",
            window,
            WINDOW | {"t_pre": WINDOW_TIMES, "t_post": 0.0, "t_ft": 0.0, "seed": FIRST_SEED},
            {"sims.question": "window"},
        )
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
