"""The record of what training was really given: store and window of every slot, written down as batches are read.

    served-<rank>.bin    a little-endian uint32 a slot, in the order of the steps: store in the highest 4 bits, window in the other 28

A slot lies at the place of its step, so a stage that goes on from a checkpoint writes over what it repeats, what was prefetched
beyond the last step is never counted, and every process has a file of its own. The ledger is counted from this record, not from
the plan: the plan says what should be read, and a check against itself would find nothing.
"""

import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.arrays import Int
from common.settings import WrongUse
from lm_experiments.plan import Plan, PlannedBatches, Windows

UNSEEN = 0xFFFFFFFF
"""A slot that nobody has read."""
WINDOW_BITS = 28


class Served:
    """The record of one stage in its folder."""

    def __init__(self, folder: Path, plan: Plan, rank: int = 0) -> None:
        """Open the record, or begin one.

        Args:
            folder: of the stage.
            plan: what is going to be read.
            rank: of this process.

        Raises:
            WrongUse: more stores or windows than the record has room for.
        """
        self.folder, self.plan = folder, plan
        self.names = list(dict.fromkeys(part.store for part in plan.parts))
        if len(self.names) > 15 or max(part.windows for part in plan.parts) >= 1 << WINDOW_BITS:
            raise WrongUse(f"A stage can read 15 stores of {1 << WINDOW_BITS:,} windows each. Ask for fewer tokens.")
        self._first: int | None = None
        self._here = threading.local()
        path, size = folder / f"served-{rank}.bin", plan.steps * plan.batch * 4
        if not path.exists() or path.stat().st_size != size:
            path.write_bytes(b"\xff" * size)
        self._file = os.open(path, os.O_RDWR)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def batches(self, stores: Mapping[str, Windows]) -> "_Batches":
        """The plan with its stores, watched. Raises `WrongUse` as `Plan.open` does."""
        watched = {
            name: _Store(stores[name], self._note, code) for code, name in enumerate(self.names) if name in stores
        }
        return _Batches(self.plan.open(watched), self)

    def _note(self, code: int, window: int) -> None:
        rows = getattr(self._here, "rows", None)
        if rows is not None:  # else somebody only looks
            rows.append(code << WINDOW_BITS | window)

    def reading(self, step: int, read: Callable[[], Any], slot: int = 0) -> Any:
        """Carry out `read` and note the windows that it takes as those of a step, from its slot `slot` on."""
        self._here.rows = []
        try:
            found = read()
            noted = np.array(self._here.rows, dtype="<u4")
        finally:
            self._here.rows = None
        os.pwrite(self._file, noted.tobytes(), (step * self.plan.batch + slot) * 4)
        self._first = step if self._first is None else min(step, self._first)
        return found

    def slots(self, steps: int) -> tuple[Int[np.ndarray, " slots"], Int[np.ndarray, " slots"], int]:
        """What the first `steps` steps were given, over all processes.

        Steps that an earlier process took, and whose record was lost with the machine, are taken from the plan.

        Returns:
            Index into `names` and window of every slot, and how many slots had to be taken from the plan.

        Raises:
            RuntimeError: this process never asked for a step that it says it took, or two processes were given different windows.
        """
        size, batch = steps * self.plan.batch, self.plan.batch
        found = np.full(size, UNSEEN, dtype=np.uint32)
        for path in sorted(self.folder.glob("served-*.bin")):
            other = np.fromfile(path, dtype="<u4", count=size)
            other = np.pad(other, (0, size - len(other)), constant_values=UNSEEN)
            both = (found != UNSEEN) & (other != UNSEEN) & (found != other)
            if both.any():
                raise RuntimeError(f"Step {int(np.argmax(both)) // batch} was read differently by two processes.")
            found = np.minimum(found, other)
        lost = np.flatnonzero(found == UNSEEN)
        if len(lost):
            own = size if self._first is None else self._first * batch
            if lost[-1] >= own:
                step = int(lost[lost >= own][0]) // batch
                raise RuntimeError(
                    f"Training says that it took {steps} steps, but never asked for the data of step {step}."
                )
            found[lost] = self._planned(lost)
        return (found >> WINDOW_BITS).astype(np.int64), (found & ((1 << WINDOW_BITS) - 1)).astype(np.int64), len(lost)

    def _planned(self, slots: Int[np.ndarray, " lost"]) -> Int[np.ndarray, " lost"]:
        part, window = (column[slots] for column in self.plan.layout)
        code = np.array([self.names.index(one.store) for one in self.plan.parts])
        packed: Int[np.ndarray, " lost"] = code[part] << WINDOW_BITS | window
        return packed


def remove(folder: Path) -> None:
    """Delete the record of a stage that is done."""
    for path in folder.glob("served-*.bin"):
        path.unlink()


class _Store:
    """A store that tells which windows are taken."""

    def __init__(self, store: Windows, note: Callable[[int, int], None], code: int) -> None:
        self._store, self._note, self._code = store, note, code

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def windows(self, length: int) -> int:
        return self._store.windows(length)

    def window(self, index: int, length: int) -> Any:
        self._note(self._code, index)
        return self._store.window(index, length)


class _Batches:
    """The batches of a plan; what is read for a step is written down."""

    def __init__(self, batches: PlannedBatches, served: Served) -> None:
        self._batches, self._served, self.steps = batches, served, batches.steps

    def batch(self, step: int) -> Any:
        return self._served.reading(step, lambda: self._batches.batch(step))

    def rows(self, step: int, first: int, count: int) -> Any:
        return self._served.reading(step, lambda: self._batches.rows(step, first, count), first)
