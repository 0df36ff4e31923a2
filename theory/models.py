"""The models by name: all that a sweep, an optimum, a fit or a command line needs to know of each.

plain       independent modes in three blocks                        theory.stages
rp          redundant pathways, a balanced unit each                 theory.pathways
rp-shared   redundant pathways through one hidden direction          theory.pathways_shared
null, S, S5, S8, Smax, Slin   laws with one learning curve          theory.laws

A further model is a further entry here; `docs/extending.md` shows it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np

from common.arrays import is_traced
from common.losses import LOSSES, Losses
from common.settings import Settings, WrongUse, check_choice, ranges
from theory.features import BLOCKS, Blocks, modes_from_blocks
from theory.laws.forms import FORMS, PREDICTED, Form, LawSchedule
from theory.laws.forms import knowledge as law_knowledge
from theory.laws.forms import predict as predict_law
from theory.pathways import Pathways, PathwaySchedule, PathwaySolution, solve_separate
from theory.pathways_shared import solve_shared
from theory.stages import PlainSchedule, predict, solve

ModelName = Literal["plain", "rp", "rp-shared", "null", "S", "S5", "S8", "Smax", "Slin"]


class Model(NamedTuple):
    """A model of the three-stage pipeline."""

    problem: type[Settings]
    """The dataclass of its problem."""
    schedule: type[Settings]
    """The dataclass of its schedule, with the interventions that the model knows."""
    predict: Callable[[Mapping[str, Any]], Losses]
    """Settings, as numbers or broadcastable arrays, to the four losses."""
    strengths: Callable[[Mapping[str, Any]], tuple[tuple[str, ...], list[list[float]], Losses]]
    """One setting to the names of its modes, their strengths at the start and after each stage, and the losses."""
    losses: tuple[str, ...] = LOSSES
    """What it predicts; the others are nan."""

    def defaults(self) -> dict[str, Any]:
        """Every setting of the model with its default."""
        return asdict(self.problem()) | asdict(self.schedule())

    def ranges(self) -> dict[str, Mapping[str, Any]]:
        """The admissible range of every numeric setting: what can be the axis of a sweep."""
        return ranges(self.problem) | ranges(self.schedule)


def _plain_strengths(values: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[float]], Losses]:
    solution = solve(modes_from_blocks(values), values)
    return BLOCKS, [np.broadcast_to(stage, (len(BLOCKS),)).tolist() for stage in solution.strengths], solution.losses


def _pathways(solution: Callable[[Mapping[str, Any]], PathwaySolution]) -> Model:
    def strengths(values: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[float]], Losses]:
        found = solution(values)
        return BLOCKS[1:], [[float(strength) for strength in stage] for stage in found.strengths], found.losses

    return Model(Pathways, PathwaySchedule, lambda values: solution(values).losses, strengths)


def _law(form: Form) -> Model:
    def strengths(values: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[float]], Losses]:
        known = [[one] for one in law_knowledge(form.name, values)]
        return ("known of D_post, in stage-1 tokens",), known, predict_law(form.name, values)

    return Model(form.settings, LawSchedule, partial(predict_law, form.name), strengths, PREDICTED)


MODELS: dict[str, Model] = {
    "plain": Model(Blocks, PlainSchedule, predict, _plain_strengths),
    "rp": _pathways(solve_separate),
    "rp-shared": _pathways(solve_shared),
    **{name: _law(form) for name, form in FORMS.items()},
}
"""Both pathway models have the same settings, so that one can be exchanged for the other."""
LINEAR = tuple(name for name in MODELS if name not in FORMS)
"""Those with a network behind them."""


OVERFLOW = "These settings leave the range of floating-point numbers. Choose less extreme targets, scales or times."
"""What is said where a solution is not finite."""
Found = TypeVar("Found")


def finite(solve: Callable[[], Found], names: Sequence[str]) -> Found:
    """What is solved for. Raises `WrongUse` where one of its arrays leaves the range of floating-point numbers; traced ones pass."""
    try:
        with np.errstate(all="ignore"):  # told once, by what comes out
            found = solve()
    except OverflowError as error:
        raise WrongUse(OVERFLOW) from error
    arrays = [getattr(found, name) for name in names]
    if not is_traced(*arrays) and not np.isfinite(sum(arrays)).all():  # what is not finite stays so in a sum
        raise WrongUse(OVERFLOW)
    return found


def model_named(name: str) -> Model:
    """The model of that name. Raises `WrongUse`."""
    check_choice("model", name, tuple(MODELS))
    return MODELS[name]
