"""The observed curves: losses against lambda for every split and size of D_post in a results table."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Bool, Float, Int
from common.settings import WrongUse

SPLITS = ("independent", "compute-matched")
"""The two halves of a lambda study; in the published one, Figure 3a and Figure 3b."""


class Curve(NamedTuple):
    """One curve: a half of the study and a size of D_post."""

    split: str
    tokens: float

    @property
    def name(self) -> str:
        """For a person, e.g. `independent 30M`."""
        return f"{self.split} {self.tokens / 1e6:g}M"


class Cells(NamedTuple):
    """The rows as a grid, (size, lambda) by split: stage 1 is the same in both splits, and is solved once."""

    exposure: Float[np.ndarray, "cells 1"]
    tokens: Float[np.ndarray, "cells 1"]
    splits: Int[np.ndarray, "splits"]
    where: tuple[Int[np.ndarray, "rows"], Int[np.ndarray, "rows"]]
    """Cell and split of every row."""


@dataclass(frozen=True)
class Points:
    """Observed lambda curves: one entry a (split, size, lambda), each with two losses in nats."""

    exposure: Float[np.ndarray, "rows"]
    tokens: Float[np.ndarray, "rows"]
    matched: Int[np.ndarray, "rows"]
    """1 where the D_post budget is split (compute-matched), 0 where stage 2 is independent."""
    loss: Float[np.ndarray, "rows 2"]
    """loss_im, loss_ret."""

    @property
    def sizes(self) -> Float[np.ndarray, "sizes"]:
        """The distinct sizes of D_post, increasing."""
        return np.unique(self.tokens)

    @property
    def curves(self) -> list[Curve]:
        """The curves there are, independent ones first, by size."""
        found = sorted(set(zip(self.matched.tolist(), self.tokens.tolist(), strict=True)))
        return [Curve(SPLITS[matched], tokens) for matched, tokens in found]

    @cached_property
    def cells(self) -> Cells:
        """The grid that holds all rows."""
        pairs = np.stack([self.tokens, self.exposure], axis=1)
        cells, cell = np.unique(pairs, axis=0, return_inverse=True)
        splits, split = np.unique(self.matched, return_inverse=True)
        return Cells(cells[:, 1:], cells[:, :1], splits, (cell.reshape(-1), split))

    @cached_property
    def member(self) -> Float[np.ndarray, "rows sizes"]:
        """1 where a row has that size."""
        return np.asarray(self.tokens[:, None] == self.sizes[None, :], dtype=float)

    def of(self, curve: Curve) -> Bool[np.ndarray, "rows"]:
        """Which rows belong to a curve."""
        return np.asarray((self.matched == SPLITS.index(curve.split)) & (self.tokens == curve.tokens))

    def half(self, split: str) -> Bool[np.ndarray, "rows"]:
        """Which rows belong to a half of the study."""
        return np.asarray(self.matched == SPLITS.index(split))


def points_from(table: Any, splits: Sequence[str] = SPLITS) -> Points:
    """The lambda curves in a results table. Raises `WrongUse` where there are none."""
    split = np.asarray(table["split"].to_pylist(), dtype=object)
    here = np.isin(split, list(splits))
    if not here.any():
        raise WrongUse(f"The table has no rows with split {' or '.join(splits)}. Fit a table of a lambda study.")
    column = {
        name: np.asarray(table[name].to_pylist(), dtype=float)[here]
        for name in ("exposure", "tokens_post", "loss_im", "loss_ret")
    }
    if not all(np.isfinite(values).all() for values in column.values()):
        raise WrongUse("A lambda study needs exposure, tokens_post, loss_im and loss_ret, finite, in every row.")
    matched = split[here] == "compute-matched"
    if (column["exposure"] < 0).any() or (column["exposure"][matched] > 1).any():
        raise WrongUse(
            "exposure must be at least 0, and at most 1 where the budget is compute-matched. Correct the table."
        )
    if (column["tokens_post"] <= 0).any():
        raise WrongUse("tokens_post must be positive: it is the size of D_post in tokens. Correct the table.")
    return Points(
        column["exposure"],
        column["tokens_post"],
        matched.astype(int),
        np.stack([column["loss_im"], column["loss_ret"]], axis=1),
    )
