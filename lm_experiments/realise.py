"""What a recipe means for a language model: the data of every stage, and what is special in how it is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from common.recipe import OFF, Recipe, cannot_realise
from lm_experiments.damage import Damage
from lm_experiments.derived import Name
from lm_experiments.dropout import everywhere
from lm_experiments.plan import (
    Corpus,
    Kind,
    Plan,
    fine_tuning_plan,
    post_training_plan,
    pretraining_plan,
)

UNKNOWN: tuple[str, ...] = ()
"""Interventions that the training loop does not have yet."""
Changes = dict[str, Any]
"""Fields of `StageSettings` and their values."""


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
    seeds: Mapping[Kind, int] = field(default_factory=dict)
    """Seeds of the orders of single stages, in the place of `seed`."""
    other: Corpus | None = None
    """Another corpus of D_post's domain, for a decoy."""


class Realised(NamedTuple):
    """A recipe as stages."""

    plans: dict[Kind, Plan]
    """The data of every stage; a compute-matched pipeline at lambda = 1 has no stage 2."""
    changes: dict[Kind, Changes]
    """What is special in the settings of every stage: fields of `StageSettings`."""


def realise(recipe: Recipe, problem: Problem) -> Realised:
    """The data plans and stage settings that a recipe means.

    Where one pass over D_post is split between stages 1 and 2, both read it in the order of stage 1's seed.

    Raises:
        WrongUse: the exposure does not fit into stage 1, D_post is no whole number of batches where one pass is split, or interventions
            do not go together.
    """
    for name in UNKNOWN:
        if (value := getattr(recipe, name)) != OFF[name]:
            raise cannot_realise(
                "lm_experiments", name, value, "the training loop does not have it yet", f"Leave {name} out"
            )
    _refuse_together(recipe)
    pre, post, ft = (problem.corpora[kind] for kind in ("pre", "post", "ft"))
    length, batches = problem.length, problem.batches
    seeds: dict[Kind, int] = {kind: problem.seeds.get(kind, problem.seed) for kind in ("pre", "post", "ft")}
    order = seeds["pre"] if recipe.split == "compute-matched" else seeds["post"]
    generated = [
        Name("generated", seed, 0, of.windows, of.store) for seed, of in ((seeds["post"], pre), (seeds["ft"], post))
    ]
    again = {
        "pre": pre,
        "post": post,
        "generated": Corpus(store=str(generated[1]), windows=post.windows, count=post.windows),
    }
    inserted = None
    if recipe.overlap:
        inserted = (recipe.overlap, _beyond(post, post.windows))
    elif recipe.replay_ft:
        inserted = (recipe.replay_ft, again[recipe.replay_ft_from])
    replayed = Corpus(store=str(generated[0]), windows=pre.windows, count=pre.windows)
    found: dict[Kind, Plan | None] = {
        "pre": pretraining_plan(
            recipe, pre, post, length=length, batch=batches["pre"], post_batch=batches["post"], seed=seeds["pre"],
            shown=_shown(recipe, problem, seeds["pre"]),
        ),
        "post": post_training_plan(
            recipe, post, replayed if recipe.replay_from == "generated" else pre, length=length, batch=batches["post"], seed=order
        ),
        "ft": fine_tuning_plan(ft, length=length, batch=batches["ft"], seed=seeds["ft"], inserted=inserted),
    }  # fmt: skip
    return Realised({kind: plan for kind, plan in found.items() if plan is not None}, _changes(recipe, pre, post))


def _refuse_together(recipe: Recipe) -> None:
    """Raise `WrongUse` where interventions exclude each other."""
    damaged = recipe.noise_ft or recipe.bits_ft
    for name, other, why in (
        ("l2_to_start", recipe.rank, "the weights that it pulls are not what an adapter trains"),
        ("ewc", recipe.rank, "the weights that it pulls are not what an adapter trains"),
        ("l2_to_start_ft", recipe.rank_ft, "the weights that it pulls are not what an adapter trains"),
        ("ewc_ft", recipe.rank_ft, "the weights that it pulls are not what an adapter trains"),
        ("overlap", recipe.replay_ft, "stage 3 has room for one kind of text beside D_ft, and replay_ft is another"),
        *(
            (name, damaged, "damage takes the place of stage 3")
            for name in ("overlap", "replay_ft", "rank_ft", "l2_to_start_ft", "ewc_ft")
        ),
    ):
        if getattr(recipe, name) != OFF[name] and other:
            raise cannot_realise("lm_experiments", name, getattr(recipe, name), why, f"Leave {name} or the other out")


def _beyond(corpus: Corpus, count: int) -> Corpus:
    """As many windows of its store as are asked for, none of them in the corpus."""
    name = Name("beyond", 0, corpus.windows, count, corpus.store)
    return Corpus(store=str(name), windows=count, count=count)


def _itself(corpus: Corpus) -> str:
    """The name of a store that holds the windows of a corpus and no others."""
    return str(Name("beyond", 0, 0, corpus.windows, corpus.store))


def _shown(recipe: Recipe, problem: Problem, seed: int) -> Corpus:
    """What stage 1 is exposed to: as many windows as D_post has, of D_post or of what takes its place."""
    pre, post, ft = (problem.corpora[kind] for kind in ("pre", "post", "ft"))
    if recipe.exposed in ("shuffled", "bigram"):
        name = Name(recipe.exposed, seed, 0, post.windows, post.store)
        return Corpus(store=str(name), windows=post.windows, count=post.windows)
    if recipe.exposed == "sibling":
        return _beyond(post, post.windows)
    if recipe.exposed == "pre":
        return _beyond(pre, post.windows)
    if recipe.exposed == "other":
        if problem.other is None:
            raise cannot_realise(
                "lm_experiments", "exposed", "other", "no other corpus is named", "Name it in the setting other"
            )
        return problem.other
    return ft if recipe.exposed == "ft" else post


def _changes(recipe: Recipe, pre: Corpus, post: Corpus) -> dict[Kind, Changes]:
    """Only what is not off, so that a stage of before an intervention existed keeps its name."""
    drops = "rank_dropout" if recipe.rank else "dropout"
    fisher = {"post": post, "pre": pre}[recipe.ewc_ft_on]
    damage = Damage(noise=recipe.noise_ft, scale=recipe.noise_scale, bits=recipe.bits_ft or 0)
    wanted: dict[Kind, Changes] = {
        "pre": {"sam": recipe.sam_pre},
        "post": {
            "rank": recipe.rank,
            drops: (recipe.dropout if recipe.rank else everywhere(recipe.dropout)) if recipe.dropout else None,
            "l2_to_start": recipe.l2_to_start,
            "ewc": recipe.ewc,
            "ewc_on": _itself(pre) if recipe.ewc else "",
            "sam": recipe.sam,
        },
        "ft": {
            "rank": recipe.rank_ft,
            "l2_to_start": recipe.l2_to_start_ft,
            "ewc": recipe.ewc_ft,
            "ewc_on": _itself(fisher) if recipe.ewc_ft else "",
            "damage": damage if damage.active else None,
        },
    }
    return {kind: {name: value for name, value in of.items() if value} for kind, of in wanted.items()}
