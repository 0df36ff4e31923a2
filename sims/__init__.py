"""Simulations of full networks: what the closed forms of `theory` say must come out of gradient descent on matrices.

    from sims import Setup, simulate
    simulate(Setup(), alpha=0.2, t_ft=1.0).losses.loss_ret

`Setup` is what all runs of a batch share and is compiled (shapes, optimiser, kind of network); what may differ from run to run are
the same settings as in `theory.predict`, plus those of `sims.setup.Relaxations`.
"""

from typing import TYPE_CHECKING

from common.lazy import public

if TYPE_CHECKING:
    from sims.run import Simulation as Simulation
    from sims.run import report_diverged as report_diverged
    from sims.run import simulate as simulate
    from sims.setup import Setup as Setup

__all__, __getattr__, __dir__ = public(
    __name__, {"sims.run": ("Simulation", "report_diverged", "simulate"), "sims.setup": ("Setup",)}
)
