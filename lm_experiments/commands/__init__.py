"""The commands of `python -m lm_experiments`, one module each."""

from common.console import Command
from lm_experiments.commands.corpora import Corpora
from lm_experiments.commands.gates import Gates
from lm_experiments.commands.run import Run
from lm_experiments.commands.verdicts import Verdicts

COMMANDS: dict[str, type[Command]] = {"corpora": Corpora, "run": Run, "gates": Gates, "verdicts": Verdicts}
