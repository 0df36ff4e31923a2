"""A model fitted to a lambda study, with everything that tells what the fit is worth, as plain data.

Fits are nested where models are: the plain fit is a start of `rp`, whose uncorrelated pair it is, and the fit without a
spectrum a start of the one with.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.arrays import Float
from theory.fitting import prediction
from theory.fitting.intervals import at_bounds, bootstrap
from theory.fitting.models import EXPONENTS, HELD, Bounds, family_named
from theory.fitting.outcome import Fit, aicc
from theory.fitting.points import SPLITS, Points
from theory.fitting.solver import Effort, Problem, best_fit, with_times
from theory.fitting.spectrum import GROUPS

GUESSES = ({"strength_decay": 0.1, "frequency_decay": 1.0}, {"strength_decay": 4.0, "frequency_decay": 8.0})
"""Exponents with which a fit without a spectrum becomes a start of one with: nearly equal strengths and Zipf's frequencies,
and so steep that only the first feature is left, which makes the fit with a spectrum as good as the one without."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to fit and how much to find out."""

    starts: int = 5
    seed: int = 0
    replicates: int = 20
    """Of the bootstrap."""
    groups: int = GROUPS
    """Groups of ranks of a spectrum."""
    equal_steps: bool = False
    """Hold step_ratio at 1."""

    def effort(self, screened: int, starts: int) -> Effort:
        """Enough where starts are well spread: twenty evaluations show which one wins, and it alone goes on."""
        return Effort(starts=starts, screened=screened, evaluations=(20, 60), tolerances=(1e-4, 1e-7), finals=1)


@dataclass(frozen=True)
class Assessment:
    """One model's fit, and what there is to say of it."""

    method: str
    """The model, with `+spectrum` where it has one."""
    fit: Fit
    report: dict[str, Any]
    """Plain data: parameters, intervals, errors."""


def method_name(model: str, spectrum: bool) -> str:
    """How a model is called in tables."""
    return f"{model}+spectrum" if spectrum else model


def problem_for(points: Points, model: str, spectrum: bool, options: Options) -> Problem:
    """The problem of fitting a model; what the points cannot decide is held, and not counted."""
    family = family_named(model)
    bounds: Bounds = family.bounds | (EXPONENTS if spectrum else {})
    held = dict(HELD)
    if options.equal_steps or not (points.matched == 1).any():
        held["step_ratio"] = 1.0  # without a compute-matched half only its product with pace acts
        bounds = {name: bound for name, bound in bounds.items() if name != "step_ratio"}
    groups = options.groups if spectrum else 1
    return Problem(points, with_times(bounds, points, every=False), held, model, groups, family.integrated)


def work(points: Points, model: str, spectra: tuple[bool, ...], options: Options) -> int:
    """Refinements that `assess` will carry out, for a progress bar."""
    halves = 2 if len(np.unique(points.matched)) == 2 else 0
    total = 0
    for spectrum in (False, True):
        extra = len(GUESSES) if spectrum else int(model == "rp")
        starts = _starts(options, spectrum)
        total += (spectrum in spectra or not spectrum) * (starts + extra + 1)
        crossed = halves * (_crossed(starts) + len(GUESSES) * int(spectrum) + 1)
        total += crossed * (spectrum in spectra or (not spectrum and True in spectra))
        total += (spectrum in spectra) * (_predictable(points) + options.replicates)
    return total + (model == "rp") * (options.starts + 1)


def assess(
    points: Points,
    model: str,
    spectra: tuple[bool, ...],
    options: Options,
    done: Callable[[int], object] = lambda _: None,
) -> list[Assessment]:
    """Fit a model without a spectrum, with one, or both, and find out what the fits are worth.

    Args:
        points: the curves.
        model: a name in `theory.fitting.models.FAMILIES`.
        spectra: which of False and True to report.
        options: how.
        done: told of every refinement.
    """
    also: list[dict[str, float]] = []
    if model == "rp":
        plain = problem_for(points, "plain", False, options)
        best = best_fit(plain, options.effort(family_named("plain").screened, options.starts), options.seed, done=done)
        also = [plain.values(best) | {"uncorrelated": 1.0}]
    known: dict[str, list[dict[str, float]]] = {split: [] for split in SPLITS}
    both = len(np.unique(points.matched)) == 2
    made = []
    for spectrum in (False, True) if True in spectra else (False,):
        began = time.perf_counter()
        problem = problem_for(points, model, spectrum, options)
        screened, starts = family_named(model).screened // (4 if spectrum else 1), _starts(options, spectrum)
        best = best_fit(problem, options.effort(screened, starts), options.seed, also=also, done=done)
        found = problem.finish(problem.values(best))
        crossed: dict[str, Any] = {}
        for split in SPLITS if both else ():
            effort = replace(options.effort(screened, _crossed(starts)), evaluations=(15, 25))
            got = prediction.cross(problem, split, effort, options.seed, also=known[split], done=done)
            crossed[split] = {name: value for name, value in got._asdict().items() if name != "loss"}
            if split == SPLITS[0]:
                crossed[split]["forgetting"] = drops(points, got.loss)
            known[split] = [got.values | guess for guess in GUESSES]
        also = [found.values | guess for guess in GUESSES]
        if spectrum in spectra:
            report = describe(problem, found) | {"cross": crossed}
            report["leave_one_curve_out"] = prediction.leave_one_out(problem, best, done)._asdict()
            intervals = bootstrap(problem, found, options.replicates, options.seed, done=done)
            report["intervals"] = {name: [interval.low, interval.high] for name, interval in intervals.items()}
            report["seconds"] = time.perf_counter() - began
            made.append(Assessment(method_name(model, spectrum), found, report))
    return made


def describe(problem: Problem, found: Fit) -> dict[str, Any]:
    """The fit itself as plain data."""
    return {
        "method": method_name(problem.model, "strength_decay" in found.values),
        "model": problem.model,
        "parameters": found.values,
        "held": list(found.fixed),
        "at_bounds": at_bounds(problem, found.values),
        "scale": found.scale,
        "floors": {f"{size / 1e6:g}M": floor for size, floor in found.floors.items()},
        "fitted_numbers": found.parameters,
        "numbers": found.residuals.size,
        "rmse": found.rmse,
        "rmse_by_curve": {c.name: prediction.rms(found.residuals[problem.points.of(c)]) for c in problem.points.curves},
        "aicc": found.aicc,
        "forgetting": drops(problem.points, problem.points.loss - found.residuals),
    }


def drops(points: Points, loss: Float[np.ndarray, "rows 2"]) -> dict[str, dict[str, float]]:
    """By how much forgetting (loss_ret - loss_im) falls along each independent curve from its smallest lambda.

    Args:
        points: where.
        loss: observed or fitted losses there.

    Returns:
        By size: `at_start`, the forgetting at the smallest lambda; `first_drop`, to the next lambda; `whole_drop`, to the largest.
    """
    made = {}
    for curve in points.curves:
        here = points.of(curve)
        forgetting = (loss[here, 1] - loss[here, 0])[np.argsort(points.exposure[here], kind="stable")]
        if curve.split == SPLITS[0] and len(forgetting) > 1:
            first, second, last = forgetting[0], forgetting[1], forgetting[-1]
            made[f"{curve.tokens / 1e6:g}M"] = {
                "at_start": float(first), "first_drop": float(first - second), "whole_drop": float(first - last),
            }  # fmt: skip
    return made


def floors_only(points: Points) -> dict[str, Any]:
    """The account with no model in it: each size has its mean loss, whatever lambda, stage and half."""
    member = (points.tokens[:, None] == points.sizes[None, :]).astype(float)

    def residuals(weight: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows 2"]:
        held = member * weight[:, None]
        means = (points.loss.sum(1) @ held) / np.maximum(2 * held.sum(0), 1e-300)
        return np.asarray(points.loss - (member @ means)[:, None])

    everything = residuals(np.ones(len(points.exposure)))
    crossed = {}
    for split in SPLITS if len(np.unique(points.matched)) == 2 else ():
        mine, there = points.half(split), prediction.other_half(points, split)
        left = residuals(mine.astype(float))
        predicted = prediction.rms(left[there]) if there.any() else None
        shape = prediction.rms(residuals(there.astype(float))[there]) if there.any() else None
        crossed[split] = {"rms_fitted": prediction.rms(left[mine]), "rms_predicted": predicted, "rms_shape": shape}
    return {
        "method": "floors only",
        "fitted_numbers": len(points.sizes),
        "rmse": prediction.rms(everything),
        "aicc": aicc(everything, len(points.sizes)),
        "leave_one_curve_out": prediction.left_out(points, residuals)._asdict(),
        "cross": crossed,
    }


def _starts(options: Options, spectrum: bool) -> int:
    """Random starts; a spectrum has its fit without one as well, and costs more."""
    return max(1, options.starts // 2) if spectrum else options.starts


def _crossed(starts: int) -> int:
    return max(1, starts // 2)


def _predictable(points: Points) -> int:
    return sum(bool((points.tokens[~points.of(c)] == c.tokens).any()) for c in points.curves)
