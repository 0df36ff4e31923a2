"""Singular vectors of one's own for the tasks: two orthogonal matrices U and V, as numbers or in a JSON file.

    A = U diag(s) V'            {"u": [[...], ...], "v": [[...], ...]}       rows of U and of V; column i belongs to mode i

Kept as tuples of rows, so that a `Setup` that holds them can be compared and hashed.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from common.files import reason
from common.settings import WrongUse

Rows: TypeAlias = tuple[tuple[float, ...], ...]

ORTHONORMAL = 1e-8
"""Largest deviation of an entry of U'U and V'V from the identity (our choice: far above what printed doubles lose)."""
LARGEST = 8_000_000
"""Bytes that a file may have: two matrices of the largest n in full precision, and room to spare."""


def as_rows(u: Any, v: Any) -> tuple[Rows, Rows]:
    """U and V as rows of numbers, checked.

    Args:
        u: output directions, of shape (n, n), anything that numpy reads as numbers.
        v: input directions, of the same shape.

    Raises:
        WrongUse: they are not finite square matrices of one size with orthonormal columns.
    """
    checked = {name: _orthogonal(name, value) for name, value in (("u", u), ("v", v))}
    if checked["u"].shape != checked["v"].shape:
        sizes = " and ".join(f"{name} {len(matrix)} x {len(matrix)}" for name, matrix in checked.items())
        raise WrongUse(f"The singular vectors differ in size: {sizes}. Give two matrices of the size n of the problem.")
    first, second = (tuple(tuple(row) for row in matrix.tolist()) for matrix in checked.values())
    return first, second


def read_vectors(path: Path) -> tuple[Rows, Rows]:
    """U and V from a JSON file. Raises `WrongUse` where it cannot be read, is too large, or does not hold them."""
    try:
        if not path.is_file():
            raise OSError("it is not an ordinary file")
        if (size := path.stat().st_size) > LARGEST:
            raise OSError(f"it has {size / 1e6:.1f} MB, and two matrices need at most {LARGEST / 1e6:.0f} MB")
        document = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(f"'{path}' cannot be read as singular vectors ({reason(error)}). {_FORM}") from error
    if not isinstance(document, Mapping) or set(document) != {"u", "v"}:
        raise WrongUse(f"'{path}' does not hold u and v and nothing else. {_FORM}")
    try:
        return as_rows(document["u"], document["v"])
    except WrongUse as error:
        raise WrongUse(f"In '{path}': {error}") from error


def check_vectors(problem: str, n: int, named: str, given: tuple[Rows, ...]) -> None:
    """Raise `WrongUse` where the vectors that a setup names or is given do not fit it.

    Args:
        problem: family of tasks; only `blocks` has vectors to choose.
        n: its number of modes.
        named: random or identity.
        given: U and V, or nothing.
    """
    if problem != "blocks" and (given or named != "random"):
        raise WrongUse(f"The tasks of {problem} have no singular vectors to choose. Leave vectors out, or use blocks.")
    if not given:
        return
    if named != "random":
        raise WrongUse(f"vectors = {named} together with vectors of your own. Give one or the other.")
    if len(given) != 2:
        raise WrongUse(f"given_vectors holds {len(given)} matrices. Give two, (U, V).")
    if (size := len(as_rows(*given)[0])) != n:
        raise WrongUse(f"The singular vectors are matrices of {size} x {size}, but n = {n}. Set n to {size}.")


_FORM = 'Give a JSON file of the form {"u": [[...], ...], "v": [[...], ...]} with the rows of two orthogonal matrices.'


def _orthogonal(name: str, value: Any) -> Any:
    try:
        matrix = np.array(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise WrongUse(f"{name} is not a matrix of numbers ({error}). Give n rows of n numbers each.") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise WrongUse(f"{name} has the shape {matrix.shape}. Give n rows of n numbers each.")
    if not np.isfinite(matrix).all():
        raise WrongUse(f"{name} holds a number that is not finite. Give finite numbers only.")
    with np.errstate(over="ignore", invalid="ignore"):
        off = float(np.abs(matrix.T @ matrix - np.eye(len(matrix))).max())
    if not off <= ORTHONORMAL:
        raise WrongUse(
            f"The columns of {name} are not orthonormal: an entry of {name}'{name} is off by {off:.2g}, more than "
            f"{ORTHONORMAL:g}. Make them so, e.g. as the first factor of numpy.linalg.qr, and print all digits."
        )
    return matrix
