"""Intervals over seeds cover what they promise: at 3, 5, 8 and 20 seeds, for means, ratios and what is chosen by one half."""

import math

import numpy as np
import pytest

from common.minima import crossfitted, gain_above_zero, over_seeds
from common.seeds import jackknife_interval, mean_interval, quantile, ratio_interval, student

DRAWS = 40_000
COUNTS = (3, 5, 8, 20)


def covered(values, truth):
    _, low, high = student(values)
    return float(((low <= truth) & (truth <= high)).mean())


@pytest.mark.parametrize("count", COUNTS)
def test_students_interval_covers_within_one_percent(count):
    values = np.random.default_rng(count).normal(size=(count, DRAWS))
    assert covered(values, 0.0) == pytest.approx(0.95, abs=0.01)
    _, low, high = student(values)
    found = mean_interval(values[:, 0])
    assert (found.low, found.high) == (pytest.approx(low[0]), pytest.approx(high[0]))
    assert (found.n, found.df) == (count, count - 1)


@pytest.mark.parametrize(("sigma", "stated"), [(1.0, (0.84, 0.82, 0.83, 0.87)), (0.5, (0.92, 0.92, 0.92, 0.93))])
def test_coverage_for_lognormal_values_is_what_the_docstring_says(sigma, stated):
    rng = np.random.default_rng(1)
    found = [covered(rng.lognormal(0, sigma, (count, DRAWS)), math.exp(sigma**2 / 2)) for count in COUNTS]
    assert found == pytest.approx(stated, abs=0.01)


@pytest.mark.parametrize("count", COUNTS)
def test_fiellers_interval_covers_within_one_percent(count):
    rng = np.random.default_rng(count)
    kept, draws = 0, 4000
    for _ in range(draws):
        below = rng.normal(2, 1.0, count)
        above = 0.5 * below + rng.normal(0, 0.7, count) + 0.4
        found = ratio_interval(above, below)
        kept += found.low <= 0.7 <= found.high if math.isfinite(found.low) else _in_complement(above, below, 0.7)
    assert kept / draws == pytest.approx(0.95, abs=0.011)


def _in_complement(above, below, ratio):
    """Where the denominator is not told from 0 the region is unbounded; Fieller's own test says what it holds."""
    contrast = mean_interval(above - ratio * below)
    return contrast.low <= 0 <= contrast.high


def test_a_ratio_is_told_from_a_bound_where_the_contrast_is():
    rng = np.random.default_rng(3)
    below, noise = rng.normal(-3, 0.5, 8), rng.normal(0, 0.2, 8)
    found = ratio_interval(0.5 * below + noise, below)
    for bound in (found.low, found.high):
        contrast = mean_interval(0.5 * below + noise - bound * below)
        assert min(abs(contrast.low), abs(contrast.high)) < 1e-12
    assert found.tail(found.low, above=True) == pytest.approx(0.025)
    assert found.tail(found.high, above=False) == pytest.approx(0.025)
    exact = ratio_interval(0.5 * below, below)  # paired: what varies together cancels
    assert (exact.low, exact.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_a_denominator_that_may_be_zero_leaves_the_ratio_unbounded():
    below = np.array([1.0, -1.0, 0.5, -0.4, 0.3])
    found = ratio_interval(np.ones(5), below)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert math.isnan(ratio_interval(np.ones(4), np.array([1.0, -1.0, 2.0, -2.0])).value)


def test_the_jackknife_is_students_interval_for_a_mean():
    values = np.random.default_rng(0).normal(size=(6, 3))
    exact = mean_interval(values[:, 1])
    for found in (
        jackknife_interval(lambda drawn: drawn[..., 1].mean(1), values),
        over_seeds(lambda means: means[..., 1], values),
    ):
        assert (found.value, found.low, found.high) == pytest.approx((exact.value, exact.low, exact.high))
        assert (found.n, found.df) == (6, 5)


def test_a_single_seed_has_no_interval():
    for found in (
        mean_interval(np.ones(1)),
        ratio_interval(np.ones(1), np.ones(1)),
        over_seeds(lambda m: m[:, 0], np.ones((1, 2))),
    ):
        assert (found.low, found.high, found.n) == (None, None, 1)


def test_the_interval_of_a_cross_fit_has_two_degrees_less():
    values = np.random.default_rng(0).normal(size=(9, 4))
    found = crossfitted(lambda choosing, measured: measured[:, 0], values)
    errors = [half[:, 0].std(ddof=1) / math.sqrt(len(half)) for half in (values[::2], values[1::2])]
    assert found.df == 7
    assert found.high - found.value == pytest.approx(quantile(7) * sum(errors) / 2)


@pytest.mark.parametrize("count", [5, 8, 20])
def test_choosing_among_noise_finds_a_gain_no_more_often_than_it_may(count):
    rng = np.random.default_rng(count)
    found = [crossfitted(gain_above_zero, one) for one in rng.normal(size=(3000, count, 6))]
    assert np.mean([one.low > 0 for one in found]) < 0.03
    assert np.mean([one.high < 0 for one in found]) < 0.03
    assert abs(np.mean([one.value for one in found])) < 0.03
