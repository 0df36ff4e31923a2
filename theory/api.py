"""The front door of `theory`: names, values and shapes are checked here, once, and the solvers behind it are not slowed.

Grids, fits and studies call `theory.stages.predict` and its like directly; their settings are checked where they are made. Under a JAX
transformation there are no numbers to look at, and only names and shapes are checked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from common.arrays import Number, is_traced
from common.losses import LOSSES, Losses
from common.placement import Piece
from common.recipe import Recipe
from common.settings import WrongUse, check_choice, check_number, check_rank, meant, ranges
from theory import allocation, stages
from theory.features import check_block_sizes
from theory.models import finite, model_named
from theory.realise import Budget, realise

WHOLE = ("n", "k", "depth", "width")
"""Settings that count something."""


@dataclass(frozen=True)
class Known:
    """What a model knows: every setting that can be given, what its values may be, and the defaults."""

    defaults: Mapping[str, Any]
    """Settings of problem and schedule."""
    ranges: Mapping[str, Mapping[str, Any]]
    """Range of every numeric setting."""
    choices: Mapping[str, tuple[str, ...]]
    """Values of every setting that is a name."""

    @property
    def names(self) -> list[str]:
        """All names, those that an exposure brings last."""
        return list(dict.fromkeys([*self.defaults, *self.ranges, *self.choices]))


SPENDING: dict[str, Any] = {"mixing": "add", "split": "independent"} | {f.name: f.default for f in fields(Budget)}
"""What says how an exposure is spent, with its defaults."""


@cache
def known_to(model: str) -> Known:
    """What a model knows. Raises `WrongUse` where there is none of that name."""
    found = model_named(model)
    defaults = found.defaults()
    own = found.problem, found.schedule
    hints = {name: hint for kind in (*own, Recipe) for name, hint in get_type_hints(kind).items()}
    choices = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    return Known(
        defaults,
        found.ranges() | ranges(Budget) | {"exposure": ranges(Recipe)["exposure"]},
        {name: choices[name] for name in (*defaults, "mixing", "split") if name in choices},
    )


def merged(values: Mapping[str, Any] | None, more: Mapping[str, Any]) -> dict[str, Any]:
    """Settings from a mapping and from keywords; lists become arrays. Raises `WrongUse`."""
    if values is not None and not isinstance(values, Mapping):
        raise WrongUse(f"{str(values)[:40]} is no mapping of settings. Write them as alpha=0.2 or {{'alpha': 0.2}}.")
    if twice := sorted(set(values or {}) & set(more)):
        raise WrongUse(f"{twice[0]} is given twice, in the mapping and as a keyword. Give it once.")
    return {name: as_array(name, value) for name, value in {**(values or {}), **more}.items()}


def as_array(name: str, value: Any) -> Any:
    """A list as an array; everything else as it is, so that plain numbers keep their short cuts. Raises `WrongUse`."""
    if not isinstance(value, list | tuple):
        return value
    try:
        return np.asarray(value)
    except ValueError as error:
        raise WrongUse(f"{name} = {str(value)[:40]} has rows of several lengths. Give an array.") from error


def checked(values: Mapping[str, Any] | None, more: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Settings from a mapping and from keywords, each known to the model and in its range. Raises `WrongUse`."""
    model_named(model)  # before what is kept by model: a list of names has no hash
    given, known = merged(values, more), known_to(model)
    for name, value in given.items():
        if name not in known.ranges and name not in known.choices and name != "rank":
            raise WrongUse(f"{name!r} is no setting of the {model} model. {meant(name, known.names)}")
        if name in known.choices:
            check_choice(name, value, known.choices[name])
        elif name == "rank" and "rank" in known.defaults:
            for one in [] if is_traced(value) else [value] if value is None else np.unique(value).tolist():
                check_rank(one)
        elif name == "rank":
            raise WrongUse(f"rank = {value} is no setting of the {model} model. Leave it out, or use the plain model.")
        else:
            check_number(name, value, known.ranges[name], whole=name in WHOLE)
    common_shape(given)
    sizes = [given.get(name, known.defaults[name]) for name in ("n", "k")] if "n" in given or "k" in given else []
    if sizes and not is_traced(*sizes):
        check_block_sizes(*sizes)
    return given


def common_shape(given: Mapping[str, Any]) -> tuple[int, ...]:
    """The common shape of settings. Raises `WrongUse`."""
    try:
        return np.broadcast_shapes(*(np.shape(value) for value in given.values()))
    except ValueError as error:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in given.items() if np.ndim(value))
        raise WrongUse(
            f"The settings have shapes that do not broadcast against one another: {shapes}. Give one axis to each, e.g. alpha[:, None]."
        ) from error


def staged(given: Mapping[str, Any], model: str = "plain") -> dict[str, Any]:
    """Checked settings with the exposure, if there is one, turned into what it means for the stages.

    Raises:
        WrongUse: a setting that the exposure decides is given beside it, or one that matters only with it is given without.
    """
    values = {name: value for name, value in given.items() if name not in SPENDING and name != "exposure"}
    if "exposure" not in given:
        if idle := [name for name in given if name in SPENDING]:
            raise WrongUse(
                f"{idle[0]} = {given[idle[0]]} matters only together with exposure. Give exposure as well, or leave it out."
            )
        return values
    spending = SPENDING | {name: value for name, value in given.items() if name in SPENDING}
    for name, value in spending.items():
        if name in ranges(Budget):
            check_number(name, value, ranges(Budget)[name])
    for name in ("mixing", "split"):
        check_choice(name, spending[name], known_to(model).choices[name])
    refuse_decided(values, spending["split"])
    recipe = Recipe(mixing=spending["mixing"], split=spending["split"])
    varied = {name: given[name] for name in ("exposure", "replay") if name in given}
    return values | realise(recipe, {name: spending[name] for name in ranges(Budget)}, model, varied)


def refuse_decided(given: Mapping[str, Any], split: str) -> None:
    """Raise `WrongUse` where a setting is given that the exposure decides, and which would be ignored."""
    names = ("alpha", "t_pre", *(["t_post"] if split == "compute-matched" else []))
    if clash := [name for name in names if name in given]:
        raise WrongUse(
            f"{clash[0]} is decided by the exposure and its budget (pre_time, post_time, step_ratio). "
            f"Leave {clash[0]} out, or set the stages themselves and leave the exposure out."
        )


def predict(
    values: Mapping[str, Any] | None = None,
    /,
    pieces: Sequence[Piece] | None = None,
    *,
    model: str = "plain",
    **settings: Any,
) -> Losses:
    """The four losses of a linear model after its three stages.

    Args:
        values: settings by name, numbers or arrays that broadcast against one another (numpy, or JAX to compile and differentiate);
            fields of the model's problem and schedule, and `exposure` with `pre_time`, `post_time`, `step_ratio`, `mixing` and `split` in
            the place of `alpha` and `t_pre` (and of `t_post`, if compute-matched). Defaults for the rest.
        model: plain, rp or rp-shared.
        pieces: stage 1 of the plain model as pieces of constant mixture, in order, instead of `alpha` and `placement`.
        settings: the same as keywords.

    Returns:
        Losses in the common shape of the settings.

    Raises:
        WrongUse: a name that the model does not know, a value outside its range, shapes that do not broadcast, or a setting that
            another one would make ignored.

    Example:
        >>> losses = predict(alpha=0.2, t_ft=1.0)
        >>> round(float(losses.loss_ret), 4)
        0.8702
        >>> predict(exposure=[0.0, 0.5, 1.0], split="compute-matched", step_ratio=4.0).loss_ret.round(3).tolist()
        [1.677, 0.87, 0.928]
        >>> predict(leekage=0.5)
        Traceback (most recent call last):
        common.settings.WrongUse: 'leekage' is no setting of the plain model. Did you mean leakage?
    """
    stage = staged(checked(values, settings, model), model)
    if pieces is None:
        return finite(lambda: model_named(model).predict(stage), model_named(model).losses)
    if model != "plain" or "alpha" in stage:
        raise WrongUse(
            "pieces say themselves what stage 1 of the plain model sees. Leave alpha, exposure and other models out."
        )
    return finite(lambda: stages.predict(stage, pieces), LOSSES)


def exposure_curve(
    exposure: Number | Sequence[float] | None = None,
    values: Mapping[str, Any] | None = None,
    /,
    recipe: Recipe | None = None,
    budget: Mapping[str, Number] | Budget | None = None,
    model: str = "plain",
    **settings: Any,
) -> Losses:
    """The four losses along lambda, under one budget.

    Args:
        exposure: lambda, one value or an array, first or as a keyword; it broadcasts against the settings.
        values: settings of the model that the exposure does not decide.
        recipe: how the exposure is spent; its own exposure does not count. Default `Recipe()`.
        budget: flow times of the corpora; default `Budget()`.
        model: plain, rp or rp-shared.
        settings: settings as keywords.

    Raises:
        WrongUse: as `predict`.

    Example:
        >>> exposure_curve([0.0, 0.5, 1.0], t_ft=1.0).loss_ret.round(3).tolist()
        [1.68, 1.678, 1.599]
    """
    recipe, budget = recipe or Recipe(), budget or Budget()
    exposure = settings.pop("exposure", None) if exposure is None else exposure
    given = _for_curve(values, settings, recipe, budget, model)
    if exposure is None:
        raise WrongUse("A curve needs its exposure. Give one value or several, e.g. exposure_curve([0.0, 0.5, 1.0]).")
    exposure = as_array("exposure", exposure)
    check_number("exposure", exposure, ranges(Recipe)["exposure"])
    common_shape({"exposure": exposure, **given})
    known = model_named(model).losses
    return finite(lambda: allocation.exposure_curve(exposure, given, recipe, budget, model), known)


def optimum(
    values: Mapping[str, Any] | None = None,
    /,
    recipe: Recipe | None = None,
    budget: Mapping[str, Number] | Budget | None = None,
    model: str = "plain",
    **settings: Any,
) -> allocation.Optimum:
    """The exposure that minimises loss_im (`.im`), and the one that minimises loss_ret (`.ret`), each with its depth.

    Args:
        values: settings of the model that the exposure does not decide, numbers or arrays that broadcast.
        recipe: how the exposure is spent; its own exposure does not count. Default: compute-matched, the paper's Figure 3b.
        budget: flow times of the corpora; default `Budget()`.
        model: plain, rp or rp-shared.
        settings: settings as keywords.

    Raises:
        WrongUse: as `predict`, or a budget without D_post.

    Example:
        >>> best = optimum(budget={"pre_time": 20.0, "post_time": 2.0, "step_ratio": 4.0}, t_ft=0.1)
        >>> float(best.im.exposure.round(2)), bool(best.ret.interior)
        (0.53, True)
    """
    recipe, budget = recipe or Recipe(split="compute-matched"), budget or Budget()
    given = _for_curve(values, settings, recipe, budget, model)
    refuse_no_post(budget["post_time"] if isinstance(budget, Mapping) else budget.post_time)
    return allocation.optimum(given, recipe, budget, model)


def refuse_no_post(post_time: Number) -> None:
    """Raise `WrongUse` where there is no D_post, so that every exposure is as good."""
    if not is_traced(post_time) and np.any(np.asarray(post_time) == 0):
        raise WrongUse("post_time = 0 leaves no D_post to share out between the stages. Choose a post_time above 0.")


def _for_curve(
    values: Mapping[str, Any] | None,
    more: Mapping[str, Any],
    recipe: Recipe,
    budget: Mapping[str, Any] | Budget,
    model: str,
) -> dict[str, Any]:
    """Checked settings beside an exposure that varies."""
    given = checked(values, more, model)
    if clash := [name for name in given if name in SPENDING or name == "exposure"]:
        raise WrongUse(
            f"{clash[0]} belongs to the recipe or the budget here. Give recipe=Recipe(...) and budget=Budget(...)."
        )
    refuse_decided(given, recipe.split)
    if isinstance(budget, Mapping):
        if missing := [name for name in ranges(Budget) if name not in budget]:
            raise WrongUse(f"The budget lacks {missing[0]}. Give {', '.join(ranges(Budget))}.")
        for name, value in budget.items():
            if name not in ranges(Budget):
                raise WrongUse(f"{name!r} is no part of a budget. {meant(name, ranges(Budget))}")
            check_number(name, value, ranges(Budget)[name])
    return given
