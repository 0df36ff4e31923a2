"""The three-stage pipeline of the linear model, solved exactly (theory: "one stage is one map, a pipeline their composition").

    stage 1   pretraining     (1 - alpha) D_pre + alpha D_post        for t_pre
    stage 2   post-training   (1 - replay) D_post + replay D_pre      for t_post   -> loss_im
    stage 3   fine-tuning     D_ft                                    for t_ft     -> loss_ret, loss_ft, loss_pre

Source: arXiv 2605.12705 Sec. 5 and App. C; the mixture enters a mode only through its variance and its
variance-weighted target, so stage 1 teaches a specialised mode its full target beta at speed alpha (not alpha beta).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from theory.arrays import Array, Float, Number, is_jax, is_zero, namespace
from theory.features import Blocks, Modes, modes_from_blocks
from theory.losses import Losses, weighted_squares
from theory.modes import Drive, State, advance
from theory.settings import Settings, setting


@dataclass(frozen=True, kw_only=True)
class Schedule(Settings):
    """What is trained on, and for how long. Times are flow times: learning rate x steps."""

    alpha: float = setting(0.2, low=0, high=1)
    """Weight of D_post in the stage-1 mixture; 0 is unmixed."""
    t_pre: float = setting(20.0, low=0)
    """Flow time of stage 1."""
    t_post: float = setting(1.0, low=0)
    """Flow time of stage 2."""
    t_ft: float = setting(1.0, low=0)
    """Flow time of stage 3."""
    replay: float = setting(0.0, low=0, high=1)
    """Weight of D_pre in the stage-2 mixture."""
    decay_pre: float = setting(0.0, low=0)
    """Weight decay mu in stage 1: penalty mu (|W1|^2 + |W2|^2)."""
    decay_post: float = setting(0.0, low=0)
    """Weight decay mu in stage 2."""
    decay_ft: float = setting(0.0, low=0)
    """Weight decay mu in stage 3."""


class Solution(NamedTuple):
    """Mode strengths at the start and after each stage, and the losses at the end points."""

    strengths: tuple[
        Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."]
    ]
    losses: Losses


def mixture(modes: Modes, weights: Mapping[int, Number], weight_decay: Number = 0.0) -> Drive:
    """What a weighted mixture of tasks does to every mode.

    Args:
        modes: the problem.
        weights: task index (0 pre, 1 post, 2 ft) -> mixture weight.
        weight_decay: mu.

    Returns:
        `Drive(c, g, r)` with c = sum p c_t, g = sum p c_t s_t - mu, r = c s_post - g, summed so that r is exactly 0 where
        the tasks agree with D_post.
    """
    variance: Any = 0.0
    growth: Any = 0.0
    pull: Any = 0.0
    for task, weight in weights.items():
        share = modes.variance[task] if is_one(weight) else weight * modes.variance[task]
        variance = variance + share
        growth = growth + share * modes.sigma[task]
        if task != 1:
            pull = pull + share * (modes.sigma[1] - modes.sigma[task])
    if not is_zero(weight_decay):
        growth, pull = growth - weight_decay, pull + weight_decay
    return Drive(variance, growth, pull)


def is_one(weight: Number) -> bool:
    """Whether a mixture weight is the plain number one: that task alone."""
    return isinstance(weight, int | float) and bool(weight == 1)


def solve(modes: Modes, schedule: Mapping[str, Number]) -> Solution:
    """Strengths and losses of the three-stage pipeline.

    Args:
        modes: the problem; arrays with the modes leading.
        schedule: every field of `Schedule`, as numbers or arrays that broadcast against the settings' axes.

    Returns:
        Strengths of shape `(modes, *settings)` (unexpanded along axes they do not depend on) and losses of shape
        `(*settings)`, likewise.
    """
    v = schedule
    stages = (
        ({0: 1 - v["alpha"], 1: v["alpha"]}, v["t_pre"], v["decay_pre"]),
        ({1: 1.0} if is_zero(v["replay"]) else {0: v["replay"], 1: 1 - v["replay"]}, v["t_post"], v["decay_post"]),
        ({2: 1.0}, v["t_ft"], v["decay_ft"]),
    )
    state = State(modes.strength, modes.sigma[1] - modes.strength)
    states = [state]
    for weights, time, weight_decay in stages:
        drive = mixture(modes, weights, weight_decay)
        decaying = is_jax(weight_decay) or bool(np.any(weight_decay))
        state = advance(state, drive, time, depth=modes.depth, imbalance=modes.imbalance, decaying=decaying)
        states.append(state)
    weight_pre, weight_post, weight_ft = (modes.count * variance for variance in modes.variance)
    final = states[3].strength
    losses = Losses(
        loss_im=weighted_squares(weight_post, states[2].shortfall),
        loss_ret=weighted_squares(weight_post, states[3].shortfall),
        loss_ft=weighted_squares(weight_ft, final - modes.sigma[2]),
        loss_pre=weighted_squares(weight_pre, final - modes.sigma[0]),
    )
    first, second, third, fourth = (state.strength for state in states)
    return Solution((first, second, third, fourth), losses)


def predict(values: Mapping[str, Any]) -> Losses:
    """The four losses for a flat mapping of settings: any fields of `Blocks` and `Schedule`, defaults for the rest.

    Values may be numbers or arrays that broadcast against one another (numpy, or JAX to differentiate); `depth` may be an
    array in numpy only. The losses have the full broadcast shape.
    """
    v = {**DEFAULTS, **values}
    shape = np.broadcast_shapes(*(np.shape(value) for value in v.values()))
    if np.ndim(v["depth"]) > 0:
        return _by_depth(v, shape)
    xp = namespace(*v.values())
    losses = solve(modes_from_blocks(v, len(shape)), v).losses
    return Losses(*(xp.broadcast_to(loss, shape) for loss in losses))


def _by_depth(values: Mapping[str, Any], shape: tuple[int, ...]) -> Losses:
    """Solve once a depth, which selects the closed form and so cannot be an array inside it."""
    depth = np.broadcast_to(values["depth"], shape)
    out = Losses(*(np.empty(shape) for _ in Losses._fields))
    for value in np.unique(depth):
        here = depth == value
        for whole, part in zip(out, predict({**values, "depth": int(value)}), strict=True):
            whole[here] = np.broadcast_to(part, shape)[here]
    return out


DEFAULTS: dict[str, Any] = {field.name: field.default for cls in (Blocks, Schedule) for field in fields(cls)}
"""Every setting of the linear model with its default."""
