"""Statistics of mean curves with intervals over seeds: where a loss is lowest along lambda, and how deep, without the bias of choosing."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Bool, Float
from common.seeds import REPLICATES, Interval, expanded, interval, resamples
from common.settings import WrongUse

NOTABLE_DEPTH = 0.01
"""An interior minimum is called one where it lies at least this fraction below both ends (our choice: 1 %) ..."""
NOTABLE_GAIN = 1e-3
"""... and at least this much of the loss itself below both: 80 % of nothing is not a finding."""
FEWEST = 4
"""Seeds that make two halves, each with something to resample."""


class Minimum(NamedTuple):
    """The minimum of a loss over lambda in [0, 1]; every field of the shape of the settings."""

    exposure: Float[Array, "*settings"]
    """argmin over lambda."""
    loss: Float[Array, "*settings"]
    """The loss there."""
    at_zero: Float[Array, "*settings"]
    """The loss at lambda = 0."""
    at_one: Float[Array, "*settings"]
    """The loss at lambda = 1."""

    def to_pandas(self, **settings: Any) -> Any:
        """A data frame with a row per setting, in C order; `settings` are further columns that broadcast. Raises `WrongUse`."""
        from common.frames import frame

        return frame({**settings, **self._asdict(), "depth": self.depth, "interior": self.interior})

    @property
    def depth(self) -> Float[Array, "*settings"]:
        """How far the minimum lies below the better end, as a fraction of that end (0 at an end)."""
        better = np.minimum(self.at_zero, self.at_one)
        return np.where(better > 0, (better - self.loss) / np.where(better > 0, better, 1.0), 0.0)

    @property
    def interior(self) -> Bool[Array, "*settings"]:
        """Whether the minimum lies inside (0, 1) and notably below both ends, in relative and in absolute terms."""
        inside = (self.exposure > 0) & (self.exposure < 1)
        gain = np.minimum(self.depth_below_zero, self.depth_below_one)
        return inside & (self.depth >= NOTABLE_DEPTH) & (gain >= NOTABLE_GAIN)

    @property
    def depth_below_zero(self) -> Float[Array, "*settings"]:
        """How far it lies below lambda = 0, in units of the loss."""
        return self.at_zero - self.loss

    @property
    def depth_below_one(self) -> Float[Array, "*settings"]:
        """How far it lies below lambda = 1, in units of the loss."""
        return self.at_one - self.loss


def minimise(loss: Callable[[Array], Array], shape: tuple[int, ...], *, points: int = 129, zooms: int = 6) -> Minimum:
    """The global minimum over lambda in [0, 1] of a loss that is smooth in lambda, for all settings at once.

    A grid of `points`, then `zooms` finer grids around the best point (each 16 times finer): the argmin is good to
    about 1e-9, or to where the loss is flat to rounding. Ties go to the smaller lambda.

    Args:
        loss: maps lambda of shape `(points, *shape)` to losses of that shape.
        shape: the settings' shape.
    """

    def evaluate(low: Array, high: Array, count: int) -> tuple[Array, Array]:
        ramp = np.linspace(0.0, 1.0, count).reshape(-1, *(1,) * len(shape))
        grid = np.clip(low + ramp * (high - low), 0.0, 1.0)
        return grid, loss(grid)

    grid, values = evaluate(np.zeros(shape), np.ones(shape), points)
    at_zero, at_one = values[0], values[-1]
    step = 1.0 / (points - 1)
    for _ in range(zooms + 1):
        where = values.argmin(0)[None]
        best, lowest = np.take_along_axis(grid, where, 0)[0], np.take_along_axis(values, where, 0)[0]
        grid, values = evaluate(best - step, best + step, 33)
        grid, values = np.concatenate([best[None], grid]), np.concatenate([lowest[None], values])
        step /= 16
    for end, value in ((1.0, at_one), (0.0, at_zero)):  # what beats an end by rounding only is that end
        tied = value <= lowest * (1 + 1e-12)
        best, lowest = np.where(tied, end, best), np.where(tied, value, lowest)
    return Minimum(best, lowest, at_zero, at_one)


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

    The replicates are those of `common.seeds`, their means one matrix product: whole curves would not fit in memory thousands of times.
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


def crossfitted(
    statistic: Callable[[Float[np.ndarray, "replicates *shape"], Float[np.ndarray, "replicates *shape"]], Any],
    values: Float[np.ndarray, "seeds *shape"],
) -> Interval:
    """A statistic that chooses by the mean over one half of the seeds and measures in that over the other; both directions averaged.

    What was chosen because noise favoured it is so not praised for that noise. Halves are every other seed. In a bootstrap replicate
    each half is resampled by itself, because a seed in both would carry its noise over, and the choice is made anew.
    With a single seed nothing is random, and the same values serve for both.

    Args:
        statistic: from means to choose by, and means to measure in, to one number a replicate.
        values: the first axis is the seed.

    Raises:
        WrongUse: there are two or three seeds, too few for halves with an interval.
    """
    count = len(values)
    if count == 1:
        return Interval(value=float(statistic(values, values)[0]))
    if count < FEWEST:
        raise WrongUse(
            f"{count} seeds are left, too few to choose by one half and measure in the other: at least {FEWEST}."
        )
    halves = values[::2], values[1::2]
    draw = np.random.default_rng(0)

    def both(first: Any, second: Any) -> Any:
        return (statistic(first, second) + statistic(second, first)) / 2

    def means(half: Any) -> Any:
        drawn = draw.multinomial(len(half), np.full(len(half), 1 / len(half)), REPLICATES) / len(half)
        return (drawn @ half.reshape(len(half), -1)).reshape(REPLICATES, *half.shape[1:])

    value = float(both(*(half.mean(0)[None] for half in halves))[0])
    return expanded(value, both(*map(means, halves)), count, groups=2)


def below_ends(choosing: Float[np.ndarray, "replicates times points"], measured: Any) -> tuple[Any, Any]:
    """How far curves lie below the better of their ends; which curve, point and end is chosen by others.

    Args:
        choosing: curves along lambda, several at once (fine-tuning lengths): the one with the deepest minimum, that and its better end.
        measured: curves of the same shape.

    Returns:
        In units of the loss, and as a fraction of the better end; one number a replicate each.
    """
    rows = np.arange(len(choosing))
    points = choosing.argmin(-1)
    deepest = (np.minimum(choosing[..., 0], choosing[..., -1]) - choosing.min(-1)).argmax(-1)
    there = measured[rows, deepest]
    ends = choosing[rows, deepest][:, [0, -1]]
    better = there[rows, np.where(ends[:, 0] <= ends[:, 1], 0, -1)]
    below = better - there[rows, points[rows, deepest]]
    return below, np.where(better > 0, below / np.where(better > 0, better, 1.0), 0.0)


def deepest(exposure: Float[np.ndarray, " points"], curves: Float[np.ndarray, "seeds times points"]) -> int:
    """Which mean curve's minimum lies furthest below both ends."""
    return int(gain(lowest(exposure, curves.mean(0))).argmax())


def interior(
    exposure: Float[np.ndarray, " points"], curves: Float[np.ndarray, "seeds times points"]
) -> tuple[Interval, Interval, bool | None]:
    """Argmin and depth of the deepest of some mean curves with intervals, and whether it counts as an interior minimum.

    It counts if it is notably deep (`NOTABLE_DEPTH`, `NOTABLE_GAIN`) and the interval of its depth excludes 0; None where it is
    notably deep by an interval that holds 0, which leaves it open. Curve (fine-tuning length), lambda and the better end are chosen
    by one half of the seeds, the depth is measured in the other (`crossfitted`): where the choice was of noise it is as often
    negative as positive. The argmin is that of the deepest mean curve of all seeds.
    """
    at = over_seeds(lambda mean: lowest(exposure, mean).exposure, curves[:, deepest(exposure, curves)])
    depth = crossfitted(lambda one, other: below_ends(one, other)[1], curves)
    below = crossfitted(lambda one, other: below_ends(one, other)[0], curves)
    if depth.value < NOTABLE_DEPTH or below.value < NOTABLE_GAIN:
        return at, depth, False
    return at, depth, True if depth.low is None or depth.low > 0 else None


def gain_above_zero(choosing: Float[np.ndarray, "replicates points"], measured: Any) -> Any:
    """How far curves lie below their value at lambda = 0, at the lambda > 0 where others are lowest; one number a replicate."""
    best = 1 + choosing[:, 1:].argmin(-1)
    return measured[:, 0] - measured[np.arange(len(measured)), best]
