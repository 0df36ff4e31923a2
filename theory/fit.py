"""Least squares of the plain linear model to the lambda studies (the paper's Figure 3), by JAX derivatives.

    loss in nats = floor(size of D_post) + scale x model loss,    scale, floors >= 0

The floors and the scale are linear and are solved for inside (variable projection); the rest is nonlinear, on a
logarithmic scale between bounds, from several starts. Stage 1 sees lambda of |D_post| at rate `pace` (flow time a 100M tokens)
times `step_ratio`; stage 2 lasts `t_post` of its size where the split is independent (the paper trains to convergence), and
(1 - lambda) |D_post| at that rate where it is compute-matched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.allocation import allocate
from theory.arrays import Array, Float, Int, namespace
from theory.recipe import Recipe
from theory.settings import WrongUse
from theory.stages import predict

HUNDRED_MILLION = 1e8

BOUNDS: dict[str, tuple[float, float]] = {
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
"""Nonlinear parameters and their bounds; `t_post_<size>` are added with those of a time.

The targets of the inconsistent mode under D_pre and D_ft are fractions of the one under D_post (Definition C.3)."""
TIME_BOUNDS = (1e-2, 300.0)


@dataclass(frozen=True)
class Points:
    """Observed lambda curves: one entry a (split, size, lambda), each with two losses in nats."""

    exposure: Float[np.ndarray, "rows"]
    tokens: Float[np.ndarray, "rows"]
    matched: Int[np.ndarray, "rows"]
    loss: Float[np.ndarray, "rows 2"]

    @property
    def sizes(self) -> Float[np.ndarray, "sizes"]:
        """The distinct sizes of D_post, increasing."""
        return np.unique(self.tokens)


def points_from(table: Any, splits: Sequence[str] = ("independent", "compute-matched")) -> Points:
    """The lambda curves in a results table. Raises `WrongUse` where there are none."""
    split = np.asarray(table["split"].to_pylist(), dtype=object)
    here = np.isin(split, list(splits))
    if not here.any():
        raise WrongUse(f"The table has no rows with split {' or '.join(splits)}. Fit a table of a lambda study.")
    column = {
        name: np.asarray(table[name].to_pylist(), dtype=float)[here]
        for name in ("exposure", "tokens_post", "loss_im", "loss_ret")
    }
    if any(np.isnan(values).any() for values in column.values()):
        raise WrongUse("A lambda study needs exposure, tokens_post, loss_im and loss_ret in every row.")
    return Points(
        column["exposure"],
        column["tokens_post"],
        (split[here] == "compute-matched").astype(int),
        np.stack([column["loss_im"], column["loss_ret"]], axis=1),
    )


@dataclass(frozen=True)
class Fit:
    """A least-squares fit and what it leaves over."""

    values: dict[str, float]
    """Nonlinear parameters."""
    fixed: tuple[str, ...]
    """Which of them were held."""
    scale: float
    """Nats per unit of model loss."""
    floors: dict[float, float]
    """Size of D_post (tokens) -> floor in nats."""
    residuals: Float[np.ndarray, "rows 2"]
    """Observed minus fitted, nats."""
    parameters: int
    """Fitted numbers, floors and scale included."""

    @property
    def rmse(self) -> float:
        """Root mean square residual, nats."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def aicc(self) -> float:
        """Corrected Akaike criterion for Gaussian residuals; infinite where there are too few points."""
        n, p = self.residuals.size, self.parameters + 1
        return float(n * np.log(np.mean(self.residuals**2)) + 2 * p * n / (n - p - 1)) if n > p + 1 else float("inf")

    def curve(self, exposure: Array, tokens: float, matched: bool) -> Float[Array, "rows 2"]:
        """Fitted loss_im and loss_ret in nats along lambda for one size and split."""
        count = len(exposure)
        rows = Points(exposure, np.full(count, tokens), np.full(count, int(matched)), np.zeros((count, 2)))
        return self.floors[tokens] + self.scale * model_losses(self.values, rows)


def model_losses(values: dict[str, Any], points: Points) -> Float[Array, "*starts rows 2"]:
    """loss_im and loss_ret of the plain model (one inconsistent, one specialised mode), before the affine map.

    Values may carry axes of starts before a last axis of length one.
    """
    exposure, matched = points.exposure, points.matched == 1
    pass_time = points.tokens / HUNDRED_MILLION * values["pace"]
    budget = {"pre_time": values["pre_time"], "post_time": pass_time, "step_ratio": values["step_ratio"]}
    stages = allocate(exposure, Recipe(split="compute-matched"), budget)
    free = sum(values.get(_own_time(size), 1.0) * (points.tokens == size) for size in points.sizes)
    problem = {name: values[name] for name in ("sigma_post", "beta", "init_scale", "t_ft")}
    problem |= {f"sigma_{task}": values[f"{task}_over_post"] * values["sigma_post"] for task in ("pre", "ft")}
    xp = namespace(*values.values())
    t_post = xp.where(matched, stages["t_post"], free)
    losses = predict({"n": 2, "k": 1, **problem, **stages, "t_post": t_post})
    return xp.stack([losses.loss_im, losses.loss_ret], axis=-1)


def _own_time(size: float) -> str:
    return f"t_post_{size / 1e6:.0f}M"


def fit(points: Points, *, fixed: dict[str, float] | None = None, starts: int = 8, seed: int = 0) -> Fit:
    """The best least-squares fit over several starts.

    Args:
        points: what to fit.
        fixed: parameters to hold, e.g. {"step_ratio": 1.0} for equal step sizes.
        starts: points to refine, the best and mutually distant ones of `SCREENED` random ones.
        seed: of the random points; the same seed gives the same fit.

    Raises:
        WrongUse: an unknown parameter in `fixed`.
    """
    import jax
    from scipy.optimize import least_squares

    held = dict(fixed or {})
    if unknown := sorted(set(held) - set(BOUNDS)):
        raise WrongUse(f"{unknown[0]!r} is no parameter of the fit. Choose from {', '.join(BOUNDS)}.")
    own = [_own_time(size) for size in np.unique(points.tokens[points.matched == 0])]
    bounds = {name: bound for name, bound in BOUNDS.items() if name not in held} | dict.fromkeys(own, TIME_BOUNDS)
    low, high = np.log(np.array(list(bounds.values()))).T
    member = np.asarray(points.tokens[:, None] == points.sizes[None, :], dtype=float)  # rows x sizes
    centred = _centre(points.loss, member)

    def residual(logs: Array) -> Array:
        free = namespace(logs).exp(logs)
        values = {**held, **{name: free[..., i, None] for i, name in enumerate(bounds)}}
        losses = model_losses(values, points)
        scale = _scale(losses, points, member, centred)[..., None, None]
        left = centred - scale * _centre(losses, member)
        return left.reshape(*left.shape[:-2], -1)

    with jax.enable_x64(True):
        quick = {"xla_backend_optimization_level": 0}  # compiling takes longer than all evaluations together
        derivative = jax.jit(jax.jacfwd(residual), compiler_options=quick)

        def jacobian(logs: Array) -> Array:
            return np.asarray(derivative(logs))

        def refine(start: Array, evaluations: int, tolerance: float) -> Any:
            return least_squares(
                residual,
                start,
                jac=jacobian,
                bounds=(low, high),
                max_nfev=evaluations,
                xtol=tolerance,
                ftol=tolerance,
            )

        tries = [
            refine(start, 30, 1e-6) for start in _promising(residual, low, high, starts, np.random.default_rng(seed))
        ]
        tries = [refine(found.x, 300, 1e-10) for found in sorted(tries, key=_cost)[:3]]
    best = min(tries, key=_cost)
    values = {**held, **dict(zip(bounds, np.exp(best.x).tolist(), strict=True))}
    losses = np.asarray(model_losses(values, points))
    scale = float(_scale(losses, points, member, centred))
    floor = _mean(points.loss - scale * losses, member)
    return Fit(
        values=values,
        fixed=tuple(held),
        scale=scale,
        floors=dict(zip(points.sizes.tolist(), floor.tolist(), strict=True)),
        residuals=points.loss - scale * losses - (member @ floor)[:, None],
        parameters=len(bounds) + 1 + len(floor),
    )


def _cost(found: Any) -> float:
    return float(found.cost)


SCREENED = 20_000
"""Random points that are tried before any is refined: a solution costs well under a microsecond."""


def _promising(
    residual: Callable[[Array], Array], low: Array, high: Array, count: int, generator: np.random.Generator
) -> Float[np.ndarray, "starts parameters"]:
    """The best of many random points in the box, no two of them close together."""
    tried = generator.uniform(low, high, (SCREENED, len(low)))
    costs = np.concatenate([np.square(residual(part)).sum(-1) for part in np.array_split(tried, 40)])
    kept: list[Array] = []
    for point in tried[np.argsort(costs, kind="stable")]:
        if all(np.linalg.norm((point - other) / (high - low)) > 0.35 for other in kept):
            kept.append(point)
        if len(kept) == count:
            break
    return np.stack(kept)


def _mean(losses: Float[Array, "*starts rows 2"], member: Array) -> Array:
    """Mean loss of each size, over both columns."""
    return (losses.sum(-1) @ member) / (2 * member.sum(0))


def _centre(losses: Float[Array, "*starts rows 2"], member: Array) -> Array:
    """Losses minus the mean of their size: what is left once each size has its own floor."""
    return losses - (_mean(losses, member) @ member.T)[..., None]


def _scale(losses: Float[Array, "*starts rows 2"], points: Points, member: Array, centred: Array) -> Array:
    """The scale that brings model losses closest to the observations, with scale and all floors non-negative."""
    mine = _centre(losses, member)
    best = (mine * centred).sum((-2, -1)) / ((mine * mine).sum((-2, -1)) + 1e-300)
    ceiling = (_mean(points.loss, member) / (_mean(losses, member) + 1e-300)).min(-1)
    return namespace(best).minimum(best.clip(0.0), ceiling)
