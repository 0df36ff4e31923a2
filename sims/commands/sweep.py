"""`python -m sims sweep`: any product of settings to a results table.

A sweep is cut into chunks of consecutive runs, and a chunk into pieces of a few seconds. A finished piece is kept beside the table
until that is complete, so a sweep of any size needs the memory of a chunk, and an interrupted one goes on where it was. The table is
the same whatever the number of threads, and however often it was interrupted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from common import results
from common.console import Command, Json, Output, seconds_since
from common.losses import Losses
from common.parts import folder_for, pieces_of, read_arrays, write_arrays
from common.recipe import Recipe
from common.rows import column_name
from common.settings import WrongUse, config_hash, ranges, setting
from common.versions import fingerprint
from sims.cases import Case, product, rows_of
from sims.run import Simulation, complete, simulate, why_diverged
from sims.setup import LANES, SETUP_FIELDS, Setup, bounds
from sims.study import SOURCES
from sims.vectors import read_vectors
from theory.api import SPENDING, staged
from theory.grid import Axis, parse_axis
from theory.realise import Budget

CHUNK = 4096
"""Runs per chunk, and rows per parquet row group."""
PIECE_SECONDS = 5.0
"""Work that a piece holds, about, and an interrupt loses at most; a piece never leaves its chunk."""


@dataclass(frozen=True, kw_only=True)
class Sweep(Command):
    """Simulate the whole product of some axes and write the results table.

    An axis is NAME=START:STOP:COUNT (linear), NAME=START:STOP:COUNT:log or NAME=V1,V2,...; a single value, NAME=V, fixes a
    setting. NAME is anything that may differ from run to run: alpha, t_pre, t_post, t_ft, replay, decay_post, sigma_post, beta,
    init_scale, rotation, label_noise, dropout, seed, ... (a wrong name lists them all). What all runs share are the options below.
    exposure is lambda: with pre_time, post_time and step_ratio it takes the place of alpha and t_pre (and of t_post, if compute-matched).

    python -m sims sweep alpha=0:0.4:9 t_ft=0.1:10:7:log seed=0:19:20 --init random --width 24 --out out/sweep.parquet
    python -m sims sweep exposure=0:1:5 step_ratio=1,4 --split compute-matched

    Interrupt it as you like: the same command goes on where it was.
    """

    axes: Positional[tuple[str, ...]]
    """Axes, slowest first."""
    setup: Annotated[Setup, arg(name="")] = field(default_factory=Setup)
    vectors_file: Path | None = None
    """JSON file {"u": [[...], ...], "v": [[...], ...]} with the rows of two orthogonal n x n matrices: the singular vectors of the
    tasks, the same for every seed. Instead of --vectors."""
    mixing: Literal["add", "replace"] = "add"
    """Whether exposure is added to D_pre or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether t_post stands as set, or stage 2 gets the remaining (1 - exposure) of D_post."""
    out: Path = Path("out/sims/sweep.parquet")
    """Where the table goes."""
    workers: int | None = setting(None, low=1, science=False)
    """Threads; default one per core. Results do not depend on it."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Simulate, write, report runs, seconds, what diverged, and the path."""
        if self.workers is not None and self.workers < 1:
            raise WrongUse(f"workers = {self.workers}: use at least one thread.")
        if self.setup.record:
            raise WrongUse("record belongs to `python -m sims run`, which looks at one run from inside. Leave it out.")
        if not self.axes:
            raise WrongUse("A sweep needs at least one axis, e.g. alpha=0:0.4:9.")
        results.check_format(self.out)
        setup = with_vectors(self.setup, self.vectors_file)
        spending = spent(self.mixing, self.split)
        axes = checked_axes(self.axes, setup, spending)
        start, size = perf_counter(), int(np.prod([len(axis.values) for axis in axes]))
        with folder_for(self.out) as parts:
            with out.progress("sweep", size, "runs") as step:
                chunks = list(simulated(axes, setup, spending, parts, self.workers, step, out.remark))
            done = assemble(axes, setup, spending, chunks, self.out)
        seconds = seconds_since(start)
        out.show(f"{size:,} runs in {seconds:.1f} s: {size / seconds:,.0f} runs/s.")
        if done.left_out:
            out.show(f"left out: {done.left_out}")
        out.show(f"Wrote {self.out} ({done.rows:,} rows, {self.out.stat().st_size / 1e6:.1f} MB).")
        return {"runs": size, "rows": done.rows, "seconds": seconds, "out": self.out, "diverged": done.left_out}


def with_vectors(setup: Setup, file: Path | None) -> Setup:
    """The setup with the singular vectors of a file, if there is one, so that they count in its hash. Raises `WrongUse`."""
    return setup if file is None else replace(setup, given_vectors=read_vectors(file))


def spent(mixing: str, split: str) -> dict[str, str]:
    """How an exposure is spent, as far as it is not the default: what `theory.api.staged` is told beside the axes."""
    return {name: value for name, value in (("mixing", mixing), ("split", split)) if value != SPENDING[name]}


def checked_axes(texts: Sequence[str], setup: Setup, spending: Mapping[str, str]) -> list[Axis]:
    """Axes from their texts, each a setting of such a run, or of an exposure, with admissible values. Raises `WrongUse`."""
    axes = [parse_axis(text) for text in texts]
    names = [axis.name for axis in axes]
    known = bounds(setup.problem) | ranges(Budget) | {"exposure": ranges(Recipe)["exposure"]}
    for axis in axes:
        if names.count(axis.name) > 1:
            raise WrongUse(f"Axis {axis.name} is given twice. Give each setting once, with all its values.")
        if axis.name in SETUP_FIELDS:
            option = axis.name.replace("_", "-")
            raise WrongUse(
                f"{axis.name} is the same for all runs: write it as the option --{option}, and sweep once a value."
            )
        axis.check(known, setup.problem)
        if axis.name == "seed" and np.any(axis.values != np.round(axis.values)):
            raise WrongUse("Axis seed counts something: use whole numbers, e.g. seed=0:19:20.")
    corners = product(**{axis.name: (axis.values.min(), axis.values.max()) for axis in axes})
    complete(setup, staged({**corners, **spending}))
    return axes


def coordinates(axes: Sequence[Axis], first: int, last: int) -> dict[str, Any]:
    """The settings of the runs first, ..., last - 1 of the product."""
    where = np.unravel_index(np.arange(first, last), [len(axis.values) for axis in axes]) if axes else ()
    return {axis.name: axis.values[index] for axis, index in zip(axes, where, strict=True)}


@dataclass(frozen=True)
class Chunk:
    """Consecutive runs that are done, and where their losses are."""

    first: int
    last: int
    pieces: tuple[Path, ...]
    """In order."""

    def load(self) -> tuple[Any, Any, str]:
        """Losses of shape (4, ..., runs), which runs converged, and why the first of the others did not ("")."""
        made = [read_arrays(path) for path in self.pieces]
        whole = [kept for kept in made if kept is not None]
        assert len(whole) == len(made), "a piece was damaged after it was written"
        losses, converged = (
            np.concatenate([kept[name] for kept in whole], axis=-1) for name in ("losses", "converged")
        )
        return losses, converged, next((str(kept["reason"]) for kept in whole if kept["reason"]), "")


def simulated(
    axes: Sequence[Axis],
    setup: Setup,
    spending: Mapping[str, str],
    parts: Path,
    workers: int | None,
    progress: Callable[[int], None],
    say: Callable[[str], None],
) -> Iterator[Chunk]:
    """Every chunk in order, simulated or found finished in the folder of parts; `say` is told of pieces that are damaged."""
    size = int(np.prod([len(axis.values) for axis in axes]))
    asked = [(axis.name, axis.values) for axis in axes], *([spending] if spending else [])
    name = config_hash(setup, *asked, fingerprint(*SOURCES))
    kept, wanted = pieces_of(parts, name, say), LANES
    for first in range(0, size, CHUNK):
        last, done, pieces = min(first + CHUNK, size), first, []
        while done < last:
            if done in kept and kept[done][0] <= last:
                end, path = kept[done]
                progress(end - done)
            else:
                end = min([done + wanted, last, *(known for known in kept if known > done)])
                path, start = parts / f"{name}.{done}-{end}.npz", perf_counter()
                made = simulate(setup, {**coordinates(axes, done, end), **spending}, workers=workers, progress=progress)
                reason = "" if made.converged.all() else why_diverged(made, setup)
                write_arrays(path, losses=np.array(made.losses), converged=made.converged, reason=np.array(reason))
                rate = (end - done) / seconds_since(start)
                wanted = min(CHUNK, max(1, int(rate * PIECE_SECONDS / LANES)) * LANES)
            pieces.append(path)
            done = end
        yield Chunk(first, last, tuple(pieces))


@dataclass(frozen=True)
class Assembled:
    """A finished table."""

    rows: int
    left_out: str | None
    """One paragraph about runs that did not converge."""


def assemble(
    axes: Sequence[Axis], setup: Setup, spending: Mapping[str, str], chunks: Sequence[Chunk], out: Path
) -> Assembled:
    """Put the chunks into one table, chunk by chunk. Raises `WrongUse` where no run converged."""
    reasons, bad, extra = [], 0, None
    size = chunks[-1].last
    for chunk in chunks:
        losses, converged, reason = chunk.load()
        bad += int((~converged).sum())
        reasons += [reason] if reason else []
    left_out = f"{bad:,} of {size:,} runs did not converge; the first: {reasons[0]}" if bad else None
    if bad == size:
        raise WrongUse(f"There is nothing to write: {left_out}")
    case = as_case(setup, coordinates(axes, 0, 1), spending)
    sample = _columns(case, losses[..., :1], np.ones(1, dtype=bool))
    extra = {name: "text" if isinstance(value, str) else "real" for name, value in sample.items() if "." in name}
    with results.open_writer(out, extra) as writer:
        for chunk in chunks:
            losses, converged, _ = chunk.load()
            here = as_case(setup, coordinates(axes, chunk.first, chunk.last), spending)
            if converged.any():
                writer.write(_columns(here, losses, converged))
    return Assembled(writer.rows, left_out)


def as_case(setup: Setup, values: Mapping[str, Any], spending: Mapping[str, str]) -> Case:
    """Runs as a case: their stages, and as columns the exposure and the budget that decided them."""
    decided = {name: value for name, value in values.items() if name == "exposure" or name in ranges(Budget)}
    columns = {column_name(name): value for name, value in decided.items()}
    columns |= {name: spending.get(name, SPENDING[name]) for name in ("mixing", "split")} if decided else {}
    return Case(model_name(setup), setup, staged({**values, **spending}), columns)


def _columns(case: Case, losses: Any, converged: Any) -> dict[str, Any]:
    none = np.empty((3, 0))
    made = rows_of(case, "sweep", Simulation(Losses(*losses), converged, none, none, None), 0.0)
    return made | {"wall_seconds": None}  # the only thing that would differ from one sweep to the next


def model_name(setup: Setup) -> str:
    """The name under which the results table knows such networks."""
    if setup.activation != "linear":
        return setup.activation
    if setup.problem == "redundant":
        return "redundant"
    if setup.problem == "pathways":
        return "rp" if setup.units == "separate" else "rp-shared"
    return "plain" if setup.depth == 2 else "deep"
