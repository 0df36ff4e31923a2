"""`python -m theory optimum`: the best exposure, and how deep its minimum is."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from tyro.conf import Positional

from common.console import Output
from common.minima import NOTABLE_DEPTH, NOTABLE_GAIN, Minimum
from common.settings import WrongUse, ranges
from theory.allocation import optimum
from theory.api import refuse_no_post
from theory.commands.setting import Setting
from theory.grid import Grid, parse_axis
from theory.realise import Budget


@dataclass(frozen=True, kw_only=True)
class Optimum(Setting):
    """The exposure that minimises loss_im and loss_ret, and how deep each minimum is.

    The default is the compute-matched question of the paper's Figure 3b: one pass over D_post, a share lambda of it in
    stage 1. Axes (as in `sweep`) give one row per point. A minimum counts as interior only if it lies at least
    1 %, and at least 0.001, below both ends. Example: python -m theory optimum step_ratio=0.5,1,2,4,8 t_ft=0.1,1,10
    """

    axes: Positional[tuple[str, ...]] = ()
    """Axes, slowest first; none for one setting."""
    split: Literal["independent", "compute-matched"] = "compute-matched"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    limit: int = 100_000
    """Refuse more points than this (each costs a few hundred solutions)."""

    def run(self, out: Output) -> Any:
        """Find the minima, print a row per point, return them."""
        parsed = [parse_axis(text) for text in self.axes]
        decided = {"alpha", "t_pre", "exposure", *(["t_post"] if self.split == "compute-matched" else [])}
        if clash := [axis.name for axis in parsed if axis.name in decided]:
            raise WrongUse(f"Axis {clash[0]} is decided by lambda, which is what optimum varies. Sweep the others.")
        self.refuse_ignored(exposed=True, split=self.split)
        points: dict[str, Any] = {}
        size = 1
        if parsed:
            grid = Grid(parsed, self.values(), self.recipe(), self.budget, self.model)
            if grid.size > self.limit:
                raise WrongUse(
                    f"The grid has {grid.size:,} points, more than --limit {self.limit:,}. Use fewer values per axis, or raise --limit."
                )
            size, points = grid.size, grid.coordinates(0, grid.size)
        settings = self.values() | {name: value for name, value in points.items() if name not in ranges(Budget)}
        budget = {name: points.get(name, getattr(self.budget, name)) for name in ranges(Budget)}
        refuse_no_post(budget["post_time"])
        found = optimum(settings, self.recipe(), budget, self.model)
        minima = dict(zip(("loss_im", "loss_ret"), found, strict=True))
        listed: list[dict[str, Any]] = [
            {name: float(value[i]) for name, value in points.items()}
            | {loss: _entry(m, i, size) for loss, m in minima.items()}
            for i in range(size)
        ]
        out.table(
            f"Best exposure ({self.model} model, {self.split}, {self.mixing}); depth is the fraction below the better end",
            [
                *points,
                *(f"{loss[5:]} {head}" for loss in minima for head in ("argmin", "minimum", "at 0", "at 1", "depth")),
            ],
            [
                [*(row[name] for name in points), *(cell for loss in minima for cell in _cells(row[loss]))]
                for row in listed
            ],
        )
        count = sum(row["loss_ret"]["interior"] for row in listed)
        out.show(
            f"{count} of {size} have an interior minimum of loss_ret at least {NOTABLE_DEPTH:.0%} and {NOTABLE_GAIN:g} below both ends."
        )
        return listed


NUMBERS = ("exposure", "loss", "at_zero", "at_one", "depth", "depth_below_zero", "depth_below_one")


def _entry(minimum: Minimum, i: int, size: int) -> dict[str, Any]:
    """The i-th minimum as plain numbers, with the verdict whether it is interior."""
    entry: dict[str, Any] = {name: float(np.broadcast_to(getattr(minimum, name), (size,))[i]) for name in NUMBERS}
    return entry | {"interior": bool(np.broadcast_to(minimum.interior, (size,))[i])}


def _cells(entry: dict[str, Any]) -> list[str]:
    return [*(f"{entry[name]:.3g}" for name in NUMBERS[:4]), f"{entry['depth']:.2%}"]
