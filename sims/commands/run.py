"""`python -m sims run`: one run from inside, on the screen or in a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from common.console import Command, Json, Output, plain
from common.files import atomic_write, target, write_json
from common.losses import LOSSES
from common.settings import WrongUse
from sims.commands.sweep import checked_axes, spent, with_vectors
from sims.run import Simulation, complete, simulate, why_diverged
from sims.setup import Setup
from theory.api import staged

FORMATS = (".csv", ".json")


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """Simulate one run and show it from inside, all through the three stages.

    Settings are NAME=VALUE as in a sweep, exposure and its budget too; --record is the number of points per stage. At every point there are

    * on_pre, on_post, on_ft: the losses on D_pre, D_post and D_ft
    * alignment: the share of |theta|^2 that lies on the modes of the tasks, 1 where theta = U diag(a) V'
    * post_only_energy: the share of the squared gradient of the input layer along directions that only D_post uses
    * a1, a2, ...: the strengths u_i' theta v_i of the modes; invariant, then inconsistent, then specialised ones

    Nonlinear networks have neither strengths nor alignment (nan). --out keeps everything in full precision in a file.

    python -m sims run alpha=0.2 t_ft=2 rotation=0.3 --init random --width 24 --record 12 --out out/sims/run.csv
    """

    settings: Positional[tuple[str, ...]] = ()
    """Settings of the run, NAME=VALUE."""
    setup: Annotated[Setup, arg(name="")] = field(default_factory=lambda: Setup(record=8))
    vectors_file: Path | None = None
    """JSON file {"u": [[...], ...], "v": [[...], ...]} with the rows of two orthogonal n x n matrices: the singular vectors of the
    tasks. Instead of --vectors."""
    mixing: Literal["add", "replace"] = "add"
    """Whether exposure is added to D_pre or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    out: Path | None = None
    """A file for it too: NAME.csv for the trajectory, a row per point; NAME.json for all that --json prints."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Simulate, print and keep the trajectory and the four losses, return both."""
        setup = with_vectors(self.setup, self.vectors_file)
        spending = spent(self.mixing, self.split)
        axes = checked_axes(self.settings, setup, spending)
        if several := [axis.name for axis in axes if len(axis.values) > 1]:
            raise WrongUse(
                f"{several[0]} has several values, but this is one run. Use `python -m sims sweep` for many."
            )
        record = setup.record
        if self.out is not None:
            _check_out(self.out, record)
        if record and len(setup.observe) == 1:
            setup = replace(setup, observe=tuple((np.arange(record) + 1) / record))
        values = staged({axis.name: float(axis.values[0]) for axis in axes} | spending)
        made = simulate(setup, values)
        if not made.converged:
            raise WrongUse(f"The run did not converge: {why_diverged(made, setup)}")
        settings = complete(setup, values)
        losses = {name: float(np.ravel(loss)[-1]) for name, loss in zip(LOSSES, made.losses, strict=True)}
        points = trajectory(made, setup, [settings[name] for name in ("t_pre", "t_post", "t_ft")])
        rows = [as_row(point) for point in points]
        if rows:
            shown = [[_cell(name, value) for name, value in row.items()] for row in rows]
            out.table("Trajectory", [_HEADS.get(name, name) for name in rows[0]], shown)
        out.table("Losses", list(LOSSES), [list(losses.values())])
        document = {"settings": settings, "setup": setup, "losses": losses, "trajectory": points}
        if self.out is not None:
            if self.out.suffix == ".json":
                write_json(self.out, plain(document))
            else:
                _write_csv(self.out, rows)
            out.show(f"Wrote {self.out}.")
        return document


def _check_out(path: Path, record: int) -> None:
    """Raise `WrongUse`, before anything is simulated, where the file cannot be what was asked for."""
    if path.suffix not in FORMATS:
        raise WrongUse(f"out = {path}: the name says no known kind of file. End it in {' or '.join(FORMATS)}.")
    if path.suffix == ".csv" and not record:
        raise WrongUse("out keeps the trajectory, and record = 0 records none. Set record to the points of a stage.")
    target(path)


def trajectory(made: Simulation, setup: Setup, durations: Sequence[float]) -> list[dict[str, Any]]:
    """The recorded points of one run."""
    seen = made.trajectory
    if seen is None:
        return []
    from sims.trajectories import moments

    return [
        {"stage": stage, "time": time, "on_pre": float(seen.losses[i, 0]), "on_post": float(seen.losses[i, 1]),
         "on_ft": float(seen.losses[i, 2]), "alignment": float(seen.alignment[i]),
         "post_only_energy": float(seen.post_only_energy[i]), "strengths": seen.strengths[i].tolist()}
        for i, (stage, time) in enumerate(moments(setup, durations))
    ]  # fmt: skip


def as_row(point: Mapping[str, Any]) -> dict[str, Any]:
    """A point with its strengths as columns a1, a2, ..."""
    strengths = {f"a{i + 1}": strength for i, strength in enumerate(point["strengths"])}
    return {name: value for name, value in point.items() if name != "strengths"} | strengths


_HEADS = {"post_only_energy": "post-only"}
"""What the screen calls a column, so that a dozen of them fit."""


def _cell(name: str, value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.3f}" if name.startswith("a") else f"{value:.3g}"


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow.csv import write_csv

    with atomic_write(path) as temporary:
        write_csv(pa.Table.from_pylist([dict(row) for row in rows]), temporary)
