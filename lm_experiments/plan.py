"""The data plan of a stage: which window of which corpus is trained on at which step, as a pure function of (plan, step).

A stage is a row of slots, `batch` slots a step. One part, the base, fills it; a second part may be inserted:

    add        base   0 1 2 3 4 5 6 7          the base waits: no window of it is lost
               + E    0 1 E 2 3 E 4 5 E 6 7
    replace    base   0 1 E 3 4 E 6 7          the base goes on underneath: the other windows keep their step

Where the inserted windows go is the recipe's placement (`common.placement`); within a piece of constant mixture they are evenly
spaced, so every prefix of a stage holds its share to within one window. A corpus is read in passes, each a new order of
its first `windows` windows; a part takes `count` windows of that endless sequence from `start` on. Stage 1 and a compute-matched
stage 2 read one sequence of D_post, one after the other, so what they see is disjoint. There is no state to save.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from common.arrays import Int
from common.placement import placed
from common.recipe import Placed, Recipe, Windowed
from common.settings import Settings, WrongUse, config_hash, setting

Kind = Literal["pre", "post", "ft"]
"""The stages."""


@runtime_checkable
class Windows(Protocol):
    """What a plan needs of a token store."""

    def windows(self, length: int) -> int:
        """How many windows of `length` tokens there are."""

    def window(self, index: int, length: int) -> Int[np.ndarray, " positions"]:
        """One window and the token after it: `length + 1` ids."""


@dataclass(frozen=True, kw_only=True)
class Part(Settings):
    """What a stage takes of one corpus."""

    store: str
    """Name of a token store, such as music/train."""
    windows: int = setting(low=1)
    """The corpus is the first so many windows of the store: a smaller one is a prefix of a larger."""
    count: int = setting(low=0)
    """Windows that the stage trains on; more than `windows` are more than one pass."""
    start: int = setting(0, low=0)
    """Where in the sequence of passes the stage begins."""
    stream: int = setting(0, low=0)
    """Which sequence: another stream is another order of the same windows."""

    @property
    def passes(self) -> float:
        """How often the stage sees the corpus, on average."""
        return self.count / self.windows


@dataclass(frozen=True, kw_only=True)
class Plan(Windowed, Placed):
    """The data of one stage; made by `pretraining_plan`, `post_training_plan` and `fine_tuning_plan`."""

    length: int = setting(low=1)
    """Tokens that a window predicts."""
    batch: int = setting(low=1)
    """Windows a step."""
    steps: int = setting(low=1)
    seed: int = setting(low=0)
    """Of all orders; the same seed reads the base in the same order whatever is inserted."""
    parts: tuple[Part, ...]
    """The base, then what is inserted into it (at most one part)."""
    replaces: bool = False
    """Whether the inserted part takes places of the base instead of being added to it."""

    def __post_init__(self) -> None:
        """Check ranges, and that the parts fill the steps. Raises `WrongUse`."""
        super().__post_init__()
        if not 1 <= len(self.parts) <= 2:
            raise WrongUse(f"A plan has {len(self.parts)} parts. Give a base and at most one part to insert.")
        total = sum(part.count for part in self.parts)
        if total != self.steps * self.batch:
            raise WrongUse(
                f"The parts of a plan hold {total} windows; {self.steps} steps of {self.batch} need {self.steps * self.batch}."
            )

    def fingerprint(self) -> str:
        """Sixteen hex digits that name the plan."""
        return config_hash(self)

    def rows(self, step: int) -> list[tuple[int, int]]:
        """(part, window) of every place in the batch of a step, 0 <= step < steps. Raises `IndexError` outside."""
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of a plan of {self.steps} steps")
        part, window = self.layout
        here = slice(step * self.batch, (step + 1) * self.batch)
        return list(zip(part[here].tolist(), window[here].tolist(), strict=True))

    @cached_property
    def layout(self) -> tuple[Int[np.ndarray, " slots"], Int[np.ndarray, " slots"]]:
        """Part and window of every slot of the stage."""
        slots = self.steps * self.batch
        part = np.zeros(slots, dtype=np.int64)
        if len(self.parts) == 2:
            part[self._inserted(slots)] = 1
        taken = np.cumsum(part == 0) - 1
        place = np.where(part == 1, np.cumsum(part) - 1, np.arange(slots) if self.replaces else taken)
        window = np.empty(slots, dtype=np.int64)
        for index, described in enumerate(self.parts):
            here = part == index
            window[here] = sequence(described, self.seed, described.start + place[here])
        return part, window

    def _inserted(self, slots: int) -> Int[np.ndarray, " inserted"]:
        """The slots of the inserted part: exact counts a piece, evenly spaced in it from an offset that the seed decides."""
        count = self.parts[1].count
        pieces = placed(self.placement, count / slots, self.window)
        ends = np.rint(np.cumsum([piece.fraction for piece in pieces]) * slots).astype(int)
        held = np.rint(np.cumsum([piece.fraction * piece.alpha for piece in pieces]) * slots).astype(int)
        ends[-1], held[-1] = slots, count
        offset = _bits(self.seed, self.parts[1].store, 0, -1, 1)[0] / 2.0**64
        chosen = []
        for low, high, before, after in zip([0, *ends[:-1]], ends, [0, *held[:-1]], held, strict=True):
            inside = min(after - before, high - low)
            if inside:
                spaced = (np.arange(inside) + offset) * ((high - low) / inside)
                chosen.append(low + np.minimum(spaced.astype(np.int64), high - low - 1))
        slot = np.concatenate(chosen) if chosen else np.empty(0, dtype=np.int64)
        if len(np.unique(slot)) != count:
            raise WrongUse(
                f"placement = {self.placement} in window = {self.window:g} of a stage of {slots} windows cannot hold {count} exposed "
                "windows exactly. Widen the window, lower the exposure, or lengthen stage 1."
            )
        return slot

    def open(self, stores: Mapping[str, Windows]) -> "PlannedBatches":
        """The plan with its stores. Raises `WrongUse` where a store is missing or too small."""
        for part in self.parts:
            if part.store not in stores:
                raise WrongUse(f"The plan needs the store {part.store}; given are {', '.join(stores) or 'none'}.")
            if (held := stores[part.store].windows(self.length)) < part.windows:
                raise WrongUse(
                    f"The store {part.store} holds {held:,} windows of {self.length} tokens; the plan needs {part.windows:,}. "
                    "Ask for fewer tokens, or add text."
                )
        return PlannedBatches(self, stores)


class PlannedBatches:
    """The batches of a plan, read from its stores."""

    def __init__(self, plan: Plan, stores: Mapping[str, Windows]) -> None:
        """Args: plan: what to read; stores: by name, every store of the plan."""
        self.plan, self.steps = plan, plan.steps
        self._stores = [stores[part.store] for part in plan.parts]

    def batch(self, step: int) -> Int[np.ndarray, "batch positions"]:
        """The token ids of a step: a row per window, each of `length + 1` ids."""
        return self.rows(step, 0, self.plan.batch)

    def rows(self, step: int, first: int, count: int) -> Int[np.ndarray, "count positions"]:
        """Some rows of them, which is all that is read."""
        rows = self.plan.rows(step)[first : first + count]
        return np.stack([self._stores[part].window(window, self.plan.length) for part, window in rows]).astype(np.int64)


def sequence(part: Part, seed: int, places: Int[np.ndarray, " places"]) -> Int[np.ndarray, " places"]:
    """The windows at some places of a corpus read in passes, each in an order of its own."""
    turn, within = np.divmod(places, part.windows)
    found = np.empty(len(places), dtype=np.int64)
    for one in np.unique(turn).tolist():
        here = turn == one
        found[here] = _order(seed, part.store, part.stream, one, part.windows)[within[here]]
    return found


@lru_cache(maxsize=8)
def _order(seed: int, store: str, stream: int, turn: int, size: int) -> Int[np.ndarray, " size"]:
    """A permutation that depends on its arguments only."""
    return np.argsort(_bits(seed, store, stream, turn, size), kind="stable")


def _bits(seed: int, store: str, stream: int, turn: int, size: int) -> Any:
    """Raw bits of a counter-based generator: numpy promises them for ever, of its distributions it does not."""
    key = hashlib.sha256(f"{seed}/{store}/{stream}/{turn}".encode()).digest()[:16]
    return np.random.Philox(key=np.frombuffer(key, dtype=np.uint64)).random_raw(size)


def exposed(recipe: Recipe, windows: int, post_batch: int) -> int:
    """Windows of D_post that stage 1 sees. Where one pass is split, stage 2 keeps whole batches and stage 1 takes the rest.

    Raises `WrongUse` where one pass is split and D_post is no whole number of stage-2 batches.
    """
    if recipe.split == "independent":
        return round(recipe.exposure * windows)
    if windows % post_batch:
        raise WrongUse(
            f"A compute-matched D_post of {windows} windows is no whole number of stage-2 batches of {post_batch}. "
            f"Choose a size of {windows - windows % post_batch} windows, or another batch."
        )
    return windows - post_batch * round((1 - recipe.exposure) * windows / post_batch)


@dataclass(frozen=True, kw_only=True)
class Corpus(Settings):
    """A corpus as a stage uses it: the first windows of a store, and how many windows to train on."""

    store: str
    windows: int = setting(low=1)
    count: int = setting(low=0)

    def part(self, count: int, *, start: int = 0, stream: int = 0) -> Part:
        """It as a part of a plan, `count` windows long."""
        return Part(store=self.store, windows=self.windows, count=count, start=start, stream=stream)


def pretraining_plan(
    recipe: Recipe,
    pre: Corpus,
    post: Corpus,
    *,
    length: int,
    batch: int,
    post_batch: int,
    seed: int,
    shown: Corpus | None = None,
) -> Plan:
    """Stage 1: `pre.count` windows of D_pre with the exposure added to them, or in the place of some of them.

    The last batch is filled up with D_pre. The exposure is a fraction of `post.windows`, and `post.count` is not used; `shown` takes the
    place of D_post in it, window for window. Raises `WrongUse` where the exposure does not fit.
    """
    inserted = exposed(recipe, post.windows, post_batch)
    replaces = recipe.mixing == "replace"
    steps = -(-(pre.count + (0 if replaces else inserted)) // batch)
    if inserted > steps * batch:
        raise WrongUse(
            f"exposure = {recipe.exposure:g}, which is {inserted:,} windows, does not fit into a stage 1 of {steps * batch:,} windows. "
            'Lower the exposure, lengthen stage 1, or use mixing = "add".'
        )
    base = pre.part(steps * batch - inserted)
    parts = (base, (shown or post).part(inserted)) if inserted else (base,)
    return Plan(length=length, batch=batch, steps=steps, seed=seed, parts=parts, replaces=replaces,
                placement=recipe.placement, window=recipe.window)  # fmt: skip


def post_training_plan(recipe: Recipe, post: Corpus, pre: Corpus, *, length: int, batch: int, seed: int) -> Plan | None:
    """Stage 2: at most `post.count` windows of D_post, or what is left of one pass, and the recipe's extra passes; None if nothing is left.

    Extra passes are whole batches and go on in the order of the passes before, so that they see every window once more. Replay is a
    fraction of the whole stage, by exact counts; a compute-matched stage 2 is longer for it, to the next whole batch.
    """
    if recipe.split == "compute-matched":
        start = exposed(recipe, post.windows, batch)
        left = post.windows - start + _extra(recipe, post, batch)
        if left == 0:
            return None
        steps = -(-round(left / (1 - recipe.replay)) // batch)
        base, replayed = post.part(left, start=start), steps * batch - left
    else:
        steps = -(-(post.count + _extra(recipe, post, batch)) // batch)
        replayed = round(recipe.replay * steps * batch)
        base = post.part(steps * batch - replayed, stream=1)
    parts = (base, pre.part(replayed, stream=1)) if replayed else (base,)
    return Plan(length=length, batch=batch, steps=steps, seed=seed, parts=parts)


def _extra(recipe: Recipe, post: Corpus, batch: int) -> int:
    return batch * round(recipe.extra * post.windows / batch)


def fine_tuning_plan(
    ft: Corpus, *, length: int, batch: int, seed: int, inserted: tuple[float, Corpus] | None = None
) -> Plan:
    """Stage 3: `ft.count` windows, to the next whole batch; of D_ft, but for a share of them that is of another corpus, by exact counts."""
    steps = -(-ft.count // batch)
    share, other = inserted or (0.0, ft)
    count = round(share * steps * batch)
    base = ft.part(steps * batch - count)
    parts = (base, other.part(count, stream=2)) if count else (base,)
    return Plan(length=length, batch=batch, steps=steps, seed=seed, parts=parts, replaces=bool(count))
