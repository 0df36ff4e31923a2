"""The commands of `python -m theory`: solve, sweep, optimum, study."""

import json as json_module
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from theory import results, rows
from theory.allocation import NOTABLE_DEPTH, Budget, allocate, optimum
from theory.console import Output, seconds_since
from theory.features import BLOCKS, Blocks, modes_from_blocks, modes_from_json
from theory.grid import BLOCK, Grid, evaluate, parse_axis, pieces
from theory.headline import Headline
from theory.losses import LOSSES
from theory.recipe import Recipe
from theory.settings import WrongUse, check, config_hash, ranges
from theory.stages import DEFAULTS, Schedule, Solution, solve
from theory.thresholds import assumptions, exposure_time

STAGES = ("start", "pre", "post", "ft")
ROWS = 1 << 18
"""Rows a parquet row group."""

Json = Annotated[bool, arg(help="Print one JSON document on standard output, and nothing else there.")]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A linear-model problem, its schedule and, if you like, the recipe that decides the schedule."""

    blocks: Annotated[Blocks, arg(name="")] = field(default_factory=Blocks)
    schedule: Annotated[Schedule, arg(name="")] = field(default_factory=Schedule)
    budget: Annotated[Budget, arg(name="")] = field(default_factory=Budget)
    mixing: Literal["add", "replace"] = "add"
    """Whether exposure is added to D_pre or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    json: Json = False

    def recipe(self, exposure: float = 0.0) -> Recipe:
        """The recipe that these options describe."""
        return Recipe(exposure=exposure, mixing=self.mixing, split=self.split, replay=self.schedule.replay)

    def values(self) -> dict[str, Any]:
        """All fields of `Blocks` and `Schedule` as one mapping."""
        return asdict(self.blocks) | asdict(self.schedule)


@dataclass(frozen=True, kw_only=True)
class Solve(Setting):
    """Solve one setting: the strength of every mode and the four losses, stage by stage.

    Or read settings from a file: a JSON object (or a list of them) with any of the options below as keys
    (`t_pre`, `sigma_post`, ...), plus `exposure`, or with per-mode arrays under `modes`:
    {"modes": {"variance": {"pre": [1, 0], "post": [1, 1], "ft": [1, 0]}, "sigma": {...}}, "alpha": 0.2}
    """

    exposure: float | None = None
    """lambda: if given, it decides alpha and t_pre (and t_post, if compute-matched) from the budget."""
    file: str | None = None
    """JSON file with settings; - reads standard input."""

    def run(self, out: Output) -> Any:
        """Solve, print tables, return the numbers."""
        if self.file is None:
            return self._solve_blocks({} if self.exposure is None else {"exposure": self.exposure}, out)
        document = _read_json(self.file)
        if isinstance(document, list):
            if not document:
                raise WrongUse(f"--file {self.file} holds an empty list. Put at least one JSON object in it.")
            return [self._solve_document(entry, out, f"{self.file}[{i}]") for i, entry in enumerate(document)]
        return self._solve_document(document, out, self.file)

    def _solve_document(self, document: Any, out: Output, name: str) -> Any:
        if not isinstance(document, Mapping):
            raise WrongUse(
                f"{name} is not a JSON object with settings. See `python -m theory solve --help` for the form."
            )
        try:
            if "modes" in document:
                return self._solve_modes(document, out)
            return self._solve_blocks(document, out)
        except WrongUse as error:
            raise WrongUse(f"In {name}: {error}") from error

    def _solve_blocks(self, given: Mapping[str, Any], out: Output) -> Any:
        own = {"exposure", "mixing", "split", *ranges(Budget)}
        chosen = {name: value for name, value in given.items() if name not in own}
        values = self.values() | _known(chosen, DEFAULTS)
        Blocks(**{name: values[name] for name in asdict(self.blocks)})
        Schedule(**{name: values[name] for name in asdict(self.schedule)})
        values |= self._allocation(given)
        solution = solve(modes_from_blocks(values), values)
        held = assumptions(values)
        document = _report(solution, BLOCKS, values, out)
        out.table(
            "Assumptions of the paper (reported, not enforced)",
            ("", "assumption", "holds", "here"),
            [(entry.source, entry.statement, "yes" if entry.holds else "no", entry.numbers) for entry in held],
        )
        exposure = values["alpha"] * values["t_pre"] + values["t_post"]
        needed = float(exposure_time(values["beta"], values["init_scale"]))
        out.show(
            f"D_post exposure alpha t_pre + t_post = {exposure:.4g}; a specialised mode is half learned at {needed:.4g}."
        )
        return document | {"assumptions": [entry._asdict() for entry in held], "exposure_time": needed}

    def _solve_modes(self, given: Mapping[str, Any], out: Output) -> Any:
        modes = modes_from_json(given["modes"])
        own = {"modes", "exposure", "mixing", "split", *ranges(Budget)}
        values = asdict(self.schedule) | _known({k: v for k, v in given.items() if k not in own}, asdict(self.schedule))
        Schedule(**values)
        values |= self._allocation(given)
        names = [f"mode {i + 1}" for i in range(len(modes.count))]
        return _report(solve(modes, values), names, values, out)

    def _allocation(self, given: Mapping[str, Any]) -> dict[str, Any]:
        if "exposure" not in given:
            return {}
        budget = Budget(**(asdict(self.budget) | {name: given[name] for name in ranges(Budget) if name in given}))
        recipe = Recipe(
            exposure=given["exposure"],
            mixing=given.get("mixing", self.mixing),
            split=given.get("split", self.split),
            replay=given.get("replay", self.schedule.replay),
        )
        return allocate(recipe.exposure, recipe, budget)


@dataclass(frozen=True, kw_only=True)
class Sweep(Setting):
    """Solve the whole product of some axes and write the results table.

    An axis is NAME=START:STOP:COUNT (linear), NAME=START:STOP:COUNT:log or NAME=V1,V2,...; NAME is any option below in
    its underscore form, or exposure. Example:

    python -m theory sweep alpha=0:1:100 t_post=0:4:100 t_ft=0.01:10:100:log --beta 1.1 --out out/sweep.parquet
    """

    axes: Positional[tuple[str, ...]]
    """Axes, slowest first."""
    out: Path = Path("out/theory/sweep.parquet")
    """Where the table goes."""
    stream: bool = False
    """Solve and write piece by piece: for grids larger than memory."""
    limit: int = 10_000_000_000
    """Refuse grids with more points than this: a safeguard for the disk."""

    def run(self, out: Output) -> Any:
        """Sweep, write, report points, seconds, points per second and the path."""
        grid = Grid([parse_axis(text) for text in self.axes], self.values(), self.recipe(), self.budget)
        self._refuse_too_large(grid)
        name = config_hash(
            self.blocks, self.schedule, self.budget, self.recipe(), [(a.name, a.values) for a in grid.axes]
        )
        start = time.perf_counter()
        solving = 0.0
        with results.open_writer(self.out, rows.EXTRA) as writer, out.progress("sweep", grid.size, "points") as step:

            def write(first: int, last: int, losses: Any) -> None:
                writer.write(self._columns(grid, first, last, losses, name))
                step(last - first)

            if self.stream:
                for first, last, losses in pieces(grid, ROWS):
                    write(first, last, losses)
            else:
                losses = evaluate(grid)
                solving = seconds_since(start)
                for first in range(0, grid.size, ROWS):
                    last = min(first + ROWS, grid.size)
                    write(first, last, losses[:, first:last])
        total = seconds_since(start)
        solved = "" if self.stream else f" ({grid.size / solving:,.0f} points/s to solve, the rest to write)"
        out.show(f"{grid.size:,} points in {total:.2f} s: {grid.size / total:,.0f} points/s{solved}.")
        out.show(f"Wrote {self.out} ({self.out.stat().st_size / 1e6:.1f} MB, config {name}).")
        return {"points": grid.size, "seconds": total, "solve_seconds": None if self.stream else solving,
                "points_per_second": grid.size / total, "out": self.out, "config_hash": name}  # fmt: skip

    def _refuse_too_large(self, grid: Grid) -> None:
        if grid.size > self.limit:
            raise WrongUse(
                f"The grid has {grid.size:,} points, more than --limit {self.limit:,}. Use fewer values an axis, or raise --limit."
            )
        needed, free = grid.size * 8 * len(LOSSES) + BLOCK * 2**10, free_memory()
        if not self.stream and needed > free:
            raise WrongUse(
                f"The grid has {grid.size:,} points and needs {needed / 1e9:.1f} GB of memory; {free / 1e9:.1f} GB are free. "
                "Add --stream to write it piece by piece, or use fewer values an axis."
            )

    def _columns(self, grid: Grid, first: int, last: int, losses: Any, name: str) -> dict[str, Any]:
        settings = dict(grid.fixed) | grid.coordinates(first, last)
        if grid.allocates:
            budget = {key: settings.pop(key, getattr(self.budget, key)) for key in ranges(Budget)}
            settings.setdefault("exposure", self.recipe().exposure)
            settings |= allocate(settings["exposure"], self.recipe(), budget) | budget
            settings |= {"mixing": self.mixing, "split": self.split}
        return rows.columns(settings, losses, study="sweep", config_hash=name)


@dataclass(frozen=True, kw_only=True)
class Optimum(Setting):
    """The exposure that minimises loss_im and loss_ret, and how deep each minimum is.

    The default is the compute-matched question of the paper's Figure 3b: one pass over D_post, a share lambda of it in
    stage 1. Axes (as in `sweep`) give one row a point. A minimum counts as interior only if it lies at least
    1 % below both ends. Example: python -m theory optimum step_ratio=0.5,1,2,4,8 t_ft=0.1,1,10
    """

    axes: Positional[tuple[str, ...]] = ()
    """Axes, slowest first; none for one setting."""
    split: Literal["independent", "compute-matched"] = "compute-matched"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    limit: int = 100_000
    """Refuse more points than this (each costs a few hundred solutions)."""

    def run(self, out: Output) -> Any:
        """Find the minima, print a row a point, return them."""
        parsed = [parse_axis(text) for text in self.axes]
        decided = {"alpha", "t_pre", "exposure", *(["t_post"] if self.split == "compute-matched" else [])}
        if clash := [axis.name for axis in parsed if axis.name in decided]:
            raise WrongUse(f"Axis {clash[0]} is decided by lambda, which is what optimum varies. Sweep the others.")
        points: dict[str, Any] = {}
        size = 1
        if parsed:
            grid = Grid(parsed, self.values(), self.recipe(), self.budget)
            if grid.size > self.limit:
                raise WrongUse(
                    f"The grid has {grid.size:,} points, more than --limit {self.limit:,}. Use fewer values an axis, or raise --limit."
                )
            size, points = grid.size, grid.coordinates(0, grid.size)
        settings = self.values() | {name: value for name, value in points.items() if name not in ranges(Budget)}
        budget = {name: points.get(name, getattr(self.budget, name)) for name in ranges(Budget)}
        immediate, retained = optimum(settings, self.recipe(), budget)
        found = []
        for i in range(size):
            row: dict[str, Any] = {name: float(value[i]) for name, value in points.items()}
            for name, minimum in (("loss_im", immediate), ("loss_ret", retained)):
                get = {key: float(np.broadcast_to(getattr(minimum, key), (size,))[i])
                       for key in ("exposure", "loss", "at_zero", "at_one", "depth", "depth_below_zero", "depth_below_one")}  # fmt: skip
                interior = 0 < get["exposure"] < 1 and get["depth"] >= NOTABLE_DEPTH
                row[name] = get | {"interior": interior}
            found.append(row)
        heads = [
            *points,
            *(
                f"{loss} {what}"
                for loss in ("loss_im", "loss_ret")
                for what in ("argmin", "minimum", "at 0", "at 1", "depth")
            ),
        ]
        out.table(
            f"Best exposure ({self.split}, {self.mixing}); depth is the fraction below the better end",
            heads,
            [[*(row[name] for name in points),
              *(cell for loss in ("loss_im", "loss_ret") for cell in _minimum_cells(row[loss]))] for row in found],
        )  # fmt: skip
        interior = sum(row["loss_ret"]["interior"] for row in found)
        out.show(
            f"{interior} of {size} have an interior minimum of loss_ret at least {NOTABLE_DEPTH:.0%} below both ends."
        )
        return found


def _minimum_cells(row: Mapping[str, Any]) -> list[Any]:
    return [*(float(f"{row[key]:.4g}") for key in ("exposure", "loss", "at_zero", "at_one")), f"{row['depth']:.2%}"]


@dataclass(frozen=True, kw_only=True)
class Study:
    """Compute the tables behind the theory figures (all, or those named) and write them below --out."""

    names: Positional[tuple[str, ...]] = ()
    """Studies; none for all of them."""
    out: Path = Path("out/theory")
    """Folder for the tables."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Compute and write; return the paths."""
        from theory.studies import STUDIES

        if unknown := [name for name in self.names if name not in STUDIES]:
            raise WrongUse(f"Study {unknown[0]!r} is not known. Choose from {', '.join(STUDIES)}.")
        written = {}
        for name in self.names or STUDIES:
            start = time.perf_counter()
            table = STUDIES[name]()
            written[name] = results.write(table, self.out / f"{name}.parquet")
            out.show(f"{name:<14} {table.num_rows:>7,} rows  {seconds_since(start):5.2f} s  {written[name]}")
        return written


def free_memory() -> float:
    """Bytes of memory that are free for us, or infinity where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError):
        return float("inf")


def _read_json(name: str) -> Any:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text()
        return json_module.loads(text)
    except (OSError, UnicodeDecodeError, json_module.JSONDecodeError) as error:
        raise WrongUse(
            f"--file {name} cannot be read as JSON ({error}). Give a file with one JSON object or a list of them."
        ) from error


def _known(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in given.items():
        if name not in known:
            raise WrongUse(f"{name!r} is no setting. Known settings: {', '.join(known)}.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise WrongUse(f"{name} = {value!r} is not a number. Give one number.")
        if name in ("n", "k", "depth") and value != int(value):
            raise WrongUse(f"{name} = {value:g} counts something. Give a whole number.")
        check(name, value, {"low": -np.inf, "high": np.inf, "open_low": False})
    return {name: int(value) if name in ("n", "k", "depth") else value for name, value in given.items()}


def _report(solution: Solution, names: Any, settings: Mapping[str, Any], out: Output) -> dict[str, Any]:
    size = len(names)
    strengths = {
        stage: np.broadcast_to(s, (size,)).tolist() for stage, s in zip(STAGES, solution.strengths, strict=True)
    }
    out.table(
        "Strength of the modes, w1 w2, after each stage",
        ("", *STAGES),
        [[name, *(strengths[stage][i] for stage in STAGES)] for i, name in enumerate(names)],
    )
    losses = {name: float(value) for name, value in zip(LOSSES, solution.losses, strict=True)}
    about = {name: results.SCHEMA[name][1] for name in LOSSES}
    shown = [[name, about[name], value] for name, value in losses.items()]
    out.table(
        "Losses",
        ("", "", "value"),
        [*shown, ["forgetting", "loss_ret - loss_im", losses["loss_ret"] - losses["loss_im"]]],
    )
    return {"settings": dict(settings), "modes": list(names), "strengths": strengths, "losses": losses,
            "forgetting": losses["loss_ret"] - losses["loss_im"]}  # fmt: skip


COMMANDS = {"solve": Solve, "sweep": Sweep, "optimum": Optimum, "study": Study, "headline": Headline}
