"""The three-stage pipeline of the linear model, solved exactly (docs/theory.md, section 1.5).

    stage 1   pretraining     (1 - alpha) D_pre + alpha D_post        for t_pre
    stage 2   post-training   (1 - replay) D_post + replay D_pre      for t_post   -> loss_im
    stage 3   fine-tuning     D_ft                                    for t_ft     -> loss_ret, loss_ft, loss_pre

Source: arXiv 2605.12705 Sec. 5 and App. C; the mixture enters a mode only through its variance and its
variance-weighted target, so stage 1 teaches a specialised mode its full target beta at speed alpha (not alpha beta).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, is_jax, namespace
from common.losses import Losses, weighted_squares
from common.placement import Piece, check_pieces, placed
from common.recipe import Replayed
from common.settings import setting
from theory.features import Blocks, Modes, modes_from_blocks
from theory.interventions import OFF, Interventions, refuse_impossible
from theory.low_rank import Part, mean_strength
from theory.modes import State, advance
from theory.stage_maps import fine_tuning, is_one, mixture, post_training

__all__ = ["DEFAULTS", "PlainSchedule", "Schedule", "Solution", "is_one", "mixture", "predict", "solve"]


@dataclass(frozen=True, kw_only=True)
class Schedule(Replayed):
    """What is trained on, and for how long. Times are flow times: learning rate x steps.

    Example:
        >>> from dataclasses import asdict
        >>> solution = solve(modes_from_blocks(DEFAULTS), asdict(Schedule(t_ft=5.0)))
        >>> float(solution.losses.loss_ret.round(3))
        1.0
    """

    alpha: float = setting(0.2, low=0, high=1)
    """Weight of D_post in the stage-1 mixture; 0 is unmixed."""
    t_pre: float = setting(20.0, low=0)
    """Flow time of stage 1."""
    t_post: float = setting(1.0, low=0)
    """Flow time of stage 2."""
    t_ft: float = setting(1.0, low=0)
    """Flow time of stage 3."""
    decay_pre: float = setting(0.0, low=0)
    """Weight decay mu in stage 1: penalty mu (|W1|^2 + |W2|^2)."""
    decay_post: float = setting(0.0, low=0)
    """Weight decay mu in stage 2."""
    decay_ft: float = setting(0.0, low=0)
    """Weight decay mu in stage 3."""


@dataclass(frozen=True, kw_only=True)
class PlainSchedule(Interventions, Schedule):
    """The schedule of the plain model with all its interventions: what a recipe means there, as one flat set of options."""


class Solution(NamedTuple):
    """Mode strengths at the start and after each stage, and the losses at the end points.

    Example:
        >>> start, pre, post, ft = solve(modes_from_blocks(DEFAULTS), DEFAULTS).strengths
        >>> post.round(3).tolist()
        [3.0, 1.393, 0.888]
    """

    strengths: tuple[
        Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."], Float[Array, "modes ..."]
    ]
    losses: Losses

    def to_pandas(self, **settings: Any) -> Any:
        """A data frame with a row per mode and setting: mode, then its strength at the start and after each stage. Raises `WrongUse`."""
        from common.frames import frame

        modes = np.arange(len(self.strengths[1])).reshape(-1, *(1,) * (np.ndim(self.strengths[3]) - 1))
        return frame(
            {"mode": modes, **settings, **dict(zip(("start", "pre", "post", "ft"), self.strengths, strict=True))}
        )


def solve(modes: Modes, schedule: Mapping[str, Any], pieces: Sequence[Piece] | None = None) -> Solution:
    """Strengths and losses of the three-stage pipeline.

    Args:
        modes: the problem; arrays with the modes leading.
        schedule: every field of `Schedule`, and any of `Interventions`, as numbers or arrays that broadcast against the
            settings' axes.
        pieces: stage 1 as pieces of constant mixture, in order, instead of `alpha` and `placement`.

    Returns:
        Strengths of shape `(modes, *settings)` (unexpanded along axes they do not depend on; of a row that an adapter
        trains only in part, the mean) and losses of shape `(*settings)`, likewise. Raises `WrongUse` for combinations of
        interventions without a solution.

    Example:
        >>> solution = solve(modes_from_blocks(DEFAULTS), DEFAULTS)
        >>> float(solution.strengths[1][1].round(3))
        0.6
    """
    v = {**OFF, **schedule}
    refuse_impossible(v, modes)
    if pieces is None:
        pieces = placed(v["placement"], v["alpha"], v["window"])
    else:
        check_pieces(pieces)
    start = state = State(modes.strength, modes.sigma[1] - modes.strength)
    for fraction, alpha in pieces:
        weights = {0: 1 - alpha, 1: alpha}
        time = v["t_pre"] if is_one(fraction) else fraction * v["t_pre"]
        weight_decay = v["decay_pre"]
        decaying = is_jax(weight_decay) or bool(np.any(weight_decay))
        drive = mixture(modes, weights, weight_decay)
        state = advance(state, drive, time, depth=modes.depth, imbalance=modes.imbalance, decaying=decaying)
    second = post_training(modes, v, state)
    third = [fine_tuning(modes, v, part) for part in second]

    def loss(task: int, parts: list[Part]) -> Any:
        gaps = (part.state.shortfall if task == 1 else part.state.strength - modes.sigma[task] for part in parts)
        terms = [
            weighted_squares(part.multiplicity * modes.variance[task], gap)
            for part, gap in zip(parts, gaps, strict=True)
        ]
        return terms[0] if len(terms) == 1 else sum(terms)

    losses = Losses(loss(1, second), loss(1, third), loss(2, third), loss(0, third))
    after = [mean_strength(parts, modes.count) for parts in (second, third)]
    return Solution((start.strength, state.strength, after[0], after[1]), losses)


def predict(values: Mapping[str, Any], pieces: Sequence[Piece] | None = None) -> Losses:
    """The four losses for a flat mapping of settings: fields of `Blocks`, `Schedule` and `Interventions`, defaults for the rest.

    Values may be numbers or arrays that broadcast against one another (numpy, or JAX to differentiate); `depth` may be an
    array in numpy only. The losses have the full broadcast shape. `pieces` is stage 1 as in `solve`.
    """
    v = {**DEFAULTS, **OFF, **values}
    own = [value for piece in pieces or () for value in piece]
    shape = np.broadcast_shapes(*(np.shape(value) for value in (*v.values(), *own)))
    if np.ndim(v["depth"]) > 0:
        return _by_depth(v, shape, pieces)
    xp = namespace(*v.values(), *own)
    losses = solve(modes_from_blocks(v, len(shape)), v, pieces).losses
    return Losses(*(xp.broadcast_to(loss, shape) for loss in losses))


def _by_depth(values: Mapping[str, Any], shape: tuple[int, ...], pieces: Sequence[Piece] | None) -> Losses:
    """Solve once a depth, which selects the closed form and so cannot be an array inside it."""
    depth = np.broadcast_to(values["depth"], shape)
    out = Losses(*(np.empty(shape) for _ in Losses._fields))
    for value in np.unique(depth):
        here = depth == value
        for whole, part in zip(out, predict({**values, "depth": int(value)}, pieces), strict=True):
            whole[here] = np.broadcast_to(part, shape)[here]
    return out


DEFAULTS: dict[str, Any] = {field.name: field.default for cls in (Blocks, Schedule) for field in fields(cls)}
"""Every setting of the plain model with its default; interventions are off (`theory.interventions.OFF`)."""
