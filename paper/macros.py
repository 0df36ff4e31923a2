"""Numbers of the text as LaTeX macros, each with the table, the column and the reduction that gave it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from common.seeds import Interval
from common.settings import WrongUse

HEAD = "% Made by `python -m paper macros` from the tables named beside each number; do not edit.\n"


class Rows(str):
    """LaTeX as it stands, e.g. the rows of a table."""

    __slots__ = ()


@dataclass(frozen=True, kw_only=True)
class Macro:
    """A number of the text."""

    name: str
    """Letters only, as TeX asks."""
    table: str
    """File that it comes from, below `paper/`."""
    column: str
    reduction: str
    """How many numbers became one, in words."""
    value: Callable[[], Any]
    """A number, an `Interval`, text, or `Rows`."""
    digits: int = 3
    """Decimals of a number that is not whole."""

    def line(self) -> str:
        r"""`\newcommand` and, before it, where the number is from. Raises `WrongUse` where the table has no such number."""
        if not self.name.isalpha():
            raise WrongUse(f"macro = {self.name!r} is no name of a macro. Use letters only.")
        said = f"% {self.table}, {self.column}: {self.reduction}\n"
        return said + rf"\newcommand{{\{self.name}}}{{{written(self.value(), self.digits)}}}" + "\n"


def written(value: Any, digits: int) -> str:
    """A value as LaTeX. Raises `WrongUse` for one that is not finite, which no sentence can hold."""
    if isinstance(value, Rows):
        return str(value)
    if isinstance(value, str):
        return escaped(value) + r"\xspace"
    if isinstance(value, Interval):
        parts = [value.value] if value.low is None or value.high is None else [value.value, value.low, value.high]
        middle, *ends = (_number(part, digits) for part in parts)
        around = r"\ [" + r",\ ".join(ends) + "]" if ends else ""
        return rf"\ensuremath{{{middle}{around}}}\xspace"
    return rf"\ensuremath{{{_number(value, digits)}}}\xspace"


def _number(value: float, digits: int) -> str:
    if not math.isfinite(value):
        raise WrongUse(f"value = {value} is not finite. Choose another reduction for this macro.")
    if isinstance(value, int):
        return f"{value:,}".replace(",", "{,}")
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if not float(text) else text  # no minus before a zero


def escaped(text: str) -> str:
    """Plain text for LaTeX."""
    special = {
        "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "|": r"\textbar{}",
        "<": r"\textless{}", ">": r"\textgreater{}",
    }  # fmt: skip
    return "".join(special.get(one, "\\" + one if one in "_%&#${}" else one) for one in text)


def document(macros: Iterable[Macro]) -> str:
    """`macros.tex`. Raises `WrongUse` where two macros share a name."""
    lines: dict[str, str] = {}
    for macro in macros:
        if macro.name in lines:
            raise WrongUse(f"macro = {macro.name} is defined twice. Rename one of them.")
        lines[macro.name] = macro.line()
    return HEAD + "\n" + "".join(lines.values())
