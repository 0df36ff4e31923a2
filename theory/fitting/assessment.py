"""A model or law fitted to a lambda study, with everything that tells what the fit is worth, as plain data.

Fits are nested where models are: the plain fit is a start of `rp`, whose uncorrelated pair it is, and the fit without a
spectrum a start of the one with.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.arrays import Float
from theory.fitting import worth
from theory.fitting.laws import EFFORT, LawProblem, law_problem
from theory.fitting.models import EXPONENTS, GROUPS, HELD, Bounds, family_named
from theory.fitting.points import SPLITS, Points
from theory.fitting.solver import Effort, Fit, Problem, aicc, best_fit, with_times
from theory.laws.forms import FORMS, form_named

GUESSES = ({"strength_decay": 0.1, "frequency_decay": 1.0}, {"strength_decay": 4.0, "frequency_decay": 8.0})
"""Exponents with which a fit without a spectrum becomes a start of one with: nearly equal strengths and Zipf's frequencies,
and so steep that only the first feature is left, which makes the fit with a spectrum as good as the one without."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to fit and how much to find out."""

    starts: int = 5
    seed: int = 0
    intervals: bool = True
    """Whether to profile the parameters."""
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


def assess_law(
    points: Points, name: str, options: Options, done: Callable[[int], object] = worth.nothing
) -> Assessment:
    """Fit a law and find out what the fit is worth; a second, as a law costs next to nothing."""
    began = time.perf_counter()
    problem = law_problem(points, name)
    effort = replace(EFFORT, starts=max(options.starts, EFFORT.starts))
    best = best_fit(problem, effort, options.seed)
    found = problem.finish(problem.values(best))
    report = describe(problem, found, best, options, done)
    crossed = {}
    for split in SPLITS if len(np.unique(points.matched)) == 2 else ():
        # what a half does not decide (passes, and what is constant in it) is not filled in: only the fitted half is reported
        weight = points.half(split).astype(float)
        alone = problem.finish(problem.values(best_fit(problem, effort, options.seed, weight=weight)), weight=weight)
        crossed[split] = {
            "rms_fitted": worth.rms(alone.residuals[weight > 0]),
            "rms_predicted": None,
            "rms_shape": None,
        }
    report["cross"] = crossed
    if options.intervals:
        report["intervals"] |= coefficient_intervals(problem, best, found)
    report["seconds"] = time.perf_counter() - began
    return Assessment(name, found, report)


def coefficient_intervals(
    problem: LawProblem, best: Float[np.ndarray, "parameters"], found: Fit
) -> dict[str, list[float | None]]:
    """Profile intervals of a law's coefficients: held at a value, everything else at its best."""
    least, made = float(np.square(found.residuals).sum()), {}
    factor = worth.threshold(found.residuals.size, found.parameters)
    for name in (key for key in found.values if key not in problem.form.shape and key not in problem.fixed):
        if not np.isfinite(factor):
            continue
        ends = []
        for sign in (-1, 1):
            last = np.array(best)

            def cost(value: float, name: str = name, last: Any = last) -> float:
                held = LawProblem(
                    problem.points, problem.bounds, problem.held, problem.model, fixed={**problem.fixed, name: value}
                )
                refined = min(
                    (held.refine(start, 100, 1e-9) for start in (np.array(last), best)), key=lambda one: one.cost
                )
                last[:] = refined.x
                return 2 * float(refined.cost)

            value = found.values[name]
            ranged = form_named(problem.model).settings.__dataclass_fields__[name].metadata
            bound = ranged["low"] if sign < 0 else ranged["high"]
            bound = bound if np.isfinite(bound) else value + sign * 10 * (abs(value) + 1)
            end = worth.walk(cost, value, least, factor, 0.1 * abs(value) + 1e-3, bound, 10)
            ends.append(None if end is None else float(end))
        made[name] = ends
    return made


def work(points: Points, model: str, spectra: tuple[bool, ...], options: Options) -> int:
    """About how many refinements `assess` will carry out, for a progress bar."""
    if model in FORMS:
        return 12
    groups = len(worth.curves_of(points)) * 2 + len(worth.sizes_of(points)) * 2
    each = options.starts + 3 + groups + (18 if options.intervals else 0)
    return each * (1 + (True in spectra)) + (options.starts + 1) * (model == "rp")


def assess(
    points: Points,
    model: str,
    spectra: tuple[bool, ...],
    options: Options,
    done: Callable[[int], object] = worth.nothing,
) -> list[Assessment]:
    """Fit a model without a spectrum, with one, or both, and find out what the fits are worth.

    Args:
        points: the curves.
        model: a name in `theory.fitting.models.FAMILIES` or in `theory.laws.forms.FORMS`, which have no spectrum.
        spectra: which of False and True to report.
        options: how.
        done: told of every refinement.
    """
    if model in FORMS:
        return [assess_law(points, model, options, done)]
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
            got = worth.cross(problem, split, effort, options.seed, also=known[split], done=done)
            crossed[split] = {name: value for name, value in got._asdict().items() if name != "loss"}
            if split == SPLITS[0]:
                crossed[split]["forgetting"] = drops(points, got.loss)
            known[split] = [got.values | guess for guess in GUESSES]
        also = [found.values | guess for guess in GUESSES]
        if spectrum in spectra:
            report = describe(problem, found, best, options, done) | {"cross": crossed}
            report["seconds"] = time.perf_counter() - began
            made.append(Assessment(method_name(model, spectrum), found, report))
    return made


def describe(
    problem: Problem, found: Fit, best: Float[np.ndarray, "parameters"], options: Options, done: Callable[[int], object]
) -> dict[str, Any]:
    """The fit as plain data: numbers, errors on what was left out, intervals, and all but the intervals without odd checkpoints."""
    points = problem.points
    report = {
        "method": method_name(problem.model, "strength_decay" in found.values),
        "model": problem.model,
        "parameters": found.values,
        "held": list(found.fixed),
        "at_bounds": worth.at_bounds(problem, found.values),
        "condition": worth.condition(problem, best),
        "scale": found.scale,
        "floors": {f"{size / 1e6:g}M": floor for size, floor in found.floors.items()},
        "fitted_numbers": found.parameters,
        "numbers": found.residuals.size,
        "rmse": found.rmse,
        "rmse_by_curve": {c.name: worth.rms(found.residuals[points.of(c)]) for c in points.curves},
        "aicc": found.aicc,
        "forgetting": drops(points, points.loss - found.residuals),
        **unseen(problem, best, None, done),
    }
    odd = worth.odd_rows(points)
    if odd.any():
        weight = 1.0 - odd
        again = problem.refit(best, weight)
        left = again.residuals[~odd]
        start = problem.logs(again.values)
        share = float(np.square(found.residuals[odd]).sum() / np.square(found.residuals).sum())
        report["without_odd"] = {
            "rmse": worth.rms(left), "aicc": aicc(left, found.parameters), "share_of_squares": share,
            "parameters": again.values, **unseen(problem, start, weight, done),
        }  # fmt: skip
    ranges = worth.profile(problem, best, found, done=done, **_patience(problem)) if options.intervals else {}
    report["intervals"] = {name: list(ends) for name, ends in ranges.items()}
    return report


def unseen(
    problem: Problem, start: Float[np.ndarray, "parameters"], weight: Any, done: Callable[[int], object]
) -> dict[str, Any]:
    """Errors on curves and on sizes that were left out."""
    points = problem.points
    groups = {"leave_one_curve_out": worth.curves_of(points), "leave_one_size_out": worth.sizes_of(points)}
    return {name: worth.leave_out(problem, start, which, weight, done)._asdict() for name, which in groups.items()}


def _patience(problem: Problem) -> dict[str, int]:
    return {"tries": 10, "evaluations": 30} if isinstance(problem, LawProblem) else {}


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


def nulls(points: Points) -> list[dict[str, Any]]:
    """Accounts with no model in them: a mean a size; a mean, and a line, for each curve and loss. What any model must beat."""
    member = np.asarray(points.tokens[:, None] == points.sizes[None, :], dtype=float)
    curve = np.stack([points.of(one) for one in points.curves], axis=1).astype(float)
    lines = np.concatenate([curve, curve * points.exposure[:, None]], axis=1)
    made = []
    for name, columns, shared in (
        ("floors only", member, True),
        ("curve means", curve, False),
        ("curve lines", lines, False),
    ):

        def residuals(weight: Any, columns: Any = columns, shared: bool = shared) -> Float[np.ndarray, "rows 2"]:
            target = np.repeat(points.loss.mean(1, keepdims=True), 2, axis=1) if shared else points.loss
            found = np.linalg.lstsq(columns * weight[:, None], target * weight[:, None], rcond=None)[0]
            return np.asarray(points.loss - columns @ found)

        everything = np.ones(len(points.exposure))
        left, count = residuals(everything), columns.shape[1] * (1 if shared else 2)
        out = worth.left_out(points, worth.curves_of(points) if shared else {}, residuals, everything, leveled=True)
        crossed = {}
        for split in SPLITS if shared and len(np.unique(points.matched)) == 2 else ():
            mine, there = points.half(split), worth.other_half(points, split)
            from_here = residuals(mine.astype(float))
            crossed[split] = {
                "rms_fitted": worth.rms(from_here[mine]),
                "rms_predicted": worth.rms(from_here[there]) if there.any() else None,
                "rms_shape": worth.rms(residuals(there.astype(float))[there]) if there.any() else None,
            }
        made.append({"method": name, "fitted_numbers": count, "rmse": worth.rms(left), "aicc": aicc(left, count),
                     "leave_one_curve_out": out._asdict(), "cross": crossed})  # fmt: skip
    return made


def _starts(options: Options, spectrum: bool) -> int:
    """Random starts; a spectrum has its fit without one as well, and costs more."""
    return max(1, options.starts // 2) if spectrum else options.starts


def _crossed(starts: int) -> int:
    return max(1, starts // 2)
