"""The token ledger: how often every window of every corpus was trained on in every stage, checked against the recipe.

The ledger is counted from the rows of the plan up to the step that training reached; the check computes the same numbers from
the recipe, by arithmetic alone. Where they disagree a result must not be believed, so that is an error.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.arrays import Int
from common.recipe import Recipe
from lm_experiments.plan import Corpus, Kind, Part, Plan, exposed

PREFIX = 1.5
"""Windows by which a prefix of a stage may miss its share of replay: one, and half of one for rounding the whole."""


class Disagreement(RuntimeError):
    """The ledger of a stage is not what its recipe asks for: names the stage, the corpus and both numbers."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a stage saw of one corpus."""

    store: str
    windows: int
    """Size of the corpus."""
    seen: int
    """Windows trained on, repetitions counted."""
    tokens: int
    """Tokens predicted in training: `seen` times the length of a window."""
    times: dict[int, int]
    """How often -> how many windows were seen so often."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a stage saw up to the step it reached."""

    steps: int
    tokens: int
    entries: tuple[Entry, ...]


class CompletedStage(NamedTuple):
    """A stage of a pipeline as it was carried out."""

    plan: Plan
    steps: int
    """Steps taken; fewer than planned where early stopping fired."""
    tokens: int | None = None
    """Tokens that training itself counted; None is not compared."""


def counts(plan: Plan, steps: int) -> list[Int[np.ndarray, " windows"]]:
    """For every part, how often each window of its corpus was trained on in the first `steps` steps."""
    part, window = (column[: steps * plan.batch] for column in plan.layout)
    return [np.bincount(window[part == i], minlength=one.windows) for i, one in enumerate(plan.parts)]


def ledger(plan: Plan, steps: int) -> Ledger:
    """The ledger of a stage after `steps` steps."""
    return Ledger(
        steps=steps,
        tokens=steps * plan.batch * plan.length,
        entries=tuple(
            _entry(part, seen, plan.length) for part, seen in zip(plan.parts, counts(plan, steps), strict=True)
        ),
    )


def _entry(part: Part, seen: Int[np.ndarray, " windows"], length: int) -> Entry:
    times, windows = np.unique(seen, return_counts=True)
    total = int(seen.sum())
    return Entry(store=part.store, windows=part.windows, seen=total, tokens=total * length,
                 times=dict(zip(times.tolist(), windows.tolist(), strict=True)))  # fmt: skip


def check_ledger(
    recipe: Recipe, pre: Corpus, post: Corpus, post_batch: int, stages: Mapping[Kind, CompletedStage]
) -> None:
    """Compare what the stages of a pipeline saw with what its recipe asks for.

    Args:
        recipe: the recipe of the pipeline.
        pre: D_pre and its budget; post: D_post.
        post_batch: windows a step of stage 2.
        stages: "pre", "post" and "ft" as far as they were carried out.

    Raises:
        Disagreement: a stage saw D_pre or D_post more or less often than the recipe says.
    """
    for kind, (plan, steps, tokens) in stages.items():
        planned = steps * plan.batch * plan.length
        _agree(f"stage {kind}", "tokens", planned if tokens is None else tokens, planned, planned)
    seen = {kind: _seen(taken, post) for kind, taken in stages.items()}
    if "pre" in stages:
        taken = stages["pre"]
        inserted, total = exposed(recipe, post.windows, post_batch), taken.steps * taken.plan.batch
        _agree("stage 1", f"windows of {post.store}", int(seen["pre"].sum()), inserted, inserted)
        _even("stage 1", post.store, seen["pre"])
        least = pre.count - inserted if recipe.mixing == "replace" else pre.count
        _agree("stage 1", f"windows of {pre.store}", total - inserted, least, least + taken.plan.batch - 1)
    if "ft" in stages:
        _agree("stage 3", f"windows of {post.store}", int(seen["ft"].sum()), 0, 0)
    if "post" not in stages:
        return
    taken = stages["post"]
    total = taken.steps * taken.plan.batch
    if recipe.split == "independent":
        share = recipe.replay * total
        slack = PREFIX if recipe.replay else 0
        _agree("stage 2", "replayed windows", total - int(seen["post"].sum()), share - slack, share + slack)
        _even("stage 2", post.store, seen["post"])
        return
    _agree("stage 2", "steps of its share of one pass", taken.steps, taken.plan.steps, taken.plan.steps)
    if "pre" in seen:
        both = seen["pre"] + seen["post"]
        for extreme in (both.min(), both.max()):
            _agree("stages 1 and 2", f"times that a window of {post.store} was seen", int(extreme), 1, 1)


def _seen(stage: CompletedStage, corpus: Corpus) -> Int[np.ndarray, " windows"]:
    found = np.zeros(corpus.windows, dtype=np.int64)
    for part, seen in zip(stage.plan.parts, counts(stage.plan, stage.steps), strict=True):
        if part.store == corpus.store:
            found += seen
    return found


def _agree(stage: str, what: str, found: float, low: float, high: float) -> None:
    if not low <= found <= high:
        wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise Disagreement(f"{stage}: {what}: the ledger counts {found:g}, the recipe asks for {wanted}.")


def _even(stage: str, store: str, seen: Int[np.ndarray, " windows"]) -> None:
    """Passes are whole: no window is seen twice more often than another."""
    spread = int(np.max(seen) - np.min(seen))
    _agree(stage, f"passes between the most and the least seen window of {store}", spread, 0, 1)
