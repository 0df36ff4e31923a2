"""What is fitted: the models' parameters with their bounds, and their losses before the affine map.

Stage 1 sees lambda of |D_post| at rate `pace` (flow time a 100M tokens) times `step_ratio`, on top of `pre_time` of D_pre.
Where the split is compute-matched, stage 2 lasts (1 - lambda) |D_post| at that rate. Where it is independent (the paper
trains until early stopping) its length is fitted: `t_post_<size>`, one for every size or, between two of them, by a power
of the size.

Strengths times times is all that matters, losses being known up to a scale, so `sigma_post` may be held at 1 as the unit of
strength; leaving it free adds a parameter that explains nothing.

A spectrum of specialised features: the r-th most frequent one has strength r^-p and frequency r^-q of the first.

    target     beta_r = beta r^-p          (in the redundant-pathway models all targets of the r-th pair scale with r^-p)
    variance   c_r = r^-q under D_post     (1 for the first, as in the model without a spectrum)

Why a variance is a frequency: a feature of frequency f is present in a fraction f of the samples, and contributes in
proportion to the gradient flow, `da/dt = 4 c a (s - a)`, and to the loss, `c (a - s)^2`. A corpus of N tokens is expected to
hold it N f times. Flow on a mixture only ever sees the product of weight, variance and time, so the exposure of feature r in
stage 1 is `c_r x lambda N pace`, its expected count in what stage 1 sees of the corpus, and `c_r t_post` in stage 2. A
feature is learned once its exposure passes `ln(beta_r/delta^2)/(4 beta_r)`; the ranks for which it does grow with the
exposure as a power, so a larger corpus teaches more and rarer features. There is no cut-off at a count of one: what is too
rare to be learned in any stage is a constant that the floor takes up.

D_pre and D_ft do not see specialised features. In the redundant-pathway models every specialised feature has a general
partner, whose variance under D_pre and D_ft stays 1: what is rare is its use in D_post. Pairs do not share outputs, so they stay
independent of each other, and each is the ordinary model with its D_post times multiplied by c_r and its targets by r^-p.

Hundreds of ranks are taken in groups: the first few singly, then each edge two fifths beyond the last, a group standing at the
geometric mean of its ranks. p and q are the two parameters. One group, or p and q large, is the model without a spectrum.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, namespace
from common.losses import Losses
from common.recipe import Recipe
from common.settings import WrongUse
from theory.features import Modes
from theory.fitting.points import Points
from theory.models import MODELS
from theory.realise import realise
from theory.stages import DEFAULTS, predict, solve

GROUPS = 16
"""Groups of ranks; together they reach to rank 307 (our choice: the integrated models cost in proportion)."""

WIDENING = 1.4
"""Ratio of consecutive edges; losses differ by a few hundredths from those of single ranks (tested)."""


class Ranks(NamedTuple):
    """Groups of ranks."""

    rank: Float[np.ndarray, "groups"]
    """Geometric mean of the ranks in the group."""
    size: Float[np.ndarray, "groups"]
    """How many features the group stands for."""


def ranks(groups: int = GROUPS, widening: float = WIDENING) -> Ranks:
    """Consecutive groups of the ranks 1, 2, 3, ...

    Args:
        groups: how many; 1 is the first rank alone.
        widening: ratio of consecutive edges, once groups hold more than one rank; 1 keeps every rank single.

    Raises:
        WrongUse: fewer than one group.
    """
    if groups < 1:
        raise WrongUse(f"groups = {groups} of a spectrum is too few. Choose at least 1.")
    edges = [1]
    for _ in range(groups):
        edges.append(max(edges[-1] + 1, round(edges[-1] * widening)))
    middle = [np.exp(np.mean(np.log(np.arange(low, high)))) for low, high in pairwise(edges)]
    return Ranks(np.array(middle), np.diff(edges).astype(float))


class Spectrum(NamedTuple):
    """Features by rank, the ranks leading; the axes behind them broadcast against the settings."""

    strength: Float[Array, "groups ..."]
    """r^-p: target, as a fraction of the first feature's."""
    frequency: Float[Array, "groups ..."]
    """r^-q: variance under D_post, as a fraction of the first feature's."""
    size: Float[np.ndarray, "groups ..."]
    """Features that the group stands for."""


def power_law(strength_decay: Number, frequency_decay: Number, groups: int = GROUPS) -> Spectrum:
    """The spectrum with exponents p and q, numbers or arrays over settings (numpy, or JAX to differentiate)."""
    made = ranks(groups)
    xp = namespace(strength_decay, frequency_decay)
    ndim = max(np.ndim(strength_decay), np.ndim(frequency_decay))
    log_rank = np.log(made.rank).reshape(-1, *(1,) * ndim)
    return Spectrum(
        xp.exp(-strength_decay * log_rank), xp.exp(-frequency_decay * log_rank), made.size.reshape(-1, *(1,) * ndim)
    )


HUNDRED_MILLION = 1e8

Bounds = dict[str, tuple[float, float]]

BOUNDS: Bounds = {
    "sigma_post": (0.05, 5.0),
    "pre_over_post": (1e-3, 1.0),
    "ft_over_post": (1e-3, 1.0),
    "beta": (0.05, 5.0),
    "init_scale": (1e-4, 0.3),
    "pre_time": (0.1, 300.0),
    "t_ft": (1e-3, 30.0),
    "pace": (1e-2, 300.0),
    "step_ratio": (0.02, 50.0),
}
"""Nonlinear parameters of the plain model with all its strengths free, and their bounds.

The targets of the inconsistent mode under D_pre and D_ft are fractions of the one under D_post (Definition C.3)."""
TIME_BOUNDS = (1e-2, 300.0)
"""Of every `t_post_<size>`."""

HELD = {"sigma_post": 1.0}
"""What the families below hold: the unit of strength."""

PLAIN: Bounds = {name: bound for name, bound in BOUNDS.items() if name not in HELD} | {"beta": (0.01, 30.0)}
"""The plain model in that unit."""

PATHWAY: Bounds = PLAIN | {"pre_over_post": (1e-2, 3.0), "ft_over_post": (1e-3, 3.0), "uncorrelated": (1e-4, 1.0)}
"""The redundant-pathway models: `uncorrelated` is 1 - chi, and sigma_pre may exceed sigma_post (at chi = 1 only
sigma_post + beta has a meaning)."""

EXPONENTS: Bounds = {"strength_decay": (1e-2, 4.0), "frequency_decay": (1e-2, 8.0)}
"""p and q of a spectrum."""


DIRECT: tuple[str, ...] = ("sigma_post", "beta", "init_scale", "t_ft", "uncorrelated")
"""Parameters that a model takes as they are."""


@dataclass(frozen=True)
class Family:
    """A model as something to fit."""

    name: str
    bounds: Bounds
    losses: Callable[[Mapping[str, Any], Mapping[str, Any], Spectrum | None], Losses]
    """Problem, stages and spectrum to the losses; the arrays of both have the axes of the rows last."""
    screened: int
    """Random points tried before any is refined; fewer where a solution is integrated."""
    integrated: bool
    """Whether solutions are integrated rather than in closed form, so that compiling pays for values too."""


def _plain(problem: Mapping[str, Any], stages: Mapping[str, Any], spectrum: Spectrum | None) -> Losses:
    """One inconsistent mode, and one specialised mode or a spectrum of them: closed form, modes independent."""
    if spectrum is None:
        return predict({"n": 2, "k": 1, **problem, **stages})
    xp = namespace(*problem.values(), *stages.values(), *spectrum)
    one, none = xp.ones_like(spectrum.strength[:1]), xp.zeros_like(spectrum.strength)

    def rows(first: Any, others: Array) -> Array:
        shape = np.broadcast_shapes(np.shape(first), others.shape[1:])
        return xp.concatenate([xp.broadcast_to(first, (1, *shape)), xp.broadcast_to(others, (others.shape[0], *shape))])

    alone = rows(1.0, none)
    modes = Modes(
        variance=(alone, rows(1.0, spectrum.frequency), alone),
        sigma=(
            rows(problem["sigma_pre"], none),
            rows(problem["sigma_post"], problem["beta"] * spectrum.strength),
            rows(problem["sigma_ft"], none),
        ),
        count=rows(1.0, spectrum.size * one),
        strength=xp.asarray(problem["init_scale"] ** 2)[None],
    )
    schedule = {**DEFAULTS, **stages, "t_ft": problem["t_ft"]}
    return solve(modes, schedule).losses


def _pathways(model: str) -> Callable[[Mapping[str, Any], Mapping[str, Any], Spectrum | None], Losses]:
    def losses(problem: Mapping[str, Any], stages: Mapping[str, Any], spectrum: Spectrum | None) -> Losses:
        """One pair of pathways, or one a rank: its D_post times scale with its frequency, its targets with its strength."""
        pair = {name: value for name, value in problem.items() if name != "uncorrelated"}
        pair["correlation"] = 1 - problem["uncorrelated"]
        if spectrum is None:
            return MODELS[model].predict({**pair, **stages})
        pair |= {name: pair[name] * spectrum.strength for name in ("sigma_pre", "sigma_post", "sigma_ft", "beta")}
        pre, post = (1 - stages["alpha"]) * stages["t_pre"], stages["alpha"] * stages["t_pre"] * spectrum.frequency
        each = {"alpha": post / (pre + post), "t_pre": pre + post, "t_post": stages["t_post"] * spectrum.frequency}
        found = MODELS[model].predict({**pair, **stages, **each})
        weight = spectrum.size * spectrum.frequency
        return Losses(*((weight * loss).sum(0) for loss in found))

    return losses


FAMILIES: dict[str, Family] = {
    "plain": Family("plain", PLAIN, _plain, 20_000, False),
    "rp": Family("rp", PATHWAY, _pathways("rp"), 400, True),
    "rp-shared": Family("rp-shared", PATHWAY, _pathways("rp-shared"), 400, True),
}
"""The models that can be fitted, by name."""


def family_named(name: str) -> Family:
    """The family of that name. Raises `WrongUse`."""
    if name not in FAMILIES:
        raise WrongUse(f"model = {name!r} is not known. Choose one of {', '.join(FAMILIES)}.")
    return FAMILIES[name]


def own_time(size: float) -> str:
    """Name of the stage-2 time that belongs to a size of D_post in tokens."""
    return f"t_post_{size / 1e6:.0f}M"


def model_losses(
    values: Mapping[str, Any], points: Points, model: str = "plain", groups: int = 1
) -> Float[Array, "*starts rows 2"]:
    """loss_im and loss_ret of a model before the affine map.

    Args:
        values: its parameters. They may carry axes of starts before a last axis of length one.
        points: where to evaluate; the losses in them are not used.
        model: a name in `FAMILIES`.
        groups: of the spectrum's ranks, where the values have its exponents.
    """
    exposure, tokens, splits, where = points.cells
    xp = namespace(*values.values())
    v = {name: xp.expand_dims(value, -1) if np.ndim(value) else value for name, value in values.items()}
    pass_time = tokens / HUNDRED_MILLION * v["pace"]
    budget = {"pre_time": v["pre_time"], "post_time": pass_time, "step_ratio": v["step_ratio"]}
    stages = realise(Recipe(), budget, varied={"exposure": exposure})
    rest = np.maximum(1 - exposure, 0.0) * pass_time  # what is left where exposure exceeds one pass is never asked for
    stages["t_post"] = xp.where(splits == 1, rest, _free_time(v, tokens))
    problem: dict[str, Any] = {name: v[name] for name in DIRECT if name in v}
    problem |= {f"sigma_{task}": v[f"{task}_over_post"] * v["sigma_post"] for task in ("pre", "ft")}
    spectrum = None
    if "strength_decay" in v:
        spectrum = power_law(xp.atleast_2d(v["strength_decay"]), xp.atleast_2d(v["frequency_decay"]), groups)
    found = family_named(model).losses(problem, stages, spectrum)
    return xp.stack([found.loss_im[..., *where], found.loss_ret[..., *where]], axis=-1)


def _free_time(values: Mapping[str, Any], tokens: Float[np.ndarray, "cells 1"]) -> Array | float:
    """Length of an independent stage 2: of its size, or log-log between the sizes that have one (1 if none has)."""
    knots = sorted((float(name[7:-1]) * 1e6, name) for name in values if name.startswith("t_post_"))
    if not knots:
        return 1.0
    xp = namespace(*values.values())
    sizes = np.log([size for size, _ in knots])
    log_time: Any = 0.0
    for unit, (_, name) in zip(np.eye(len(knots)), knots, strict=True):
        log_time = log_time + np.interp(np.log(tokens), sizes, unit) * xp.log(values[name])
    return xp.exp(log_time)
