"""What a fit says about curves it has not seen: one curve held out at a time, and each half from the other.

Floors are shared by the halves (`theory.fitting.affine`), so that a curve whose size occurs in the other half, and a half
whose sizes occur in the other one, are predicted in nats, with nothing adjusted to them. What a half does not decide:

    independent only        `pace` and `step_ratio` act through their product: it is taken as the pace, at equal step sizes
    compute-matched only    the length of an independent stage 2: its upper bound, as the paper trains to convergence

At equal step sizes the compute-matched half says nothing of the plain model's specialised features either: by the exposure
law what they lose is the same for every lambda, and the floors take it up.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Bool, Float
from theory.fitting.models import TIME_BOUNDS
from theory.fitting.points import SPLITS, Points
from theory.fitting.solver import Effort, Problem, best_fit

REFIT = (12, 1e-5)
"""Evaluations and tolerance of a refit that starts at the fit to everything."""


class LeftOut(NamedTuple):
    """Errors of predicting each curve from all others."""

    rms: float | None
    """Over all numbers predicted, nats; None where no curve could be."""
    curves: dict[str, float | None]
    """By curve; None where no other curve has its size, so that nothing decides its floor."""


def leave_one_out(
    problem: Problem, start: Float[np.ndarray, "parameters"], done: Callable[[int], object] = lambda _: None
) -> LeftOut:
    """Refit without each curve, from the fit to everything, and predict it.

    Args:
        problem: what was fitted.
        start: its best parameters (logarithms).
        done: told of every refit.
    """
    points = problem.points

    def predicted(weight: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows 2"]:
        found = problem.refine(start, *REFIT, weight=weight)
        done(1)
        return problem.finish(problem.values(found.x), weight=weight).residuals

    return left_out(points, predicted)


def left_out(
    points: Points, residuals_without: Callable[[Float[np.ndarray, "rows"]], Float[np.ndarray, "rows 2"]]
) -> LeftOut:
    """Errors on each curve of whatever gives residuals when fitted with weights."""
    errors: dict[str, float | None] = {}
    squares: list[Any] = []
    for curve in points.curves:
        here = points.of(curve)
        errors[curve.name] = None
        if curve.tokens in points.tokens[~here]:
            residuals = residuals_without(1.0 - here)[here]
            errors[curve.name] = rms(residuals)
            squares.append(residuals**2)
    return LeftOut(float(np.sqrt(np.mean(np.concatenate(squares)))) if squares else None, errors)


class Crossed(NamedTuple):
    """A fit to one half, and what it says of the other."""

    rms_fitted: float
    rms_predicted: float | None
    """Nats; None where the halves share no size."""
    rms_shape: float | None
    """The same after floors and scale are refitted to the half that is predicted: what the nonlinear parameters alone carry over."""
    loss: Float[np.ndarray, "rows 2"]
    """Losses on both halves as this fit has them."""
    values: dict[str, float]
    """The parameters, with what the half does not decide filled in as the module says."""


def cross(
    problem: Problem,
    split: str,
    effort: Effort,
    seed: int,
    *,
    also: Sequence[dict[str, float]] = (),
    done: Callable[[int], object] = lambda _: None,
) -> Crossed:
    """Fit one half from scratch (nothing of the other half enters, not even as a start) and predict the other.

    Args:
        problem: both halves.
        split: the half that is fitted.
        effort: how many starts, and how far.
        seed: of the random starts.
        also: further starts, which must not know the other half either.
        done: told of every refinement.
    """
    points = problem.points
    weight = points.half(split).astype(float)
    values = decided(problem.values(best_fit(problem, effort, seed, weight=weight, also=also, done=done)), split)
    residuals = problem.finish(values, weight=weight).residuals
    there = other_half(points, split)
    predicted = shape = None
    if there.any():
        predicted = rms(residuals[there])
        shape = rms(problem.finish(values, weight=there.astype(float)).residuals[there])
    return Crossed(rms(residuals[weight > 0]), predicted, shape, points.loss - residuals, values)


def decided(values: dict[str, float], split: str) -> dict[str, float]:
    """The parameters of a fit to one half, with those that the half does not decide filled in."""
    if split == SPLITS[0]:
        return values | {"pace": values["pace"] * values["step_ratio"], "step_ratio": 1.0}
    return values | {name: TIME_BOUNDS[1] for name in values if name.startswith("t_post_")}


def other_half(points: Points, split: str) -> Bool[np.ndarray, "rows"]:
    """The rows of the other half whose size the half has too."""
    mine = points.half(split)
    return ~mine & np.isin(points.tokens, points.tokens[mine])


def rms(residuals: Float[np.ndarray, "*shape"]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(residuals**2)))
