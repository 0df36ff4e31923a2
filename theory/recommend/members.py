"""The accounts that a recommendation rests on, each as many draws of its parameters, weighted by what they predict out of sample.

    weight of an account    error^-c    error: rms on curves (or values of lambda) that were left out, c: how many were left out

which is the likelihood of those errors if every curve is one observation: errors along a curve go together, so that counting
numbers would give everything to the winner. Within an account draws are as `theory.recommend.sampling` says. The two
redundant-pathway models take seconds for what the laws do in a millisecond, and enter with their best fit alone; so does what
weighs less than `LIGHT` of the heaviest. A fit that repeats another's (rp, where its pair comes out uncorrelated) is dropped.

`published`   the stored fits to the published Figure 3
`fitted`      laws fitted to one's own study; the linear models keep their published parameters, floors and scale being refitted
`updating.updated` makes of one's own few measurements evidence about the published draws.

D_pre: laws fitted at another size of it do not say what becomes of d0, the worth of D_pre in tokens of D_post. In half of the draws it
stays, in the others it grows in proportion; so does the time on D_pre of the linear models.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.arrays import Array, Float
from common.published import RESULTS, load
from common.settings import WrongUse
from theory.crosscheck.outside import QUICK
from theory.fitting.assessment import Options, method_name, problem_for
from theory.fitting.laws import LawProblem, design, law_problem, stacked
from theory.fitting.models import FAMILIES, GROUPS, model_losses
from theory.fitting.points import SPLITS, Points, points_from
from theory.fitting.solver import Problem, best_fit
from theory.fitting.worth import leave_out, rms
from theory.laws.forms import FORMS, form_named
from theory.recommend.plan import PUBLISHED_PRE, Plan
from theory.recommend.sampling import coefficients, sample

LIGHT = 0.05
"""Of the heaviest weight: what weighs less enters with its best fit alone."""
REPEATS = 1e-5
"""Fits whose rms differ by less (nats) are the same."""
PASSES = (1.0, 6.0)
"""Worth of the passes of an early-stopped stage 2, uniform in the logarithm, where the study has the other half only."""

Columns = Callable[[dict[str, Any], Plan, Float[np.ndarray, "rows"]], Float[Array, "draws rows 2 terms"]]


@dataclass(frozen=True)
class Member:
    """An account: draws of its parameters and coefficients."""

    name: str
    error: float
    """Out of sample, rms in nats."""
    weight: float
    """Of the account, before all of them are normalised."""
    shape: dict[str, Float[Array, "draws 1"]]
    """Parameters that are searched for."""
    terms: tuple[str, ...]
    coefficients: Float[Array, "draws terms"]
    columns: Columns
    """Parameters, plan and exposures to what the coefficients multiply."""
    chance: Float[Array, "draws"]
    """Of each draw; they sum to 1."""

    def losses(self, plan: Plan, exposure: Float[np.ndarray, "rows"]) -> Float[Array, "draws rows 2"]:
        """loss_im and loss_ret along lambda, nats."""
        found = self.columns(self.shape, plan, exposure) @ self.coefficients[:, None, :, None]
        return np.asarray(found[..., 0])


@dataclass(frozen=True)
class Ensemble:
    """Accounts with weights, and what they come from."""

    members: tuple[Member, ...]
    source: str
    how: str
    """What the weights are."""
    left: tuple[str, ...] = ()
    """Accounts that are not there, and why."""
    unit: float = 1.0
    """Tokens of the fits per token of the study."""
    error: float = 0.01
    """Noise of a measurement, nats."""
    spread: str = ""
    """By how much the draws may differ from the fits, in words; empty where they are the study's own."""

    def here(self, plan: Plan) -> Plan:
        """A plan in the tokens of the fits."""
        budget = None if plan.budget is None else plan.budget * self.unit
        return replace(plan, tokens_post=plan.tokens_post * self.unit, budget=budget)

    def speaking(self, plan: Plan) -> tuple[Member, ...]:
        """The accounts that can express a plan."""
        return tuple(one for one in self.members if plan.usual or one.name in FORMS)


def published(plan: Plan, seed: int = 0) -> Ensemble:
    """The accounts as they were fitted to the published Figure 3. Raises `WrongUse` where the stored fits are missing."""
    fits = stored()
    if not fits:
        raise WrongUse(
            "The stored fits to the published study are missing. Make them with `python -m theory fit --out paper/results/theory`."
        )
    points, generator = points_from(load(3)), np.random.default_rng(seed)
    count = len(points.curves)
    heaviest = min(entry["leave_one_curve_out"]["rms"] for entry in fits) ** -count
    left: list[str] = []
    known: list[tuple[str, float]] = []
    members = []
    for entry in fits:
        name, error = entry["method"], entry["leave_one_curve_out"]["rms"]
        if twin := next((other for other, value in known if abs(value - entry["rmse"]) < REPEATS), None):
            left.append(f"{name} (the same fit as {twin})")
            continue
        known.append((name, entry["rmse"]))
        weight = error**-count / heaviest
        one: Problem = (
            law_problem(points, name)
            if name in FORMS
            else problem_for(points, entry["model"], name != entry["model"], Options())
        )
        one_fit = weight < LIGHT or (name not in FORMS and FAMILIES[entry["model"]].integrated)
        best = one.logs(entry["parameters"])
        logs = best[None] if one_fit else sample(one, best, error, generator)
        members.append(_drawn(name, one, logs, error, weight, plan, None if one_fit else generator, PUBLISHED_PRE))
    how = f"rms on a curve left out, to the power -{count}"
    return Ensemble(tuple(members), "the published Figure 3", how, tuple(left))


def fitted(
    points: Points, plan: Plan, source: str, seed: int = 0, *, linear: bool = True, tokens_pre: float | None = None
) -> Ensemble | None:
    """Laws fitted to a study, and the published linear models moved to it; None where its numbers are too few for every law but the null.

    Args:
        points: the study, sizes near 100M tokens (`theory.crosscheck.outside.scaled`).
        plan: what is asked.
        source: what the study is.
        seed: of the draws.
        linear: whether the linear models take part.
        tokens_pre: of D_pre in the study; None where it is the plan's.
    """
    generator, left = np.random.default_rng(seed), []
    groups = {curve.name: points.of(curve) for curve in points.curves if points.of(curve).sum() > 1}
    what = "curve"
    if len(groups) < 2:
        groups = {f"{value:g}": points.exposure == value for value in np.unique(points.exposure)}
        what = "lambda"
    laws = []
    kept = points.loss.size - 2 * max(rows.sum() for rows in groups.values())  # where the largest group is left out
    for name in FORMS:
        problem = replace(law_problem(points, name), thorough=False)
        if kept <= problem.finish(problem.values(problem.box[0])).parameters + 1:
            left.append(f"{name} ({points.loss.size} losses are too few: without a {what}, {kept} are left)")
            continue
        best = best_fit(problem, QUICK, 0)
        laws.append((name, problem, best, leave_out(problem, best, groups).rms or 1.0))
    if {law[0] for law in laws} <= {"null"}:  # which says the same of every exposure
        return None
    moved = [member for entry in (_linear_fits() if linear else []) if (member := _moved(entry, points, groups, plan))]
    least, count = min([*(law[-1] for law in laws), *(one.error for one in moved)]), len(groups)
    members = [replace(one, weight=(one.error / least) ** -count) for one in moved]
    for name, problem, best, error in laws:
        weight = (error / least) ** -count
        one_fit = weight < LIGHT
        logs = best[None] if one_fit else sample(problem, best, error, generator)
        members.append(_drawn(name, problem, logs, error, weight, plan, None if one_fit else generator, tokens_pre))
    return Ensemble(tuple(members), source, f"rms on a {what} left out, to the power -{count}", tuple(left))


def stored() -> list[dict[str, Any]]:
    """The fits of `python -m theory fit` to the published study, as far as they are of a model; none where they are missing."""
    path = RESULTS / "theory" / "fits.json"
    fits = json.loads(path.read_text())["fits"] if path.exists() else []
    return [entry for entry in fits if "parameters" in entry]


def _linear_fits() -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for entry in stored():
        if entry["model"] in FAMILIES and all(abs(entry["rmse"] - one["rmse"]) > REPEATS for one in kept):
            kept.append(entry)
    return kept


def _law_columns(name: str) -> Columns:
    def columns(v: dict[str, Any], plan: Plan, exposure: Array) -> Array:
        return stacked(form_named(name).terms(v, plan.seen(v, exposure)), np.shape(exposure))[0]

    return columns


def _linear_columns(model: str, groups: int) -> Columns:
    def columns(v: dict[str, Any], plan: Plan, exposure: Array) -> Array:
        loss = np.asarray(model_losses(v, plan.points(exposure), model, groups))
        return np.stack([np.ones_like(loss), loss], axis=-1)

    return columns


def _drawn(
    name: str,
    problem: Problem,
    logs: Float[Array, "draws parameters"],
    error: float,
    weight: float,
    plan: Plan,
    generator: np.random.Generator | None,
    tokens_pre: float | None = None,
) -> Member:
    """A fitted account with the coefficients that belong to draws of its parameters."""
    count = len(logs)
    v = {key: np.full((count, 1), value) for key, value in problem.held.items()}
    v |= {key: np.exp(logs[:, i, None]) for i, key in enumerate(problem.names)}
    points = problem.points
    if isinstance(problem, LawProblem):
        best, free, _ = problem.solved(logs, points.loss, problem.everything)
        whole, names = design(problem.form, v, points)
        whole = np.broadcast_to(whole, (count, *whole.shape[-3:])).reshape(count, -1, len(names))
        kept = [names.index(key) for key in free]
        if generator is not None:
            positive = [i for i, key in enumerate(free) if key in ("floor", "amplitude")]
            best = coefficients(whole[..., kept], best, error, positive, generator)
        found = np.zeros((count, len(names)))
        found[:, kept] = best
        columns, early = _law_columns(name), "offset"
        if len(np.unique(points.matched)) == 1 and plan.split != SPLITS[int(points.matched[0])]:
            worth = np.geomspace(PASSES[0], PASSES[1], count)[np.random.default_rng(0).permutation(count), None]
            v["passes"] = worth
            if points.matched[0] == 0:
                v["post_worth"] = v["post_worth"] / worth  # an independent half decides the product alone
    else:
        fits = [problem.finish({key: float(value[j, 0]) for key, value in v.items()}) for j in range(count)]
        nearest = min(points.sizes, key=lambda size: abs(np.log(size / plan.tokens_post)))
        found, names = np.array([[fit.floors[float(nearest)], fit.scale] for fit in fits]), ["floor", "scale"]
        columns, early = _linear_columns(problem.model, problem.groups), "pre_time"
    reference = plan.tokens_pre if tokens_pre is None else tokens_pre
    v[early] = v[early] * (plan.tokens_pre / reference) ** (np.arange(count)[:, None] % 2)
    return Member(name, error, weight, v, tuple(names), found, columns, np.full(count, 1 / count))


def _moved(entry: dict[str, Any], points: Points, groups: dict[str, Any], plan: Plan) -> Member | None:
    """A linear model with its published parameters; floors of the sizes and scale refitted to a study."""
    spectrum = "strength_decay" in entry["parameters"]
    count = GROUPS if spectrum else 1
    values = {key: np.full((1, 1), value) for key, value in entry["parameters"].items()}
    try:
        mine = np.asarray(model_losses(values, points, entry["model"], count))[0]
    except WrongUse:
        return None
    columns = np.concatenate([np.repeat(points.member[:, None, :], 2, axis=1), mine[..., None]], axis=-1)

    def solved(rows: Any) -> Any:
        kept = columns[rows].reshape(-1, columns.shape[-1])
        found = np.linalg.lstsq(kept, points.loss[rows].reshape(-1), rcond=None)[0]
        if found[-1] < 0:
            found = np.append(np.linalg.lstsq(kept[:, :-1], points.loss[rows].reshape(-1), rcond=None)[0], 0.0)
        return found

    left = []
    for here in groups.values():
        if np.isin(points.tokens[here], points.tokens[~here]).all():
            left.append((points.loss - columns @ solved(~here))[here].reshape(-1))
    if not left:
        return None
    found = solved(np.ones(len(points.exposure), dtype=bool))
    nearest = int(np.argmin(np.abs(np.log(points.sizes / plan.tokens_post))))
    name = method_name(entry["model"], spectrum)
    pair = np.array([[found[nearest], found[-1]]])
    return Member(
        name,
        rms(np.concatenate(left)),
        0.0,
        values,
        ("floor", "scale"),
        pair,
        _linear_columns(entry["model"], count),
        np.ones(1),
    )
