"""The runs behind the best exposure under a fixed D_post budget, and the closed forms beside them; judged in `compute_matched`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from common.recipe import Recipe
from sims.cases import Case, closed_columns
from sims.setup import Setup
from sims.studies.networks import LINEAR, NETWORKS, THEORY, Network, with_seeds
from theory.allocation import exposure_curve, optimum
from theory.models import MODELS
from theory.realise import Budget, realise

MATCHED = Recipe(split="compute-matched")
TIMES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Fine-tuning lengths: from before anything is forgotten to long after the shared block is."""
FINE = np.linspace(0, 1, 41)
COARSE = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0])
"""Exposures of a linear and of a nonlinear network; the second are 50 times as dear."""
RATIOS = (0.5, 1.0, 2.0, 4.0)
NONLINEAR_RATIOS = (0.5, 1.0, 4.0)
TANH_RATIOS = (1.0,)
LINEAR_STEPS = (4000, 4000, 1600)
"""The specialised mode of the plain model is half learned after one pass, where an error of the exponent shows most: at these steps
gradient descent differs from the flow by less than 1 % of loss_im."""
NONLINEAR_STEPS = (500, 120, 480)
"""Twice as many move no best exposure, and no depth by more than .007 (relu and relu-corr, rho 1, 8 seeds)."""
SHORT = 0.25
"""A second budget, this fraction of the first, at equal steps: stage 2 cannot finish whatever the exposure."""
CHECKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pool": ("relu", {"population": 256}),
    "pool-corr": ("relu-corr", {"population": 256}),
    "width": ("relu", {"width": 40}),
}
"""Does a choice of `sims.studies.networks` decide the result? Name -> network, and what is changed."""
SPARSE = np.array([0.0, 0.3, 0.6, 0.75, 1.0])
"""Exposures of the checks."""
LAW: dict[str, Any] = {"sigma_pre": 1.0, "sigma_post": 1.0, "sigma_ft": 1.0}
"""No inconsistency: what is left of loss_im is the specialised mode, which alone the exposure law is about."""


def matched(network: Network, exposure: Any, budget: Budget, ratio: Any, **settings: Any) -> dict[str, Any]:
    """Settings of the runs that spend a budget at every exposure and step ratio."""
    axes = with_seeds(network, exposure=exposure, ratio=ratio)
    spent = {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": axes["ratio"]}
    stages = realise(MATCHED, spent, varied={"exposure": axes["exposure"]})
    own = {name: value for name, value in axes.items() if name not in ("exposure", "ratio")}
    return own | stages | {"t_ft": TIMES[-1]} | settings


def case(
    model: str, network: Network, exposure: Any, ratios: Any, kind: str, share: float = 1.0, **settings: Any
) -> Case:
    """The runs of one network, with the columns that say which question they answer."""
    budget = replace(network.budget, post_time=share * network.budget.post_time)
    axes = with_seeds(network, exposure=exposure, ratio=ratios)
    steps = LINEAR_STEPS if network.linear else NONLINEAR_STEPS
    setup: Setup = replace(network.setup, steps=steps, observe=tuple(t / TIMES[-1] for t in TIMES))
    columns = {
        "exposure": axes["exposure"],
        "split": MATCHED.split,
        "problem.step_ratio": axes["ratio"],
        "problem.post_time": budget.post_time,
        "sims.question": kind,
        "sims.population": float(setup.population),
    }
    return Case(model, setup, matched(network, exposure, budget, ratios, **settings), columns)


def cases() -> list[Case]:
    """Every network over exposures and step ratios; at equal steps a short budget, the exposure law, and the checks."""
    made = []
    for model, network in NETWORKS.items():
        if network.linear:
            made.append(case(model, network, FINE, RATIOS, "ratio"))
            continue
        tanh = network.setup.activation == "tanh"
        made.append(case(model, network, COARSE, TANH_RATIOS if tanh else NONLINEAR_RATIOS, "ratio"))
        made.append(case(model, network, COARSE, 1.0, "short", SHORT))
    made.append(case("plain", NETWORKS["plain"], FINE, 1.0, "law", **LAW))
    made.append(case("relu", NETWORKS["relu"], COARSE, 1.0, "law", **LAW))
    for name, (model, change) in CHECKS.items():
        network = NETWORKS[model]
        made.append(case(model, network._replace(setup=replace(network.setup, **change)), SPARSE, 1.0, name))
    return made


def closed_form(model: str, ratio: float, times: Any) -> tuple[Any, Any]:
    """The closed form's minima of loss_im and loss_ret at these fine-tuning lengths."""
    return optimum(THEORY[model] | {"t_ft": times}, MATCHED, spent(model, ratio), model)


def closed_rows() -> list[dict[str, Any]]:
    """The closed form's best exposures between the simulated fine-tuning lengths."""
    times = np.geomspace(TIMES[0], TIMES[-1], 61)
    made = []
    for model in LINEAR:
        for ratio in RATIOS:
            best = closed_form(model, ratio, times)[1]
            settings = MODELS[model].defaults() | THEORY[model] | {"t_ft": times}
            losses = exposure_curve(best.exposure, settings, MATCHED, spent(model, ratio), model)
            columns = settings | {"exposure": best.exposure, "step_ratio": np.full(len(times), ratio)}
            made.append(closed_columns("compute-matched", model, columns, losses))
    return made


def spent(model: str, ratio: float) -> Mapping[str, Any]:
    budget = NETWORKS[model].budget
    return {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": ratio}
