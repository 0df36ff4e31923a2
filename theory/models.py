"""The models by name: what a sweep, an optimum or a command line needs to know of each.

plain       independent modes in three blocks                        theory.stages
rp          redundant pathways, a balanced unit each                 theory.pathways
rp-shared   redundant pathways through one hidden direction          theory.pathways_shared
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Literal, NamedTuple

import numpy as np

from common.losses import Losses
from common.settings import Settings, WrongUse, ranges
from theory.features import BLOCKS, Blocks, modes_from_blocks
from theory.stages import PlainSchedule, Schedule, predict, solve

ModelName = Literal["plain", "rp", "rp-shared"]


class Model(NamedTuple):
    """A model of the three-stage pipeline."""

    problem: Callable[[], type[Settings]]
    """The dataclass of its problem; a function, because the redundant-pathway models are imported when asked for."""
    schedule: Callable[[], type[Schedule]]
    """The dataclass of its schedule, with the interventions that the model knows."""
    predict: Callable[[Mapping[str, Any]], Losses]
    """Settings, as numbers or broadcastable arrays, to the four losses."""
    strengths: Callable[[Mapping[str, Any]], tuple[tuple[str, ...], list[list[float]], Losses]]
    """One setting to the names of its modes, their strengths at the start and after each stage, and the losses."""

    def defaults(self) -> dict[str, Any]:
        """Every setting of the model with its default."""
        return asdict(self.problem()()) | asdict(self.schedule()())

    def ranges(self) -> dict[str, Mapping[str, Any]]:
        """The admissible range of every numeric setting: what can be the axis of a sweep."""
        return ranges(self.problem()) | ranges(self.schedule())


def _plain_strengths(values: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[float]], Losses]:
    solution = solve(modes_from_blocks(values), values)
    return BLOCKS, [np.broadcast_to(stage, (len(BLOCKS),)).tolist() for stage in solution.strengths], solution.losses


def _pathways() -> type[Settings]:
    from theory.pathways import Pathways

    return Pathways


def _pathway_schedule() -> type[Schedule]:
    from theory.pathways import PathwaySchedule

    return PathwaySchedule


def _pathway_predict(variant: str) -> Callable[[Mapping[str, Any]], Losses]:
    def run(values: Mapping[str, Any]) -> Losses:
        from theory.pathways_models import pathway_predict

        return pathway_predict(values, variant)

    return run


def _pathway_strengths(
    variant: str,
) -> Callable[[Mapping[str, Any]], tuple[tuple[str, ...], list[list[float]], Losses]]:
    def run(values: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[float]], Losses]:
        from theory.pathways_models import MODELS as VARIANTS

        solution = VARIANTS[variant].solve(values)
        return BLOCKS[1:], [[float(strength) for strength in stage] for stage in solution.strengths], solution.losses

    return run


MODELS: dict[str, Model] = {
    "plain": Model(lambda: Blocks, lambda: PlainSchedule, predict, _plain_strengths),
    **{
        name: Model(_pathways, _pathway_schedule, _pathway_predict(name), _pathway_strengths(name))
        for name in ("rp", "rp-shared")
    },
}


def model_named(name: str) -> Model:
    """The model of that name. Raises `WrongUse`."""
    if name not in MODELS:
        raise WrongUse(f"model = {name!r} is not known. Choose one of {', '.join(MODELS)}.")
    return MODELS[name]
