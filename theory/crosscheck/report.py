"""A study and the laws fitted to it as a results table that can be drawn: points with intervals, and curves."""

from typing import Any

import numpy as np

from common.seeds import student
from theory.crosscheck.outside import QUICK, points_of, scaled
from theory.crosscheck.reading import SPLITS, Study
from theory.fitting.laws import law_problem
from theory.fitting.solver import best_fit

DENSE = np.linspace(0.0, 1.0, 51)
DRAWN = ("null", "S", "S8")
"""Laws whose curves are drawn."""


def curve_columns(study: Study) -> tuple[dict[str, Any], dict[str, str]]:
    """Columns of the table, and the kinds of the dotted ones: method `measured`, or a law where one could be fitted."""
    rows: list[dict[str, Any]] = []
    for curve in study.curves:
        ends = [student(values) for values in (curve.im, curve.ret)]
        for i, exposure in enumerate(curve.exposure):
            rows.append(
                _row(curve, "measured", float(exposure), float(ends[0][0][i]), float(ends[1][0][i]))
                | {f"problem.{loss}_{end}": float(found[k][i]) for loss, found in zip(("im", "ret"), ends, strict=True)
                   for k, end in ((1, "low"), (2, "high")) if np.isfinite(found[k][i])}
            )  # fmt: skip
    rates: dict[float, list[Any]] = {}
    for curve in study.curves:
        rates.setdefault(-1.0 if np.isnan(curve.lr_ft) else curve.lr_ft, []).append(curve)
    for curves in rates.values():
        points = points_of(curves)
        if len(points.curves) < 2:
            continue
        near = scaled(points)
        ratio = near.tokens[0] / points.tokens[0]
        for law in DRAWN:
            problem = law_problem(near, law)
            if near.loss.size <= len(problem.bounds) + 5:
                continue
            found = problem.finish(problem.values(best_fit(problem, QUICK, 0)))
            for curve in curves:
                if not np.isfinite(curve.tokens) or (curve.split == SPLITS[1] and curve.exposure.max() > 1):
                    continue
                losses = found.curve(DENSE * curve.exposure.max(), curve.tokens * ratio, curve.split == SPLITS[1])
                rows += [
                    _row(curve, law, float(e), float(im), float(ret))
                    for e, (im, ret) in zip(DENSE * curve.exposure.max(), losses, strict=True)
                ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return columns, {name: "text" if name == "problem.curve" else "real" for name in names if "." in name}


def _row(curve: Any, method: str, exposure: float, im: float, ret: float) -> dict[str, Any]:
    return {
        "problem.curve": curve.name, "method": method, "split": curve.split, "exposure": exposure, "loss_im": im, "loss_ret": ret,
        "tokens_post": int(curve.tokens) if np.isfinite(curve.tokens) else None, "lr_ft": curve.lr_ft if np.isfinite(curve.lr_ft) else None,
    }  # fmt: skip
