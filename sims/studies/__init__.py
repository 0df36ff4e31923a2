"""The studies of `python -m sims`, one module each."""

from sims.studies.misalignment import MISALIGNMENT
from sims.study import Study

STUDIES: dict[str, Study] = {study.name: study for study in (MISALIGNMENT,)}
"""Name -> study, in the order in which `all` runs them."""
