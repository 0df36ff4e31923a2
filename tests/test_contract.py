"""One recipe, one meaning: every engine gives D_post the same dose in every stage, fills the same columns, or refuses by name."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from common import recipe as vocabulary
from common import results, rows
from common.losses import Losses
from common.placement import PLACEMENTS
from common.recipe import EXPOSED, Recipe
from common.settings import WrongUse
from lm_experiments.ledger import CompletedStage, check_ledger, ledger
from lm_experiments.pipeline import Pipeline
from lm_experiments.plan import Corpus
from lm_experiments.realise import Problem
from lm_experiments.realise import realise as in_plans
from lm_experiments.rows import EXTRA
from lm_experiments.studies.settings import Cell
from lm_experiments.studies.smoke import SMOKE
from sims.cases import Case, rows_of
from sims.realise import realise as in_runs
from sims.run import Simulation
from sims.setup import Setup
from theory.models import MODELS
from theory.realise import Budget
from theory.realise import realise as in_flow_time

BUDGET = Budget(pre_time=20.0, post_time=2.0, step_ratio=2.0)
WINDOWS, BATCH = 96, 4
"""D_post of the language model, and its stage-2 batch."""
PROBLEM = Problem(
    corpora={
        "pre": Corpus(store="a", windows=960, count=960),
        "post": Corpus(store="b", windows=WINDOWS, count=2 * WINDOWS),
        "ft": Corpus(store="c", windows=32, count=32),
    },
    batches={"pre": 8, "post": BATCH, "ft": 8},
    length=16,
    seed=0,
    other=Corpus(store="d", windows=WINDOWS, count=WINDOWS),
)


def _or_off(low: float, high: float) -> Any:
    return st.one_of(st.just(0.0), st.floats(low, high))


KNOWN = ("split", "exposure", "mixing", "placement", "window", "replay", "dropout", "rank", "l2_to_start")
"""What theory and simulations have as well."""
FIELDS = st.fixed_dictionaries(
    {
        "split": st.sampled_from(["independent", "compute-matched"]),
        "exposure": _or_off(0, 3),
        "mixing": st.sampled_from(["add", "replace"]),
        "placement": st.sampled_from(PLACEMENTS),
        "window": st.floats(0.3, 1),
        "replay": _or_off(0, 0.9),
        "dropout": _or_off(0, 0.5),
        "rank": st.one_of(st.none(), st.integers(1, 2)),
        "l2_to_start": _or_off(0, 2),
    }
)
MORE = st.fixed_dictionaries(
    {
        "exposed": st.sampled_from(EXPOSED),
        "extra": _or_off(0, 2),
        "replay_from": st.sampled_from(["pre", "generated"]),
        "ewc": _or_off(0, 2),
        "sam": _or_off(0, 1),
        "sam_pre": _or_off(0, 1),
        "overlap": _or_off(0, 0.5),
        "replay_ft": _or_off(0, 0.5),
        "replay_ft_from": st.sampled_from(["post", "pre", "generated"]),
        "rank_ft": st.one_of(st.none(), st.integers(1, 2)),
        "l2_to_start_ft": _or_off(0, 2),
        "ewc_ft": _or_off(0, 2),
        "ewc_ft_on": st.sampled_from(["post", "pre"]),
        "noise_ft": _or_off(0, 0.1),
        "noise_scale": st.sampled_from(["relative", "absolute"]),
        "bits_ft": st.sampled_from([None, 4, 8]),
    }
)
"""What only language models have: the others refuse it by name."""


def recipe_of(values: Any) -> Recipe:
    """The recipe; one that splits a single pass has at most all of it in stage 1."""
    exposure = values["exposure"] if values["split"] == "independent" else values["exposure"] / 3
    return Recipe(**values | {"exposure": exposure})


def passes_in_flow_time(stages: Any) -> tuple[float, float, float]:
    """Passes over D_post in stage 1 and 2, and the share of it in stage 2."""
    t_post = stages.get("t_post", BUDGET.post_time)
    seen = (1 - stages["replay"]) * t_post
    one = BUDGET.step_ratio * BUDGET.post_time  # stage 1 takes longer steps: a pass is more flow time there
    return stages["alpha"] * stages["t_pre"] / one, seen / BUDGET.post_time, seen / t_post if t_post else 1.0


def agrees(recipe: Recipe, got: tuple[float, float, float], room: float) -> None:
    dose = recipe.dose
    assert got[0] == pytest.approx(dose.stage1, abs=room)
    if recipe.split == "compute-matched":
        assert got[1] == pytest.approx(dose.stage2, abs=room)
        if recipe.exposed == "post":
            assert got[0] + got[1] == pytest.approx(
                1 + recipe.extra, abs=BATCH / 2 / WINDOWS * (recipe.extra > 0) + 1e-12
            ), "one pass in all"
    if got[1]:
        assert got[2] == pytest.approx(dose.stage2_share, abs=room / max(got[1], room))


def named_refusal(error: WrongUse, engine: str) -> None:
    """Every refusal names a field of the recipe, its value, and a remedy."""
    said = str(error)
    assert any(f"{name} = " in said for name in vocabulary.COLUMNS), said
    assert said.startswith(engine) or "Lower the exposure" in said or "Widen the window" in said, said


@given(values=FIELDS, model=st.sampled_from(sorted(MODELS)))
def test_theory_gives_the_dose_and_fills_the_columns(values, model):
    recipe = recipe_of(values)
    try:
        stages = in_flow_time(recipe, BUDGET, model)
    except WrongUse as error:
        return named_refusal(error, f"theory, model {model} cannot realise")
    agrees(recipe, passes_in_flow_time(stages), 1e-12)
    made = rows.columns(stages | recipe.columns, Losses(*np.ones(4)), study="s", config_hash="h", model=model)
    holds_all(recipe, results.table(made))


@given(values=FIELDS, activation=st.sampled_from(["linear", "relu"]), depth=st.sampled_from([2, 3]))
def test_simulations_give_the_dose_and_fill_the_columns(values, activation, depth):
    assume(activation == "linear" or depth == 2)
    recipe = recipe_of(values)
    try:
        setup, values = in_runs(recipe, BUDGET, Setup(activation=activation, depth=depth, init="random"))
    except WrongUse as error:
        return named_refusal(error, "sims cannot realise")
    agrees(recipe, passes_in_flow_time(values), 1e-12)
    assert setup.placement == recipe.placement
    assert setup.rank == recipe.rank
    one = np.ones(1)
    simulation = Simulation(Losses(one, one, one, one), one > 0, np.ones((3, 1)), np.ones((3, 1)), None)
    holds_all(recipe, results.table(rows_of(Case("plain", setup, values, recipe.columns), "s", simulation, 1.0)))


@pytest.mark.parametrize("name", [name for name in vocabulary.COLUMNS if name not in KNOWN])
def test_theory_and_simulations_refuse_by_name_what_only_language_models_have(name):
    value = {"exposed": "shuffled", "replay_from": "generated", "replay_ft_from": "pre", "ewc_ft_on": "pre",
             "noise_scale": "absolute", "rank_ft": 2, "bits_ft": 4}.get(name, 0.5)  # fmt: skip
    for refused in (
        lambda: in_flow_time(Recipe(**{name: value}), BUDGET),
        lambda: in_runs(Recipe(**{name: value}), BUDGET, Setup()),
    ):
        with pytest.raises(WrongUse, match=rf"^(sims|theory, model plain) cannot realise {name} = "):
            refused()


@settings(max_examples=100)
@given(values=FIELDS, more=MORE)
def test_language_models_give_the_dose_by_their_ledger(values, more):
    recipe = recipe_of(values | more)
    try:
        plans = in_plans(recipe, PROBLEM).plans
    except WrongUse as error:
        return named_refusal(error, "lm_experiments cannot realise")
    seen = {kind: ledger(plan, plan.steps) for kind, plan in plans.items()}
    windows = {kind: sum(e.seen for e in one.entries if e.store == "b") for kind, one in seen.items()}
    post = plans.get("post")
    share = windows["post"] / (post.steps * post.batch) if post else 1.0
    room = (BATCH / 2 + 0.5) / WINDOWS  # whole windows, and whole batches of stage 2
    agrees(recipe, (windows["pre"] / WINDOWS, windows.get("post", 0) / WINDOWS, share), room)
    again = recipe.replay_ft if recipe.replay_ft_from == "post" else 0.0
    assert windows["ft"] == round(again * plans["ft"].steps * plans["ft"].batch)
    steps = {kind: CompletedStage(plan, plan.steps) for kind, plan in plans.items()}
    check_ledger(recipe, PROBLEM.corpora["pre"], PROBLEM.corpora["post"], BATCH, steps)


@pytest.mark.parametrize(
    "change", [{"l2_to_start": 0.5, "rank": 2}, {"ewc_ft": 0.5, "rank_ft": 2}, {"overlap": 0.5, "replay_ft": 0.5},
               {"replay_ft": 0.5, "noise_ft": 0.1}, {"rank_ft": 2, "bits_ft": 4}]
)  # fmt: skip
def test_language_models_refuse_by_name_what_does_not_go_together(change):
    with pytest.raises(WrongUse, match=f"lm_experiments cannot realise {next(iter(change))} = "):
        in_plans(Recipe(**change), PROBLEM)


class Store:
    """As much of a token store as a pipeline asks for before it trains."""

    fingerprint = "0" * 16

    def windows(self, length: int) -> int:
        return 10_000

    def window(self, index, length):
        return np.arange(index, index + length + 1) % 7


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Recipe(exposure=0.5, mixing="replace", placement="late", window=0.25, dropout=0.1),
        Recipe(exposure=0.5, split="compute-matched", replay=0.25),
    ],
)
def test_a_row_of_a_language_model_fills_the_columns(recipe):
    cell = Cell(SMOKE, "", dataclasses.replace(SMOKE.base, recipe=recipe), {})
    pipeline = Pipeline(cell, lambda name: Store())
    outcomes = {
        node.hash: {
            "steps": node.plan.steps, "tokens": node.plan.steps * node.plan.batch * node.plan.length, "seconds": 1.0,
            "best_step": 1, "stopped_early": False, "losses": {name: 1.0 for name, _ in node.measured},
        }
        for node in pipeline.nodes.values()
    }  # fmt: skip
    holds_all(recipe, results.table(pipeline.row(outcomes), EXTRA))
    assert pipeline.nodes["post"].settings.dropout.resid == recipe.dropout


def holds_all(recipe: Recipe, table: Any) -> None:
    row = table.to_pylist()[0]
    assert {name: row[name] for name in vocabulary.COLUMNS} == recipe.columns


def test_stages_that_are_set_by_their_times_fill_the_columns_too():
    made = rows.columns(
        {"alpha": np.array([0.0, 0.2, 0.1]), "t_pre": 20.0, "t_post": np.array([1.0, 2.0, 0.0]), "replay": 0.5},
        [np.ones(3)] * 4, study="s", config_hash="h",
    )  # fmt: skip
    table = results.table(made).to_pylist()
    assert [row["exposure"] for row in table] == [0.0, 4.0, None]
    assert {(row["mixing"], row["split"], row["placement"], row["dropout"]) for row in table} == {
        ("replace", "independent", "uniform", 0.0)
    }


def test_a_table_older_than_an_intervention_says_that_it_was_off(tmp_path):
    import pyarrow.parquet as pq

    table = results.table(rows.columns({"alpha": 0.1}, np.ones(4), study="s", config_hash="h"))
    pq.write_table(table.drop_columns(["l2_to_start"]), tmp_path / "old.parquet")
    read = results.read(tmp_path / "old.parquet")
    assert read["l2_to_start"].to_pylist() == [0.0]
    assert read.column_names == table.column_names
