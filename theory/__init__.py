"""The linear model of early data exposure, solved in closed form; the ground floor of the toolkit.

from theory import Recipe, predict
predict({"alpha": 0.2, "t_ft": 1.0})            # four losses, defaults for the rest; numpy or JAX arrays broadcast
"""

from theory.allocation import Budget, allocate, exposure_curve, optimum
from theory.features import Blocks, Modes, modes_from_blocks, modes_from_json
from theory.losses import LOSSES, Losses
from theory.modes import evolve, learning_time
from theory.recipe import Recipe
from theory.settings import WrongUse, config_hash
from theory.stages import Schedule, Solution, predict, solve

__all__ = [
    "LOSSES",
    "Blocks",
    "Budget",
    "Losses",
    "Modes",
    "Recipe",
    "Schedule",
    "Solution",
    "WrongUse",
    "allocate",
    "config_hash",
    "evolve",
    "exposure_curve",
    "learning_time",
    "modes_from_blocks",
    "modes_from_json",
    "optimum",
    "predict",
    "solve",
]
