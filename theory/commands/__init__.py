"""The commands of `python -m theory`, one module each."""

from collections.abc import Sequence

from common.console import Command
from theory.commands.crosscheck import Crosscheck
from theory.commands.fit import FitCommand
from theory.commands.headline import Headline
from theory.commands.optimum import Optimum
from theory.commands.proofs import Errata, Prove
from theory.commands.recommend import Next, Recommend
from theory.commands.setting import for_model
from theory.commands.solve import Solve
from theory.commands.study import Study
from theory.commands.sweep import Sweep
from theory.commands.verdicts import Verdicts


def commands(arguments: Sequence[str]) -> dict[str, type[Command]]:
    """The commands by name; solve, sweep and optimum with the options of the model that the arguments choose."""
    return {
        "solve": for_model(Solve, arguments),
        "sweep": for_model(Sweep, arguments),
        "optimum": for_model(Optimum, arguments),
        "study": Study,
        "fit": FitCommand,
        "crosscheck": Crosscheck,
        "recommend": Recommend,
        "next": Next,
        "prove": Prove,
        "errata": Errata,
        "headline": Headline,
        "verdicts": Verdicts,
    }
