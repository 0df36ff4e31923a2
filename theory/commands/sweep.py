"""`python -m theory sweep`: the product of some axes, solved and written as a results table."""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common import results, rows
from common.console import Output, seconds_since
from common.losses import LOSSES
from common.parts import folder_for
from common.settings import WrongUse, config_hash, ranges
from theory.commands.kept import Kept
from theory.commands.setting import Setting
from theory.grid import BLOCK, Grid, parse_axis
from theory.realise import Budget, realise

ROWS = 1 << 16
"""Rows a parquet row group."""


@dataclass(frozen=True, kw_only=True)
class Sweep(Setting):
    """Solve the whole product of some axes and write the results table.

    Stop a long one whenever you like: the same command goes on where it was.

    An axis is NAME=START:STOP:COUNT (linear), NAME=START:STOP:COUNT:log or NAME=V1,V2,...; NAME is any option below in
    its underscore form, or exposure. Example:

    python -m theory sweep alpha=0:1:100 t_post=0:4:100 t_ft=0.01:10:100:log --beta 1.1 --out out/sweep.parquet
    """

    axes: Positional[tuple[str, ...]]
    """Axes, slowest first."""
    out: Path = Path("out/theory/sweep.parquet")
    """Where the table goes: NAME.parquet, or NAME.csv."""
    stream: bool = False
    """Solve and write piece by piece: for grids larger than memory."""
    limit: int = 10_000_000_000
    """Refuse grids with more points than this: a safeguard for the disk."""

    def run(self, out: Output) -> Any:
        """Sweep, write, report points, seconds, points per second and the path."""
        results.check_format(self.out)
        grid = self.grid()
        self.refuse_ignored(exposed=grid.allocates, split=self.split)
        self._refuse_too_large(grid)
        name = self.config_hash()
        start = time.perf_counter()
        with folder_for(self.out) as parts:
            kept = Kept(grid, parts, f"{name} {'streamed' if self.stream else 'at once'}", out.remark)
            if self.stream:
                solving, found = 0.0, kept.pieces(ROWS)
            else:
                with out.progress("solve", grid.size, "points") as step:
                    losses = kept.losses(step)
                solving, found = seconds_since(start), _cut(losses)
            with (
                results.open_writer(self.out, rows.extra(self._columns_of(grid))) as writer,
                out.progress("sweep" if self.stream else "write", grid.size, "points") as step,
            ):
                for first, last, some in found:
                    writer.write(self._columns(grid, first, last, some, name))
                    step(last - first)
        total = seconds_since(start)
        solved = (
            "" if self.stream else f" ({(grid.size - kept.before) / solving:,.0f} points/s to solve, the rest to write)"
        )
        out.show(f"{grid.size:,} points in {total:.2f} s: {grid.size / total:,.0f} points/s{solved}.")
        out.show(f"Wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB, config {name}).")
        return {"points": grid.size, "seconds": total, "solve_seconds": None if self.stream else solving,
                "points_per_second": grid.size / total, "solved_before": kept.before, "out": self.out, "config_hash": name}  # fmt: skip

    def grid(self) -> Grid:
        """What is solved. Raises `WrongUse`."""
        return Grid([parse_axis(text) for text in self.axes], self.values(), self.recipe(), self.budget, self.model)

    def config_hash(self) -> str:
        """Names the configuration of the sweep."""
        axes = [(axis.name, axis.values) for axis in self.grid().axes]
        return config_hash(self.model, self.problem, self.schedule, self.budget, self.recipe(), axes)

    def _refuse_too_large(self, grid: Grid) -> None:
        if grid.size > self.limit:
            raise WrongUse(
                f"The grid has {grid.size:,} points, more than --limit {self.limit:,}. Use fewer values per axis, or raise --limit."
            )
        needed, free = grid.size * 8 * len(LOSSES) + BLOCK * 2**10, free_memory()
        if not self.stream and needed > free:
            raise WrongUse(
                f"The grid has {grid.size:,} points and needs {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free. "
                "Add --stream to write it piece by piece, or use fewer values per axis."
            )

    def _columns(self, grid: Grid, first: int, last: int, losses: Any, name: str) -> dict[str, Any]:
        settings = self._columns_of(grid) | grid.coordinates(first, last)
        if grid.allocates:
            varied = {name: settings[name] for name in ("exposure", "replay") if name in settings}
            settings |= realise(self.recipe(), {key: settings[key] for key in ranges(Budget)}, self.model, varied)
        return rows.columns(settings, losses, study="sweep", config_hash=name, model=self.model)

    def _columns_of(self, grid: Grid) -> dict[str, Any]:
        """The settings that are columns, at their fixed values."""
        if not grid.allocates:
            return dict(grid.fixed)
        spent = {"exposure": self.recipe().exposure, "mixing": self.mixing, "split": self.split}
        return dict(grid.fixed) | asdict(self.budget) | spent


def _cut(losses: Any) -> Iterator[tuple[int, int, Any]]:
    """Losses in pieces of a row group, as `(first, last, losses)`."""
    size = losses.shape[1]
    for first in range(0, size, ROWS):
        last = min(first + ROWS, size)
        yield first, last, losses[:, first:last]


def free_memory() -> float:
    """Bytes of memory that are free for us, or infinity where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError):
        return float("inf")
