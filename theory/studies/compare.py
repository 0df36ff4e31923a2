"""The same question put to the plain and to the redundant-pathway models: is the benefit latent, and where is the best exposure?"""

from typing import Any

import numpy as np

from common.losses import LOSSES
from common.minima import minimise
from common.recipe import Recipe
from theory.allocation import exposure_curve, optimum
from theory.grid import Axis, Grid, evaluate
from theory.models import MODELS
from theory.realise import Budget
from theory.studies.table import of_parts, solved

MATCHED = Recipe(split="compute-matched")

SMALL_NET = 0.0283
"""Initial scale of the shared-unit model: that of a network of width 16 with weights of standard deviation 0.01."""

PLAIN = {"n": 2, "k": 1}
"""The inconsistent and the specialised mode alone; invariant modes do not depend on the exposure."""

LATENT: dict[str, dict[str, Any]] = {
    "plain": PLAIN | {"sigma_pre": 1.0, "sigma_post": 1.5, "sigma_ft": 1.0, "beta": 0.5, "t_pre": 100.0, "t_post": 8.0, "t_ft": 5.0},
    "rp": {"t_pre": 100.0, "t_post": 8.0, "t_ft": 5.0},
    "rp-shared": {"t_pre": 30.0, "t_post": 10.0, "t_ft": 5.0, "init_scale": SMALL_NET},
}  # fmt: skip
"""Settings in which stage 2 converges on D_post, so that loss_im says nothing about the exposure."""

BUDGETS: dict[str, tuple[dict[str, Any], Budget]] = {
    "plain": (PLAIN, Budget(pre_time=20.0, post_time=4.0)),
    "rp": ({}, Budget(pre_time=60.0, post_time=2.0)),
    "rp-shared": ({"init_scale": SMALL_NET}, Budget(pre_time=30.0, post_time=0.3)),
}
"""Problem and budget of each model for the compute-matched question; the plain model's budget learns the specialised mode once."""


def latent() -> Any:
    """loss_im and loss_ret against alpha after a stage 2 that converges (prediction P2; the onset is P9)."""
    alpha = np.concatenate([np.linspace(0.0, 1e-3, 21), np.geomspace(1e-3, 0.3, 121)[1:]])
    parts = [solved(settings | {"alpha": alpha}, model) for model, settings in LATENT.items()]
    return of_parts(parts, "latent", alpha, LATENT)


def optimum_time() -> Any:
    """The best exposure and the depth of its minimum against fine-tuning length (predictions P3, P4)."""
    times = np.geomspace(0.02, 10.0, 41)
    parts = []
    for name, (problem, budget) in BUDGETS.items():
        for ratio in (1.0, 4.0) if name == "plain" else (1.0,):
            spent = {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": ratio}
            settings = problem | {"t_ft": times}
            _, best = optimum(settings, MATCHED, spent, name)
            losses = exposure_curve(best.exposure, settings, MATCHED, spent, name)
            parts.append(
                MODELS[name].defaults()
                | settings
                | losses._asdict()
                | spent
                | {
                    "model": name,
                    "exposure": best.exposure,
                    "split": MATCHED.split,
                    "problem.depth_of_minimum": best.depth,
                }
            )
    return of_parts(parts, "optimum_time", times, BUDGETS)


def optimum_map() -> Any:
    """How deep the minimum of loss_ret lies below both ends, over step ratio and fine-tuning length (prediction P3).

    loss_ret is that at the best exposure. A coarse search: the exposure is good to about 0.002.
    """
    ratios, times = np.geomspace(0.25, 8.0, 41), np.geomspace(0.02, 10.0, 41)
    parts = []
    for name in ("plain", "rp-shared"):
        problem, budget = BUDGETS[name]
        ratio, time = (grid.reshape(-1) for grid in np.meshgrid(ratios, times))
        spent = {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": ratio}
        settings = problem | {"t_ft": time}

        def retained(exposure: Any, name: str = name, settings: Any = settings, spent: Any = spent) -> Any:
            return exposure_curve(exposure, settings, MATCHED, spent, name).loss_ret

        best = minimise(retained, ratio.shape, points=33, zooms=0)
        found = {"exposure": best.exposure, "loss_ret": best.loss, "problem.depth_of_minimum": best.depth}
        parts.append(MODELS[name].defaults() | settings | spent | {"model": name, "split": MATCHED.split} | found)
    return of_parts(parts, "optimum_map", ratios, times, BUDGETS)


FRONTIERS: dict[str, tuple[float, dict[str, Any]]] = {
    "plain": (0.2, {"sigma_ft": 0.8}),
    "rp": (0.03, {"t_pre": 100.0}),
    "rp-shared": (0.005, {"t_pre": 30.0, "init_scale": SMALL_NET}),
}
"""Model -> the alpha called mixed, and its settings; unmixed is alpha = 0."""


def frontiers() -> Any:
    """End points of stage-2 x stage-3 sweeps, mixed and unmixed, of each model: the counterpart of the paper's Figure 2."""
    post, ft = np.geomspace(0.3, 3.0, 12), np.geomspace(0.02, 3.0, 16)
    parts = []
    for name, (mixed, settings) in FRONTIERS.items():
        for alpha, method in ((0.0, "unmixed"), (mixed, "mixed")):
            grid = Grid([Axis("t_post", post), Axis("t_ft", ft)], settings | {"alpha": alpha}, model=name)
            losses = dict(zip(LOSSES, evaluate(grid), strict=True))
            parts.append(grid.fixed | grid.coordinates(0, grid.size) | losses | {"method": method, "model": name})
    return of_parts(parts, "frontiers", post, ft, FRONTIERS)
