"""The commands of `python -m lm_experiments`, one module each."""

from common.console import Command
from lm_experiments.commands.corpora import Corpora
from lm_experiments.commands.doctor import Doctor
from lm_experiments.commands.gates import Gates
from lm_experiments.commands.graphs import Cancel, History, Prune, Rerun, Results, Status
from lm_experiments.commands.plan import Plan
from lm_experiments.commands.probe import Probe
from lm_experiments.commands.run import Run
from lm_experiments.commands.studies import Studies
from lm_experiments.commands.verdicts import Verdicts

COMMANDS: dict[str, type[Command]] = {
    "corpora": Corpora,
    "studies": Studies,
    "plan": Plan,
    "run": Run,
    "status": Status,
    "results": Results,
    "history": History,
    "cancel": Cancel,
    "rerun": Rerun,
    "prune": Prune,
    "doctor": Doctor,
    "probe": Probe,
    "gates": Gates,
    "verdicts": Verdicts,
}
