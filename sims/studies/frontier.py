"""Trade-off frontiers: stage-2 x stage-3 sweeps, mixed and unmixed, with replay, dropout, decay or low rank in stage 2 (P5, P12, P15, T3).

The counterpart of the paper's Figures 2, 4, 6 and 7. Every model is swept over t_post and t_ft with the settings of
`theory.studies.compare.FRONTIERS`, where the theory draws the same picture; a second batch post-trains adapters of rank r to
convergence, which is what P12 speaks of.

`python -m sims frontier`, one to two minutes on two cores. What came out: in the plain model replay, dropout and decay never
lower loss_ret; with redundant pathways replay and exposure help each other or substitute.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sims.cases import Case, product
from sims.setup import Setup
from sims.studies.frontier_verdicts import judge
from sims.studies.networks import NETWORKS
from sims.study import Study, seeds

SEEDS = 20
"""Wherever the start is random; aligned starts and separate units give the same losses for every seed."""
LONGEST = 3.0
OBSERVED = tuple((np.geomspace(0.02, LONGEST, 12) / LONGEST).round(6).tolist())
"""Stage 3 is observed at t_ft = 0.02 to 3."""
POST = np.geomspace(0.3, 3.0, 8)
WIDTH = 16
STRENGTH = 1e-6
"""Initial strength of a mode in both plain models: delta^2 if aligned, and if random on average width zeta^2/2, zeta being the standard
deviation of the weights."""

ALONE: dict[str, dict[str, float]] = {
    "": {},
    "replay": {"replay": 0.2},
    "dropout": {"dropout": 0.1},
    "decay": {"decay_post": 0.02},
}
"""Interventions in stage 2: replay and dropout as strong as in docs/theory.md, section 3.7; a decay that costs a
specialised mode of target 0.9 about as much as that dropout costs a mode of its own unit."""
ADAPTER_RANK = 1
"""k <= r < 2k for k = 1: too small for both an inconsistent and a specialised mode."""


class Family(NamedTuple):
    """A model and the sweep that it is put through."""

    setup: Setup
    values: dict[str, Any]
    """Its settings, beside the sweep."""
    mixed: float
    """The alpha called mixed."""
    post: Any = POST
    masks: Any = "expected"
    """How its dropout is done."""
    seeds: int = 1


_SWEEP: dict[str, Any] = {"steps": (800, 600, 600), "observe": OBSERVED, "width": WIDTH}
_NONLINEAR: dict[str, Any] = {"steps": (800, 200, 300), "observe": OBSERVED}
_PATHWAYS: dict[str, Any] = _SWEEP | {"problem": "pathways"}

FAMILIES: dict[str, Family] = {
    "plain": Family(Setup(basis="unit", **_SWEEP), {"sigma_ft": 0.8, "init_scale": STRENGTH**0.5}, 0.2),
    "plain-random": Family(
        Setup(init="random", **_SWEEP), {"sigma_ft": 0.8, "init_scale": (2 * STRENGTH / WIDTH) ** 0.5}, 0.2, seeds=SEEDS
    ),
    "rp": Family(
        Setup(units="separate", **_PATHWAYS | {"width": 2, "steps": (2000, 600, 600)}), {"t_pre": 100.0}, 0.03
    ),
    "rp-shared": Family(
        Setup(init="random", **_PATHWAYS), {"t_pre": 30.0, "init_scale": 0.01}, 0.005, seeds=SEEDS
    ),
    "relu": Family(
        replace(NETWORKS["relu"].setup, **_NONLINEAR), {**NETWORKS["relu"].values, "t_pre": 40.0}, 0.2, POST[1::2], "sampled", SEEDS
    ),
    "relu-rp": Family(
        replace(NETWORKS["relu-rp"].setup, **_NONLINEAR), {**NETWORKS["relu-rp"].values, "t_pre": 40.0}, 0.01, POST[1::2], "sampled", SEEDS
    ),
}  # fmt: skip
"""Model -> its sweep. The nonlinear ones cost twenty times as much as the linear ones and get every other t_post."""

CONVERGED: dict[str, Any] = {"t_pre": 40.0, "t_post": 40.0, "t_ft": 0.02}
"""Long enough for stage 1 to learn the specialised modes and for adapters that compete at a gap of 0.1 to settle."""
RANKS = (2, 3, 4)
PAIRS = 2
"""k: with two pairs of modes there is a rank between k and 2k."""


def cases() -> list[Case]:
    """The sweeps, a case a model and intervention, and the converged adapters, a case a start and rank."""
    return [*(case for name in FAMILIES for case in sweeps(name)), *converged()]


def sweeps(name: str) -> list[Case]:
    """The cases of one model."""
    family = FAMILIES[name]
    made = []
    runs = product(alpha=(0.0, family.mixed), t_post=family.post, seed=seeds(family.seeds)) | {"t_ft": LONGEST}
    recipe = np.where(runs["alpha"] > 0, "mixed", "unmixed")
    for label, values in ALONE.items():
        setup = replace(family.setup, dropout_masks=family.masks if "dropout" in values else "off")
        method = np.char.add(recipe, f"+{label}" if label else "")
        made.append(Case(name, setup, runs | family.values | values, {"method": method}))
    if family.setup.activation == "linear":
        setup = replace(family.setup, rank=ADAPTER_RANK)
        made.append(Case(name, setup, runs | family.values, {"method": np.char.add("lora_", recipe)}))
    return made


def converged() -> list[Case]:
    """Adapters trained to convergence in the plain model with two pairs of modes, from both starts."""
    made = []
    for name in ("plain", "plain-random"):
        family = FAMILIES[name]
        runs = product(alpha=(0.0, family.mixed), seed=seeds(family.seeds))
        method = np.char.add("converged_lora_", np.where(runs["alpha"] > 0, "mixed", "unmixed"))
        for rank in RANKS:
            setup = replace(family.setup, k=PAIRS, rank=rank, steps=(1600, 1600, 20), observe=(1.0,))
            made.append(Case(name, setup, runs | family.values | CONVERGED, {"method": method}))
    return made


FRONTIER = Study(
    "frontier", "frontiers of mixed and unmixed models, with interventions (P5, P12, P15, T3)", cases, judge
)
