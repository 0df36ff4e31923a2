"""How well a result is established: three grades, and whether it replaces something printed that is false.

    proved      every step it needs is symbolic: sympy shows an identity or a sign (also of an exact number)
    argued      at least one step is ordinary mathematics in words, which no machine checks
    numerical   at least one step it needs is a floating-point number (an example, an integration, random draws)

The weakest step decides. Steps that only corroborate do not count. Kept apart from the proofs so that the errata can name
their grades without loading sympy.
"""

from collections.abc import Iterable
from typing import Literal, get_args

Grade = Literal["proved", "argued", "numerical"]
GRADES: tuple[Grade, ...] = get_args(Grade)
"""From the strongest to the weakest."""
FALSE = "false as printed"
"""Said first where the paper's own statement does not hold."""


def weakest(grades: Iterable[Grade]) -> Grade:
    """The grade of a statement that needs all of these; `proved` for none."""
    return max(grades, key=GRADES.index, default="proved")


def status(grade: Grade, *, false_as_printed: bool) -> str:
    """What `prove` and `errata` print: the grade, after `false as printed` where what has it is a repaired form."""
    return f"{FALSE}; repaired: {grade}" if false_as_printed else grade
