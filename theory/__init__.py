"""The linear model of early data exposure, solved in closed form; the ground floor of the toolkit.

from common.recipe import Recipe
from theory import predict
predict({"alpha": 0.2, "t_ft": 1.0})            # four losses, defaults for the rest; numpy or JAX arrays broadcast
"""

from common.losses import LOSSES, Losses
from common.recipe import Recipe
from common.settings import WrongUse, config_hash
from theory.allocation import exposure_curve, optimum
from theory.features import Blocks, Modes, modes_from_blocks, modes_from_json
from theory.modes import evolve, learning_time
from theory.realise import Budget, realise
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
    "config_hash",
    "evolve",
    "exposure_curve",
    "learning_time",
    "modes_from_blocks",
    "modes_from_json",
    "optimum",
    "predict",
    "realise",
    "solve",
]
