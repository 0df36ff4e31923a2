"""The best exposure under a fixed budget of D_post: curves along lambda and their minima.

With equal step sizes (rho = 1), s_pre <= s_post and s_ft <= s_post, lambda = 0 minimises both loss_im and loss_ret in the plain model
(order theorem, a no-go); an interior optimum needs rho > 1. Source: arXiv 2605.12705 Sec. 4.2 for the question; the answer is ours.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Number
from common.losses import Losses
from common.minima import Minimum, minimise
from common.recipe import Recipe
from theory.models import finite, model_named
from theory.realise import Budget, as_mapping, realise


class Optimum(NamedTuple):
    """The minimum of loss_im over lambda, and that of loss_ret.

    Example:
        >>> from theory import optimum
        >>> im, ret = optimum(budget={"pre_time": 20.0, "post_time": 2.0, "step_ratio": 4.0}, t_ft=0.1)
        >>> float(im.exposure.round(2)), bool(ret.interior)
        (0.53, True)
    """

    im: Minimum
    ret: Minimum

    def to_pandas(self, **settings: Any) -> Any:
        """A data frame with a row per setting, in C order: further columns that broadcast, then every field of both minima.

        Raises:
            WrongUse: pandas is not installed, or a column does not broadcast.

        Example:
            >>> from theory import optimum
            >>> optimum(t_ft=[0.1, 1.0]).to_pandas(t_ft=[0.1, 1.0]).columns.tolist()[:4]
            ['t_ft', 'exposure_im', 'loss_im', 'at_zero_im']
        """
        from common.frames import frame

        fields = (*Minimum._fields, "depth", "interior")
        both = {f"{field}_{name}": getattr(one, field) for name, one in self._asdict().items() for field in fields}
        return frame({**settings, **both})


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
) -> Optimum:
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
        curve = lambda grid: getattr(exposure_curve(grid, settings, recipe, b, model), name)  # noqa: E731
        return finite(lambda: minimise(curve, shape), ("loss",))

    return Optimum(minimum("loss_im"), minimum("loss_ret"))
