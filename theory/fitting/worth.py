"""What a fit is worth: errors on what it has not seen, profile-likelihood intervals, conditioning, bounds.

Floors of the linear models are shared by the halves of a study, so that a curve whose size occurs in the other half, and a half whose sizes
occur in the other one, are predicted in nats, with nothing adjusted. What a half does not decide:

    independent only        `pace` and `step_ratio` act through their product: it is taken as the pace, at equal step sizes
    compute-matched only    the length of an independent stage 2: its upper bound, as the paper trains to convergence

At equal step sizes the compute-matched half says nothing of the plain model's specialised features either: by the exposure law
what they lose is the same for every lambda, and the floors take it up. A size that is left out has no floor in a linear model: what
can be said of it is the shape of its curves, their common level adjusted. A law has one floor for all sizes and predicts them in nats.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Bool, Float
from theory.fitting.models import TIME_BOUNDS
from theory.fitting.points import SPLITS, Points
from theory.fitting.solver import Effort, Fit, Problem, best_fit

LEVEL = 0.9
"""Of a profile interval."""
Done = Callable[[int], object]


def nothing(_: int) -> None:
    """Tell nobody."""


class LeftOut(NamedTuple):
    """Errors of predicting each group of rows from all others."""

    rms: float | None
    """Over all numbers predicted, nats; None where none could be."""
    each: dict[str, float | None]
    """By group; None where it could not be predicted."""
    shape: float | None = None
    """Over all numbers, the common level of each group adjusted."""


def leave_out(
    problem: Problem,
    start: Float[np.ndarray, "parameters"],
    groups: dict[str, Bool[np.ndarray, "rows"]],
    weight: Float[np.ndarray, "rows"] | None = None,
    done: Done = nothing,
) -> LeftOut:
    """Refit without each group, from the fit to everything, and predict it.

    Args:
        problem: what was fitted.
        start: its best parameters (logarithms).
        groups: by name, the rows that are left out together.
        weight: rows of weight 0 are in no fit and are not predicted either.
        done: told of every refit.
    """
    kept = problem.everything if weight is None else weight

    def predicted(held: Float[np.ndarray, "rows"]) -> Float[np.ndarray, "rows 2"]:
        found = problem.refit(start, held).residuals
        done(1)
        return found

    return left_out(problem.points, groups, predicted, kept, leveled=problem.leveled)


def left_out(
    points: Points,
    groups: dict[str, Bool[np.ndarray, "rows"]],
    residuals_without: Callable[[Float[np.ndarray, "rows"]], Float[np.ndarray, "rows 2"]],
    kept: Float[np.ndarray, "rows"],
    *,
    leveled: bool,
) -> LeftOut:
    """Errors on each group of whatever gives residuals when fitted with weights; `leveled`: sizes have a level of their own."""
    errors: dict[str, float | None] = {}
    squares: list[Any] = []
    shapes: list[Any] = []
    for name, here in groups.items():
        errors[name] = None
        rest, asked = kept * ~here, here & (kept > 0)
        known = np.isin(points.tokens[asked], points.tokens[rest > 0]).all() or not leveled
        if not (rest > 0).any() or not asked.any():
            continue
        residuals = residuals_without(rest)[asked]
        shapes.append((residuals - residuals.mean()) ** 2)
        if known:
            errors[name] = rms(residuals)
            squares.append(residuals**2)
    whole, shape = (float(np.sqrt(np.mean(np.concatenate(found)))) if found else None for found in (squares, shapes))
    return LeftOut(whole if len(squares) == len(shapes) else None, errors, shape)


def curves_of(points: Points) -> dict[str, Bool[np.ndarray, "rows"]]:
    """The rows of each curve, those whose size has another curve."""
    return {c.name: points.of(c) for c in points.curves if (points.tokens[~points.of(c)] == c.tokens).any()}


def sizes_of(points: Points) -> dict[str, Bool[np.ndarray, "rows"]]:
    """The rows of each size of D_post, where there are several."""
    sizes = points.sizes
    return {f"{size / 1e6:g}M": points.tokens == size for size in sizes} if len(sizes) > 1 else {}


def odd_rows(points: Points, worse: float = 0.02) -> Bool[np.ndarray, "rows"]:
    """Checkpoints whose loss_im says that stage 2 did harm: under one pass, above that at the largest lambda, without any stage 2.

    Args:
        points: the curves.
        worse: by at least this much, nats.
    """
    odd = np.zeros(len(points.exposure), dtype=bool)
    for curve in points.curves:
        here = points.of(curve)
        last = here & (points.exposure == 1)
        if curve.split == SPLITS[1] and last.any():
            odd |= here & (points.loss[:, 0] > points.loss[last, 0].mean() + worse)
    return odd


class Crossed(NamedTuple):
    """A fit to one half, and what it says of the other."""

    rms_fitted: float
    rms_predicted: float | None
    """Nats; None where the halves share no size."""
    rms_shape: float | None
    """The same after the linear parameters are refitted to the half that is predicted: what the others alone carry over."""
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
    done: Done = nothing,
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


class Range(NamedTuple):
    """A profile interval; an end is None where the profile does not reach the threshold before the parameter's bound."""

    low: float | None
    high: float | None


def threshold(numbers: int, parameters: int, level: float = LEVEL) -> float:
    """By which factor the sum of squares may grow: 1 + t^2/(n - p), Student's quantile; infinite where n <= p."""
    from scipy import stats

    left = numbers - parameters
    return 1 + float(stats.t.ppf((1 + level) / 2, left)) ** 2 / left if left > 0 else np.inf


def walk(
    cost: Callable[[float], float], best: float, least: float, factor: float, step: float, bound: float, tries: int
) -> float | None:
    """Where a profile reaches `factor` times its minimum, from the best value towards a bound; None if not before the bound.

    Near its minimum a profile is a parabola: every try rescales the step by the root of what is still missing.
    """
    wanted = (factor - 1) * least
    reach = abs(bound - best)
    at = min(max(step, 1e-6), reach)
    sign = 1.0 if bound > best else -1.0
    for i in range(tries):
        risen = cost(best + sign * at) - least
        if at >= reach and risen < wanted:
            return None
        root = np.sqrt(wanted / max(risen, 1e-3 * wanted))
        close = abs(root - 1) < 0.03
        at = min(at * root, reach) if close or i + 1 == tries else min(at * min(max(root, 0.25), 4.0), reach)
        if close:
            break
    return None if at >= reach and reach > 0 and cost(bound) - least < wanted else best + sign * at


def profile(
    problem: Problem,
    best: Float[np.ndarray, "parameters"],
    found: Fit,
    *,
    tries: int = 2,
    evaluations: int = 4,
    done: Done = nothing,
) -> dict[str, Range]:
    """Profile-likelihood intervals of the parameters that are searched for: all others at their best for every value.

    Residuals count as independent, with a variance that is estimated. Along a curve they are not, so that the intervals are too narrow
    where a model is systematically wrong; where few tries are made they are good to some per cent.

    Args:
        problem: what was fitted.
        best: logarithms of its best parameters.
        found: its best fit.
        tries: refits for each end.
        evaluations: of a refit, at most.
        done: told of every parameter.
    """
    least = float(np.square(found.residuals).sum())
    factor = threshold(found.residuals.size, found.parameters)
    low, high = problem.box
    if not np.isfinite(factor):
        return {name: Range(None, None) for name in problem.names}
    slopes = problem.jacobian(best)
    spread = np.sqrt(np.diag(np.linalg.pinv(slopes.T @ slopes)) * least * (factor - 1))
    ranges = {}
    for i, name in enumerate(problem.names):
        ends = []
        for bound in (low[i], high[i]):
            last = np.array(best)

            def cost(value: float, i: int = i, last: Any = last) -> float:
                last[i] = value
                refined = problem.refine(np.array(last), evaluations, 1e-4, hold=i)
                last[:] = refined.x
                return 2 * float(refined.cost)

            end = walk(cost, float(best[i]), least, factor, float(spread[i]), float(bound), tries)
            ends.append(None if end is None else float(np.exp(end)))
        ranges[name] = Range(*ends)
        done(1)
    return ranges


def at_bounds(problem: Problem, values: dict[str, float], share: float = 1e-3) -> dict[str, str]:
    """Which free parameters ended at a bound (`lower` or `upper`): within this share of their range, in the logarithm."""
    low, high = problem.box
    where = (problem.logs(values) - low) / (high - low)
    ends = {name: "lower" if x < share else "upper" for name, x in zip(problem.names, where, strict=True)}
    return {name: end for (name, end), x in zip(ends.items(), where, strict=True) if x < share or x > 1 - share}


def condition(problem: Problem, best: Float[np.ndarray, "parameters"]) -> float:
    """Ratio of the largest to the smallest singular value of the Jacobian in the logarithms: how flat the flattest direction is."""
    values = np.linalg.svd(problem.jacobian(best), compute_uv=False)
    return float(values[0] / max(values[-1], 1e-300))
