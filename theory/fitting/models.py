"""What is fitted: the models' parameters with their bounds, and their losses before the affine map.

Stage 1 sees lambda of |D_post| at rate `pace` (flow time a 100M tokens) times `step_ratio`, on top of `pre_time` of D_pre.
Where the split is compute-matched, stage 2 lasts (1 - lambda) |D_post| at that rate. Where it is independent (the paper
trains until early stopping) its length is fitted: `t_post_<size>`, one for every size or, between two of them, by a power
of the size.

Strengths times times is all that matters, losses being known up to a scale, so `sigma_post` may be held at 1 as the unit of
strength; leaving it free adds a parameter that explains nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from common.arrays import Array, Float, namespace
from common.losses import Losses
from common.recipe import Recipe
from common.settings import WrongUse
from theory.features import Modes
from theory.fitting.points import Points
from theory.fitting.spectrum import Spectrum, power_law
from theory.models import MODELS
from theory.realise import realise
from theory.stages import DEFAULTS, predict, solve

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
