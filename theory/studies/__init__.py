"""The tables behind the theory figures: each study is a function that returns one results table."""

from collections.abc import Callable
from typing import Any

from theory.studies.compare import frontiers, latent, optimum_map, optimum_time
from theory.studies.counterexamples import counterexamples
from theory.studies.laws import law_optimum
from theory.studies.overlay import overlay
from theory.studies.plain import (
    alpha_curves,
    compute_matched,
    phase_alpha,
    phase_beta,
    swept,
    trajectories,
    window,
)

STUDIES: dict[str, Callable[[], Any]] = {
    "trajectories": trajectories,
    "alpha_curves": alpha_curves,
    "phase_alpha": phase_alpha,
    "phase_beta": phase_beta,
    "window": window,
    "swept": swept,
    "frontiers": frontiers,
    "compute_matched": compute_matched,
    "latent": latent,
    "optimum_time": optimum_time,
    "optimum_map": optimum_map,
    "counterexamples": counterexamples,
    "law_optimum": law_optimum,
    "overlay": overlay,
}
"""Name -> function that computes the table."""
