"""The two variants of the redundant-pathway model by name, with what a sweep, a command line or a fit needs of a model."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from common.losses import Losses
from common.settings import Settings, WrongUse
from theory.pathways import DEFAULTS, RANGES, SETTINGS, PathwaySolution, predict_separate, solve_separate
from theory.pathways_shared import predict_shared, solve_shared


class Model(NamedTuple):
    """A model of the three-stage pipeline."""

    summary: str
    predict: Callable[[Mapping[str, Any]], Losses]
    """Settings, as numbers or broadcastable arrays, to the four losses."""
    solve: Callable[[Mapping[str, Any]], PathwaySolution]
    """The same, with the strengths after each stage."""
    settings: tuple[type[Settings], ...]
    """The dataclasses whose fields are the settings."""
    defaults: Mapping[str, Any]
    ranges: Mapping[str, Mapping[str, Any]]


MODELS: dict[str, Model] = {
    "rp": Model(
        "two pathways to one output, a unit each", predict_separate, solve_separate, SETTINGS, DEFAULTS, RANGES
    ),
    "rp-shared": Model(
        "two pathways to one output through one hidden direction",
        predict_shared,
        solve_shared,
        SETTINGS,
        DEFAULTS,
        RANGES,
    ),
}
"""Both variants have the same settings, so that one can be exchanged for the other."""


def pathway_predict(values: Mapping[str, Any], variant: str) -> Losses:
    """The four losses of a variant. Takes what `theory.allocation.allocate` returns, and any other setting.

    Args:
        values: fields of `Pathways`, `Schedule` and `PathwayStages`.
        variant: `rp` or `rp-shared`; anything else raises `WrongUse`.
    """
    if variant not in MODELS:
        raise WrongUse(f"model = {variant!r} is no redundant-pathway model. Choose one of {', '.join(MODELS)}.")
    return MODELS[variant].predict(values)
