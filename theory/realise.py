"""What a recipe means in the linear models: flow times and mixture weights of the three stages.

                      stage 1                                    stage 2
    mixing "add"      t_pre = P + rho lambda B                   split "independent":      t_post as set
    mixing "replace"  t_pre = P,  alpha = rho lambda B / P       split "compute-matched":  t_post = (1 - lambda) B/(1 - replay)
    alpha = rho lambda B / t_pre

P is the flow time of D_pre, B of one pass over D_post at the stage-2 step size, rho the stage-1 / stage-2 step-size ratio per
sample. Replay takes its share of stage 2, so that a compute-matched stage 2 lasts longer by 1/(1 - replay) and still sees
1 - lambda of D_post: the dose of `Recipe.dose`, the same in every engine. Source: arXiv 2605.12705 Sec. 4.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from common.arrays import Number, is_jax, is_zero
from common.recipe import OFF, Recipe, cannot_realise, check_share
from common.settings import Settings, WrongUse, check, ranges, setting
from theory.models import model_named


@dataclass(frozen=True, kw_only=True)
class Budget(Settings):
    """What the recipe is applied to: flow times of the corpora.

    Example:
        >>> from theory import exposure_curve
        >>> exposure_curve([0.0, 1.0], budget=Budget(post_time=4.0)).loss_ret.round(3).tolist()
        [1.68, 0.87]
    """

    pre_time: float = setting(20.0, low=0)
    """P: flow time of one pass over D_pre."""
    post_time: float = setting(2.0, low=0)
    """B: flow time of one pass over D_post at the stage-2 step size."""
    step_ratio: float = setting(1.0, low=0, open_low=True)
    """rho: step size of stage 1 over that of stage 2, per sample."""


def realise(
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    model: str = "plain",
    varied: Mapping[str, Number] | None = None,
    engine: str | None = None,
) -> dict[str, Any]:
    """The stage settings that a recipe means.

    Args:
        recipe: how the capability is acquired.
        budget: `Budget`, or a mapping with its fields as arrays.
        model: a name in `theory.models.MODELS`, whose schedule says which interventions it has.
        varied: `exposure` or `replay` as arrays, in the place of the recipe's own, so that a curve along lambda is one call.
        engine: what refuses; default the model by its name.

    Returns:
        `alpha`, `t_pre`, `replay`; `t_post` for a compute-matched split; every other intervention of the recipe that is not off.

    Raises:
        WrongUse: stage 1 cannot hold the exposure, one pass leaves stage 2 no share, or the model does not have an intervention.

    Example:
        >>> from common.recipe import Recipe
        >>> stages = realise(Recipe(exposure=0.5, split="compute-matched"), Budget(pre_time=20.0, post_time=2.0))
        >>> stages["t_pre"], stages["t_post"]
        (21.0, 1.0)
    """
    b = as_mapping(budget)
    exposure, replay = varied_of(recipe, varied)
    seen = b["step_ratio"] * exposure * b["post_time"]
    total = b["pre_time"] + seen if recipe.mixing == "add" else b["pre_time"] + 0.0 * seen
    if not is_jax(seen, total):
        if np.any(np.asarray(seen) > np.asarray(total)):
            raise WrongUse(
                f"exposure = {np.max(exposure):g} puts {np.max(seen):g} of D_post flow time into a stage 1 of "
                f'{np.min(total):g}. Lower the exposure or post_time, raise pre_time, or use mixing = "add".'
            )
        if np.any(np.asarray(total) == 0):
            raise WrongUse("pre_time = 0 with exposure = 0 leaves stage 1 empty. Raise pre_time.")
    stages: dict[str, Any] = {"alpha": seen / total, "t_pre": total, "replay": replay}
    if recipe.split == "compute-matched":
        left = (1 - exposure) * b["post_time"]
        stages["t_post"] = left if is_zero(replay) else left / (1 - replay)
    return stages | _others(recipe, model, engine or f"theory, model {model}")


def varied_of(recipe: Recipe, varied: Mapping[str, Number] | None) -> tuple[Any, Any]:
    """Exposure and replay, the recipe's own or what varies in their place, checked. Raises `WrongUse`."""
    own = {"exposure": recipe.exposure, "replay": recipe.replay}
    for name, value in (varied or {}).items():
        if name not in own:
            raise WrongUse(
                f"{name} cannot vary within one recipe. Vary {' or '.join(own)}, or realise several recipes."
            )
        check(name, value, ranges(Recipe)[name])
        own[name] = value
    if recipe.split == "compute-matched":
        check_share(own["exposure"], own["replay"])
    return own["exposure"], own["replay"]


def as_mapping(budget: Mapping[str, Number] | Budget) -> Mapping[str, Any]:
    """The flow times of a budget by name."""
    return (
        budget if isinstance(budget, Mapping) else {field.name: getattr(budget, field.name) for field in fields(budget)}
    )


def _others(recipe: Recipe, model: str, engine: str) -> dict[str, Any]:
    """The interventions that a schedule takes under their own name: those that are not off. Raises `WrongUse`."""
    own = {"exposure", "mixing", "split", "replay"}
    chosen = {name: value for name, value in recipe.columns.items() if name not in own and _on(value, OFF[name])}
    known = {field.name for field in fields(model_named(model).schedule)}
    for name, value in chosen.items():
        if name not in known:
            raise cannot_realise(
                engine,
                name,
                value,
                "this model has no solution with it",
                f"Leave {name} off, or use the plain model",
            )
    return chosen


def _on(value: Any, off: Any) -> bool:
    return not (value is off or (isinstance(value, int | float | str) and value == off))
