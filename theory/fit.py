"""Least squares of the plain linear model to the lambda studies (the paper's Figure 3), by JAX derivatives.

    loss in nats = floor(size of D_post) + scale x model loss,    scale, floors >= 0

The floors and the scale are linear and are solved for inside; the rest is nonlinear, from several starts. This is the short
way to one fit, all strengths free; `theory.fitting` holds the parts, other models, and what the fits are worth.
"""

from common.settings import WrongUse
from theory.fitting.models import BOUNDS, model_losses
from theory.fitting.points import Points, points_from
from theory.fitting.solver import Effort, Fit, Problem, best_fit, with_times

__all__ = ["BOUNDS", "Fit", "Points", "fit", "model_losses", "points_from"]


def fit(points: Points, *, fixed: dict[str, float] | None = None, starts: int = 8, seed: int = 0) -> Fit:
    """The best least-squares fit of the plain model over several starts.

    Args:
        points: what to fit.
        fixed: parameters to hold, e.g. {"step_ratio": 1.0} for equal step sizes.
        starts: points to refine, the best and mutually distant ones of many random ones.
        seed: of the random points; the same seed gives the same fit.

    Raises:
        WrongUse: an unknown parameter in `fixed`.
    """
    held = dict(fixed or {})
    if unknown := sorted(set(held) - set(BOUNDS)):
        raise WrongUse(f"{unknown[0]!r} is no parameter of the fit. Choose from {', '.join(BOUNDS)}.")
    free = {name: bound for name, bound in BOUNDS.items() if name not in held}
    problem = Problem(points, with_times(free, points, every=True), held)
    return problem.finish(problem.values(best_fit(problem, Effort(starts=starts), seed)))
