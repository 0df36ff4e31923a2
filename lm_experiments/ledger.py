"""The token ledger: how often every window of every corpus was trained on in every stage, checked against the recipe.

A stage's ledger is counted once, when the stage ends, from the record of what it was given (`served`), and kept in its folder. The
check of a pipeline is arithmetic on those few numbers, whatever the size of the corpora. That two stages together saw every window
of a corpus once is told by checksums which add up, without any list of windows. Where ledger and recipe disagree a result must not
be believed, so that is an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Int
from common.recipe import Recipe
from lm_experiments.plan import Corpus, Kind, Plan, exposed

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
    checksum: int
    """Sum over what was seen of a 64-bit hash of the window, modulo 2^64: adds up over stages, whatever the order."""


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a stage saw up to the step it reached."""

    steps: int
    tokens: int
    entries: tuple[Entry, ...]
    from_plan: int = 0
    """Windows whose record was lost with a machine, and which were counted from the plan."""

    @staticmethod
    def read(told: Mapping[str, Any]) -> "Ledger | None":
        """A ledger from the JSON data of `ledger.json`; None where it is of before there were checksums.

        Raises:
            TypeError, KeyError, ValueError: it is no ledger.
        """
        if any("checksum" not in entry for entry in told["entries"]):
            return None
        entries = (
            Entry(**{**entry, "times": {int(often): int(many) for often, many in entry["times"].items()}})
            for entry in told["entries"]
        )
        return Ledger(**{**told, "entries": tuple(entries)})


class CompletedStage(NamedTuple):
    """A stage of a pipeline as it was carried out."""

    plan: Plan
    steps: int
    """Steps taken; fewer than planned where early stopping fired."""
    tokens: int | None = None
    """Tokens that training itself counted; None is not compared."""
    booked: Ledger | None = None
    """Its ledger; None takes what the plan says."""

    @property
    def ledger(self) -> Ledger:
        """What it saw."""
        return self.booked or ledger(self.plan, self.steps)


def book(
    plan: Plan, steps: int, stores: Sequence[str], store: Int[np.ndarray, " slots"], window: Int[np.ndarray, " slots"],
    from_plan: int = 0,
) -> Ledger:  # fmt: skip
    """The ledger of what a stage was given.

    Args:
        plan: of the stage.
        steps: optimiser steps taken.
        stores: names.
        store: index into `stores` of every slot.
        window: window of every slot.
        from_plan: how many slots are not a record but what the plan says.
    """
    sizes = {part.store: part.windows for part in plan.parts}
    return Ledger(
        steps=steps,
        tokens=len(window) * plan.length,
        entries=tuple(_entry(name, sizes[name], window[store == i], plan.length) for i, name in enumerate(stores)),
        from_plan=from_plan,
    )


def _entry(store: str, windows: int, seen: Int[np.ndarray, " seen"], length: int) -> Entry:
    distinct, often = np.unique(seen, return_counts=True)
    times = dict(zip(*(column.tolist() for column in np.unique(often, return_counts=True)), strict=True))
    if windows > len(distinct):
        times = {0: windows - len(distinct), **times}
    with np.errstate(over="ignore"):
        checksum = int((_hashed(distinct) * often.astype(np.uint64)).sum(dtype=np.uint64))
    return Entry(
        store=store, windows=windows, seen=len(seen), tokens=len(seen) * length, times=times, checksum=checksum
    )


def _hashed(window: Int[np.ndarray, " windows"]) -> Any:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): sums of distinct sets of windows differ but for a chance of 2^-64."""
    with np.errstate(over="ignore"):
        x = (window.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


@lru_cache(maxsize=64)
def _whole(windows: int) -> int:
    """The checksum of every window once."""
    return int(_hashed(np.arange(windows)).sum(dtype=np.uint64))


def ledger(plan: Plan, steps: int) -> Ledger:
    """What a plan says that a stage sees in `steps` steps: what its ledger is expected to be."""
    names = list(dict.fromkeys(part.store for part in plan.parts))
    part, window = (column[: steps * plan.batch] for column in plan.layout)
    return book(plan, steps, names, np.array([names.index(one.store) for one in plan.parts])[part], window)


def check_ledger(
    recipe: Recipe, pre: Corpus, post: Corpus, post_batch: int, stages: Mapping[Kind, CompletedStage]
) -> None:
    """Compare what the stages of a pipeline saw with what its recipe asks for.

    Args:
        recipe: the recipe of the pipeline.
        pre: D_pre and its budget; post: D_post.
        post_batch: windows per step of stage 2.
        stages: "pre", "post" and "ft" as far as they were carried out.

    Raises:
        Disagreement: a stage saw D_pre or D_post more or less often than the recipe says.
    """
    seen: dict[Kind, _Seen] = {}
    for kind, taken in stages.items():
        booked = taken.ledger
        steps, planned = booked.steps, taken.steps * taken.plan.batch * taken.plan.length
        _agree(f"stage {kind}", "steps", steps, taken.steps, taken.steps)
        _agree(f"stage {kind}", "tokens", booked.tokens if taken.tokens is None else taken.tokens, planned, planned)
        _agree(f"stage {kind}", "tokens of its corpora", booked.tokens, planned, planned)
        seen[kind] = _seen(booked, post)
    if "pre" in stages:
        taken = stages["pre"]
        inserted, total = exposed(recipe, post.windows, post_batch), taken.steps * taken.plan.batch
        real = inserted if recipe.exposed == "post" else 0
        _agree("stage 1", f"windows of {post.store}", seen["pre"].total, real, real)
        _even("stage 1", post.store, seen["pre"])
        least = pre.count - inserted if recipe.mixing == "replace" else pre.count
        _agree("stage 1", f"windows of {pre.store}", total - inserted, least, least + taken.plan.batch - 1)
    if "ft" in stages:
        taken = stages["ft"]
        share = recipe.replay_ft * taken.steps * taken.plan.batch if recipe.replay_ft_from == "post" else 0.0
        slack = PREFIX if share else 0
        _agree("stage 3", f"windows of {post.store}", seen["ft"].total, share - slack, share + slack)
    if "post" not in stages:
        return
    taken = stages["post"]
    total = taken.steps * taken.plan.batch
    if recipe.split == "independent":
        share = recipe.replay * total
        slack = PREFIX if recipe.replay else 0
        _agree("stage 2", "replayed windows", total - seen["post"].total, share - slack, share + slack)
        _even("stage 2", post.store, seen["post"])
        return
    _agree("stage 2", "steps of its share of one pass", taken.steps, taken.plan.steps, taken.plan.steps)
    if "pre" in seen and recipe.exposed == "post" and not recipe.extra:
        first, second = seen["pre"], seen["post"]
        both = f"windows of {post.store}"
        _agree("stages 1 and 2", both, first.total + second.total, post.windows, post.windows)
        if (first.checksum + second.checksum) % (1 << 64) != _whole(post.windows):
            raise Disagreement(
                f"stages 1 and 2: they saw as many {both} as there are, but not every one once, which the recipe asks for."
            )


class _Seen(NamedTuple):
    """What a stage saw of D_post."""

    total: int
    least: int
    most: int
    checksum: int


def _seen(booked: Ledger, corpus: Corpus) -> _Seen:
    for entry in booked.entries:
        if entry.store == corpus.store:
            return _Seen(entry.seen, min(entry.times), max(entry.times), entry.checksum)
    return _Seen(0, 0, 0, 0)


def _agree(stage: str, what: str, found: float, low: float, high: float) -> None:
    if not low <= found <= high:
        wanted = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        raise Disagreement(f"{stage}: {what}: the ledger counts {found:g}, the recipe asks for {wanted}.")


def _even(stage: str, store: str, seen: _Seen) -> None:
    """Passes are whole: no window is seen twice more often than another."""
    _agree(stage, f"passes between the most and the least seen window of {store}", seen.most - seen.least, 0, 1)
