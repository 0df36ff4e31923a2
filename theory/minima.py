"""Statistics of mean curves with intervals over seeds: where a loss is lowest along lambda, and how deep."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from theory.allocation import NOTABLE_DEPTH, NOTABLE_GAIN, Minimum
from theory.arrays import Float
from theory.seeds import Interval, interval, resamples


@lru_cache
def shares(seeds: int) -> Float[np.ndarray, "replicates seeds"]:
    """The weight of every seed in the mean of every bootstrap replicate."""
    drawn = resamples(seeds)
    made = np.zeros(drawn.shape)
    for index in drawn.T:
        made[np.arange(len(made)), index] += 1 / seeds
    return made


def over_seeds(
    statistic: Callable[[Float[np.ndarray, "replicates *shape"]], Float[np.ndarray, " replicates"]],
    values: Float[np.ndarray, "seeds *shape"],
) -> Interval:
    """A statistic of the mean over seeds, with its interval.

    The replicates are those of `theory.seeds`, their means one matrix product: whole curves would not fit in memory thousands of times.
    """
    count, flat = len(values), values.reshape(len(values), -1)

    def of(drawn: Any) -> Any:
        weights = np.full((1, count), 1 / count) if len(drawn) == 1 else shares(count)
        return statistic((weights @ flat).reshape(len(drawn), *values.shape[1:]))

    return interval(of, np.zeros(count))


def lowest(exposure: Float[np.ndarray, " points"], curve: Float[np.ndarray, "*others points"]) -> Minimum:
    """The minimum of curves over a grid that starts at lambda = 0 and ends at 1; ties go to the smaller lambda."""
    return Minimum(exposure[curve.argmin(-1)], curve.min(-1), curve[..., 0], curve[..., -1])


def gain(found: Minimum) -> Any:
    """How far a minimum lies below the better end, in units of the loss."""
    return np.minimum(found.depth_below_zero, found.depth_below_one)


def interior(
    exposure: Float[np.ndarray, " points"], curves: Float[np.ndarray, "seeds points"]
) -> tuple[Interval, Interval, bool]:
    """Argmin and depth of the mean curve with intervals, and whether it counts as an interior minimum.

    It counts if it is notably deep (`NOTABLE_DEPTH`, `NOTABLE_GAIN`) and the interval of its depth, which is 0 at an end, excludes 0.

    Both are biased away from 0, because the minimum is chosen anew in every replicate: of flat curves of 20 seeds at 9 exposures, with
    independent noise of standard deviation .05, about one in ten counts. The deepest of several curves (fine-tuning lengths) more often
    does: about one in three where there are eight with noise of their own; the lengths of one run share theirs, which is between the two.
    """
    at = over_seeds(lambda mean: lowest(exposure, mean).exposure, curves)
    depth = over_seeds(lambda mean: lowest(exposure, mean).depth, curves)
    sure = depth.low is None or depth.low > 0
    notable = depth.value >= NOTABLE_DEPTH and float(gain(lowest(exposure, curves.mean(0)))) >= NOTABLE_GAIN
    return at, depth, bool(sure and notable)
