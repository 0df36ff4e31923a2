"""How a recipe spends the D_post budget, and the best exposure under a fixed budget.

    exposure lambda: fraction of one pass over D_post that is seen in stage 1

                      stage 1                                    stage 2
    mixing "add"      t_pre = P + rho lambda B                   split "independent":      t_post as set
    mixing "replace"  t_pre = P,  alpha = rho lambda B / P       split "compute-matched":  t_post = (1 - lambda) B
    alpha = rho lambda B / t_pre

P is the flow time of D_pre, B of one pass over D_post at the stage-2 step size, rho the stage-1 / stage-2 step-size ratio a
sample. With rho = 1 and s_ft <= s_post, lambda = 0 minimises both loss_im and loss_ret (order theorem, a no-go); an
interior optimum needs rho > 1. Source: arXiv 2605.12705 Sec. 4.2 for the question; the answer is ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from common.arrays import Number, is_jax, is_zero
from common.losses import Losses
from common.minima import Minimum, minimise
from common.recipe import Recipe
from common.settings import Settings, WrongUse, setting
from theory.stages import predict


@dataclass(frozen=True, kw_only=True)
class Budget(Settings):
    """What the recipe is applied to: flow times of the corpora."""

    pre_time: float = setting(20.0, low=0)
    """P: flow time of one pass over D_pre."""
    post_time: float = setting(2.0, low=0)
    """B: flow time of one pass over D_post at the stage-2 step size."""
    step_ratio: float = setting(1.0, low=0, open_low=True)
    """rho: step size of stage 1 over that of stage 2, per sample."""


def allocate(exposure: Number, recipe: Recipe, budget: Mapping[str, Number] | Budget) -> dict[str, Any]:
    """The stage-1 and stage-2 settings that a recipe means.

    Args:
        exposure: lambda, one value or an array (it overrides `recipe.exposure`, so that a curve is one call).
        recipe: mixing, split, replay, placement, dropout and rank.
        budget: `Budget`, or a mapping with its fields as arrays.

    Returns:
        `alpha`, `t_pre`, `replay`; `t_post` for a compute-matched split; `placement` with its `window`, `dropout` and `rank`
        where the recipe has them (models that lack one say so). Raises `WrongUse` where stage 1 cannot hold the exposure.
    """
    b = budget if isinstance(budget, Mapping) else {field.name: getattr(budget, field.name) for field in fields(budget)}
    seen = b["step_ratio"] * exposure * b["post_time"]
    total = b["pre_time"] + seen if recipe.mixing == "add" else b["pre_time"] + 0.0 * seen
    if not is_jax(seen, total):
        if np.any(np.asarray(seen) > np.asarray(total)):
            raise WrongUse(
                f"exposure = {np.max(exposure):g} puts {np.max(seen):g} of D_post flow time into a stage 1 of {np.min(total):g}. "
                'Lower the exposure or post_time, raise pre_time, or use mixing = "add".'
            )
        if np.any(np.asarray(total) == 0):
            raise WrongUse("pre_time = 0 with exposure = 0 leaves stage 1 empty. Raise pre_time.")
    stages: dict[str, Any] = {"alpha": seen / total, "t_pre": total, "replay": recipe.replay}
    if recipe.split == "compute-matched":
        if not is_jax(exposure) and np.any(np.asarray(exposure) > 1):
            raise WrongUse(
                f"exposure = {np.max(exposure):g} leaves stage 2 a negative share. A compute-matched split needs exposure <= 1."
            )
        stages["t_post"] = (1 - exposure) * b["post_time"]
    if recipe.placement != "uniform":
        stages |= {"placement": recipe.placement, "window": recipe.window}
    if not is_zero(recipe.dropout):
        stages["dropout"] = recipe.dropout
    if recipe.rank is not None:
        stages["rank"] = recipe.rank
    return stages


def exposure_curve(
    exposure: Number,
    settings: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: Callable[[Mapping[str, Any]], Losses] = predict,
) -> Losses:
    """The four losses along lambda; `settings` are those of the model that the recipe leaves alone."""
    return model({**settings, **allocate(exposure, recipe, budget)})


def optimum(
    settings: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: Callable[[Mapping[str, Any]], Losses] = predict,
) -> tuple[Minimum, Minimum]:
    """The exposure that minimises loss_im, and the one that minimises loss_ret, each with its depth.

    Args:
        settings: settings of the model, numbers or broadcastable arrays.
        recipe: how the budget is spent (its own exposure is ignored).
        budget: flow times, numbers or broadcastable arrays.
        model: its `predict`; default the plain one.
    """
    b = budget if isinstance(budget, Mapping) else {field.name: getattr(budget, field.name) for field in fields(budget)}
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*settings.values(), *b.values())))

    def minimum(name: str) -> Minimum:
        return minimise(lambda grid: getattr(exposure_curve(grid, settings, recipe, b, model), name), shape)

    return minimum("loss_im"), minimum("loss_ret")
