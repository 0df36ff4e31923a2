"""The published Figure 3 as the plain linear model fits it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from theory.studies.table import of_parts

STARTS = 24
"""Points that each fit of the overlay refines; with 8 the fit of Figure 3a stops at a local minimum."""


def overlay() -> Any:
    """Figure 3 of the paper as the plain linear model fits it: each half alone, at equal step sizes."""
    from common.published import load
    from theory.fit import Fit, fit, points_from

    published = load(3)
    splits = ("independent", "compute-matched")

    def run(split: str) -> Fit:
        return fit(points_from(published, [split]), fixed={"step_ratio": 1.0}, starts=STARTS)

    with ThreadPoolExecutor(len(splits)) as pool:  # the fits share nothing; each gives the same result alone
        fits = dict(zip(splits, pool.map(run, splits), strict=True))
    exposure = np.linspace(0.0, 1.0, 101)
    parts = []
    for split, found in fits.items():
        values: dict[str, Any] = {name if name == "t_ft" else f"problem.{name}": v for name, v in found.values.items()}
        values |= {"problem.rmse": found.rmse, "problem.aicc": found.aicc, "problem.scale": found.scale}
        values |= {"problem.fitted_numbers": float(found.parameters), "method": "best fit", "split": split}
        for size, floor in found.floors.items():
            curve = found.curve(exposure, size, split == splits[1])
            losses = {"loss_im": curve[:, 0], "loss_ret": curve[:, 1]}
            parts.append(values | losses | {"exposure": exposure, "tokens_post": int(size), "problem.floor": floor})
    return of_parts(parts, "overlay", exposure, STARTS)
