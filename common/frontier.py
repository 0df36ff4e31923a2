"""Trade-off frontiers of two losses, both to be small.

The paper's text describes the Pareto set, its figures draw the lower-left convex hull of the points: both are here, by
name. Hypervolume and attainment are moocore's; the hull is ours.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from common.settings import WrongUse


def _points(points: Float[np.ndarray, "points 2"]) -> Float[np.ndarray, "points 2"]:
    table = np.ascontiguousarray(points, dtype=float)
    if table.ndim != 2 or table.shape[1] != 2 or not np.isfinite(table).all():
        raise WrongUse(f"A frontier needs finite points of shape (points, 2); these have shape {table.shape}.")
    return table


def lower_left_hull(points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, "vertices"]:
    """Indices of the vertices of the convex hull's lower-left side, by increasing x: what the paper's figures draw.

    From the leftmost point (the lower of ties) down to the lowest (the left of ties), left turns only.
    """
    table = _points(points)
    chain: list[int] = []
    for i in np.lexsort((table[:, 1], table[:, 0])):
        if chain and table[i, 1] >= table[chain[-1], 1]:
            continue  # to the right of and above a vertex
        while len(chain) >= 2:
            first, second = table[chain[-2]], table[chain[-1]]
            (ux, uy), (vx, vy) = second - first, table[i] - first
            if ux * vy - uy * vx > 0:
                break
            chain.pop()
        chain.append(int(i))
    return np.asarray(chain, dtype=int)


def pareto_set(points: Float[np.ndarray, "points 2"]) -> Int[np.ndarray, "kept"]:
    """Indices of the points that no other is below and left of, by increasing x: what the paper's text describes."""
    import moocore

    table = _points(points)
    kept = np.flatnonzero(moocore.is_nondominated(table))
    return np.asarray(kept[np.lexsort((table[kept, 1], table[kept, 0]))], dtype=int)


def hypervolume(points: Float[np.ndarray, "points 2"], reference: tuple[float, float]) -> float:
    """Area that the points dominate below and left of a reference point, in the product of the two losses' units."""
    import moocore

    return float(moocore.hypervolume(_points(points), ref=list(reference)))


def box_shares(sets: Sequence[Float[np.ndarray, "_ 2"]]) -> list[float]:
    """Hypervolume of each set as a share of the box that holds all of them, so that losses of any unit compare.

    The reference point, common to all sets, is the upper right corner of that box.
    """
    everything = np.concatenate([_points(points) for points in sets])
    low, high = everything.min(axis=0), everything.max(axis=0)
    area = float(np.prod(high - low))
    if area == 0:
        raise WrongUse("The points of all sets lie on a line parallel to an axis: there is no area to compare.")
    return [hypervolume(points, (float(high[0]), float(high[1]))) / area for points in sets]


def attainment(sets: list[Float[np.ndarray, "_ 2"]], percentile: float = 50.0) -> Float[np.ndarray, "vertices 2"]:
    """The frontier that at least `percentile` per cent of the sets (e.g. seeds) attain; 50 is the median frontier."""
    if not sets or not 0 < percentile <= 100:
        raise WrongUse(
            f"attainment needs at least one set and a percentile in (0, 100]; got {len(sets)} sets, {percentile:g}."
        )
    import moocore

    table = np.concatenate([_points(points) for points in sets])
    labels = np.repeat(np.arange(1, len(sets) + 1), [len(points) for points in sets])
    return np.asarray(moocore.eaf(np.ascontiguousarray(table), sets=labels, percentiles=[percentile]))[:, :2]


def attainment_difference(
    first: Sequence[Float[np.ndarray, "_ 2"]], second: Sequence[Float[np.ndarray, "_ 2"]]
) -> tuple[Float[np.ndarray, "rectangles 4"], Float[np.ndarray, "rectangles"]]:
    """Where more of the first sets than of the second attain both losses at once (moocore's `eafdiff`).

    Args:
        first: points of every set, e.g. of every seed of one method.
        second: as many sets of as many points of the other.

    Returns:
        Rectangles (left, lower, right, upper), infinite where nothing bounds them, and for each the share of the first sets that attain it
        minus that of the second; where both are equal there is none.

    Raises:
        WrongUse: the two have another number of sets, or sets of another number of points: the richer one would win by that alone.
    """
    sizes = [sorted(len(points) for points in sets) for sets in (first, second)]
    if sizes[0] != sizes[1] or not sizes[0]:
        said = " and ".join(f"{len(each)} sets of {sum(each)} points in all" for each in sizes)
        raise WrongUse(f"{said} are no fair comparison of frontiers. Give both methods the same settings and seeds.")
    import moocore

    both = _labelled(first), _labelled(second)
    if not moocore.eafdiff(*both)[:, 2].any():  # moocore 0.3.2 fails where there is no rectangle
        return np.empty((0, 4)), np.empty(0)
    found = np.asarray(moocore.eafdiff(*both, rectangles=True))
    return found[:, :4], found[:, 4] / len(first)


def _labelled(sets: Sequence[Float[np.ndarray, "_ 2"]]) -> Float[np.ndarray, "points 3"]:
    """All points with the number of their set, as moocore takes them."""
    return np.concatenate(
        [np.column_stack([_points(points), np.full(len(points), i + 1.0)]) for i, points in enumerate(sets)]
    )
