"""Losses along an axis, seed by seed, out of a results table: what is compared seed by seed must be of the same seeds."""

from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Bool, Float
from common.results import column
from common.settings import WrongUse

NOTABLE = 0.1
"""Fraction of the forgetting that a fall must exceed, and of the fall that loss_im may move."""
MATCHED_POINTS = 33
"""Points of loss_ft, evenly spaced over the range that all lambda reach, at which curves are compared."""


class Curves(NamedTuple):
    """A column of a results table along an axis, one row per seed; points and seeds in rising order."""

    points: Float[np.ndarray, " points"]
    values: Float[np.ndarray, "seeds points"]
    seeds: Float[np.ndarray, " seeds"]

    def of(self, seeds: Any) -> tuple[Any, Any]:
        """Points, and the values of some of the seeds, in rising order."""
        return self.points, self.values[np.isin(self.seeds, seeds)]


def curves(table: Any, keep: Bool[np.ndarray, " rows"], axis: str, name: str) -> Curves:
    """A column of the kept rows along an axis. A seed that misses a point, because that run diverged, is left out.

    Args:
        table: a results table.
        keep: mask over its rows; must leave at most one row for every seed and point.
        axis: the column that varies.
        name: the column of the values, e.g. one of the four losses.

    Raises:
        WrongUse: no seed has all points.
        ValueError: there is more than one row for a seed and point.
    """
    at, seed, value = (column(table, each)[keep] for each in (axis, "seed", name))
    (points, across), (seeds, down) = (np.unique(values, return_inverse=True) for values in (at, seed))
    counts, found = np.zeros((2, len(seeds), len(points)))
    np.add.at(counts, (down, across), 1)
    if (counts > 1).any():
        raise ValueError(f"several rows share a seed and a value of {axis}")
    whole = counts.all(1)
    if not whole.any():
        raise WrongUse(f"No seed is left with every value of {axis}: runs diverged or are missing. Use more steps.")
    found[down, across] = value
    return Curves(points, found[whole], seeds[whole])


def by_seed(table: Any, keep: Bool[np.ndarray, " rows"], axis: str, name: str) -> tuple[Any, Any]:
    """Points and values of `curves`, of shapes (points) and (seeds, points), where nothing else is compared with them."""
    return curves(table, keep, axis, name)[:2]


def paired(table: Any, axis: str, *series: tuple[Bool[np.ndarray, " rows"], str]) -> tuple[Any, list[Any]]:
    """Several series along one axis, of the seeds that all of them have: row i of each is the same seed.

    Args:
        table: a results table.
        axis: the column that varies.
        series: mask over the rows and column of the values, as in `curves`.

    Returns:
        The points, and an array of shape (seeds, points) a series.

    Raises:
        WrongUse: no seed has all points of all series.
        ValueError: the series have different points, or more than one row for a seed and point.
    """
    found = [curves(table, keep, axis, name) for keep, name in series]
    if any(not np.array_equal(each.points, found[0].points) for each in found):
        raise ValueError(f"the series have different values of {axis}")
    shared = set.intersection(*(set(each.seeds.tolist()) for each in found))
    if not shared:
        raise WrongUse("No seed is left in everything that is compared: runs diverged or are missing. Use more steps.")
    return found[0].points, [each.of(list(shared))[1] for each in found]


def whole_seeds(seed: Float[np.ndarray, " rows"]) -> Bool[np.ndarray, " rows"]:
    """Mask of the rows whose seed has all rows that any seed has: what is left where other runs diverged is comparable as it is."""
    _, which, counts = np.unique(seed, return_inverse=True, return_counts=True)
    kept: Bool[np.ndarray, " rows"] = (counts == counts.max())[which]
    return kept


def gain(table: Any, keep: Bool[np.ndarray, " rows"], axis: str, loss: str = "loss_ret") -> tuple[Any, Any]:
    """Points of the axis, and a loss unmixed (alpha = 0) minus mixed: shape (seeds, points)."""
    alpha = column(table, "alpha")
    points, (unmixed, mixed) = paired(table, axis, (keep & (alpha == 0), loss), (keep & (alpha > 0), loss))
    return points, unmixed - mixed


def latent(
    loss_im: Float[Array, "alphas others"], loss_ret: Float[Array, "alphas others"]
) -> tuple[Bool[np.ndarray, "mixed others"], Bool[np.ndarray, "mixed others"]]:
    """Which mixed settings gain notably, and which of those latently; the first row is unmixed (alpha or lambda 0)."""
    forgetting = loss_ret[0] - loss_im[0]
    fall, moved = loss_ret[0] - loss_ret[1:], np.abs(loss_im[0] - loss_im[1:])
    gains = (fall > NOTABLE * np.maximum(forgetting, 0)) & (forgetting > 0)
    return gains, gains & (moved < NOTABLE * fall)


def at_matched(
    ft: Float[np.ndarray, "curves rates"], ret: Float[np.ndarray, "curves rates"]
) -> Float[np.ndarray, " curves"]:
    """loss_ret of one seed, averaged over the range of loss_ft that all curves reach; nan where there is none.

    Args:
        ft: loss_ft at every stage-3 learning rate, in any order.
        ret: loss_ret beside it; read off the line through the points.
    """
    low, high = ft.min(axis=1).max(), ft.max(axis=1).min()
    if low >= high:
        return np.full(len(ft), np.nan)
    at = np.linspace(low, high, MATCHED_POINTS)
    order = np.argsort(ft, axis=1)
    ft, ret = np.take_along_axis(ft, order, axis=1), np.take_along_axis(ret, order, axis=1)
    return np.array([np.interp(at, x, y).mean() for x, y in zip(ft, ret, strict=True)])
