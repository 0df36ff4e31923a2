"""The stretch of exposures that are as good as the best: notably higher points end it, and only where the seeds agree."""

import numpy as np
import pytest

from common.minima import NOTABLE_DEPTH, as_good

POINTS = np.linspace(0.0, 1.0, 5)


def test_a_single_curve_is_flat_within_what_is_notable():
    curve = 1.0 + np.array([0.02, 0.5 * NOTABLE_DEPTH, 0.0, 0.9 * NOTABLE_DEPTH, 1.1 * NOTABLE_DEPTH])
    assert as_good(POINTS, curve[None]) == (0.25, 0.75)
    assert as_good(POINTS, 1e-6 * (1 + np.arange(5.0))[None]) == (0.0, 1.0), "80 % of nothing is not a finding"


def test_the_stretch_ends_at_the_first_point_that_is_told_from_the_best():
    curve = np.array([1.0, 1.5, 1.0001, 1.0, 2.0])
    assert as_good(POINTS, curve[None]) == (0.0, 0.0), (
        "ties go to the smaller; what is as good beyond a hill is not counted"
    )


@pytest.mark.parametrize(("spread", "last"), [(0.01, 0.5), (1.0, 0.75)])
def test_higher_points_count_as_good_where_seeds_disagree(spread, last):
    noise = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    curves = np.tile([3.0, 2.0, 1.0, 1.5, 3.0], (5, 1)) + 10 * noise[:, None]  # what all points share does not count
    curves[:, 3] += spread * noise
    assert as_good(POINTS, curves) == (0.5, last)
