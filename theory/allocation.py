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
from typing import Any, NamedTuple

import numpy as np

from theory.arrays import Array, Bool, Float, Number, is_jax, is_zero
from theory.losses import Losses
from theory.recipe import Recipe
from theory.settings import Settings, WrongUse, setting
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


class Minimum(NamedTuple):
    """The minimum of a loss over lambda in [0, 1]; every field of the shape of the settings."""

    exposure: Float[Array, "*settings"]
    """argmin over lambda."""
    loss: Float[Array, "*settings"]
    """The loss there."""
    at_zero: Float[Array, "*settings"]
    """The loss at lambda = 0."""
    at_one: Float[Array, "*settings"]
    """The loss at lambda = 1."""

    @property
    def depth(self) -> Float[Array, "*settings"]:
        """How far the minimum lies below the better end, as a fraction of that end (0 at an end)."""
        better = np.minimum(self.at_zero, self.at_one)
        return np.where(better > 0, (better - self.loss) / np.where(better > 0, better, 1.0), 0.0)

    @property
    def interior(self) -> Bool[Array, "*settings"]:
        """Whether the minimum lies inside (0, 1) and notably below both ends, in relative and in absolute terms."""
        inside = (self.exposure > 0) & (self.exposure < 1)
        gain = np.minimum(self.depth_below_zero, self.depth_below_one)
        return inside & (self.depth >= NOTABLE_DEPTH) & (gain >= NOTABLE_GAIN)

    @property
    def depth_below_zero(self) -> Float[Array, "*settings"]:
        """How far it lies below lambda = 0, in units of the loss."""
        return self.at_zero - self.loss

    @property
    def depth_below_one(self) -> Float[Array, "*settings"]:
        """How far it lies below lambda = 1, in units of the loss."""
        return self.at_one - self.loss


NOTABLE_DEPTH = 0.01
"""An interior minimum is called one where it lies at least this fraction below both ends (our choice: 1 %) ..."""
NOTABLE_GAIN = 1e-3
"""... and at least this much of the loss itself below both: 80 % of nothing is not a finding."""


def exposure_curve(
    exposure: Number,
    settings: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: Callable[[Mapping[str, Any]], Losses] = predict,
) -> Losses:
    """The four losses along lambda; `settings` are those of the model that the recipe leaves alone."""
    return model({**settings, **allocate(exposure, recipe, budget)})


def minimise(loss: Callable[[Array], Array], shape: tuple[int, ...], *, points: int = 129, zooms: int = 6) -> Minimum:
    """The global minimum over lambda in [0, 1] of a loss that is smooth in lambda, for all settings at once.

    A grid of `points`, then `zooms` finer grids around the best point (each 16 times finer): the argmin is good to
    about 1e-9, or to where the loss is flat to rounding. Ties go to the smaller lambda.

    Args:
        loss: maps lambda of shape `(points, *shape)` to losses of that shape.
        shape: the settings' shape.
    """

    def evaluate(low: Array, high: Array, count: int) -> tuple[Array, Array]:
        ramp = np.linspace(0.0, 1.0, count).reshape(-1, *(1,) * len(shape))
        grid = np.clip(low + ramp * (high - low), 0.0, 1.0)
        return grid, loss(grid)

    grid, values = evaluate(np.zeros(shape), np.ones(shape), points)
    at_zero, at_one = values[0], values[-1]
    step = 1.0 / (points - 1)
    for _ in range(zooms + 1):
        where = values.argmin(0)[None]
        best, lowest = np.take_along_axis(grid, where, 0)[0], np.take_along_axis(values, where, 0)[0]
        grid, values = evaluate(best - step, best + step, 33)
        grid, values = np.concatenate([best[None], grid]), np.concatenate([lowest[None], values])
        step /= 16
    for end, value in ((1.0, at_one), (0.0, at_zero)):  # what beats an end by rounding only is that end
        tied = value <= lowest * (1 + 1e-12)
        best, lowest = np.where(tied, end, best), np.where(tied, value, lowest)
    return Minimum(best, lowest, at_zero, at_one)


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
