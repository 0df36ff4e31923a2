"""The studies by name: each a tuple of frozen settings objects whose cells make one results table."""

from common.settings import WrongUse
from lm_experiments.studies.fig3 import FIG3
from lm_experiments.studies.search import SEARCH
from lm_experiments.studies.settings import Cell, Stage, Study
from lm_experiments.studies.smoke import SMOKE

__all__ = ["NAMES", "Cell", "Stage", "Study", "named"]

_STUDIES: dict[tuple[str, str], tuple[Study, ...]] = {
    ("smoke", "nano"): (SMOKE,),
    **{key: (study,) for key, study in FIG3.items()},
    ("search-nano", "nano"): SEARCH,
}
NAMES = tuple(dict.fromkeys(name for name, _ in _STUDIES))


def named(name: str, scale: str) -> tuple[Study, ...]:
    """The settings of a study at a scale. Raises `WrongUse` where there is none."""
    if name not in NAMES:
        raise WrongUse(f"Study {name!r} is not known. Choose from {', '.join(NAMES)}.")
    if (name, scale) not in _STUDIES:
        scales = [other for known, other in _STUDIES if known == name]
        raise WrongUse(f"The study {name} has no scale {scale!r}. Choose from {', '.join(scales)}.")
    return _STUDIES[name, scale]
