"""What an erratum is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.arrays import Shaped

Numbers: TypeAlias = Shaped[np.ndarray, "..."]
"""An array of any shape: draws, strengths, matrices."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The numbers of a counterexample and whether they confirm the erratum."""

    numbers: dict[str, float]
    confirmed: bool


@dataclass(frozen=True, kw_only=True)
class Erratum:
    """One item: what is printed, what holds, whether the paper's conclusion survives, and how to check it."""

    name: str
    where: str
    printed: str
    holds: str
    survives: str
    detail: str
    check: Callable[[], Finding]

    def texts(self) -> dict[str, str]:
        """Everything but the check, as plain data."""
        names = ("name", "where", "printed", "holds", "survives", "detail")
        return {name: getattr(self, name) for name in names}
