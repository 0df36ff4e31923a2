"""The studies by name and scale: each a frozen settings object whose cells make one results table.

To add one, write a module with a `Study` and enter it here.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from common.settings import WrongUse, meant
from lm_experiments.studies.controlled import CONTROLLED
from lm_experiments.studies.curves import FIG3_CONTROLLED
from lm_experiments.studies.deciding import DECIDING
from lm_experiments.studies.decoys import DECOYS
from lm_experiments.studies.doses import OVERLAP, REPEAT
from lm_experiments.studies.facts import FACTS, FEW_FACTS, FEW_HALVES, PROVENANCE
from lm_experiments.studies.fig3 import FIG3
from lm_experiments.studies.frontiers import FRONTIERS
from lm_experiments.studies.interventions import FIG4, FIG5, FIG6, FIG10, FIG11, FIG12, SITES
from lm_experiments.studies.ladder import LADDER
from lm_experiments.studies.lora import FIG7
from lm_experiments.studies.mitigation import MITIGATION
from lm_experiments.studies.mixing import FIG2, FIG8, FIG9
from lm_experiments.studies.placement import PLACEMENT
from lm_experiments.studies.scaled import nano
from lm_experiments.studies.scaled import smoke as smoke_of
from lm_experiments.studies.search import SEARCH
from lm_experiments.studies.sensitivity import FEW_SENSITIVITY
from lm_experiments.studies.settings import Arm, Axis, Cell, PipelineSettings, Stage, Study
from lm_experiments.studies.smoke import SMOKE

__all__ = ["NAMES", "STUDIES", "Arm", "Axis", "Cell", "PipelineSettings", "Stage", "Study", "named"]

_PAPER = (
    FIG2, FIG4, FIG5, FIG6, FIG7, FIG8, FIG9, FIG10, FIG11, FIG12,
    SITES, PLACEMENT, REPEAT, OVERLAP, MITIGATION, DECOYS,
)  # fmt: skip
"""At paper scale; nano and smoke follow by rule."""
_CONTROLLED = (CONTROLLED, DECIDING, FIG3_CONTROLLED, *FRONTIERS)
"""At nano, in the regime that meets the gates; smoke follows by rule."""
_WRITTEN = (
    SMOKE,
    *FIG3.values(),
    SEARCH,
    *_CONTROLLED,
    FACTS,
    PROVENANCE,
    FEW_FACTS,
    FEW_HALVES,
    FEW_SENSITIVITY,
    *LADDER,
    *_PAPER,
)
NAMES = tuple(dict.fromkeys(study.name for study in _WRITTEN))


class _Studies(Mapping[tuple[str, str], Study]):
    """All studies, the scaled ones made when the first is asked for: a command that only shows its help needs none."""

    @cached_property
    def _made(self) -> dict[tuple[str, str], Study]:
        small = [nano(study) for study in _PAPER]
        own = [nano(FIG3[name, "135m"]) for name in ("fig3a", "fig3b")]  # at nano scale fig3 has a regime of its own
        every = (*_WRITTEN, *small, *(smoke_of(study) for study in (*own, *small, *_CONTROLLED)))
        return {(study.name, study.base.scale): study for study in every}

    def __getitem__(self, key: tuple[str, str]) -> Study:
        return self._made[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


STUDIES: Mapping[tuple[str, str], Study] = _Studies()
"""The studies by name and scale."""


def named(name: str, scale: str) -> Study:
    """The study of that name at a scale. Raises `WrongUse` where there is none."""
    if name not in NAMES:
        raise WrongUse(
            f"Study {name!r} is not known. {meant(name, NAMES)} `python -m lm_experiments studies` lists all."
        )
    if (name, scale) not in STUDIES:
        scales = [other for known, other in STUDIES if known == name]
        raise WrongUse(f"The study {name} has no scale {scale!r}. Choose from {', '.join(scales)}.")
    return STUDIES[name, scale]
