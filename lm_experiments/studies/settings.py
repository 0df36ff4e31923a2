"""A study as frozen settings: what one pipeline is (`PipelineSettings`), and the arms and axes whose product is run (`Study`).

base                    corpora, model, stages, recipe, seed: everything that one pipeline needs
arms                    named variants of the base: mixed, mixed + replay, a decoy, the members of a search
  x axes                any setting by its dotted name, with its values: seed, recipe.exposure, stage2.lr, tokens_post, ...
  = cells               resolved settings, one for every pipeline and row of the table
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any, NamedTuple

from common import dotted
from common.settings import Settings, WrongUse, meant
from lm_experiments.studies.pipeline_settings import COLUMNS, CORPORA, IN_SCHEMA, PipelineSettings, Stage

__all__ = [
    "COLUMNS",
    "CORPORA",
    "IN_SCHEMA",
    "SEARCH_SEEDS",
    "Arm",
    "Axis",
    "Cell",
    "PipelineSettings",
    "Stage",
    "Study",
]

SEARCH_SEEDS = 1000
"""Seeds from here on are for searching a regime; results come from smaller ones, which no search has used."""
SHORT = {"recipe.exposure": "λ", "tokens_post": "D_post", "stage3.lr": "lr_ft"}
"""What titles call a setting."""


class Axis(NamedTuple):
    """A setting, by its dotted name, and the values that it takes."""

    field: str
    values: tuple[Any, ...]


class Arm(NamedTuple):
    """A variant of the base; the values that it sets itself take the place of the study's axis over the same setting."""

    name: str
    changes: Mapping[str, Any] = {}
    """Dotted name -> value."""
    axes: tuple[Axis, ...] = ()
    """Axes of its own."""


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """What a study runs: every arm x the product of the axes."""

    name: str
    about: str
    base: PipelineSettings
    axes: tuple[Axis, ...] = ()
    """The first one varies slowest."""
    arms: tuple[Arm, ...] = (Arm(""),)

    def __post_init__(self) -> None:
        """Check that arms and axes name settings, and that every axis has values. Raises `WrongUse`."""
        super().__post_init__()
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise WrongUse(f"The arms of {self.name} are {names or 'none'}: give at least one, each with its own name.")
        for axes in (self.axes, *(arm.axes for arm in self.arms)):
            if len({axis.field for axis in axes}) != len(axes):
                raise WrongUse(f"{self.name} has two axes over one setting. Put their values into one.")
            for axis in axes:
                dotted.known(PipelineSettings, axis.field)
                if not axis.values or len(set(axis.values)) != len(axis.values):
                    raise WrongUse(
                        f"{axis.field} takes the values {' '.join(map(str, axis.values)) or '(none)'}: at least one, and each once."
                    )
        for arm in self.arms:
            dotted.changed(self.base, arm.changes)

    def cells(self) -> Iterator["Cell"]:
        """Every pipeline of the study, arm by arm. Raises `WrongUse` where settings do not go together."""
        for arm in self.arms:
            axes = self._axes(arm)
            for values in product(*(axis.values for axis in axes)):
                point = dict(zip((axis.field for axis in axes), values, strict=True))
                yield Cell(self, arm.name, dotted.changed(self.base, {**arm.changes, **point}), point)

    @property
    def size(self) -> int:
        """Pipelines of the study; nothing is resolved."""
        return sum(prod(len(axis.values) for axis in self._axes(arm)) for arm in self.arms)

    def _axes(self, arm: Arm) -> list[Axis]:
        """The axes of an arm: the study's, or its own over the same setting, then what it has besides."""
        own = {axis.field: axis for axis in arm.axes}
        axes = [own.pop(axis.field, axis) for axis in self.axes if axis.field not in arm.changes]
        return [*axes, *own.values()]

    def over(self, *axes: Axis) -> "Study":
        """The same with other values on some axes, those of its arms included; an axis that it lacks is added, varying fastest.

        Raises `WrongUse` where an arm fixes that setting.
        """
        axes = tuple(axis._replace(values=self._fitting(axis)) for axis in axes)
        new = {axis.field: axis for axis in axes}
        self._refuse_fixed(new)
        arms = tuple(arm._replace(axes=tuple(axis for axis in arm.axes if axis.field not in new)) for arm in self.arms)
        kept = tuple(new.pop(axis.field, axis) for axis in self.axes)
        return replace(self, axes=(*kept, *new.values()), arms=arms)

    def changed(self, changes: Mapping[str, Any]) -> "Study":
        """The same with another base, by dotted names; an axis over a setting that is named here goes away.

        Raises `WrongUse` where an arm fixes that setting.
        """
        self._refuse_fixed(changes)

        def left(axes: Sequence[Axis]) -> tuple[Axis, ...]:
            return tuple(axis for axis in axes if axis.field not in changes)

        arms = tuple(arm._replace(axes=left(arm.axes)) for arm in self.arms)
        return replace(self, base=dotted.changed(self.base, changes), axes=left(self.axes), arms=arms)

    def chosen(self, names: Sequence[str]) -> "Study":
        """Only some of its arms, in its order. Raises `WrongUse` where there is none of that name."""
        known = [arm.name for arm in self.arms]
        for name in names:
            if name not in known:
                raise WrongUse(f"{self.name} has no arm {name!r}. {meant(name, known)}")
        return replace(self, arms=tuple(arm for arm in self.arms if arm.name in names))

    def values(self, name: str) -> tuple[Any, ...]:
        """The values that a setting takes: those of its axis, or the one of the base."""
        found = next((axis.values for axis in self.axes if axis.field == name), None)
        return (dotted.value_of(self.base, name),) if found is None else found

    def _fitting(self, axis: Axis) -> tuple[Any, ...]:
        kind = dotted.known(PipelineSettings, axis.field).type
        return tuple(dotted.fitting(axis.field, value, kind) for value in axis.values)

    def _refuse_fixed(self, names: Mapping[str, Any]) -> None:
        for arm in self.arms:
            for name in names:
                if name in arm.changes:
                    raise WrongUse(
                        f"{name} is {arm.changes[name]} in the arm {arm.name!r} of {self.name}, which is what makes it that arm. Leave it "
                        "out, or choose other arms."
                    )


class Cell(NamedTuple):
    """One pipeline of a study, resolved."""

    study: Study
    arm: str
    settings: PipelineSettings
    point: Mapping[str, Any]
    """Where on the axes it lies."""

    @property
    def title(self) -> str:
        """What to call it in progress lines: its arm and where it lies on the axes."""
        return self.titled(4)

    def titled(self, stage: int) -> str:
        """The same without the settings of stages from `stage` on, which stages before it do not know."""
        known = [name for name in self.point if not any(name.startswith(f"stage{later}.") for later in range(stage, 4))]
        parts = [f"{SHORT.get(name, name)} {_spelled(self.point[name])}" for name in known]
        return " ".join(filter(None, (self.arm, ", ".join(parts)))) or "its pipeline"


def _spelled(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
