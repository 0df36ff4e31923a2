"""What a long sweep has solved, kept beside its table until that is complete: one that was killed goes on where it was.

    .NAME.parts/SWEEP.FIRST-LAST.npz    the losses of consecutive points; SWEEP names the request and the sources

Losses alone are kept, 32 bytes per point: the other columns follow from them and the axes. The table itself is written from its first row
again. A sweep that ends before anything is due to be kept is written as if there were no keeping.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import common
import theory
from common.arrays import Float
from common.parts import pieces_of, read_arrays, write_arrays
from common.settings import config_hash
from common.versions import fingerprint
from theory.grid import Grid, evaluate, pieces

SECONDS = 20.0
"""Solving that is lost at most."""
POINTS = 1 << 22
"""Points of one file of a large grid: 134 MB."""
LARGE = 10_000_000
"""Points of a grid that is kept by their number too, however fast they are solved."""
SOURCES = tuple(Path(str(room.__file__)).parent for room in (theory, common))
"""What decides a result: what other sources solved is no part of this sweep."""


class Kept:
    """The losses of a sweep: those that are kept already, then those that are solved now, and kept."""

    def __init__(self, grid: Grid, folder: Path, name: str, say: Callable[[str], None]) -> None:
        """Find what is kept of the beginning of a grid.

        Args:
            grid: what is solved.
            folder: where it is kept.
            name: the configuration of the sweep, and how it is cut.
            say: told of damaged files; they, and what was solved after them, are made again.
        """
        self.grid, self.folder, self.name = grid, folder, config_hash(name, fingerprint(*SOURCES))
        found, self.files, self.before = pieces_of(folder, self.name, say), [], 0
        while self.before in found:
            self.before, path = found.pop(self.before)
            self.files.append(path)
        for _, path in found.values():  # after a gap
            path.unlink()
        if self.before:
            say(f"{self.before:,} of {grid.size:,} points were solved before; the sweep goes on after them.")
        self._saved, self._last = self.before, time.perf_counter()

    def losses(self, progress: Callable[[int], None]) -> Float[np.ndarray, "4 points"]:
        """All of them at once. `progress` is called with the number of points that are done."""
        losses = np.empty((4, self.grid.size))
        for path in self.files:
            kept = self._read(path)["losses"]
            first = int(path.stem.removeprefix(f"{self.name}.").partition("-")[0])
            losses[:, first : first + kept.shape[1]] = kept
        progress(self.before)
        done = self.before

        def solved(count: int) -> None:
            nonlocal done
            done += count
            if self._due(done):
                self._keep(done, losses[:, self._saved : done])
            progress(count)

        evaluate(self.grid, losses, first=self.before, progress=solved)
        if self.files and self._saved < done:  # the table of a long sweep takes long to write, too
            self._keep(done, losses[:, self._saved : done])
        return losses

    def pieces(self, points: int) -> Iterator[tuple[int, int, Float[np.ndarray, "4 points"]]]:
        """About `points` of them at a time as `(first, last, losses)`, cut alike whether they were kept or not."""
        first = 0
        for path in self.files:
            kept = self._read(path)
            for piece in np.split(kept["losses"], kept["ends"][:-1] - first, axis=1):
                yield first, first + piece.shape[1], piece
                first += piece.shape[1]
        held, ends = [], []
        for first, last, losses in pieces(self.grid, points, self.before):
            held.append(losses)
            ends.append(last)
            if self._due(last):
                self._keep(last, np.concatenate(held, axis=1), ends=np.array(ends))
                held, ends = [], []
            yield first, last, losses

    def _due(self, done: int) -> bool:
        """Whether what was solved up to a point is to be kept."""
        many = self.grid.size > LARGE and done - self._saved >= POINTS
        return many or time.perf_counter() - self._last > SECONDS

    def _keep(self, done: int, losses: Any, **more: Any) -> None:
        path = self.folder / f"{self.name}.{self._saved}-{done}.npz"
        write_arrays(path, losses=losses, **more)
        self.files.append(path)
        self._saved, self._last = done, time.perf_counter()

    def _read(self, path: Path) -> dict[str, Any]:
        kept = read_arrays(path)
        assert kept is not None, "a piece was damaged after it was found whole"
        return kept
