"""Simulations of full networks: what the closed forms of `theory` say must come out of gradient descent on matrices.

    from sims import Setup, simulate
    simulate(Setup(), {"alpha": 0.2, "t_ft": 1.0}).losses.loss_ret

`Setup` is what all runs of a batch share and is compiled (shapes, optimiser, kind of network); the mapping holds what may differ from
run to run: the same settings as in `theory.predict`, plus those of `sims.setup.Relaxations`.
"""

from sims.run import Simulation, simulate
from sims.setup import Setup

__all__ = ["Setup", "Simulation", "simulate"]
