"""The commands of `python -m theory`, one module each."""

from theory.commands.optimum import Optimum
from theory.commands.proofs import Errata, Prove
from theory.commands.solve import Solve
from theory.commands.study import Study
from theory.commands.sweep import Sweep
from theory.console import Command
from theory.headline import Headline

COMMANDS: dict[str, type[Command]] = {
    "solve": Solve,
    "sweep": Sweep,
    "optimum": Optimum,
    "study": Study,
    "prove": Prove,
    "errata": Errata,
    "headline": Headline,
}
