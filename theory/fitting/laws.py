"""The laws as something to fit: shape parameters are searched for, coefficients solved for (variable projection).

The sum of squares over the coefficients is a linear problem with floor and amplitude not negative, solved exactly: of the four sets of
active bounds the best feasible one. Derivatives are central differences, of all parameters in one call: a law costs microseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from common.arrays import Array, Float
from theory.fitting.points import Points
from theory.fitting.solver import Effort, Fit, Problem, best_fit
from theory.laws.forms import Form, Seen, Term, form_named

MILLION = 1e6
EFFORT = Effort(starts=12, screened=3000, evaluations=(30, 200), tolerances=(1e-6, 1e-12), finals=2)
"""Of the fit to everything; a fit without a curve starts there as well and from a few points of its own."""
REFIT = Effort(starts=3, screened=500, evaluations=(20, 100), tolerances=(1e-5, 1e-10), finals=1)


@dataclass(frozen=True)
class LawFit(Fit):
    """A fitted law: its values are its settings."""

    def curve(self, exposure: Array, tokens: float, matched: bool) -> Float[Array, "rows 2"]:
        """loss_im and loss_ret in nats along lambda for one size and split."""
        count = len(exposure)
        rows = Points(exposure, np.full(count, tokens), np.full(count, int(matched)), np.zeros((count, 2)))
        return law_losses(form_named(self.model), self.values, rows)


def seen_by(form: Form, v: Mapping[str, Any], points: Points) -> Seen:
    """What the rows of a study saw of D_post, in millions of stage-1 tokens."""
    size = points.tokens / MILLION
    once = points.matched == 1
    second = np.where(once, np.maximum(1 - points.exposure, 0.0), 1.0) * size
    worth = v["post_worth"] * np.where(once, 1.0, v["passes"])
    return Seen(points.exposure * size, worth * second, size, 1.0 - once)


def law_losses(form: Form, v: Mapping[str, Any], points: Points) -> Float[Array, "rows 2"]:
    """loss_im and loss_ret of a law with these settings (`lost` as a share)."""
    by = dict(v) | ({"lost": v["lost"] * v["amplitude"]} if "lost" in v else {})
    columns, names = design(form, v, points)
    return columns @ np.array([by[name] for name in names])


def design(form: Form, v: Mapping[str, Any], points: Points) -> tuple[Float[Array, "*starts rows 2 terms"], list[str]]:
    """The columns that a law's coefficients multiply, and their names."""
    return stacked(form.terms(v, seen_by(form, v, points)), points.tokens.shape)


def stacked(terms: list[Term], rows: tuple[int, ...]) -> tuple[Float[Array, "*starts rows 2 terms"], list[str]]:
    """Terms as columns, of at least this shape, and their names."""
    shape = np.broadcast_shapes(rows, *(np.shape(part) for term in terms for part in term[1:3]))
    columns = [[np.broadcast_to(part, shape) for part in term[1:3]] for term in terms]
    return np.moveaxis(np.array(columns), (0, 1), (-1, -2)), [term.name for term in terms]


@dataclass(frozen=True)
class LawProblem(Problem):
    """A law to be fitted to points."""

    fixed: dict[str, float] = field(default_factory=dict)
    """Coefficients that are held, `lost` as a share: what a profile needs."""
    thorough: bool = True
    """Whether a fit without some rows looks for a minimum of its own."""
    leveled = False

    @property
    def form(self) -> Form:
        """The law."""
        return form_named(self.model)

    def solved(
        self, logs: Float[Array, "*starts parameters"], observed: Float[Array, "rows 2"], weight: Float[Array, "rows"]
    ) -> tuple[Float[Array, "*starts terms"], list[str], Float[Array, "*starts rows 2"]]:
        """Best coefficients, their names, and unweighted residuals."""
        v = {**self.held, **{name: np.exp(logs[..., i, None]) for i, name in enumerate(self.names)}}
        columns, names = design(self.form, v, self.points)
        target = np.broadcast_to(observed, columns.shape[:-1])
        for name, value in self.fixed.items():
            at = names.index(name)
            if name == "lost":
                columns = columns.copy()
                columns[..., names.index("amplitude")] += value * columns[..., at]
            else:
                target = target - value * columns[..., at]
            columns, names = np.delete(columns, at, axis=-1), [*names[:at], *names[at + 1 :]]
        found = bounded(
            columns, target, weight, [names.index(name) for name in ("floor", "amplitude") if name in names]
        )
        return found, names, target - (columns @ found[..., None, :, None])[..., 0]

    def residual(
        self, logs: Float[Array, "*starts parameters"], observed: Float[Array, "rows 2"], weight: Float[Array, "rows"]
    ) -> Float[Array, "*starts numbers"]:
        """Weighted residuals, coefficients at their best."""
        left = self.solved(logs, observed, weight)[2] * weight[:, None]
        return left.reshape(*left.shape[:-2], -1)

    def refit(self, start: Float[np.ndarray, "parameters"], weight: Float[np.ndarray, "rows"]) -> Fit:
        """The fit without the rows of weight 0, from the fit to everything and from points of its own."""
        if not self.thorough:
            return super().refit(start, weight)
        found = best_fit(self, REFIT, 0, weight=weight, also=[self.values(start)])
        return self.finish(self.values(found), weight=weight)

    def finish(
        self,
        values: dict[str, float],
        observed: Float[np.ndarray, "rows 2"] | None = None,
        weight: Float[np.ndarray, "rows"] | None = None,
    ) -> Fit:
        """The fit with these shape parameters, coefficients at their best for the rows that count."""
        observed = self.points.loss if observed is None else observed
        weight = self.everything if weight is None else weight
        found, names, left = self.solved(self.logs(values), observed, weight)
        by = dict(zip(names, found.tolist(), strict=True)) | self.fixed
        if "lost" in by and "lost" not in self.fixed:
            by["lost"] = by["lost"] / by["amplitude"] if by["amplitude"] > 0 else 0.0
        floors = dict.fromkeys(self.points.sizes.tolist(), by["floor"])
        return LawFit(
            values={name: values[name] for name in self.form.shape} | by,
            fixed=tuple(self.held),
            scale=by["amplitude"],
            floors=floors,
            residuals=left,
            parameters=len(self.bounds) + len(names),
            model=self.model,
        )


def law_problem(points: Points, name: str, fixed: dict[str, float] | None = None) -> LawProblem:
    """The problem of fitting a law; what the points cannot decide is held at 1, and not counted."""
    form = form_named(name)
    held: dict[str, float] = {}
    if not (points.matched == 0).any() or not (points.matched == 1).any():
        held["passes"] = 1.0  # m and R act through their product
    bounds = {key: bound for key, bound in form.shape.items() if key not in held}
    chosen = dict(fixed or {})
    if len(np.unique(points.matched)) == 1 and "repetition" in form.settings.__dataclass_fields__:
        chosen["repetition"] = 0.0  # a constant cannot be told from psi
    return LawProblem(points, bounds, held, name, fixed=chosen)


def bounded(
    columns: Float[Array, "*starts rows 2 terms"],
    target: Float[Array, "*#starts rows 2"],
    weight: Float[Array, "rows"],
    nonnegative: list[int],
) -> Float[Array, "*starts terms"]:
    """Least squares with some coefficients not negative: the best feasible of all sets of them that are held at 0."""
    count = columns.shape[-1]
    mass = np.repeat(weight, 2)
    flat = columns.reshape(*columns.shape[:-3], -1, count) * mass[:, None]
    goal = target.reshape(*target.shape[:-2], -1) * mass
    best = np.zeros((*flat.shape[:-2], count))
    least = np.full(flat.shape[:-2], np.inf)
    for chosen in range(1 << len(nonnegative)):
        out = [index for bit, index in enumerate(nonnegative) if chosen >> bit & 1]
        kept = [i for i in range(count) if i not in out]
        part = flat[..., kept]
        scale = np.sqrt((part * part).sum(-2)) + 1e-300
        part = part / scale[..., None, :]
        gram = np.swapaxes(part, -1, -2) @ part + 1e-13 * np.eye(len(kept))
        found = np.linalg.solve(gram, (np.swapaxes(part, -1, -2) @ goal[..., None]))[..., 0]
        cost = np.square(goal - (part @ found[..., None])[..., 0]).sum(-1)
        full = np.zeros((*flat.shape[:-2], count))
        full[..., kept] = found / scale
        feasible = (full[..., nonnegative] >= 0).all(-1)
        better = (cost < least) & feasible
        best = np.where(better[..., None], full, best)
        least = np.where(better, cost, least)
        if not chosen and feasible.all():  # nothing is bound, as nearly always: no other set can be better
            break
    return best
