"""Verdicts over several testbeds: the interval is that of testbeds, not of seeds."""

from dataclasses import replace

import numpy as np
import pytest

from common.seeds import around_value, mean_interval, quantile
from lm_experiments.verdicts.across import over_testbeds, random_effects, share
from lm_experiments.verdicts.groups import Group


def bed(pipeline: str, effect: float, forgetting: float = 1.0, seeds: int = 8) -> tuple[list[str], Group]:
    """Real exposure lowers loss_ret by `effect`, the decoys by nothing and by half of it."""
    noise = np.random.default_rng(len(pipeline)).normal(0, 0.01, (seeds, 4))
    ret = 3 + forgetting - np.array([0, effect, 0, effect / 2]) + noise
    key = {"engine": "lm", "pipeline": pipeline, "scale": "nano", "model": "llama", "tokens_post": 1}
    exposure = np.array([0.0, 1, 1, 1])
    return ["bigram", "shuffled"], Group(
        key=key, seeds=tuple(range(seeds)), exposure=exposure, im=np.full((seeds, 4), 3.0), ret=ret, ft=None
    )


def test_an_effect_is_beside_the_strongest_decoy_and_a_share_of_the_forgetting() -> None:
    """Half of the effect is left beside the decoy that has the other half; twice the forgetting halves the share."""
    (decoy, once), (_, twice) = share(*bed("a", 0.4)), share(*bed("a", 0.4, forgetting=2.0))
    assert decoy == "shuffled"
    assert once.value == pytest.approx(-0.2, abs=0.02)
    assert twice.value == pytest.approx(-0.1, abs=0.01)


def test_where_every_decoy_does_harm_the_share_is_that_over_no_exposure() -> None:
    names, group = bed("a", 0.0)
    group.ret[:, 2:] += 0.3
    strongest, found = share(names, group)
    assert strongest == "no exposure"
    assert found.value == pytest.approx(0.0, abs=0.02)


def test_testbeds_that_disagree_decide_nothing_however_many_their_seeds() -> None:
    """Two testbeds, each told from 0 by its seeds, of different size: one degree of freedom."""
    sure = [mean_interval(np.array(values)) for values in ([-0.40, -0.41, -0.39] * 10, [-0.10, -0.11, -0.09] * 10)]
    found = random_effects(sure)
    assert found.df == 1
    assert found.n == 60
    assert found.value == pytest.approx(-0.25, abs=0.001)
    assert found.high is not None
    assert found.high > 0
    assert found.high - found.value == pytest.approx(quantile(1) * 0.15, rel=0.01)


def test_testbeds_that_agree_are_no_surer_than_their_errors() -> None:
    """No scatter at all: the error is that of the fixed effect, not 0."""
    found = random_effects([around_value(-0.2, 0.03, 8, 7)] * 4)
    assert found.error == pytest.approx(0.015)


def test_three_testbeds_that_agree_support_and_one_says_nothing() -> None:
    """The verdict of the claim, with its testbeds in the effect."""
    beds = [bed("a", 0.4), bed("bb", 0.42), bed("ccc", 0.38)]
    (verdict,) = over_testbeds(beds)
    assert verdict.status == "supported"
    assert verdict.claim == "D1"
    assert verdict.primary
    assert verdict.exploratory
    assert "bb" in verdict.effect
    assert verdict.where == "3 testbeds"
    assert over_testbeds(beds[:1]) == []


def test_two_studies_of_one_testbed_are_one_testbed() -> None:
    """More seeds of the same corpora do not count as more corpora."""
    beds = [bed("a", 0.4), bed("a", 0.4), bed("bb", 0.42)]
    (verdict,) = over_testbeds(beds)
    assert verdict.where == "2 testbeds"
    assert over_testbeds(beds[:2]) == []


def test_what_two_studies_share_is_counted_once() -> None:
    beds = [bed("a", 0.4), bed("bb", 0.42), bed("ccc", 0.38)]
    assert over_testbeds([*beds, beds[0]]) == over_testbeds(beds)
    names, other = bed("a", 0.1)
    fresh = names, replace(other, seeds=tuple(range(20, 28)))
    assert over_testbeds([*beds, fresh]) != over_testbeds(beds)
