"""The data plan and its ledger: exact counts, paired orders, placement in time, and a check that finds what is wrong."""

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.recipe import Recipe
from common.settings import WrongUse
from lm_experiments.ledger import CompletedStage, Disagreement, check_ledger, ledger
from lm_experiments.plan import (
    Corpus,
    Part,
    Plan,
    exposed,
    fine_tuning_plan,
    post_training_plan,
    pretraining_plan,
)

PRE = Corpus(store="general/train", windows=500, count=400)
POST = Corpus(store="music/train", windows=48, count=200)
FT = Corpus(store="chemistry/train", windows=30, count=50)
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
ORDER = [(0, 59), (0, 446), (0, 204), (0, 80), (0, 364), (0, 96), (1, 25), (0, 304)]


class Text:
    """A store whose window i holds i, i+1, ..."""

    def __init__(self, size):
        self.size = size

    def windows(self, length):
        return self.size

    def window(self, index, length):
        return np.arange(index, index + length + 1)


def stage1(recipe, seed=3, pre=PRE):
    return pretraining_plan(recipe, pre, POST, length=16, batch=8, post_batch=8, seed=seed)


def stage2(recipe, seed=3, post=POST):
    return post_training_plan(recipe, post, PRE, length=16, batch=8, seed=seed)


def slots(plan):
    """Every slot of a plan in order, from `rows` alone."""
    return [row for step in range(plan.steps) for row in plan.rows(step)]


def of_part(plan, part):
    return [window for index, window in slots(plan) if index == part]


@pytest.mark.parametrize("exposure", [*LAMBDAS, 0.1, 1.7, 3.0])
def test_added_exposure_is_exact_and_leaves_the_order_of_d_pre_alone(exposure):
    plain, mixed = stage1(Recipe()), stage1(Recipe(exposure=exposure))
    base = of_part(mixed, 0)
    assert base[: PRE.count] == of_part(plain, 0)[: PRE.count]
    assert PRE.count <= len(base) < PRE.count + mixed.batch
    seen = Counter(of_part(mixed, 1) if exposure else [])
    assert seen.total() == round(exposure * POST.windows)
    assert max(seen.values(), default=0) == np.ceil(exposure)


def test_replacing_exposure_takes_places_and_moves_nothing_else():
    plain = slots(stage1(Recipe()))
    plan = stage1(Recipe(exposure=0.5, mixing="replace"))
    mixed = slots(plan)
    assert len(mixed) == len(plain)
    assert all(other == own for other, own in zip(plain, mixed, strict=True) if own[0] == 0)
    assert sum(part for part, _ in mixed) == 24


def test_exposures_are_nested_across_lambda():
    order = [of_part(stage1(Recipe(exposure=exposure)), 1) for exposure in LAMBDAS[1:]]
    assert all(larger[: len(smaller)] == smaller for smaller, larger in itertools.pairwise(order))


@given(exposure=st.floats(0.01, 1.0), seed=st.integers(0, 50))
def test_uniform_exposure_holds_its_share_in_every_prefix(exposure, seed):
    plan = stage1(Recipe(exposure=exposure), seed)
    if len(plan.parts) == 1:
        return
    inserted = np.cumsum([part for part, _ in slots(plan)])
    share = inserted[-1] / len(inserted) * np.arange(1, len(inserted) + 1)
    assert np.abs(inserted - share).max() <= 1


@pytest.mark.parametrize(
    ("placement", "window", "inside"),
    [("early", 0.25, slice(0, 104)), ("late", 0.25, slice(-104, None)), ("anneal", 0.5, slice(-208, None))],
)
def test_placement_holds_the_exposure_in_its_window(placement, window, inside):
    parts = np.array([p for p, _ in slots(stage1(Recipe(exposure=1 / 3, placement=placement, window=window)))])
    assert len(parts) == 416
    assert parts.sum() == parts[inside].sum() == 16
    if placement == "anneal":
        last = parts[inside]
        assert last[104:].sum() == 12  # a ramp from 0: three quarters in its second half


def test_a_window_too_small_is_refused():
    with pytest.raises(WrongUse, match="window"):
        stage1(Recipe(exposure=1, placement="late", window=0.05)).rows(0)
    with pytest.raises(WrongUse, match="does not fit"):
        stage1(Recipe(exposure=10, mixing="replace"))


@pytest.mark.parametrize("exposure", LAMBDAS)
def test_compute_matched_stages_see_every_window_once(exposure):
    recipe = Recipe(exposure=exposure, split="compute-matched")
    first, second = stage1(recipe), stage2(recipe)
    before = of_part(first, 1) if exposure else []
    after = of_part(second, 0) if second else []
    assert sorted(before + after) == list(range(POST.windows))
    assert abs(len(before) - exposure * POST.windows) <= 4  # to whole batches of stage 2
    assert (second is None) == (exposure == 1)


def test_compute_matched_keeps_whole_batches_or_says_so():
    assert exposed(Recipe(exposure=0.3, split="compute-matched"), 48, 8) == 16
    with pytest.raises(WrongUse, match="48 windows"):
        exposed(Recipe(split="compute-matched"), 50, 8)


@pytest.mark.parametrize("replay", [0.0, 0.01, 0.25, 1.0])
def test_replay_is_an_exact_count_spread_over_the_stage(replay):
    plan = stage2(Recipe(replay=replay))
    parts = np.array([part for part, _ in slots(plan)])
    assert parts.sum() == round(replay * 200)
    assert np.abs(np.cumsum(parts) - replay * np.arange(1, 201)).max() <= 1
    matched = stage2(Recipe(exposure=0.5, split="compute-matched", replay=0.2))
    assert sum(part for part, _ in slots(matched)) == 8
    with pytest.raises(WrongUse, match="replay"):
        stage2(Recipe(split="compute-matched", replay=1.0))


def test_passes_have_their_own_order_and_seeds_theirs():
    plan = stage2(Recipe())
    turns = np.array(of_part(plan, 0))[:192].reshape(4, 48)
    assert all(sorted(turn) == list(range(48)) for turn in turns.tolist())
    assert len({tuple(turn) for turn in turns.tolist()}) == 4
    assert slots(stage2(Recipe(), seed=4)) != slots(plan)
    assert slots(stage2(Recipe(exposure=0.7))) == slots(plan)  # stage 2 is the same for every lambda


def test_the_order_is_what_it_was():
    """A change of the order changes every result: this fails before a user finds out."""
    assert stage1(Recipe(exposure=1.0)).rows(5) == ORDER
    assert stage1(Recipe()).fingerprint() != stage1(Recipe(exposure=0.25)).fingerprint()


def test_batches_are_the_rows_of_the_plan():
    plan = stage1(Recipe(exposure=0.5))
    batches = plan.open({PRE.store: Text(500), POST.store: Text(48)})
    found = batches.batch(7)
    assert found.shape == (8, 17)
    assert found.dtype == np.int64
    assert found[:, 0].tolist() == [window for _, window in plan.rows(7)]
    with pytest.raises(IndexError):
        batches.batch(plan.steps)
    with pytest.raises(WrongUse, match="holds 47 windows"):
        plan.open({PRE.store: Text(500), POST.store: Text(47)})
    with pytest.raises(WrongUse, match="needs the store music/train"):
        plan.open({PRE.store: Text(500)})


def test_plans_that_do_not_add_up_are_refused():
    part = Part(store="a", windows=4, count=7)
    with pytest.raises(WrongUse, match="hold 7 windows"):
        Plan(length=4, batch=4, steps=2, seed=0, parts=(part,))
    with pytest.raises(WrongUse, match="3 parts"):
        Plan(length=4, batch=7, steps=3, seed=0, parts=(part,) * 3)


@given(
    exposure=st.floats(0, 2.5),
    replay=st.floats(0, 1),
    steps=st.integers(1, 25),
    mixing=st.sampled_from(["add", "replace"]),
)
def test_the_ledger_counts_what_the_rows_say_and_agrees_with_the_recipe(exposure, replay, steps, mixing):
    recipe = Recipe(exposure=exposure, replay=replay, mixing=mixing)
    first, second = stage1(recipe), stage2(recipe)
    booked = ledger(second, steps)
    assert booked.tokens == steps * 8 * 16 == sum(entry.tokens for entry in booked.entries)
    slow = Counter(row for step in range(steps) for row in second.rows(step))
    for index, entry in enumerate(booked.entries):
        seen = Counter(slow[index, window] for window in range(entry.windows))
        assert seen == entry.times
        assert sum(entry.times.values()) == entry.windows
        assert sum(often * many for often, many in entry.times.items()) == entry.seen
    third = fine_tuning_plan(FT, length=16, batch=8, seed=3)
    taken = {
        "pre": CompletedStage(first, first.steps),
        "post": CompletedStage(second, steps),
        "ft": CompletedStage(third, third.steps),
    }
    check_ledger(recipe, PRE, POST, 8, taken)


@pytest.mark.parametrize("exposure", LAMBDAS)
def test_a_compute_matched_pipeline_agrees_with_its_recipe(exposure):
    recipe = Recipe(exposure=exposure, split="compute-matched")
    stages = {"pre": stage1(recipe), "post": stage2(recipe)}
    check_ledger(
        recipe, PRE, POST, 8, {kind: CompletedStage(plan, plan.steps) for kind, plan in stages.items() if plan}
    )


def test_the_check_finds_what_is_wrong():
    recipe = Recipe(exposure=0.5)
    wrong = stage1(Recipe(exposure=0.75))
    with pytest.raises(
        Disagreement, match="stage 1: windows of music/train: the ledger counts 36, the recipe asks for 24"
    ):
        check_ledger(recipe, PRE, POST, 8, {"pre": CompletedStage(wrong, wrong.steps)})
    right = stage1(recipe)
    with pytest.raises(Disagreement, match="stage 1"):
        check_ledger(recipe, PRE, POST, 8, {"pre": CompletedStage(right, right.steps - 1)})
    with pytest.raises(Disagreement, match="stage 3"):
        check_ledger(recipe, PRE, POST, 8, {"ft": CompletedStage(right, right.steps)})
    replayed = stage2(Recipe(replay=0.1))
    with pytest.raises(Disagreement, match="replayed windows"):
        check_ledger(recipe, PRE, POST, 8, {"post": CompletedStage(replayed, replayed.steps)})
    matched = Recipe(exposure=0.5, split="compute-matched")
    first, second = stage1(matched), stage2(matched)
    shifted = dataclasses.replace(second, parts=(dataclasses.replace(second.parts[0], start=20),))
    with pytest.raises(Disagreement, match="stages 1 and 2"):
        check_ledger(
            matched,
            PRE,
            POST,
            8,
            {"pre": CompletedStage(first, first.steps), "post": CompletedStage(shifted, shifted.steps)},
        )
    with pytest.raises(Disagreement, match="steps of its share"):
        check_ledger(matched, PRE, POST, 8, {"post": CompletedStage(second, second.steps - 1)})
