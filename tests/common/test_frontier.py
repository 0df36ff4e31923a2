"""Frontiers: definitions by brute force, and the hulls that the paper drew."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.frontier import attainment, attainment_difference, hypervolume, lower_left_hull, pareto_set
from common.published import FRONTIER_FIGURES, load
from common.settings import WrongUse

clouds = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=25).map(
    lambda p: np.array(p, dtype=float)
)


def nondominated(points):
    """Which points no other beats on one loss without losing on the other."""
    return np.array([not any((q <= p).all() and (q < p).any() for q in points) for p in points])


@given(clouds)
def test_hull_vertices_minimise_some_weighted_sum(points):
    hull = lower_left_hull(points)
    x, y = points[hull].T
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) < 0).all()
    slopes = np.diff(y) / np.diff(x)
    assert (np.diff(slopes) > 0).all()
    for angle in np.linspace(0.02, np.pi / 2 - 0.02, 41):
        weight = np.array([np.cos(angle), np.sin(angle)])
        assert (points[hull] @ weight).min() == pytest.approx((points @ weight).min())
    assert nondominated(points)[hull].all()


@given(clouds)
def test_the_pareto_set_is_what_no_other_point_beats(points):
    kept = points[pareto_set(points)]
    assert (np.diff(kept[:, 0]) > 0).all()
    assert {tuple(point) for point in kept} == {tuple(point) for point in points[nondominated(points)]}


def test_points_on_a_side_of_the_hull_are_no_vertices():
    points = np.array([[0.0, 3.0], [1.0, 2.0], [2.0, 1.0], [3.0, 0.0], [3.0, 3.0]])
    assert lower_left_hull(points).tolist() == [0, 3]


@given(clouds)
def test_hypervolume_by_counting_cells(points):
    cells = np.stack(np.meshgrid(np.arange(10) + 0.5, np.arange(10) + 0.5), axis=-1).reshape(-1, 2)
    count = sum(any((p <= cell).all() for p in points) for cell in cells)
    assert hypervolume(points, (10.0, 10.0)) == pytest.approx(count)


def test_attainment_is_the_frontier_that_enough_sets_reach():
    sets = [np.array([[1.0, 3.0], [3.0, 1.0]]) + shift for shift in (0.0, 0.1, 0.2)]
    assert np.allclose(sorted(attainment(sets, 100.0).tolist()), [[1.2, 3.2], [3.2, 1.2]])
    assert np.allclose(sorted(attainment(sets, 50.0).tolist()), [[1.1, 3.1], [3.1, 1.1]])


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=3, max_size=3), min_size=4, max_size=4)
)
def test_attainment_differences_by_counting_sets(four):
    sets = [np.array(points, dtype=float) for points in four]
    boxes, shares = attainment_difference(sets[:2], sets[2:])
    for x, y in np.stack(np.meshgrid(np.arange(11), np.arange(11)), axis=-1).reshape(-1, 2) + 0.5:
        reached = [(points <= (x, y)).all(axis=1).any() for points in sets]
        expected = (sum(reached[:2]) - sum(reached[2:])) / 2
        inside = (boxes[:, 0] < x) & (x < boxes[:, 2]) & (boxes[:, 1] < y) & (y < boxes[:, 3])
        assert np.sum(shares[inside]) == expected


def test_attainment_is_not_compared_between_unequal_numbers_of_points():
    points = np.array([[1.0, 2.0], [2.0, 1.0]])
    for other in ([points], [points, points[:1]], []):
        with pytest.raises(WrongUse, match="same settings and seeds"):
            attainment_difference([points, points], other)


def test_the_papers_lines_are_hulls_not_pareto_sets():
    # all 90 series: every drawn vertex is on the hull; 82 lines equal it, the rest run off the stored page
    equal, cut, smaller = 0, set(), 0
    for figure in FRONTIER_FIGURES:
        rows = load(figure).to_pylist()
        for key in dict.fromkeys((row["published.panel"], row["method"]) for row in rows):
            mine = [row for row in rows if (row["published.panel"], row["method"]) == key]
            points = np.array([[row[row["published.x"]], row[row["published.y"]]] for row in mine])
            drawn = {i for i, row in enumerate(mine) if row["published.on_drawn_frontier"]}
            hull = set(lower_left_hull(points).tolist())
            assert drawn <= hull
            equal += drawn == hull
            smaller += len(drawn) < nondominated(points).sum()
            if drawn != hull:
                cut.add((figure, key[0]))
    assert equal == 82
    assert cut == {(2, "a_left"), (2, "b_left"), (4, "a_left"), (4, "a_right"), (4, "b_right")}
    assert smaller > 45  # most lines leave Pareto-optimal markers out


def test_wrong_points_are_refused():
    with pytest.raises(WrongUse, match="finite points"):
        lower_left_hull(np.array([[1.0, np.nan]]))
    with pytest.raises(WrongUse, match="at least one set"):
        attainment([])
