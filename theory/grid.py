"""Sweeps of the closed form over grids: axes, blocks, threads, and a table that need not fit in memory.

The grid is the product of its axes, in C order (the last axis runs fastest). It is solved in blocks of consecutive points.
Inside a block every quantity is computed only along the axes it depends on: on a grid over stage-3 times, stages 1 and
2 are solved once. Blocks go to threads, because numpy releases the interpreter while it computes.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from common.arrays import Array, Float
from common.recipe import Recipe
from common.settings import WrongUse, check, meant, ranges
from theory.features import check_block_sizes
from theory.models import model_named
from theory.realise import Budget, realise

BLOCK = 1 << 15
"""Points a block: large enough to amortise Python, small enough that its arrays stay in cache (see `make bench`)."""

LONGEST = 100_000_000
"""Most values of one axis: the axis itself is held in memory."""

WHOLE = ("n", "k", "depth", "width")
_ALLOCATED = ("alpha", "t_pre")


@dataclass(frozen=True)
class Axis:
    """One axis of a grid: a setting's name and the values it takes."""

    name: str
    values: Float[np.ndarray, "values"]

    def check(self, known: Mapping[str, Mapping[str, Any]], model: str) -> None:
        """Check name and values against the settings of a model. Raises `WrongUse`."""
        if self.name not in known:
            raise WrongUse(f"Axis {self.name!r} is no setting of the {model} model. {meant(self.name, known)}")
        if len(self.values) == 0:
            raise WrongUse(
                f"Axis {self.name} is empty. Give it at least one value, e.g. {self.name}=0.1,0.2 or {self.name}=0:1:11."
            )
        check(self.name, self.values, known[self.name])
        if self.name in WHOLE and np.any(self.values != np.round(self.values)):
            raise WrongUse(f"Axis {self.name} counts something: use whole numbers, e.g. {self.name}=2,3,4.")


FIXED = ("placement", "dropout_basis", "rank", "mixing", "split", "model")
"""Settings that are the same in a whole sweep."""


def refuse_fixed(name: str) -> NoReturn:
    """Raise `WrongUse` for an axis over a setting that is the same in a whole sweep."""
    raise WrongUse(
        f"{name} is the same in a whole sweep. Write it as the option --{name.replace('_', '-')}, and sweep once per value."
    )


def parse_axis(text: str) -> Axis:
    """An axis from `name=start:stop:count`, `name=start:stop:count:log` or `name=v1,v2,...`. Raises `WrongUse`."""
    name, equals, spec = text.partition("=")
    form = (
        f"Write {name or 'name'}=start:stop:count, {name or 'name'}=start:stop:count:log or {name or 'name'}=v1,v2,..."
    )
    if not equals:
        raise WrongUse(f"Axis {text!r} has no values. {form}.")
    if name in FIXED:
        refuse_fixed(name)
    parts = spec.split(":")
    try:
        if len(parts) == 1:
            return Axis(name, np.array([_number(entry) for entry in spec.split(",") if entry.strip()]))
        if len(parts) not in (3, 4) or (len(parts) == 4 and parts[3] not in ("log", "linear")):
            raise ValueError(f"{len(parts)} parts")
        start, stop, count = _number(parts[0]), _number(parts[1]), _count(parts[2])
    except ValueError as error:
        raise WrongUse(f"Axis {text!r} is not understood ({error}). {form}.") from error
    if count > LONGEST:
        raise WrongUse(f"Axis {text!r} has {count:,} points, more than {LONGEST:,}. Split the sweep.")
    if count < 1:
        raise WrongUse(f"Axis {text!r} has {count} points: the grid is empty. Ask for at least one.")
    if not (math.isfinite(start) and math.isfinite(stop)):
        raise WrongUse(f"Axis {text!r} has an end that is not a finite number. {form}.")
    if parts[-1] == "log":
        if start <= 0 or stop <= 0:
            raise WrongUse(
                f"Axis {text!r} is logarithmic with an end that is not positive. Start and stop above 0, or leave out :log."
            )
        return Axis(name, np.geomspace(start, stop, count))
    return Axis(name, np.linspace(start, stop, count))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no number") from error


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is no number of points") from error


class Grid:
    """The product of some axes, the settings that stay fixed, and the recipe that ties `exposure` to the stages."""

    def __init__(
        self,
        axes: Sequence[Axis],
        fixed: Mapping[str, Any] | None = None,
        recipe: Recipe | None = None,
        budget: Budget | None = None,
        model: str = "plain",
    ) -> None:
        """Check that the axes make a grid. Raises `WrongUse`.

        Args:
            axes: slowest first.
            fixed: settings of the model; defaults for the rest.
            recipe: used where `exposure`, `pre_time`, `post_time` or `step_ratio` is an axis; default `Recipe()`.
            budget: likewise; default `Budget()`.
            model: a name in `theory.models.MODELS`.
        """
        names = [axis.name for axis in axes]
        if not axes:
            raise WrongUse("A sweep needs at least one axis, e.g. alpha=0:1:101.")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise WrongUse(f"Axis {twice[0]} is given twice. Give each setting once, with all its values.")
        self.axes, self.name, self.model = tuple(axes), model, model_named(model)
        self.fixed = {**self.model.defaults(), **(fixed or {})}
        known = self.model.ranges() | ranges(Budget) | {"exposure": ranges(Recipe)["exposure"]}
        for axis in axes:
            if axis.name not in known and axis.name in self.fixed:
                refuse_fixed(axis.name)
            axis.check(known, model)
        self.recipe, self.budget = recipe or Recipe(), budget or Budget()
        self.allocates = any(name in ("exposure", *ranges(Budget)) for name in names)
        clash = [
            name
            for name in names
            if name in _ALLOCATED or (name == "t_post" and self.recipe.split == "compute-matched")
        ]
        if self.allocates and clash:
            raise WrongUse(f"Axis {clash[0]} is decided by exposure and the budget. Sweep either one or the others.")
        self.shape = tuple(len(axis.values) for axis in axes)
        self.size = math.prod(self.shape)
        if "n" in self.fixed:
            extremes = {axis.name: axis.values for axis in axes}
            n, k = (np.asarray(extremes.get(name, self.fixed[name])) for name in ("n", "k"))
            check_block_sizes(n.min(), k.max())

    def settings(self, start: Sequence[int], stop: Sequence[int]) -> dict[str, Any]:
        """All settings of the sub-grid [start, stop): each axis along its own dimension, the rest plain numbers."""
        values = dict(self.fixed)
        along: dict[str, Array] = {}
        for i, axis in enumerate(self.axes):
            shape = [1] * len(self.axes)
            shape[i] = stop[i] - start[i]
            along[axis.name] = axis.values[start[i] : stop[i]].reshape(shape)
        if self.allocates:
            budget = {name: along.pop(name, getattr(self.budget, name)) for name in ranges(Budget)}
            varied = {"exposure": along.pop("exposure", self.recipe.exposure)}
            varied |= {"replay": along["replay"]} if "replay" in along else {}
            values |= realise(self.recipe, budget, self.name, varied)
        return values | along

    def blocks(self, size: int = BLOCK) -> Iterator[tuple[int, tuple[int, ...], tuple[int, ...]]]:
        """Consecutive runs of at most `size` points (C order) as `(first point, start, stop)` sub-grids."""
        split = len(self.shape) - 1
        while split > 0 and math.prod(self.shape[split:]) <= size:
            split -= 1
        inner = math.prod(self.shape[split + 1 :])
        step = max(1, size // inner)
        for outer in np.ndindex(self.shape[:split]):
            base = (int(np.ravel_multi_index(outer, self.shape[:split])) if outer else 0) * self.shape[split]
            for first in range(0, self.shape[split], step):
                last = min(first + step, self.shape[split])
                start = (*outer, first, *(0 for _ in self.shape[split + 1 :]))
                stop = (*(i + 1 for i in outer), last, *self.shape[split + 1 :])
                yield (base + first) * inner, start, stop

    def coordinates(self, first: int, last: int) -> dict[str, Float[np.ndarray, "points"]]:
        """The axis values of the points first, ..., last - 1, one array per axis."""
        where = np.unravel_index(np.arange(first, last), self.shape)
        return {axis.name: axis.values[index] for axis, index in zip(self.axes, where, strict=True)}


def recycle_memory() -> None:
    """Keep freed arrays in the process: glibc then reuses them instead of asking the kernel for zeroed pages each time.

    Freeing one large mapped block raises glibc's mapping and trimming thresholds to its size; elsewhere this does
    nothing. Measured: 109,000 page faults per million settings become 5, and the sweep is 2.8 times as fast.
    """
    del_me = np.empty(3 << 20)
    del del_me


def evaluate(
    grid: Grid,
    out: Float[np.ndarray, "4 points"] | None = None,
    *,
    first: int = 0,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Float[np.ndarray, "4 points"]:
    """The four losses at every point of the grid (rows in the order of `Losses`, points in C order).

    Args:
        grid: what to solve.
        out: where to put the result; made if absent.
        first: leave out the points before this one, which begins a block.
        workers: threads, default one per core. The result does not depend on it.
        progress: called with the number of points each time a block is done, in the order of the points.
    """
    losses = np.empty((4, grid.size)) if out is None else out
    recycle_memory()

    def solve_block(block: tuple[int, tuple[int, ...], tuple[int, ...]]) -> int:
        at, start, stop = block
        count = math.prod(b - a for a, b in zip(start, stop, strict=True))
        for row, loss in zip(losses, grid.model.predict(grid.settings(start, stop)), strict=True):
            row[at : at + count] = loss.reshape(-1)
        return count

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for count in pool.map(solve_block, (block for block in grid.blocks() if block[0] >= first)):
            if progress:
                progress(count)
    return losses


def pieces(grid: Grid, points: int, first: int = 0) -> Iterator[tuple[int, int, Float[np.ndarray, "4 points"]]]:
    """The losses of about `points` consecutive points at a time, as `(first, last, losses)`: never the whole grid.

    The points before `first`, which begins a block, are left out.
    """
    recycle_memory()
    batch: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def solve(block: tuple[int, tuple[int, ...], tuple[int, ...]]) -> Array:
            return np.stack([loss.reshape(-1) for loss in grid.model.predict(grid.settings(block[1], block[2]))])

        def finish() -> tuple[int, int, Array]:
            losses = np.concatenate(list(pool.map(solve, batch)), axis=1)
            return batch[0][0], batch[0][0] + losses.shape[1], losses

        held = 0
        for block in grid.blocks():
            if block[0] < first:
                continue
            batch.append(block)
            held += math.prod(b - a for a, b in zip(block[1], block[2], strict=True))
            if held >= points:
                yield finish()
                batch, held = [], 0
        if batch:
            yield finish()
