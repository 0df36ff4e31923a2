"""The best exposure under a fixed budget of D_post: curves along lambda and their minima.

With equal step sizes (rho = 1), s_pre <= s_post and s_ft <= s_post, lambda = 0 minimises both loss_im and loss_ret in the plain model
(order theorem, a no-go); an interior optimum needs rho > 1. Source: arXiv 2605.12705 Sec. 4.2 for the question; the answer is ours.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.arrays import Number
from common.losses import Losses
from common.minima import Minimum, minimise
from common.recipe import Recipe
from theory.models import model_named
from theory.realise import Budget, as_mapping, realise


def exposure_curve(
    exposure: Number,
    settings: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: str = "plain",
) -> Losses:
    """The four losses along lambda.

    Args:
        exposure: lambda, one value or an array, in the place of the recipe's own.
        settings: settings of the model, numbers or broadcastable arrays; the recipe's stages override them.
        recipe: how the budget is spent.
        budget: flow times, numbers or broadcastable arrays.
        model: a name in `theory.models.MODELS`.
    """
    return model_named(model).predict({**settings, **realise(recipe, budget, model, {"exposure": exposure})})


def optimum(
    settings: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: str = "plain",
) -> tuple[Minimum, Minimum]:
    """The exposure that minimises loss_im, and the one that minimises loss_ret, each with its depth.

    Args:
        settings: settings of the model, numbers or broadcastable arrays.
        recipe: how the budget is spent; lambda is what is varied, so its own exposure does not count.
        budget: flow times, numbers or broadcastable arrays.
        model: a name in `theory.models.MODELS`.
    """
    b = as_mapping(budget)
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*settings.values(), *b.values())))

    def minimum(name: str) -> Minimum:
        return minimise(lambda grid: getattr(exposure_curve(grid, settings, recipe, b, model), name), shape)

    return minimum("loss_im"), minimum("loss_ret")
