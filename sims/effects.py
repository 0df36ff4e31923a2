"""Effects over seeds with Student intervals, and what they say of a range that was named beforehand.

Every effect is built of linear contrasts of losses, paired by seed: a mean, a ratio of means (Fieller: a ratio r is in the interval
where `mean(num - r den)` is not told from 0), or the largest of several such. For the largest the interval's upper end is that of the
largest upper end, which needs no correction (if the true largest exceeded it, its own interval would have failed), the lower end
that of the largest lower end at the level divided by the number of contrasts (Bonferroni, the first step of Holm), or that of the
contrast chosen by one half of the seeds and measured in the other (`chosen`). So "nowhere more than x" asks every contrast to lie below
x, and "somewhere more than x" survives the choosing.

Of a single seed nothing is random: then the value decides.
"""

from typing import Any, NamedTuple

import numpy as np

from common.arrays import Float
from common.minima import crossfitted
from common.seeds import FEWEST, LEVEL, Interval, fieller
from common.verdicts import Verdict, within


class Effect(NamedTuple):
    """The largest, over cells, of the smallest, over parts, of ratios of means over seeds."""

    numerator: Float[np.ndarray, "seeds cells parts"]
    denominator: Float[np.ndarray, "seeds cells parts"]
    chosen: bool = False
    """Whether value and lower end are of a cell chosen by one half of the seeds and measured in the other; denominators are then 1."""

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len(self.numerator)

    @property
    def random(self) -> bool:
        """Whether there is something to take an interval over."""
        return self.seeds > 1

    @property
    def each(self) -> Float[np.ndarray, "cells parts"]:
        """The ratios themselves."""
        ratios: Float[np.ndarray, "cells parts"] = self.numerator.mean(0) / self.denominator.mean(0)
        return ratios

    @property
    def value(self) -> float:
        """The largest of the smallest."""
        return self.crossfitted.value if self.chosen and self.random else _largest(self.each)

    @property
    def cell(self) -> int:
        """Where it is."""
        return int(self.each.min(-1).argmax())

    @property
    def crossfitted(self) -> Interval:
        """The cell that one half of the seeds chooses, in the other half: of its parts the one that is smallest there."""

        def there(choosing: Any, measured: Any) -> Any:
            return measured[np.arange(len(measured)), choosing.min(-1).argmax(-1)].min(-1)

        return crossfitted(there, self.numerator)

    def ends(self) -> tuple[float, float]:
        """Its interval; twice the value where nothing is random."""
        if not self.random:
            return self.value, self.value
        tail = (1 - LEVEL) / 2
        both = self.numerator, self.denominator
        low = self.crossfitted.low if self.chosen else _largest(fieller(*both, 1 - 2 * tail / len(self.each))[0])
        high = _largest(fieller(*both)[1])
        return -np.inf if low is None else min(low, high), high

    def beyond(self, bound: float, sign: int) -> float:
        """One-sided p-value against its not being below (sign -1) or above (sign +1) a bound."""
        from scipy import stats

        if self.chosen and sign > 0:
            return self.crossfitted.tail(bound, above=True) or 0.0
        contrast = self.numerator - bound * self.denominator
        error = contrast.std(0, ddof=1) / self.seeds**0.5
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.where(error > 0, contrast.mean(0) / error, np.sign(contrast.mean(0)) * np.inf)
        p = stats.t.sf(sign * np.nan_to_num(score, nan=0.0, posinf=np.inf, neginf=-np.inf), self.seeds - 1)
        if sign < 0:
            return float(p.min(-1).max())  # every cell has a part below
        return float(min(1.0, len(p) * p.max(-1).min()))  # some cell has all parts above


def mean(values: Any) -> Effect:
    """The mean over seeds of one number each."""
    return ratio(values, np.ones(len(values)))


def ratio(numerator: Any, denominator: Any) -> Effect:
    """The mean of one number over that of another."""
    return largest(np.asarray(numerator)[:, None], np.asarray(denominator)[:, None])


def largest(numerator: Any, denominator: Any = 1.0) -> Effect:
    """The largest of several, each over its denominator: shape (seeds, cells), or (seeds, cells, parts) with the smallest part counting."""
    numerator = np.asarray(numerator, dtype=float)
    spread = np.broadcast_to(denominator, numerator.shape)
    shape = (*numerator.shape[:2], -1)
    return Effect(numerator.reshape(shape), spread.reshape(shape))


def deepest(values: Any) -> Effect:
    """The largest of several means, chosen by one half of the seeds and measured in the other: shape (seeds, cells, parts)."""
    return largest(values)._replace(chosen=True)


def largest_size(numerator: Any, denominator: Any = 1.0) -> Effect:
    """The largest absolute value of several: shape (seeds, cells)."""
    numerator = np.asarray(numerator, dtype=float)
    both = np.concatenate([numerator, -numerator], axis=1)
    spread = np.broadcast_to(denominator, numerator.shape)
    return largest(both, np.concatenate([spread, spread], axis=1))


def _largest(each: Float[np.ndarray, "cells parts"]) -> float:
    return float(each.min(-1).max())


def judged(
    claim: str,
    model: str,
    effect: str,
    measured: Effect | float,
    criterion: str,
    variant: str = "",
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    **others: Any,
) -> Verdict:
    """A verdict by the criterion that the whole interval of an effect lies in a range; see `common.verdicts.within`."""
    if not isinstance(measured, Effect) or not measured.random:
        number = measured.value if isinstance(measured, Effect) else measured
        return within(
            claim, model, effect, number, criterion, at_least=at_least, at_most=at_most, variant=variant, **others
        )
    low, high = measured.ends()
    found = Interval(value=measured.value, low=low, high=high, n=measured.seeds)
    bounds = [(end, sign) for end, sign in ((at_least, 1), (at_most, -1)) if end is not None]
    inside = max(measured.beyond(end, sign) for end, sign in bounds)
    outside = min(measured.beyond(end, -sign) for end, sign in bounds)
    return within(
        claim, model, effect, found, criterion, at_least=at_least, at_most=at_most, variant=variant,
        p=min(1.0, 2 * min(inside, outside)) if measured.seeds >= FEWEST else None, **others,
    )  # fmt: skip
