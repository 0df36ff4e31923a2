"""The best fit of a model: random points are screened, the best and mutually distant ones refined by trust-region least squares.

All refits of a model (curves held out, parameters profiled) share one compiled Jacobian: observations and weights are its
arguments. Parameters are fitted on a logarithmic scale between bounds; the same seed gives the same fit.

From model loss to nats: one floor a size of D_post and one scale, none negative, solved for inside the fit.

    loss in nats = floor(size of D_post) + scale x model loss

The floor of a size is shared by both halves of a study: it is what is left of the same corpus for the same model however it
was trained, and sharing it lets one half predict the other. Both are linear parameters, so their best values are known for
whatever the rest is (variable projection). Rows of weight 0 take no part.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float, namespace
from theory.fitting.models import TIME_BOUNDS, Bounds, model_losses, own_time
from theory.fitting.points import Points


class Groups(NamedTuple):
    """Which rows share a floor, and how much each row weighs."""

    member: Float[Array, "rows sizes"]
    """1 where a row has that size."""
    weight: Float[Array, "rows"]
    """0 for rows that are held out."""


def means(losses: Float[Array, "*starts rows 2"], groups: Groups) -> Float[Array, "*starts sizes"]:
    """Mean loss of each size, over both losses; 0 where a size has no weight."""
    member = groups.member * groups.weight[:, None]
    return (losses.sum(-1) @ member) / (2 * member.sum(0) + 1e-300)


def centre(losses: Float[Array, "*starts rows 2"], groups: Groups) -> Float[Array, "*starts rows 2"]:
    """Losses minus the mean of their size: what is left once each size has its own floor. Held-out rows are 0."""
    left = losses - (means(losses, groups) @ groups.member.T)[..., None]
    return left * groups.weight[:, None]


def best_scale(
    losses: Float[Array, "*starts rows 2"], observed: Float[Array, "rows 2"], groups: Groups
) -> Float[Array, "*starts"]:
    """The scale that brings model losses closest to the observations, with scale and all floors non-negative."""
    mine, theirs = centre(losses, groups), centre(observed, groups)
    best = (mine * theirs).sum((-2, -1)) / ((mine * mine).sum((-2, -1)) + 1e-300)
    xp = namespace(best)
    present = (groups.member * groups.weight[:, None]).sum(0) > 0
    ceilings = xp.where(present, means(observed, groups) / (means(losses, groups) + 1e-300), xp.inf)
    return xp.minimum(best.clip(0.0), ceilings.min(-1))


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
    """Observed minus fitted, nats; held-out rows included."""
    parameters: int
    """Fitted numbers, floors and scale included."""
    model: str = "plain"
    """A name in `theory.fitting.models.FAMILIES`."""
    groups: int = 1
    """Groups of ranks of its spectrum, if it has one."""

    @property
    def rmse(self) -> float:
        """Root mean square residual, nats."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def aicc(self) -> float:
        """Corrected Akaike criterion for Gaussian residuals; infinite where there are too few points."""
        return aicc(self.residuals, self.parameters)

    def curve(self, exposure: Array, tokens: float, matched: bool) -> Float[Array, "rows 2"]:
        """Fitted loss_im and loss_ret in nats along lambda for one size and split."""
        count = len(exposure)
        rows = Points(exposure, np.full(count, tokens), np.full(count, int(matched)), np.zeros((count, 2)))
        return self.floors[tokens] + self.scale * model_losses(self.values, rows, self.model, self.groups)


def aicc(residuals: Float[np.ndarray, "rows 2"], parameters: int) -> float:
    """`n ln(RSS/n) + 2 p n/(n - p - 1)`, p the fitted numbers and the variance; infinite where n <= p + 1."""
    n, p = residuals.size, parameters + 1
    return float(n * np.log(np.mean(residuals**2)) + 2 * p * n / (n - p - 1)) if n > p + 1 else float("inf")


STEP = 3e-5
"""Of central differences in the logarithms of the parameters: their error, near 1e-10, changes no printed digit."""
REFIT = (12, 1e-5)
"""Evaluations and tolerance of a refit that starts at the fit to everything."""


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
    leveled = True
    """Whether every size of D_post has a level of its own, so that a size that is left out has none."""

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
        scale = best_scale(losses, observed, groups)[..., None, None]
        left = centre(observed, groups) - scale * centre(losses, groups)
        return left.reshape(*left.shape[:-2], -1)

    @cached_property
    def compiled(self) -> tuple[Callable[..., Array], Callable[..., Array]]:
        """The residual and its Jacobian, both of (logs, observed, weight).

        A closed form is evaluated by numpy, its derivatives as central differences: compiling it would take longer than all
        evaluations together. What is integrated is compiled, and differentiated exactly.
        """
        if not self.integrated:
            return self._with_differences()

        import jax

        options = {"xla_backend_optimization_level": 1}

        def precise(function: Callable[..., Array]) -> Callable[..., Array]:
            compiled = jax.jit(function, compiler_options=options)

            def evaluated(*given: Array) -> Array:
                with jax.enable_x64(True):
                    return np.asarray(compiled(*given))

            return evaluated

        return precise(self.residual), precise(jax.jacfwd(self.residual))

    def _with_differences(self) -> tuple[Callable[..., Array], Callable[..., Array]]:
        """The residual and its central differences, both from one call: for few rows a call costs as much for many points as for one.

        A step that is taken, as most are, asks for both at the same place.
        """
        last = threading.local()  # fits of one problem may run side by side

        def both(logs: Array, *given: Array) -> tuple[Array, Array]:
            key = (logs.tobytes(), *map(id, given))
            if getattr(last, "key", None) != key:
                steps = STEP * np.eye(len(logs))
                value, *rest = self.residual(np.concatenate([logs[None], logs + steps, logs - steps]), *given)
                forward, backward = np.split(np.array(rest), 2)
                last.key, last.given, last.pair = key, given, (value, (forward - backward).T / (2 * STEP))
            pair: tuple[Array, Array] = last.pair
            return pair

        return lambda *asked: both(*asked)[0], lambda *asked: both(*asked)[1]

    def refine(
        self,
        start: Float[np.ndarray, "parameters"],
        evaluations: int,
        tolerance: float,
        observed: Float[np.ndarray, "rows 2"] | None = None,
        weight: Float[np.ndarray, "rows"] | None = None,
        hold: int | None = None,
    ) -> Any:
        """Least squares from a start: scipy's result, with `x` and `cost`.

        Args:
            start: logarithms of the parameters.
            evaluations: at most.
            tolerance: relative, of step and cost.
            observed: losses in nats; default: those of the points.
            weight: 1 for rows that count, 0 for those that are held out; default: all count.
            hold: index of a parameter that stays where it starts.
        """
        from scipy.optimize import least_squares

        given = (self.points.loss if observed is None else observed, self.everything if weight is None else weight)
        value, derivative = self.compiled
        free = np.array([i for i in range(len(start)) if i != hold])

        def whole(part: Array) -> Array:
            full = np.array(start)
            full[free] = part
            return full

        def left(part: Array) -> Array:
            return _finite(value(whole(part), *given))

        def slopes(part: Array) -> Array:
            return _finite(derivative(whole(part), *given))[:, free]

        found = least_squares(
            left,
            start[free],
            jac=slopes,
            bounds=tuple(end[free] for end in self.box),
            max_nfev=evaluations,
            xtol=tolerance,
            ftol=tolerance,
        )
        found.x = whole(found.x)
        return found

    def refit(self, start: Float[np.ndarray, "parameters"], weight: Float[np.ndarray, "rows"]) -> Fit:
        """The fit without the rows of weight 0, from the fit to everything."""
        return self.finish(self.values(self.refine(start, *REFIT, weight=weight).x), weight=weight)

    def jacobian(
        self, logs: Float[np.ndarray, "parameters"], weight: Float[np.ndarray, "rows"] | None = None
    ) -> Float[np.ndarray, "numbers parameters"]:
        """Derivatives of the residuals."""
        weight = self.everything if weight is None else weight
        return _finite(self.compiled[1](logs, self.points.loss, weight))

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
        scale = float(best_scale(losses, observed, groups))
        floors = means(observed - scale * losses, groups)
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
    problem.compiled  # noqa: B018 (imports JAX, where it is needed, before any work)
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
