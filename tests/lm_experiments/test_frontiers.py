"""Verdicts on frontiers: planted gains in hypervolume are found, planted nulls are not, and three seeds decide nothing."""

import numpy as np
import pytest

from common.settings import WrongUse
from common.sweeps import VIEWS, WIDER, sweeps
from common.variants import compared, curves
from lm_experiments.verdicts import verdicts
from lm_experiments.verdicts.frontiers import RETAINED
from tests.lm_experiments.settled import settled

SEEDS = (40, 41, 42, 43, 44)
RATES = {1e-4: 0, 3e-4: 1, 1e-3: 2}


def losses(gain):
    """End points on a line loss_ft + loss_ret = constant, moved by the gain of a recipe; loss_pre rises with the stage-2 rate."""
    rng = np.random.default_rng(5)

    def rule(chosen, arm):
        along = 0.2 * RATES[chosen.stage3.lr] + 0.05 * (chosen.stage2.batch > 16) + rng.normal(0, 0.002)
        moved = gain(chosen.recipe)
        return 2.0, 2.4 + along - moved, 3.0 - along - moved, 3.5 + 0.2 * along + 40 * chosen.stage2.lr - moved

    return rule


def table(name, gain, seeds=SEEDS):
    return settled(f"{name}-controlled", "nano", losses(gain), seeds)


def told(made):
    """Claim, variant and place -> verdict, of (loss_ft, loss_ret) and of what is asked of all pipelines."""
    found = [one for one in verdicts([made]) if "loss_pre" not in one.criterion or one.claim == "C4"]
    return {
        (one.claim, one.variant, one.where.partition(">")[0]): one for one in found if "engineering" not in one.where
    }


def test_mixing_that_widens_the_frontier_is_told_in_both_views():
    found = told(table("fig2", lambda recipe: 0.1 * recipe.exposure))
    for claim in ("C3", "C4"):
        whole, part = found[claim, "", "all 2 pipelines"], found[claim, "mixed over unmixed", "general"]
        assert (whole.status, whole.primary, whole.n) == ("supported", True, 5)
        assert (part.status, part.primary, part.supported_from) == ("supported", False, WIDER)
    none = told(table("fig2", lambda recipe: 0.0))
    assert none["C3", "", "all 2 pipelines"].status == "refuted", "a gain below a hundredth of the box is none"
    assert none["C3", "", "all 2 pipelines"].value == pytest.approx(0, abs=0.02)
    worse = told(table("fig2", lambda recipe: -0.1 * recipe.exposure))
    assert worse["C3", "", "all 2 pipelines"].status == "refuted"


def test_nothing_else_is_asked_of_frontiers_and_three_seeds_decide_nothing():
    found = verdicts([table("fig2", lambda recipe: 0.3 * recipe.exposure, None)])
    assert {one.claim for one in found} == {"C3", "C4"}
    assert {(one.status, one.n) for one in found} == {("undecided", 3)}
    assert all(one.value > WIDER and one.low is not None for one in found)


def test_dropout_and_replay_on_top_of_mixing_and_alone():
    def gain(recipe):
        return 0.1 * recipe.exposure + (0.05 if recipe.dropout or recipe.replay else 0.0)

    on_top, alone = (told(table(name, gain)) for name in ("fig4", "fig6"))
    assert on_top["C5", "", "all 2 pipelines"].status == "supported"
    assert alone["C5", "", "all 2 pipelines"].status == "supported", "each gains, and less than mixing"
    assert alone["C5", "unmixed+replay over unmixed", "general"].status == "supported"
    more = told(table("fig6", lambda recipe: gain(recipe) + 0.1 * bool(recipe.dropout)))
    assert more["C5", "", "all 2 pipelines"].status == "refuted", "dropout alone does more than mixing"
    assert more["C5", "mixed over unmixed+replay", "general"].status == "supported"
    idle = told(table("fig4", lambda recipe: 0.1 * recipe.exposure - 0.05 * bool(recipe.dropout)))
    assert idle["C5", "", "all 2 pipelines"].status == "refuted"


def test_the_benefit_under_lora_and_full_fine_tuning_against_it():
    def gain(recipe):
        return 0.1 * recipe.exposure - (0.05 if recipe.rank else 0.0)

    assert told(table("fig7", gain))["C6", "", "all 2 pipelines"].status == "supported"
    better = told(table("fig7", lambda recipe: 0.1 * recipe.exposure + 0.05 * bool(recipe.rank)))
    assert better["C6", "", "all 2 pipelines"].status == "refuted"
    assert better["C6", "lora_mixed over lora_unmixed", "general"].status == "supported"


def test_one_box_and_one_reference_for_all_methods_and_seeds():
    """By hand: the area between the worst of both losses anywhere and the points, over that of the box."""
    (sweep, _) = sweeps(table("fig2", lambda recipe: 0.1 * recipe.exposure))
    shares = sweep.shares(RETAINED)
    every = np.concatenate([sweep.seen(method, RETAINED).reshape(-1, 2) for method in sweep.points])
    low, high = every.min(0), every.max(0)
    for method, by_seed in shares.items():
        points = sweep.seen(method, RETAINED)[3]
        grid = np.stack(np.meshgrid(*[np.linspace(a, b, 400) for a, b in zip(low, high, strict=True)]), -1).reshape(
            -1, 2
        )
        held = np.zeros(len(grid), dtype=bool)
        for point in points:
            held |= (grid >= point).all(1)
        assert by_seed[3] == pytest.approx(held.mean(), abs=0.01)
    assert sweep.points["mixed"].shape == (5, 12, 3)


def test_unequal_numbers_of_points_are_not_compared():
    rule = losses(lambda recipe: 0.1 * recipe.exposure)

    def fewer(chosen, arm):
        return None if chosen.recipe.exposure and chosen.stage3.lr == 1e-3 else rule(chosen, arm)

    found = verdicts([settled("fig2-controlled", "nano", fewer, SEEDS)])
    assert {one.status for one in found} == {"not testable here"}
    assert all("unequal numbers of points: 8 of mixed and 12 of unmixed" in one.criterion for one in found)


def test_a_seed_that_lacks_a_point_is_left_out_and_two_rows_of_one_point_are_refused():
    rule = losses(lambda recipe: 0.1 * recipe.exposure)

    def diverged(chosen, arm):
        lost = chosen.seed == 42 and chosen.recipe.exposure and chosen.stage3.lr == 1e-3 and chosen.stage2.batch == 32
        return None if lost else rule(chosen, arm)

    made = settled("fig2-controlled", "nano", diverged, SEEDS)
    assert {sweep.seeds for sweep in sweeps(made)} == {(40, 41, 43, 44)}
    twice = made.take([*range(made.num_rows), 0])
    with pytest.raises(WrongUse, match="Nothing tells these points"):
        sweeps(twice)


def by_variant(name, gain, **more):
    rng = np.random.default_rng(2)

    def rule(chosen, arm):
        along = 0.2 * RATES[chosen.stage3.lr] + rng.normal(0, 1e-4)
        return 2.0, 2.4 + along - gain(chosen.recipe), 3.0 - along, 3.5

    return settled(name, "nano", rule, SEEDS, **more)


def test_variants_are_compared_at_matched_loss_ft():
    def gain(recipe):
        return 0.1 * recipe.exposure * (2 if recipe.placement == "late" else 1)

    found = {one.effect.partition(": ")[2]: one for one in verdicts([by_variant("placement-controlled", gain)])}
    assert {one.claim for one in found.values()} == {"-"}
    assert set(found) == {
        *(f"{name} minus no exposure" for name in ("uniform", "early", "late", "anneal")),
        *(f"{name} minus uniform" for name in ("early", "late", "anneal")),
    }
    assert found["late minus uniform"].value == pytest.approx(-0.1, abs=1e-3)
    assert found["late minus uniform"].status == "supported"
    assert found["early minus uniform"].value == pytest.approx(0, abs=1e-3)


def test_mitigations_alone_and_with_exposure():
    def gain(recipe):
        return 0.05 * recipe.exposure + 0.2 * recipe.replay_ft

    found = {one.effect.partition(": ")[2]: one for one in verdicts([by_variant("mitigation-controlled", gain)])}
    assert found["replay of D_post in stage 3 minus none, unmixed"].value == pytest.approx(-0.02, abs=1e-3)
    assert found["replay of D_post in stage 3, mixed minus unmixed"].value == pytest.approx(-0.05, abs=1e-3)
    for strength in ("noise 0.03", "noise 0.1", "rounding 8", "rounding 4"):
        assert found[f"{strength}, mixed minus unmixed"].value == pytest.approx(-0.05, abs=1e-3)
        assert f"{strength} minus none, mixed" not in found


def test_curves_whose_ranges_do_not_meet_are_not_compared():
    made = by_variant("placement-controlled", lambda recipe: 0.0)
    found = curves(made)
    away = {seed: [(ft + 9, ret) for ft, ret in points] for seed, points in found["early", 1.0].items()}
    assert not len(compared({**found, ("early", 1.0): away}, ("early", 1.0), ("uniform", 1.0)))
    assert VIEWS[0] == RETAINED
