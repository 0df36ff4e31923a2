"""The linear model of early data exposure, solved in closed form.

from theory import predict
predict(alpha=0.2, t_ft=1.0)                    # four losses, defaults for the rest; numpy or JAX arrays broadcast
predict(exposure=[0.0, 0.5, 1.0])               # lambda in place of alpha and t_pre, as on the command line
"""

from typing import TYPE_CHECKING

from common.lazy import public

if TYPE_CHECKING:
    from common.losses import LOSSES as LOSSES
    from common.losses import Losses as Losses
    from common.recipe import Recipe as Recipe
    from common.settings import WrongUse as WrongUse
    from common.settings import config_hash as config_hash
    from theory.allocation import Optimum as Optimum
    from theory.api import exposure_curve as exposure_curve
    from theory.api import optimum as optimum
    from theory.api import predict as predict
    from theory.features import Blocks as Blocks
    from theory.features import Modes as Modes
    from theory.features import modes_from_blocks as modes_from_blocks
    from theory.features import modes_from_json as modes_from_json
    from theory.modes import evolve as evolve
    from theory.modes import learning_time as learning_time
    from theory.realise import Budget as Budget
    from theory.realise import realise as realise
    from theory.stages import Schedule as Schedule
    from theory.stages import Solution as Solution
    from theory.stages import solve as solve

__all__, __getattr__, __dir__ = public(
    __name__,
    {
        "common.losses": ("LOSSES", "Losses"),
        "common.recipe": ("Recipe",),
        "common.settings": ("WrongUse", "config_hash"),
        "theory.allocation": ("Optimum",),
        "theory.api": ("exposure_curve", "optimum", "predict"),
        "theory.features": ("Blocks", "Modes", "modes_from_blocks", "modes_from_json"),
        "theory.modes": ("evolve", "learning_time"),
        "theory.realise": ("Budget", "realise"),
        "theory.stages": ("Schedule", "Solution", "solve"),
    },
)
