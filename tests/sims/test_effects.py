"""Effects and their intervals: the known ones as special cases, the others by how often they hold."""

import numpy as np
import pytest

from common.seeds import mean_interval, ratio_interval
from sims.effects import deepest, judged, largest, largest_size, mean, ratio

DRAW = np.random.default_rng(0)


def test_a_mean_and_a_ratio_have_the_intervals_of_the_ground_floor():
    top, bottom = DRAW.normal(1.0, 0.3, 12), DRAW.normal(2.0, 0.4, 12)
    for found, known in ((mean(top), mean_interval(top)), (ratio(top, bottom), ratio_interval(top, bottom))):
        assert (found.value, *found.ends()) == pytest.approx((known.value, known.low, known.high))
    assert ratio(top, bottom - 2).ends() == (-np.inf, np.inf)


@pytest.mark.parametrize("found", [mean(DRAW.normal(1, 0.5, 9)), ratio(DRAW.normal(1, 0.5, 9), DRAW.normal(2, 0.3, 9)),
    largest(DRAW.normal(1, 0.5, (9, 5))), largest_size(DRAW.normal(0, 0.5, (9, 5)), 0.5),
    largest(DRAW.normal(1, 0.5, (9, 5, 2))), deepest(DRAW.normal(1, 0.5, (9, 5, 2)))])  # fmt: skip
def test_an_end_of_the_interval_is_where_the_p_value_is_a_fortieth(found):
    low, high = found.ends()
    assert low <= found.value
    assert found.beyond(low, 1) == pytest.approx(0.025, rel=1e-6)
    assert found.beyond(high, -1) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("kind", [largest, deepest])
@pytest.mark.parametrize("means", [[0.0] * 6, [0.0, 0.0, 0.0, 0.0, 0.0, 0.6]])
def test_the_interval_of_a_largest_mean_holds_it(kind, means):
    """At least 95 % of the time, whether all are equal or one stands out; with both ends off by at most a fortieth."""
    ends = np.array([kind(DRAW.normal(means, 1.0, (16, 6))).ends() for _ in range(400)])
    assert (ends[:, 0] > max(means)).mean() <= 0.045  # .025 and twice the sampling error
    assert (ends[:, 1] < max(means)).mean() <= 0.045


def test_of_parts_the_smallest_counts():
    values = np.array([[[3.0, 0.1], [1.0, 0.9], [0.2, 5.0]]] * 6) + DRAW.normal(0, 0.01, (6, 3, 2))
    found = largest(values)
    assert (found.cell, found.value) == (1, pytest.approx(0.9, abs=0.02))
    chosen = deepest(values)
    assert chosen.value == pytest.approx(0.9, abs=0.02)


def test_the_largest_size_sees_both_signs():
    values = np.array([[0.1, -0.5, 0.2]] * 5) + DRAW.normal(0, 0.01, (5, 3))
    found = largest_size(values, 2.0)
    assert found.value == pytest.approx(0.25, abs=0.01)
    assert found.cell % 3 == 1


def test_the_best_of_noise_is_nothing():
    """Chosen by one half and measured in the other: not above 0 more often than a fortieth, and not biased."""
    found = [deepest(DRAW.normal(0, 1, (12, 40))) for _ in range(200)]
    assert np.mean([one.ends()[0] > 0 for one in found]) <= 0.045
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / 200**0.5


@pytest.mark.parametrize(
    ("at_least", "at_most", "status"),
    [(0.5, None, "supported"), (None, 0.5, "refuted"), (0.99, None, "undecided"), (0.8, 1.2, "supported"), (0.99, 1.2, "undecided"),
     (1.5, 1.7, "refuted")],
)  # fmt: skip
def test_whole_intervals_decide(at_least, at_most, status):
    values = np.array([0.9, 0.95, 1.0, 1.05, 1.1])
    made = judged("P1", "plain", "a mean", mean(values), "as said", at_least=at_least, at_most=at_most)
    assert (made.status, made.n) == (status, 5)
    assert (made.p < 0.05) == (status != "undecided")


def test_too_few_seeds_decide_nothing_and_a_single_value_by_itself():
    few = judged("P1", "plain", "a mean", mean(np.array([0.99, 1.0, 1.01])), "as said", at_least=0.5)
    assert (few.status, few.n, few.p) == ("undecided", 3, None)
    for measured in (1.0, mean(np.array([1.0])), largest_size(np.array([[0.2, -1.0]]))):
        made = judged("P1", "plain", "a value", measured, "as said", at_least=1.0)
        assert (made.status, made.value, made.low, made.n) == ("supported", 1.0, None, None)
