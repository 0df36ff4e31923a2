"""The options that solve, sweep and optimum share: a problem, its schedule and the recipe."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from tyro.conf import arg

from theory.allocation import Budget
from theory.console import Command, Json
from theory.features import Blocks
from theory.recipe import Recipe
from theory.stages import Schedule


@dataclass(frozen=True, kw_only=True)
class Setting(Command):
    """A linear-model problem, its schedule and, if you like, the recipe that decides the schedule."""

    blocks: Annotated[Blocks, arg(name="")] = field(default_factory=Blocks)
    schedule: Annotated[Schedule, arg(name="")] = field(default_factory=Schedule)
    budget: Annotated[Budget, arg(name="")] = field(default_factory=Budget)
    mixing: Literal["add", "replace"] = "add"
    """Whether exposure is added to D_pre or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    json: Json = False

    def recipe(self, exposure: float = 0.0) -> Recipe:
        """The recipe that these options describe."""
        return Recipe(exposure=exposure, mixing=self.mixing, split=self.split, replay=self.schedule.replay)

    def values(self) -> dict[str, Any]:
        """All fields of `Blocks` and `Schedule` as one mapping."""
        return asdict(self.blocks) | asdict(self.schedule)
