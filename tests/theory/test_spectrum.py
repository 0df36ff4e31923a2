"""The spectrum of specialised features: its ranks, its limits, and the models that carry it."""

import numpy as np
import pytest

from common.settings import WrongUse
from theory.fitting.models import FAMILIES, Ranks, model_losses, power_law, ranks
from theory.fitting.points import Points

BASE = {
    "sigma_post": 1.0,
    "pre_over_post": 0.3,
    "ft_over_post": 0.4,
    "beta": 0.9,
    "init_scale": 0.05,
    "pre_time": 6.0,
    "t_ft": 0.5,
    "pace": 2.0,
    "step_ratio": 1.5,
    "t_post_50M": 2.0,
    "t_post_200M": 4.0,
}
PAIR = BASE | {"uncorrelated": 0.05}
MODELS = tuple(FAMILIES)


def points(sizes=(5e7, 2e8), exposure=(0.0, 0.25, 0.5, 1.0)):
    both = [(e, n, m) for m in (0, 1) for n in sizes for e in exposure]
    e, n, m = (np.array(column) for column in zip(*both, strict=True))
    return Points(e, n, m, np.zeros((len(e), 2)))


def values(model, **more):
    return (BASE if model == "plain" else PAIR) | more


def test_ranks_cover_every_feature_once():
    made = ranks(16)
    assert made.size.sum() == 307
    assert made.rank[:4] == pytest.approx([1, 2, 3, np.sqrt(4 * 5)])
    assert np.all(np.diff(made.rank) > 0)
    single = ranks(40, widening=1.0)
    assert single.rank == pytest.approx(np.arange(1, 41))
    assert np.all(single.size == 1)
    with pytest.raises(WrongUse, match="groups = 0"):
        ranks(0)


def test_the_first_feature_is_the_reference():
    made = power_law(0.7, 1.2, 6)
    assert made.strength[0] == made.frequency[0] == 1
    assert made.strength[1] == pytest.approx(2**-0.7)
    assert made.frequency[2] == pytest.approx(3**-1.2)
    starts = power_law(np.full((5, 1), 0.7), np.full((5, 1), 1.2), 6)
    assert starts.frequency.shape == (6, 5, 1)
    assert np.allclose(starts.frequency[:, 3, 0], made.frequency, rtol=1e-14)


@pytest.mark.parametrize("model", MODELS)
def test_one_group_is_the_model_without_a_spectrum(model):
    rows = points()
    alone = model_losses(values(model), rows, model)
    one = model_losses(values(model, strength_decay=0.8, frequency_decay=1.1), rows, model, groups=1)
    assert one == pytest.approx(alone, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("model", MODELS)
def test_steep_exponents_leave_one_feature(model):
    rows = points()
    alone = model_losses(values(model), rows, model)
    steep = model_losses(values(model, strength_decay=2.0, frequency_decay=12.0), rows, model, groups=4)
    assert steep == pytest.approx(alone, abs=2e-3)


@pytest.mark.parametrize("model", ["plain", "rp"])
def test_groups_stand_for_their_ranks(model, monkeypatch):
    rows = points(exposure=(0.0, 0.5))
    exponents = {"strength_decay": 0.2, "frequency_decay": 1.0}
    grouped = model_losses(values(model, **exponents), rows, model, groups=10)
    made = ranks(10)
    every = Ranks(np.arange(1.0, made.size.sum() + 1), np.ones(int(made.size.sum())))
    monkeypatch.setattr("theory.fitting.models.ranks", lambda groups: every)
    assert grouped == pytest.approx(model_losses(values(model, **exponents), rows, model, groups=10), rel=0.05)


def test_a_larger_corpus_teaches_more_and_rarer_features():
    """With a spectrum the loss after one pass falls as a power of the corpus; with one feature it falls off a cliff."""
    sizes = (5e6, 2e7, 8e7, 3.2e8)
    one_pass = Points(np.zeros(4), np.array(sizes), np.ones(4, dtype=int), np.zeros((4, 2)))
    v = BASE | {"pace": 200.0, "beta": 0.9, "strength_decay": 0.01, "frequency_decay": 1.2}
    loss = model_losses(v, one_pass, "plain", 16)[:, 0]
    ratios = loss[1:] / loss[:-1]
    assert np.all((ratios > 0.3) & (ratios < 0.95))
    single = model_losses({k: x for k, x in v.items() if "decay" not in k}, one_pass, "plain")[:, 0]
    assert single[-1] < 1e-10 * single[0] + 1e-12


@pytest.mark.parametrize("model", MODELS)
def test_starts_are_solved_together(model):
    rows = points(exposure=(0.0, 0.5))
    two = {
        name: np.array([[value], [value * 0.9]])
        for name, value in values(model, frequency_decay=1.0, strength_decay=0.3).items()
    }
    together = model_losses(two, rows, model, 3)
    assert together.shape == (2, len(rows.exposure), 2)
    for i in (0, 1):
        alone = model_losses({name: float(value[i, 0]) for name, value in two.items()}, rows, model, 3)
        assert together[i] == pytest.approx(alone, rel=1e-7, abs=1e-12)


def test_stage_two_times_of_sizes_between_follow_a_power():
    rows = points(sizes=(1e8,), exposure=(0.0, 0.5))
    between = model_losses(BASE, rows)
    own = model_losses({k: v for k, v in BASE.items() if "t_post" not in k} | {"t_post_100M": np.sqrt(2.0 * 4.0)}, rows)
    assert between == pytest.approx(own, rel=1e-12)


def test_an_unknown_model_is_named():
    with pytest.raises(WrongUse, match="'spectral' is not known"):
        model_losses(BASE, points(), "spectral")
