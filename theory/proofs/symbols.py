"""The symbols that all proofs share, with their assumptions. `a0 > 0` is a start, `s` a target, `c` an input variance."""

from typing import Any

import sympy as sp


def positive(names: str) -> Any:
    """Positive real symbols."""
    return sp.symbols(names, positive=True)


def nonnegative(names: str) -> Any:
    """Nonnegative real symbols."""
    return sp.symbols(names, nonnegative=True)


def real(names: str) -> Any:
    """Real symbols."""
    return sp.symbols(names, real=True)


a, a0, b, c, s, t = positive("a a_0 b c s t")
w1, w2 = real("w_1 w_2")


def logistic(start: Any, variance: Any, target: Any, time: Any) -> Any:
    """`F(a0; c, s, t) = s / (1 + (s/a0 - 1) exp(-4 c s t))`, the strength of a balanced mode after a stage."""
    return target / (1 + (target / start - 1) * sp.exp(-4 * variance * target * time))
