"""Stages 2 and 3 of the pipeline with their interventions, as maps of the modes.

    stage 2   (1 - replay) D_post + replay D_pre, with weight decay, dropout, a pull to the start, or a low-rank adapter
    stage 3   D_ft, with weight decay or dropout

Whatever acts on a mode by itself changes its drive (c, g, r) and keeps the closed form: replay, weight decay, aligned dropout and
the pull to the start combine freely. What couples modes, or conserves no imbalance, is integrated (`theory.factors`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from common.arrays import Number, is_jax, is_zero
from common.losses import weighted_squares
from common.settings import WrongUse
from theory.dropout import aligned_dropout, equalised, threshold
from theory.factors import Noise, decayed, dropped
from theory.features import Modes
from theory.interventions import towards_start
from theory.low_rank import Part, adapt, adapted_modes
from theory.modes import Drive, State, advance
from theory.stopping import check_monotone, stopping_time
from theory.two_layer import LOST


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


def post_training(modes: Modes, v: Mapping[str, Any], state: State) -> list[Part]:
    """Stage 2 from a state, as parts of the modes: one, or two where an adapter trains only some of them.

    Args:
        modes: the problem.
        v: every field of `Schedule` and `Interventions`.
        state: after stage 1.
    """
    replay, decay = v["replay"], v["decay_post"]
    weights = {1: 1.0} if is_zero(replay) else {0: replay, 1: 1 - replay}
    task = mixture(modes, weights)
    full = towards_start(task, v["l2_to_start"], state)

    if v["dropout_basis"] == "equalised":
        level = threshold(modes.sigma[1], modes.count, v["dropout"], v["width"])
        return [Part(modes.count, equalised(state, full, modes.sigma[1], level), modes.imbalance)]

    if v["rank"] is None:

        def run(time: Number) -> list[Part]:
            return [_stage(modes, v, Part(modes.count, state, modes.imbalance), full, time, decay, v["dropout"], task)]

    else:
        taken = adapted_modes(state, full, v["rank"], modes.count)

        def run(time: Number) -> list[Part]:
            after, kappa = adapt(state, full, time, scale=v["adapter_scale"], imbalance=modes.imbalance)
            return [Part(modes.count - taken, state, modes.imbalance), Part(taken, after, kappa)]

    if is_zero(v["stop_at"]):
        after = run(v["t_post"])
        if v["dropout_basis"] == "equal" and not is_zero(v["dropout"]):
            _refuse_lost(modes, v, state, after[0])
        return after
    weight = modes.variance[1]
    if not all(is_zero(v[name]) for name in ("replay", "decay_post", "dropout", "l2_to_start")):
        seen = weight * (v["stop_at"] > 0)  # where nothing stops early, any path will do
        check_monotone((seen * state.shortfall, seen * part.state.shortfall) for part in run(v["t_post"]))

    def loss(time: Any) -> Any:
        return sum(weighted_squares(part.multiplicity * weight, part.state.shortfall) for part in run(time))

    return run(stopping_time(loss, v["stop_at"], v["t_post"]))


def _refuse_lost(modes: Modes, v: Mapping[str, Any], before: State, after: Part) -> None:
    """Raise `WrongUse` where coupled modes have sunk below every float and fine-tuning would let them regrow."""
    alive = np.asarray(before.strength) > 0 if before.log is None else before.log > -np.inf
    seen = (modes.variance[2] * modes.sigma[2] > 0) & (np.asarray(v["t_ft"]) > 0)
    if np.any(alive & seen & (np.hypot(after.imbalance, 2 * after.state.strength) < LOST)):
        raise WrongUse(
            f"decay_post = {np.max(v['decay_post']):g} and dropout = {np.max(v['dropout']):g} take a mode below every number, from where "
            "stage 3 cannot let it regrow in dropout_basis = equal. Lower decay_post, dropout or t_post, set t_ft to 0, or use the "
            "aligned basis."
        )


def fine_tuning(modes: Modes, v: Mapping[str, Any], part: Part) -> Part:
    """Stage 3 of some modes; see `post_training`."""
    task = mixture(modes, {2: 1.0})
    return _stage(modes, v, part, task, v["t_ft"], v["decay_ft"], v["dropout_ft"], task)


def _stage(
    modes: Modes,
    v: Mapping[str, Any],
    part: Part,
    drive: Drive,
    time: Number,
    decay: Number,
    dropout: Number,
    task: Drive,
) -> Part:
    """One stage with weight decay and dropout: in closed form, or integrated where there is none.

    `drive` has neither; `task` is the mixture alone, without the pull towards the start, whose variance dropout acts on.
    """
    state, kappa = part.state, part.imbalance
    decaying = is_jax(decay) or bool(np.any(decay))
    basis = "aligned" if is_zero(dropout) else v["dropout_basis"]
    unequal = kappa is not modes.imbalance and (is_jax(kappa) or bool(np.any(kappa)))  # from an intervention in stage 2
    if basis == "equal":
        noise = Noise(dropout / (1 - dropout), task.variance, part.multiplicity, v["width"])
        return Part(part.multiplicity, *dropped(state, drive, time, imbalance=kappa, decay=decay, noise=noise))
    if decaying and unequal:
        return Part(part.multiplicity, *decayed(state, drive, time, imbalance=kappa, decay=decay))
    drive = aligned_dropout(drive, dropout, task.variance, modes.sigma[1])
    if not is_zero(decay):
        drive = Drive(drive.variance, drive.growth - decay, drive.pull + decay)
    return part._replace(state=advance(state, drive, time, depth=modes.depth, imbalance=kappa, decaying=decaying))
