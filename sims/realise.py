"""What a recipe means for a simulated network: a setup to compile, and the settings of the runs."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from common.arrays import Number
from common.recipe import OFF, Recipe, cannot_realise
from common.settings import WrongUse
from sims.setup import Setup
from theory.realise import Budget
from theory.realise import realise as in_flow_time

COMPILED = ("placement", "rank")
"""Interventions that all runs of a batch share."""


def realise(
    recipe: Recipe,
    budget: Mapping[str, Number] | Budget,
    setup: Setup,
    varied: Mapping[str, Number] | None = None,
) -> tuple[Setup, dict[str, Any]]:
    """The setup with the recipe's compiled interventions, and the settings of the runs: flow times and weights as in the closed form.

    Args:
        recipe: how the capability is acquired.
        budget: flow times of the corpora.
        setup: the network; its steps are kept, so that a longer stage takes longer steps.
        varied: `exposure` or `replay` as arrays, one entry per run, in the place of the recipe's own.

    Raises:
        WrongUse: stage 1 cannot hold the exposure, or such a network cannot have an intervention.
    """
    values = in_flow_time(replace(recipe, rank=None), budget, varied=varied, engine="sims")
    values.pop("placement", None)
    changes: dict[str, Any] = {name: value for name in COMPILED if (value := getattr(recipe, name)) != OFF[name]}
    if "dropout" in values and setup.dropout_masks == "off":
        known = setup.activation == "linear" and setup.depth == 2 and recipe.rank is None
        changes["dropout_masks"] = "expected" if known else "sampled"
    if setup.pieces and (np.any(np.asarray(values["alpha"]) != 0) or recipe.placement != "uniform"):
        raise cannot_realise(
            "sims", "exposure", recipe.exposure, "the setup gives stage 1 in pieces of its own", "Leave pieces out"
        )
    try:
        return replace(setup, **changes), values
    except WrongUse as error:
        name, value = next(iter(changes.items()), ("exposure", recipe.exposure))
        raise cannot_realise("sims", name, value, str(error).rstrip("."), "Change the recipe or the network") from error
