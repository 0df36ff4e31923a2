"""Predictions out of sample, in nats.

Within the study: what is predicted was left out of the fit.

    forgetting from what was measured      loss_ret - loss_im = psi (null), psi + b lambda (line), psi + phi [L(x) - loss_im] (S),
                                           and omega for independent splits (S5), with L(x) the measured loss after stage 1; every
                                           lambda is predicted from the others
    whole laws                             null, S, S5, S8 and Slin with their learning curve; every curve is predicted from the others

From the published study: the stored fits of `python -m theory fit` predict by how much loss_im and loss_ret change from the smallest
lambda on; nothing of the study is seen. That is an extrapolation wherever D_post, model or fine-tuning are others.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.published import RESULTS
from theory.crosscheck.reading import SPLITS, Curve, Study
from theory.fitting.laws import EFFORT, LawFit, law_problem
from theory.fitting.points import Points
from theory.fitting.solver import Fit, best_fit
from theory.fitting.worth import curves_of, leave_out, rms
from theory.laws.forms import FORMS

LAWS = ("null", "S", "S5", "S8", "Slin")
QUICK = replace(EFFORT, starts=4, screened=1000, evaluations=(20, 100), tolerances=(1e-5, 1e-9), finals=1)


@dataclass(frozen=True)
class Predicted:
    """How well one account predicts what it has not seen."""

    what: str
    """Which runs."""
    how: str
    model: str
    numbers: int
    """Fitted numbers."""
    fitted: float | None
    """rms of the fit, nats."""
    error: float | None
    """rms out of sample, nats."""
    values: dict[str, float]
    """What was fitted."""


def groups_by_rate(study: Study) -> dict[str, list[Curve]]:
    """Curves that one forgetting law may describe: of one fine-tuning rate."""
    made: dict[str, list[Curve]] = {}
    for curve in study.curves:
        made.setdefault("" if np.isnan(curve.lr_ft) else f"lr_ft {curve.lr_ft:g}", []).append(curve)
    return made


def from_measured(name: str, curves: list[Curve]) -> list[Predicted]:
    """Forgetting from measured losses, every lambda predicted from the others."""
    exposure = np.concatenate([curve.exposure for curve in curves])
    im, ret = (np.concatenate([getattr(curve, loss).mean(0) for curve in curves]) for loss in ("im", "ret"))
    terms: dict[str, dict[str, Any]] = {"null": {}, "line": {"b": exposure}}
    if all(curve.start is not None for curve in curves):
        start = np.concatenate([curve.start.mean(0) for curve in curves if curve.start is not None])
        terms["S measured"] = {"phi": start - im}
        independent = np.concatenate(
            [np.full(len(curve.exposure), float(curve.split == SPLITS[0])) for curve in curves]
        )
        if 0 < independent.mean() < 1:
            terms["S5 measured"] = {"phi": start - im, "omega": independent}
    made = []
    for model, more in terms.items():
        columns = np.stack([np.ones_like(im), *more.values()], axis=1)
        found = np.linalg.lstsq(columns, ret - im, rcond=None)[0]
        left = ret - im - columns @ found
        spread = np.sqrt(np.diag(np.linalg.pinv(columns.T @ columns)) * (left @ left) / max(1, len(left) - len(found)))
        values = dict(zip(("psi", *more), found.tolist(), strict=True))
        values |= dict(zip(("psi_error", *(f"{name}_error" for name in more)), spread.tolist(), strict=True))
        errors = []
        for value in np.unique(exposure):
            out = exposure == value
            if (~out).sum() > columns.shape[1]:
                without = np.linalg.lstsq(columns[~out], (ret - im)[~out], rcond=None)[0]
                errors.append((ret - im - columns @ without)[out])
        made.append(
            Predicted(
                name, "a lambda left out, loss_im given", model, columns.shape[1], rms(left),
                rms(np.concatenate(errors)) if errors else None, values,
            )
        )  # fmt: skip
    return made


def points_of(curves: list[Curve]) -> Points:
    """Means over seeds as points to fit; curves whose size is not stated, or whose exposure exceeds one pass, are left out."""
    kept = [c for c in curves if np.isfinite(c.tokens) and (c.split == SPLITS[0] or c.exposure.max() <= 1)]
    if not kept:
        return Points(np.zeros(0), np.zeros(0), np.zeros(0, dtype=int), np.zeros((0, 2)))
    return Points(
        np.concatenate([c.exposure for c in kept]),
        np.concatenate([np.full(len(c.exposure), c.tokens) for c in kept]),
        np.concatenate([np.full(len(c.exposure), SPLITS.index(c.split)) for c in kept]),
        np.concatenate([np.stack([c.im.mean(0), c.ret.mean(0)], axis=1) for c in kept]),
    )


def whole_laws(name: str, curves: list[Curve]) -> list[Predicted]:
    """The laws with their learning curve, every curve predicted from the others; none where there are too few numbers."""
    points = points_of(curves)
    made: list[Predicted] = []
    if len(points.curves) < 2:
        return made
    for law in LAWS:
        problem = replace(law_problem(scaled(points), law), thorough=False)
        best = best_fit(problem, QUICK, 0)
        found = problem.finish(problem.values(best))
        if found.residuals.size <= found.parameters:
            continue
        groups = curves_of(points) or {curve.name: points.of(curve) for curve in points.curves}
        out = leave_out(problem, best, groups)
        made.append(
            Predicted(
                name,
                "a curve left out",
                law,
                found.parameters,
                found.rmse,
                out.rms,
                found.values | {"numbers": float(found.residuals.size)},
            )
        )
    return made


def scaled(points: Points) -> Points:
    """The same with sizes of D_post that average 100 million tokens, where they are far from it: the bounds of a fit are for those."""
    middle = float(np.exp(np.log(points.tokens).mean()))
    return (
        points
        if 1e7 < middle < 1e9
        else Points(points.exposure, points.tokens * (1e8 / middle), points.matched, points.loss)
    )


def stored_fits() -> dict[str, Fit]:
    """The fits to the published Figure 3 that `python -m theory fit` stored, by method."""
    path = RESULTS / "theory" / "fits.json"
    document = json.loads(path.read_text()) if path.exists() else {"fits": []}
    made = {}
    for entry in document["fits"]:
        if "parameters" in entry:
            kind: Any = LawFit if entry["model"] in FORMS else Fit
            groups = 16 if "strength_decay" in entry["parameters"] else 1
            made[entry["method"]] = kind(
                entry["parameters"],
                (),
                entry["scale"],
                {},
                np.zeros((0, 2)),
                entry["fitted_numbers"],
                entry["model"],
                groups,
            )
    return made


def transferred(study: Study) -> list[Predicted]:
    """Changes from the smallest lambda on, predicted by the stored fits to the published study; and by no change at all."""
    curves = [c for c in study.curves if np.isfinite(c.tokens) and (c.split == SPLITS[0] or c.exposure.max() <= 1)]
    if not curves:
        return []
    made = []
    observed = [np.stack([c.im.mean(0), c.ret.mean(0)], axis=1) for c in curves]
    for method, fit in {"no change": None, **stored_fits()}.items():
        errors = []
        for curve, seen in zip(curves, observed, strict=True):
            change = seen - seen[0]
            if fit is not None:
                known = replace(fit, floors={curve.tokens: 0.0})
                mine = np.asarray(known.curve(curve.exposure, curve.tokens, curve.split == SPLITS[1]))
                change = change - (mine - mine[0])
            errors.append(change[1:])
        made.append(Predicted("all", "from the published study", method, 0, None, rms(np.concatenate(errors)), {}))
    return made


def held_out(study: Study) -> list[Predicted]:
    """All predictions within the study."""
    return [
        one
        for name, curves in groups_by_rate(study).items()
        for one in (*from_measured(name, curves), *whole_laws(name, curves))
    ]
