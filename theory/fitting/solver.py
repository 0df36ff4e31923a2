"""The best fit of a model: random points are screened, the best and mutually distant ones refined by trust-region least squares.

All refits of a model (curves held out, residuals resampled) share one compiled Jacobian: observations and weights are its
arguments. Parameters are fitted on a logarithmic scale between bounds; the same seed gives the same fit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from common.arrays import Array, Float, namespace
from theory.fitting import affine
from theory.fitting.affine import Groups
from theory.fitting.models import TIME_BOUNDS, Bounds, model_losses, own_time
from theory.fitting.outcome import Fit
from theory.fitting.points import Points


@dataclass(frozen=True)
class Problem:
    """A model to be fitted to points: residuals and their Jacobian as functions of the logarithms of the free parameters."""

    points: Points
    bounds: Bounds
    """Of the free parameters, in order."""
    held: dict[str, float] = field(default_factory=dict)
    model: str = "plain"
    groups: int = 1
    integrated: bool = False
    """Whether a value is worth compiling."""

    @property
    def names(self) -> list[str]:
        """The free parameters."""
        return list(self.bounds)

    @property
    def box(self) -> tuple[Float[np.ndarray, "parameters"], Float[np.ndarray, "parameters"]]:
        """Logarithms of the bounds."""
        low, high = np.log(np.array(list(self.bounds.values()))).T
        return low, high

    @property
    def everything(self) -> Float[np.ndarray, "rows"]:
        """Weights that hold nothing out."""
        return np.ones(len(self.points.exposure))

    def groups_of(self, weight: Array) -> Groups:
        """Which rows share a floor, with their weights."""
        return Groups(self.points.member, weight)

    def values(self, logs: Float[np.ndarray, "parameters"]) -> dict[str, float]:
        """All parameters by name."""
        return {**self.held, **dict(zip(self.names, np.exp(logs).tolist(), strict=True))}

    def logs(self, values: dict[str, float]) -> Float[np.ndarray, "parameters"]:
        """The free parameters as `residual` takes them, moved inside their bounds."""
        return np.log([np.clip(values[name], *self.bounds[name]) for name in self.names]).clip(*self.box)

    def residual(
        self, logs: Float[Array, "*starts parameters"], observed: Float[Array, "rows 2"], weight: Float[Array, "rows"]
    ) -> Float[Array, "*starts numbers"]:
        """Weighted residuals, floors and scale at their best; numpy or JAX."""
        free = namespace(logs).exp(logs)
        values = {**self.held, **{name: free[..., i, None] for i, name in enumerate(self.names)}}
        losses = model_losses(values, self.points, self.model, self.groups)
        groups = self.groups_of(weight)
        scale = affine.best_scale(losses, observed, groups)[..., None, None]
        left = affine.centre(observed, groups) - scale * affine.centre(losses, groups)
        return left.reshape(*left.shape[:-2], -1)

    @cached_property
    def compiled(self) -> tuple[Callable[..., Array], Callable[..., Array]]:
        """The residual, compiled where that pays, and its compiled Jacobian, both of (logs, observed, weight)."""
        import jax

        # compiling a closed form takes longer than all evaluations together; an integrator earns a little optimisation
        options = {"xla_backend_optimization_level": 1 if self.integrated else 0}
        derivative = jax.jit(jax.jacfwd(self.residual), compiler_options=options)
        return (jax.jit(self.residual, compiler_options=options) if self.integrated else self.residual), derivative

    def refine(
        self,
        start: Float[np.ndarray, "parameters"],
        evaluations: int,
        tolerance: float,
        observed: Float[np.ndarray, "rows 2"] | None = None,
        weight: Float[np.ndarray, "rows"] | None = None,
    ) -> Any:
        """Least squares from a start: scipy's result, with `x` and `cost`.

        Args:
            start: logarithms of the parameters.
            evaluations: at most.
            tolerance: relative, of step and cost.
            observed: losses in nats; default: those of the points.
            weight: 1 for rows that count, 0 for those that are held out; default: all count.
        """
        import jax
        from scipy.optimize import least_squares

        given = (self.points.loss if observed is None else observed, self.everything if weight is None else weight)
        with jax.enable_x64(True):
            value, derivative = self.compiled

            def at(function: Callable[..., Array]) -> Callable[[Array], Array]:
                return lambda logs: _finite(function(logs, *given))

            return least_squares(
                at(value),
                start,
                jac=at(derivative),
                bounds=self.box,
                max_nfev=evaluations,
                xtol=tolerance,
                ftol=tolerance,
            )

    def finish(
        self,
        values: dict[str, float],
        observed: Float[np.ndarray, "rows 2"] | None = None,
        weight: Float[np.ndarray, "rows"] | None = None,
    ) -> Fit:
        """The fit with these nonlinear parameters: floors and scale at their best for the rows that count."""
        observed = self.points.loss if observed is None else observed
        groups = self.groups_of(self.everything if weight is None else weight)
        losses = np.asarray(model_losses(values, self.points, self.model, self.groups))
        scale = float(affine.best_scale(losses, observed, groups))
        floors = affine.means(observed - scale * losses, groups)
        return Fit(
            values=values,
            fixed=tuple(self.held),
            scale=scale,
            floors=dict(zip(self.points.sizes.tolist(), floors.tolist(), strict=True)),
            residuals=observed - scale * losses - (groups.member @ floors)[:, None],
            parameters=len(self.bounds) + 1 + len(floors),
            model=self.model,
            groups=self.groups,
        )


def with_times(bounds: Bounds, points: Points, *, every: bool) -> Bounds:
    """The bounds with those of the independent stage-2 times.

    Args:
        bounds: of the other parameters.
        points: what is fitted.
        every: a time for every size, rather than for the smallest and the largest only (a power law between them, so
            that a size that is held out has one).
    """
    sizes = np.unique(points.tokens[points.matched == 0])
    chosen: Sequence[float] = sizes.tolist() if every or len(sizes) < 2 else [float(sizes[0]), float(sizes[-1])]
    return bounds | dict.fromkeys([own_time(size) for size in chosen], TIME_BOUNDS)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How hard to look for the best fit."""

    starts: int = 8
    """Random points to refine: the best and mutually distant ones of those screened."""
    screened: int = 20_000
    evaluations: tuple[int, int] = (30, 300)
    """At most, in the first refinement and in the last."""
    tolerances: tuple[float, float] = (1e-6, 1e-10)
    finals: int = 3
    """How many of the first refinements are carried on."""


def best_fit(
    problem: Problem,
    effort: Effort,
    seed: int,
    *,
    weight: Float[np.ndarray, "rows"] | None = None,
    also: Sequence[dict[str, float]] = (),
    done: Callable[[int], object] = lambda _: None,
) -> Float[np.ndarray, "parameters"]:
    """Logarithms of the parameters at the least sum of squares that several starts reach.

    Args:
        problem: what to fit.
        effort: how many starts, and how far.
        seed: of the random points; the same seed gives the same fit.
        weight: as for `Problem.refine`.
        also: parameters of further starts.
        done: told of every refinement.
    """
    import jax  # noqa: F401 (whole before any work: a thread must not meet a half-imported module)

    generator = np.random.default_rng(seed)
    random = promising(problem, effort.starts, effort.screened, generator, weight) if effort.starts else []
    tries = []
    for start in [*(problem.logs(values) for values in also), *random]:
        tries.append(problem.refine(start, effort.evaluations[0], effort.tolerances[0], weight=weight))
        done(1)
    final = []
    for found in sorted(tries, key=cost)[: effort.finals]:
        final.append(problem.refine(found.x, effort.evaluations[1], effort.tolerances[1], weight=weight))
        done(1)
    return np.asarray(min(final, key=cost).x)


def cost(found: Any) -> float:
    """Half the sum of squares that a refinement ends at."""
    return float(found.cost)


def promising(
    problem: Problem,
    count: int,
    screened: int,
    generator: np.random.Generator,
    weight: Float[np.ndarray, "rows"] | None = None,
) -> list[Float[np.ndarray, "parameters"]]:
    """The best of many random points in the box, no two of them close together."""
    low, high = problem.box
    tried = generator.uniform(low, high, (screened, len(low)))
    parts = np.array_split(tried, max(1, screened // 500))
    given = (problem.points.loss, problem.everything if weight is None else weight)
    costs = np.concatenate([np.square(_finite(problem.residual(part, *given))).sum(-1) for part in parts])
    kept: list[Array] = []
    for point in tried[np.argsort(costs, kind="stable")]:
        if len(kept) == count:
            break
        if all(np.linalg.norm((point - other) / (high - low)) > 0.35 for other in kept):
            kept.append(point)
    return kept


def _finite(values: Array) -> Float[np.ndarray, "*shape"]:
    """As numpy; what an integrator gave up on counts as a residual no fit would choose."""
    return np.asarray(np.nan_to_num(np.asarray(values), nan=1e3, posinf=1e3, neginf=-1e3))
