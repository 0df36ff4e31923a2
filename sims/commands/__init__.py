"""The commands of `python -m sims`: one per study, and a few about all of them."""

from common.console import Command
from sims.commands.run import Run
from sims.commands.study import All, study_command
from sims.commands.sweep import Sweep
from sims.commands.verdicts import Verdicts
from sims.studies import STUDIES


def commands() -> dict[str, type[Command]]:
    """The commands by name."""
    return {name: study_command(study) for name, study in STUDIES.items()} | {
        "all": All,
        "sweep": Sweep,
        "run": Run,
        "verdicts": Verdicts,
    }
