"""What can be done beyond the plain three stages, as settings of the linear model.

    setting               acts in    how it is solved
    placement, window     stage 1    exact: one stage map for each piece of constant alpha (`common.placement`)
    dropout, dropout_ft   2, 3       exact (aligned), integrated (equal), exact limit (equalised); see `theory.dropout`
    l2_to_start           stage 2    exact: a pull towards the start of the stage
    rank, adapter_scale   stage 2    exact: an additive adapter, then trained together with the rest (`theory.low_rank`)
    stop_at               stage 2    exact map, stopping time by bisection (`theory.stopping`)

Replay, weight decay, leakage, finite stages and depth are fields of `Schedule` and `Blocks`. At their defaults all of these
are off and cost nothing. Combinations without a solution raise `WrongUse`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from common.arrays import Number, is_jax, is_zero
from common.placement import PLACEMENTS
from common.recipe import Adapted, Anchored, Dropped, Placed, Windowed
from common.settings import WrongUse, check_choice, check_rank, setting
from theory.features import Modes
from theory.two_layer import Drive, State

BASES = ("aligned", "equal", "equalised")


@dataclass(frozen=True, kw_only=True)
class Interventions(Anchored, Adapted, Dropped, Windowed, Placed):
    """Changes to the plain pipeline; the defaults change nothing. Those that a recipe has are declared in `common.recipe`."""

    dropout_ft: float = setting(0.0, low=0, high=0.99)
    """Probability with which a hidden unit is dropped in stage 3."""
    dropout_basis: Literal["aligned", "equal", "equalised"] = "aligned"
    """How modes lie in the hidden layer: a unit each; spread equally over all units; or equalised, the limit of an
    endless stage 2 in a generic basis (whatever the dropout; t_post is not used)."""
    width: int = setting(8, low=1)
    """Hidden units; matters only for dropout in a basis that is not aligned."""
    adapter_scale: float = setting(0.1, low=0, open_low=True)
    """Scale of the adapter's input factor at its start, like an ordinary weight matrix; the output factor starts at 0."""
    stop_at: float = setting(0.0, low=0)
    """Stage 2 stops when loss_im has fallen to this value, or at t_post; 0 never stops early."""

    def __post_init__(self) -> None:
        """Check ranges and names. Raises `WrongUse`."""
        super().__post_init__()
        check_choice("placement", self.placement, PLACEMENTS)
        check_choice("dropout_basis", self.dropout_basis, BASES)
        check_rank(self.rank)


OFF: dict[str, Any] = {field.name: field.default for field in fields(Interventions)}
"""Every intervention at its default: none."""


_SWITCHES = ("dropout", "dropout_ft", "l2_to_start", "stop_at", "replay", "decay_post")
"""Settings that are off at the plain number 0."""


def towards_start(drive: Drive, weight: Number, start: State) -> Drive:
    """L2 to the start of a stage, `lam (a - a_start)^2` a mode: c + lam, g + lam a_start, r + lam (s_ref - a_start).

    The end of a long stage is `(c s + lam a_start)/(c + lam)`; a mode with c = 0 stays where it is. Any depth and imbalance.
    Source: arXiv 2605.12705 App. C.3, with the signs of its Eq. 2 corrected.
    """
    if is_zero(weight):
        return drive
    return Drive(drive.variance + weight, drive.growth + weight * start.strength, drive.pull + weight * start.shortfall)


def refuse_impossible(v: Mapping[str, Any], modes: Modes) -> None:
    """Raise `WrongUse` for combinations that have no solution here, naming the settings and the remedy.

    Args:
        v: every field of `Schedule` and `Interventions`; arrays count as switched on unless they are plain zeros.
        modes: the problem.
    """
    on = {name for name in _SWITCHES if not is_zero(v[name])}
    dropped = sorted(on & {"dropout", "dropout_ft"})
    basis = v["dropout_basis"]
    check_choice("dropout_basis", basis, BASES)
    if basis == "equalised":  # a limit, whatever the probability, so that p = 0 is the limit p -> 0
        dropped = dropped or ["dropout_basis = equalised"]
    if v["rank"] is not None:
        if modes.depth != 2:
            _refuse("rank", f"depth = {modes.depth}", "Leave rank out or set depth to 2")
        most = modes.count.sum(0)
        if not is_jax(most) and np.any(v["rank"] > most):
            raise WrongUse(
                f"rank = {v['rank']} is more than the {np.min(most):g} modes. Use at most {np.min(most):g}, or leave rank out."
            )
        if clash := sorted(on & {"decay_post"} | set(dropped)):
            _refuse("rank", clash[0], f"Leave rank out or {clash[0]} off")
    if not dropped:
        return
    if modes.depth != 2:
        _refuse(dropped[0], f"depth = {modes.depth}", f"Leave {dropped[0]} off or set depth to 2")
    if basis == "aligned":
        return
    if "stop_at" in on:
        _refuse("stop_at", f"dropout_basis = {basis}", "Set stop_at to 0 or the basis to aligned")
    unequal = is_jax(modes.imbalance) or bool(np.any(modes.imbalance))
    others = sorted(on & {"dropout_ft", "l2_to_start", "replay", "decay_post"}) + ["imbalance"] * unequal
    if basis == "equalised" and others:
        _refuse("dropout_basis = equalised", others[0], f"Set {others[0]} to 0 or the basis to equal")
    if basis == "equal" and is_jax(*v.values(), *modes.sigma, *modes.variance, modes.strength):
        raise WrongUse("dropout_basis = equal is integrated by scipy, not traced. Pass numpy values, or use aligned.")
    total = modes.count.sum(0)
    if not is_jax(total, v["width"]) and np.any(total > v["width"]):
        raise WrongUse(
            f"width = {np.min(v['width']):g} is too narrow for {np.max(total):g} modes. "
            "A basis of the hidden layer needs at least as many units as modes: raise width or lower n."
        )


def _refuse(one: str, other: str, remedy: str) -> None:
    raise WrongUse(f"{one} together with {other} has no solution here. {remedy}.")
