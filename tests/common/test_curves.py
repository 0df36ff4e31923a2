"""Curves out of a results table: aligned by seed, whatever is missing of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import results
from common.curves import by_seed, curves, gain, paired, whole_seeds
from common.results import column
from common.settings import WrongUse

SEEDS, TIMES = (3, 4, 5, 8), (0.5, 1.0, 2.0)


def table(missing=()):
    """loss_ret = 100 seed + t_ft unmixed, and a quarter of the seed less mixed; rows (seed, t_ft, alpha) may be missing."""
    rows = [(seed, time, alpha) for alpha in (0.2, 0.0) for time in TIMES[::-1] for seed in SEEDS]
    seed, time, alpha = np.array([row for row in rows if row not in set(missing)]).T
    made = {"engine": "sims", "study": "made", "config_hash": "0", "code_version": "0"}
    loss = 100 * seed + time - seed * (alpha > 0) / 4
    return results.table(made | {"seed": seed.astype(int), "t_ft": time, "alpha": alpha, "loss_ret": loss})


def masks(made):
    alpha = column(made, "alpha")
    return alpha == 0, alpha > 0


@given(st.lists(st.tuples(st.sampled_from(SEEDS[1:]), st.sampled_from(TIMES), st.sampled_from((0.0, 0.2))), max_size=5))
def test_pairs_are_of_the_same_seed_whatever_is_missing(missing):
    made = table(missing)
    lost = {seed for seed, _, _ in missing}
    kept = [seed for seed in SEEDS if seed not in lost]
    points, gains = gain(made, np.ones(made.num_rows, dtype=bool), "t_ft")
    np.testing.assert_array_equal(points, TIMES)
    np.testing.assert_array_equal(gains, np.repeat(np.array(kept)[:, None] / 4, 3, axis=1))


def test_one_series_keeps_the_seeds_that_another_has_lost():
    made = table([(4, 1.0, 0.2)])
    unmixed, mixed = masks(made)
    assert curves(made, unmixed, "t_ft", "loss_ret").seeds.tolist() == [3, 4, 5, 8]
    assert curves(made, mixed, "t_ft", "loss_ret").seeds.tolist() == [3, 5, 8]
    _, (without, with_) = paired(made, "t_ft", (unmixed, "loss_ret"), (mixed, "loss_ret"))
    np.testing.assert_allclose(without - with_, np.repeat([[0.75], [1.25], [2.0]], 3, axis=1))
    np.testing.assert_array_equal(by_seed(made, unmixed, "t_ft", "loss_ret")[1][:, 0], [300.5, 400.5, 500.5, 800.5])


def test_what_cannot_be_paired_is_refused():
    apart = table([(seed, 1.0, 0.2 if seed < 5 else 0.0) for seed in SEEDS])
    unmixed, mixed = masks(apart)
    with pytest.raises(WrongUse, match="everything that is compared"):
        paired(apart, "t_ft", (unmixed, "loss_ret"), (mixed, "loss_ret"))
    shorter = table([(seed, 1.0, 0.2) for seed in SEEDS])
    unmixed, mixed = masks(shorter)
    with pytest.raises(ValueError, match="different values of t_ft"):
        paired(shorter, "t_ft", (unmixed, "loss_ret"), (mixed, "loss_ret"))
    with pytest.raises(ValueError, match="several rows"):
        by_seed(table(), np.ones(24, dtype=bool), "t_ft", "loss_ret")


def test_whole_seeds_have_every_run():
    made = table([(4, 1.0, 0.2), (8, 2.0, 0.0)])
    kept = column(made, "seed")[whole_seeds(column(made, "seed"))]
    assert set(kept) == {3, 5}
    assert len(kept) == 12
