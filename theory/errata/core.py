"""What an erratum is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from common.arrays import Shaped
from theory.proofs.grades import Grade, status

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
    proofs: tuple[str, ...] = ()
    """Results of `theory.proofs` that derive what holds; none where only the numbers of `check` stand for it."""
    grade: Grade = "numerical"
    """The weakest grade of those results; a test compares, because carrying them out takes sympy and seconds."""
    false: bool = True
    """Whether what is printed is false."""

    @property
    def status(self) -> str:
        """What the table prints, e.g. `false as printed; repaired: proved`."""
        return status(self.grade, false_as_printed=self.false)

    def texts(self) -> dict[str, str]:
        """Everything in words, as plain data."""
        names = ("name", "where", "printed", "holds", "status", "survives", "detail")
        return {name: getattr(self, name) for name in names}
