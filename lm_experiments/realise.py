"""What a recipe means for a language model: the data of every stage, and how stage 2 drops units."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from common.recipe import OFF, Recipe, cannot_realise
from lm_experiments.dropout import Dropout, everywhere
from lm_experiments.plan import Corpus, Kind, Plan, fine_tuning_plan, post_training_plan, pretraining_plan

UNKNOWN = ("rank", "l2_to_start")
"""Interventions that the training loop does not have yet."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a recipe is applied to."""

    corpora: Mapping[Kind, Corpus]
    """D_pre, D_post and D_ft."""
    batches: Mapping[Kind, int]
    """Windows per step of every stage."""
    length: int
    """Tokens that a window predicts."""
    seed: int
    """Of every order."""


class Realised(NamedTuple):
    """A recipe as stages."""

    plans: dict[Kind, Plan]
    """The data of every stage; a compute-matched pipeline at lambda = 1 has no stage 2."""
    dropout: Dropout
    """Of stage 2."""


def realise(recipe: Recipe, problem: Problem) -> Realised:
    """The data plans and stage settings that a recipe means.

    Raises:
        WrongUse: the exposure does not fit into stage 1, D_post is no whole number of batches where one pass is split, or the recipe has an
            intervention that language models do not have.
    """
    for name in UNKNOWN:
        if (value := getattr(recipe, name)) != OFF[name]:
            raise cannot_realise(
                "lm_experiments", name, value, "the training loop does not have it yet", f"Leave {name} out"
            )
    pre, post, ft = (problem.corpora[kind] for kind in ("pre", "post", "ft"))
    length, batches, seed = problem.length, problem.batches, problem.seed
    found: dict[Kind, Plan | None] = {
        "pre": pretraining_plan(
            recipe, pre, post, length=length, batch=batches["pre"], post_batch=batches["post"], seed=seed
        ),
        "post": post_training_plan(recipe, post, pre, length=length, batch=batches["post"], seed=seed),
        "ft": fine_tuning_plan(ft, length=length, batch=batches["ft"], seed=seed),
    }
    return Realised({kind: plan for kind, plan in found.items() if plan is not None}, everywhere(recipe.dropout))
