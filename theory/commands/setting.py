"""The options that solve, sweep and optimum share: a problem of the chosen model, its schedule and the recipe."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from common.console import Command, Json
from common.recipe import COLUMNS, Recipe
from common.settings import Settings, WrongUse
from theory.api import SPENDING, refuse_decided
from theory.features import Blocks
from theory.models import MODELS, ModelName
from theory.realise import Budget
from theory.stages import PlainSchedule


@dataclass(frozen=True, kw_only=True)
class Setting(Command):
    """A linear-model problem, its schedule and, if you like, the recipe that decides the schedule."""

    model: ModelName = "plain"
    """plain: independent modes; rp, rp-shared: redundant pathways, with separate units or a shared one;
    null, S, S5, S8, Smax, Slin: laws with one learning curve, all times in (millions of) tokens.
    It decides which of the options below there are; see `--model rp --help`."""
    problem: Annotated[Settings, arg(name="")] = field(default_factory=Blocks)
    schedule: Annotated[Settings, arg(name="")] = field(default_factory=PlainSchedule)
    budget: Annotated[Budget, arg(name="")] = field(default_factory=Budget)
    mixing: Literal["add", "replace"] = "add"
    """Whether exposure is added to D_pre or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    json: Json = False

    given: ClassVar[frozenset[str]] = frozenset()
    """Names of the options that the command line spells out; see `for_model`."""

    def refuse_ignored(self, *, exposed: bool, split: str, document: Iterable[str] = ()) -> None:
        """Raise `WrongUse` where an option or an entry of a document would be ignored, because the exposure decides it, or there is none.

        Args:
            exposed: whether there is an exposure that decides about stages.
            split: how it does.
            document: further names that are given.
        """
        names = {**dict.fromkeys(document), **dict.fromkeys(sorted(self.given))}
        if exposed:
            refuse_decided(names, split)
        elif idle := [name for name in names if name in SPENDING]:
            raise WrongUse(
                f"{idle[0]} matters only together with exposure, and there is none. Give exposure as well, or leave it out."
            )

    def recipe(self, exposure: float = 0.0) -> Recipe:
        """The recipe that these options describe."""
        own = {name: value for name, value in asdict(self.schedule).items() if name in COLUMNS}
        return Recipe(exposure=exposure, mixing=self.mixing, split=self.split, **own)

    def values(self) -> dict[str, Any]:
        """All settings of the problem and the schedule as one mapping."""
        return asdict(self.problem) | asdict(self.schedule)


def for_model(command: type[Setting], arguments: Sequence[str]) -> type[Command]:
    """The command with the problem options of the model that the arguments name (plain, if none or an unknown one)."""
    named = [after for before, after in pairwise(arguments) if before == "--model"]
    named += [argument.removeprefix("--model=") for argument in arguments if argument.startswith("--model=")]
    model = MODELS[named[-1] if named and named[-1] in MODELS else "plain"]
    options: list[Any] = [
        (name, Annotated[kind, arg(name="")], field(default_factory=kind))
        for name, kind in (("problem", model.problem), ("schedule", model.schedule))
    ]
    spelled = [
        text.partition("=")[0].removeprefix("--").replace("-", "_") for text in arguments if text.startswith("--")
    ]
    made = make_dataclass(
        command.__name__, options, bases=(command,), frozen=True, kw_only=True, namespace={"given": frozenset(spelled)}
    )
    made.__doc__ = command.__doc__
    return made
