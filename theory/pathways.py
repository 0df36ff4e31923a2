"""The redundant-pathway model: one output that two correlated features can both serve, here with separate units.

    feature        input variance (pre, post, ft)    target (pre, post, ft)           strength
    inconsistent   1, 1, 1                           sigma_pre, sigma_post, sigma_ft  a
    specialised    0, 1, 0                           -, beta, -                       b

    L_pre  = (a - sigma_pre)^2        L_ft = (a - sigma_ft)^2
    L_post = (a - sigma_post)^2 + (b - beta)^2 + 2 chi (a - sigma_post)(b - beta)

Under D_post the two features are correlated by chi and feed the same output, so that at chi = 1 only the sum
S = sigma_post + beta is asked for: either pathway can supply it, and which one does is decided by what was learned first.
chi = 0 is exactly the plain model's pair of an inconsistent and a specialised mode. Here each pathway has a balanced unit of
its own, `d ln a/dt = -4 (G_a + mu)` and `d ln b/dt = -4 (G_b + mu)`, with G half the gradient of the stage's loss and mu its
weight decay; `theory.pathways_shared` lets both share one hidden direction.

What follows from it (docs/theory.md, section 3.7):
    crowding-out   once a has saturated, b grows at `4 alpha [beta (1 - alpha chi^2) + chi (1 - alpha)(sigma_post - sigma_pre)]`
                   in stage 1, but only at `4 beta (1 - chi^2)` in stage 2
    ratio law      at chi = 1 a plain stage 2 conserves a/b and a + b is logistic, so b -> S b1/(a1 + b1)
    latent gain    then loss_im = 0 whatever the exposure, while loss_ret -> (S - sigma_ft - b2)^2
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, is_jax, is_zero, namespace
from common.losses import Losses
from common.recipe import Anchored, Dropped
from common.settings import Settings, WrongUse, check, ranges, setting
from theory.pathways_flow import SEPARATE, Pull, flow
from theory.stages import Schedule
from theory.two_layer import SMALLEST_INIT, log_logistic


@dataclass(frozen=True, kw_only=True)
class Pathways(Settings):
    """Two features for one output. The defaults ask for 1 before and after, and for 2 in between."""

    sigma_pre: float = setting(1.0, low=0)
    """Target of the inconsistent pathway under D_pre."""
    sigma_post: float = setting(1.0, low=0)
    """Target of the inconsistent pathway under D_post; at correlation 1 only sigma_post + beta matters."""
    sigma_ft: float = setting(1.0, low=0)
    """Target of the inconsistent pathway under D_ft."""
    beta: float = setting(1.0, low=0)
    """Target of the specialised pathway under D_post."""
    correlation: float = setting(1.0, low=0, high=1)
    """chi: correlation of the two features under D_post; 0 is the plain model."""
    init_scale: float = setting(1e-3, low=SMALLEST_INIT)
    """Initial scale delta of the weights."""


@dataclass(frozen=True, kw_only=True)
class PathwayStages(Anchored, Dropped):
    """Interventions in stage 2 beside the replay and weight decay of `Schedule`; dropout acts as gamma = p/(1 - p)."""


@dataclass(frozen=True, kw_only=True)
class PathwaySchedule(PathwayStages, Schedule):
    """The schedule with the interventions of the redundant-pathway model, as one flat set of options."""


SETTINGS = (Pathways, PathwaySchedule)

DEFAULTS: dict[str, Any] = {field.name: field.default for cls in SETTINGS for field in fields(cls)}
"""Every setting of the redundant-pathway model with its default, the same for both variants."""

RANGES: dict[str, Mapping[str, Any]] = {name: bounds for cls in SETTINGS for name, bounds in ranges(cls).items()}
"""The admissible range of every setting."""


class Strengths(NamedTuple):
    """What the two pathways pass on: the effective linear map theta = (a, b)."""

    inconsistent: Float[Array, "*settings"]
    specialised: Float[Array, "*settings"]


class PathwaySolution(NamedTuple):
    """Strengths at the start and after each stage (unexpanded along axes they do not depend on), and the losses."""

    strengths: tuple[Strengths, Strengths, Strengths, Strengths]
    losses: Losses


def complete(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[int, ...]]:
    """All settings with defaults for the missing ones, checked, and their broadcast shape. Raises `WrongUse`."""
    if unknown := sorted(set(values) - set(DEFAULTS)):
        raise WrongUse(f"{unknown[0]} is no setting of the redundant-pathway model. Use {', '.join(DEFAULTS)}.")
    v = {**DEFAULTS, **values}
    for name, value in v.items():
        check(name, value, RANGES[name])
    return v, np.broadcast_shapes(*(np.shape(value) for value in v.values()))


def pretraining_pull(v: Mapping[str, Any]) -> Pull:
    """Stage 1: (1 - alpha) D_pre + alpha D_post."""
    return _mixture_pull(v, v["alpha"], v["decay_pre"])


def post_training_pull(v: Mapping[str, Any], start: Strengths, *, shared: bool) -> Pull:
    """Stage 2: (1 - replay) D_post + replay D_pre, with dropout and the penalty on leaving the start.

    Dropping hidden units adds `gamma sum_j |W1_j|^2 (W2 C W2^T)_jj`: with a unit each that is gamma (a^2 + c b^2), c the
    weight of D_post; with one unit for both also the cross term 2 gamma c chi a b.
    """
    pull = _mixture_pull(v, 1 - v["replay"], v["decay_post"])
    if not is_zero(v["dropout"]):
        gamma = v["dropout"] / (1 - v["dropout"])
        pull = pull._replace(
            m_aa=(1 + gamma) * pull.m_aa,
            m_ab=(1 + gamma) * pull.m_ab if shared else pull.m_ab,
            m_bb=(1 + gamma) * pull.m_bb,
        )
    if not is_zero(v["l2_to_start"]):
        weight = v["l2_to_start"]
        pull = pull._replace(
            m_aa=pull.m_aa + weight,
            m_bb=pull.m_bb + weight,
            r_a=pull.r_a + weight * start.inconsistent,
            r_b=pull.r_b + weight * start.specialised,
        )
    return pull


def fine_tuning_pull(v: Mapping[str, Any]) -> Pull:
    """Stage 3: D_ft, which sees the inconsistent feature only."""
    return Pull(1.0, 0.0, 0.0, v["sigma_ft"], 0.0, v["decay_ft"])


def _mixture_pull(v: Mapping[str, Any], post: Number, decay: Number) -> Pull:
    """`post` D_post + (1 - post) D_pre: M = [[1, post chi], [post chi, post]]."""
    chi = v["correlation"]
    cross = post * chi
    from_pre = (1 - post) * v["sigma_pre"]
    r_a = from_pre + post * (v["sigma_post"] + chi * v["beta"])
    return Pull(1.0, cross, post, r_a, post * (v["beta"] + chi * v["sigma_post"]), decay)


def pathway_losses(v: Mapping[str, Any], after_post: Strengths, after_ft: Strengths, shape: tuple[int, ...]) -> Losses:
    """The four losses of the two pathways; L_post as a sum of squares, so that it stays accurate near 0."""
    xp = namespace(*v.values())
    chi = v["correlation"]

    def on_post(theta: Strengths) -> Array:
        rest = theta.specialised - v["beta"]
        shared = theta.inconsistent - v["sigma_post"] + chi * rest
        return shared * shared + (1 - chi * chi) * (rest * rest)

    gap_ft, gap_pre = after_ft.inconsistent - v["sigma_ft"], after_ft.inconsistent - v["sigma_pre"]
    losses = Losses(on_post(after_post), on_post(after_ft), gap_ft * gap_ft, gap_pre * gap_pre)
    return Losses(*(xp.broadcast_to(loss, shape) for loss in losses))


class Logs(NamedTuple):
    """Natural logarithms of the strengths: what a stage passes on, because decay takes a strength below every float."""

    inconsistent: Number
    specialised: Number

    def exp(self) -> Strengths:
        """The strengths; 0 where they are below the smallest float."""
        xp = namespace(*self)
        return Strengths(*(xp.exp(log) for log in self))


def separate_stage(start: Logs, pull: Pull, time: Number) -> Logs:
    """One stage with separate units: in closed form where there is one, integrated elsewhere; always in (ln a, ln b).

    Closed forms:
        m_ab = 0                two logistics: stage 3, alpha = 0, or chi = 0
        m_aa = m_ab = m_bb      the ratio law: a/b conserved, a + b logistic (r_a = r_b, or the loss had no minimum)

    They are chosen setting by setting in numpy. JAX cannot look at a traced value: there only plain numbers select them.
    """
    if is_zero(pull.m_ab):
        return _apart(start, pull, time)
    square = pull.m_aa, pull.m_ab, pull.m_bb
    if is_jax(*start, *pull, time):
        plain = all(isinstance(entry, int | float) for entry in square)
        return (_tied if plain and len(set(square)) == 1 else _integrated)(start, pull, time)
    arrays = np.broadcast_arrays(*(np.asarray(value, dtype=float) for value in (*start, *pull, time)))
    shape = arrays[0].shape
    flat = np.stack(arrays).reshape(len(arrays), -1)
    m_aa, m_ab, m_bb = flat[2:5]
    apart = m_ab == 0
    tied = ~apart & (m_aa == m_ab) & (m_bb == m_ab)
    out = np.empty((2, flat.shape[1]))
    for where, solution in ((apart, _apart), (tied, _tied), (~(apart | tied), _integrated)):
        if where.any():
            a, b, *entries, duration = flat[:, where]
            out[:, where] = solution(Logs(a, b), Pull(*entries), duration)
    return Logs(out[0].reshape(shape), out[1].reshape(shape))


def _apart(start: Logs, pull: Pull, time: Number) -> Logs:
    log_a = log_logistic(start.inconsistent, pull.m_aa, pull.r_a - pull.decay, time)
    return Logs(log_a, log_logistic(start.specialised, pull.m_bb, pull.r_b - pull.decay, time))


def _tied(start: Logs, pull: Pull, time: Number) -> Logs:
    xp = namespace(*start, *pull, time)
    total = xp.logaddexp(*start)
    after = log_logistic(total, pull.m_aa, pull.r_a - pull.decay, time)
    return Logs(after + (start.inconsistent - total), after + (start.specialised - total))


def _integrated(start: Logs, pull: Pull, time: Number) -> Logs:
    return Logs(*flow(SEPARATE, start.inconsistent, start.specialised, pull, time))


def solve_separate(values: Mapping[str, Any]) -> PathwaySolution:
    """Strengths and losses with separate units.

    Args:
        values: any fields of `Pathways`, `Schedule` and `PathwayStages`, defaults for the rest; numbers or arrays that
            broadcast against one another (numpy, or JAX to differentiate). Both pathways start at init_scale^2.

    Returns:
        Four `Strengths` and `Losses` of the full broadcast shape. Each stage is solved only along the axes it depends on.
        Strengths are good to 1e-10, relative. Raises `WrongUse` for a name or value that does not exist.
    """
    v, shape = complete(values)
    xp = namespace(*v.values())
    seed = 2 * xp.log(xp.asarray(v["init_scale"], dtype=float))
    logs = [Logs(seed, seed)]
    logs.append(separate_stage(logs[-1], pretraining_pull(v), v["t_pre"]))
    pull = post_training_pull(v, logs[-1].exp(), shared=False)
    logs.append(separate_stage(logs[-1], pull, v["t_post"]))
    logs.append(separate_stage(logs[-1], fine_tuning_pull(v), v["t_ft"]))
    start, first, second, third = (stage.exp() for stage in logs)
    return PathwaySolution((start, first, second, third), pathway_losses(v, second, third, shape))


def predict_separate(values: Mapping[str, Any]) -> Losses:
    """The four losses with separate units; see `solve_separate`."""
    return solve_separate(values).losses
