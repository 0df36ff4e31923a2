"""A batch of runs that share a setup, and what it gave as columns of the results table."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np

from common import rows
from common.settings import config_hash
from sims.realise import COMPILED
from sims.run import Simulation, complete
from sims.setup import Setup


class Case(NamedTuple):
    """A batch of runs that share a setup."""

    model: str
    """plain, rp, rp-shared, relu, tanh, deep, ..."""
    setup: Setup
    values: Mapping[str, Any]
    """Settings of the runs: numbers, or arrays of one length."""
    columns: Mapping[str, Any] = {}
    """Further columns of the table: numbers, text, or arrays of that length."""

    @property
    def size(self) -> int:
        """Number of runs."""
        return int(np.prod(np.broadcast_shapes(*(np.shape(value) for value in self.values.values()))))


def product(**axes: Any) -> dict[str, Any]:
    """Arrays of one length that run through all combinations of the given values, the last fastest."""
    grids = np.meshgrid(*(np.atleast_1d(values) for values in axes.values()), indexing="ij")
    return {name: grid.reshape(-1) for name, grid in zip(axes, grids, strict=True)}


def rows_of(case: Case, study: str, simulation: Simulation, seconds: float) -> dict[str, Any]:
    """The columns of a case: its settings, setup and losses; one row per run and observation of stage 3; diverged runs left out."""
    count, observed = case.size, len(case.setup.observe)
    settings = complete(case.setup, case.values)
    keep = np.tile(np.broadcast_to(simulation.converged, count), observed)
    own = {name: value for name, value in settings.items() if not isinstance(value, str)}
    made = {
        name: np.tile(np.broadcast_to(np.asarray(value, dtype=float), count), observed)[keep]
        for name, value in own.items()
    }
    made["t_ft"] = made["t_ft"] * np.repeat(case.setup.observe, count)[keep]
    losses = [np.asarray(loss).reshape(-1)[keep] for loss in simulation.losses]
    further = {
        name: value if isinstance(value, str) else np.tile(np.broadcast_to(value, count), observed)[keep]
        for name, value in {**setup_columns(case.setup), **case.columns}.items()
    }
    further |= {name: value[keep] for name, value in strength_columns(case, simulation).items()}
    further["seed"] = made.pop("seed").astype(int)
    return rows.columns(
        made, losses, study=study, config_hash=config_hash(study, case.model, case.setup), engine="sims", model=case.model,
        wall_seconds=seconds / count, **further,
    )  # fmt: skip


def closed_columns(study: str, model: str, settings: Mapping[str, Any], losses: Any) -> dict[str, Any]:
    """Columns of the closed form at some settings, for the table of a study."""
    own = {name: value for name, value in settings.items() if not isinstance(value, str)}
    name = config_hash(study, model, "closed form", own)
    return rows.columns(own, losses, study=study, config_hash=name, model=model) | {"sims.question": "closed form"}


def strength_columns(case: Case, simulation: Simulation) -> dict[str, Any]:
    """Mean strength of the specialised modes after stage 2 and at the row's own end, where a trajectory was recorded."""
    setup = case.setup
    if simulation.trajectory is None or setup.problem != "blocks" or setup.k == 0:
        return {}
    specialised = simulation.trajectory.strengths[2 * setup.record :, setup.n - setup.k : setup.n].mean(1)
    ends = specialised.reshape(1 + len(setup.observe), case.size)
    return {
        "sims.specialised_im": np.tile(ends[0], len(setup.observe)),
        "sims.specialised": ends[1:].reshape(-1),
    }


def setup_columns(setup: Setup) -> dict[str, Any]:
    """The fields of a setup that tell one simulation from another, as columns."""
    own = {name: value for name, value in asdict(setup).items() if name in _SHOWN}
    shown = {f"sims.{name}": value if isinstance(value, str) else float(value) for name, value in own.items()}
    steps = {
        f"sims.steps_{stage}": float(count) for stage, count in zip(("pre", "post", "ft"), setup.steps, strict=True)
    }
    return shown | steps | {name: getattr(setup, name) for name in COMPILED if getattr(setup, name) is not None}


_SHOWN = (
    "problem", "n", "k", "width", "depth", "activation", "init", "vectors", "basis", "units", "optimiser", "batch", "samples", "population",
    "dropout_masks", "early_stopping",
)  # fmt: skip
