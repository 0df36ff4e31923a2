"""How fast the redundant-pathway models are solved, beside scipy's integrator on the same settings in the same run.

All three stages with every intervention switched on, so that no closed form applies before fine-tuning; times up to 100.
Both sides are asked for the same local tolerance.
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

from theory.models import MODELS
from theory.pathways import DEFAULTS, Strengths, fine_tuning_pull, post_training_pull, pretraining_pull
from theory.pathways_flow import SEPARATE, SHARED, TOLERANCE, Field, Pull
from theory.pathways_shared import Polar, strengths

BATCH = 20_000
LOOP = 40


def draw(count: int, seed: int = 0) -> dict[str, Any]:
    """Random settings over the ranges that phase diagrams use."""
    spans = {
        "sigma_pre": (0.0, 2.0),
        "sigma_post": (0.0, 2.0),
        "sigma_ft": (0.0, 2.0),
        "beta": (0.0, 2.0),
        "correlation": (0.0, 1.0),
        "alpha": (0.0, 1.0),
        "t_pre": (0.0, 100.0),
        "t_post": (0.0, 20.0),
        "t_ft": (0.0, 20.0),
        "replay": (0.0, 0.5),
        "dropout": (0.0, 0.5),
        "l2_to_start": (0.0, 1.0),
    }
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(low, high, count) for name, (low, high) in spans.items()}


def by_scipy(variant: str, values: Mapping[str, float]) -> Strengths:
    """One setting through the three stages with `scipy.integrate.solve_ivp` (LSODA), in the same coordinates."""
    v = {**DEFAULTS, **values}
    field: Field = SEPARATE if variant == "rp" else SHARED
    seed = 2 * np.log(v["init_scale"])
    state = np.array([seed, seed if variant == "rp" else 0.0])

    def theta(state: Any) -> Strengths:
        return Strengths(*np.exp(state)) if variant == "rp" else strengths(Polar(*state))

    for stage in ("pre", "post", "ft"):
        if stage == "pre":
            pull = pretraining_pull(v)
        elif stage == "post":
            pull = post_training_pull(v, theta(state), shared=variant != "rp")
        else:
            pull = fine_tuning_pull(v)
        state = integrate(field, state, pull, v[f"t_{stage}"])
    return theta(state)


def integrate(field: Field, state: Any, pull: Pull, duration: float) -> Any:
    """One stage with scipy."""

    def velocity(_: float, y: Any) -> Any:
        return field.velocity(y[0], y[1], pull)

    return solve_ivp(velocity, (0.0, duration), state, method="LSODA", rtol=TOLERANCE, atol=TOLERANCE).y[:, -1]


def measure() -> list[tuple[str, float]]:
    """Name and settings per second of each way of solving each variant."""
    rows = []
    for variant, model in [(name, MODELS[name]) for name in ("rp", "rp-shared")]:
        values = draw(BATCH)
        model.predict(draw(64))
        began = time.perf_counter()
        model.predict(values)
        rows.append((f"{variant} batched", BATCH / (time.perf_counter() - began)))
        began = time.perf_counter()
        for i in range(LOOP):
            by_scipy(variant, {name: float(value[i]) for name, value in values.items()})
        rows.append((f"{variant} scipy solve_ivp loop", LOOP / (time.perf_counter() - began)))
    return rows
