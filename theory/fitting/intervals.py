"""How well the points decide the parameters: a wild bootstrap over curves.

A replicate is the fitted curves plus residuals of the fit, those of each curve and loss times one random normal number, and is
refitted from the best fit. What a model gets systematically wrong along a curve stays together, so intervals are wide where
the model is wrong, which resampling single points would hide. Residuals are widened by sqrt(n/(n - p)) for the p fitted
numbers. A refit takes a few steps only: along directions that hardly matter intervals are too narrow, and a parameter at its
bound has an interval that says no more than that.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from theory.fitting.outcome import Fit
from theory.fitting.solver import Problem

LEVEL = 0.9
"""Share of the replicates inside an interval."""

STEPS = (5, 1e-4)
"""Evaluations and tolerance of a refit."""


class Interval(NamedTuple):
    """The middle `LEVEL` of the replicates."""

    low: float
    high: float


def bootstrap(
    problem: Problem,
    found: Fit,
    replicates: int,
    seed: int,
    steps: tuple[int, float] = STEPS,
    done: Callable[[int], object] = lambda _: None,
) -> dict[str, Interval]:
    """Intervals of all free parameters.

    Args:
        problem: what was fitted.
        found: its best fit.
        replicates: how many; 0 gives no intervals.
        seed: of the random numbers.
        steps: evaluations and tolerance of a refit.
        done: told of every replicate.
    """
    if replicates == 0:
        return {}
    points, generator = problem.points, np.random.default_rng(seed)
    curves = np.stack([points.of(curve) for curve in points.curves])
    widened = found.residuals * np.sqrt(found.residuals.size / max(1, found.residuals.size - found.parameters))
    start, fitted = problem.logs(found.values), points.loss - found.residuals
    ends = []
    for _ in range(replicates):
        factors = generator.standard_normal((len(curves), 2))
        observed = fitted + (curves.astype(float).T @ factors) * widened
        ends.append(problem.refine(start, *steps, observed=observed).x)
        done(1)
    low, high = np.exp(np.quantile(ends, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0))
    return {name: Interval(float(a), float(b)) for name, a, b in zip(problem.names, low, high, strict=True)}


def at_bounds(problem: Problem, values: dict[str, float], share: float = 1e-3) -> dict[str, str]:
    """Which free parameters ended at a bound (`lower` or `upper`): within this share of their range, in the logarithm."""
    low, high = problem.box
    where = (problem.logs(values) - low) / (high - low)
    ends = {name: "lower" if x < share else "upper" for name, x in zip(problem.names, where, strict=True)}
    return {name: end for (name, end), x in zip(ends.items(), where, strict=True) if x < share or x > 1 - share}
