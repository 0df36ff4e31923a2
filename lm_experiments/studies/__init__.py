"""The studies by name and scale: each a frozen settings object whose cells make one results table.

To add one, write a module with a `Study` and enter it here.
"""

from common.settings import WrongUse, meant
from lm_experiments.studies.fig3 import FIG3
from lm_experiments.studies.search import SEARCH
from lm_experiments.studies.settings import Arm, Axis, Cell, PipelineSettings, Stage, Study
from lm_experiments.studies.smoke import SMOKE

__all__ = ["NAMES", "STUDIES", "Arm", "Axis", "Cell", "PipelineSettings", "Stage", "Study", "named"]

STUDIES: dict[tuple[str, str], Study] = {
    (study.name, study.base.scale): study for study in (SMOKE, *FIG3.values(), SEARCH)
}
"""The studies by name and scale."""
NAMES = tuple(dict.fromkeys(name for name, _ in STUDIES))


def named(name: str, scale: str) -> Study:
    """The study of that name at a scale. Raises `WrongUse` where there is none."""
    if name not in NAMES:
        raise WrongUse(f"Study {name!r} is not known. {meant(name, NAMES)} There are {', '.join(NAMES)}.")
    if (name, scale) not in STUDIES:
        scales = [other for known, other in STUDIES if known == name]
        raise WrongUse(f"The study {name} has no scale {scale!r}. Choose from {', '.join(scales)}.")
    return STUDIES[name, scale]
