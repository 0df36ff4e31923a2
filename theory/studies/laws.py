"""The law S over (phi, m D/d0): the best exposure, how deep the dip is, and where it vanishes."""

from typing import Any

import numpy as np

from theory.laws.forms import Provenance
from theory.laws.optimum import balance, best_exposure
from theory.models import model_named
from theory.realise import realise
from theory.studies.table import of_parts

LOST = np.linspace(0.01, 0.99, 99)
REACH = np.geomspace(0.3, 300.0, 91)
SIZES = (30.0, 150.0, 300.0)
"""Sizes of D_post in the published Figure 3, millions of tokens: points of the map."""


def law_optimum() -> Any:
    """Retained loss of S at the best exposure of a compute-matched pass, in units of A, and how far it lies below both ends."""
    from common.recipe import Recipe

    law = Provenance()
    reach, lost = (grid.reshape(-1) for grid in np.meshgrid(REACH, LOST, indexing="ij"))
    corpus = reach * law.offset / law.post_worth
    shape = {"lost": lost, "floor": 0.0, "amplitude": 1.0, "constant": 0.0}
    budget = {"pre_time": 9000.0, "post_time": corpus, "step_ratio": 1.0}
    best = best_exposure(lost, law.post_worth, law.power, law.offset, corpus)

    def retained(exposure: Any) -> Any:
        stages = realise(Recipe(split="compute-matched"), budget, "S", {"exposure": exposure})
        return model_named("S").predict({**shape, **stages}).loss_ret

    loss = retained(best)
    depth = np.maximum(np.minimum(retained(np.zeros_like(best)), retained(np.ones_like(best))) - loss, 0.0)
    fixed = {"model": "S", "split": "compute-matched", "problem.post_worth": law.post_worth, "problem.power": law.power}
    whole = fixed | {
        "problem.lost": lost,
        "problem.reach": reach,
        "exposure": best,
        "loss_ret": loss,
        "problem.depth_of_minimum": depth,
    }
    k = balance(LOST, law.post_worth, law.power)
    onset = k - 1  # m D/d0 at which lambda* leaves 0
    inside = onset > 0
    edges = [
        fixed | {"problem.boundary": "smallest corpus", "problem.lost": LOST[inside], "problem.reach": onset[inside]},
        fixed
        | {"problem.boundary": "largest loss rate", "problem.lost": np.full(2, 1 - 1 / law.post_worth), "problem.reach": REACH[[0, -1]]},
        fixed
        | {"problem.boundary": "published", "problem.lost": np.full(3, law.lost),
           "problem.reach": law.post_worth * np.array(SIZES) / law.offset},
    ]  # fmt: skip
    return of_parts([whole, *edges], "law_optimum", LOST, REACH, law)
