"""The tables behind the theory figures: each study is a function that returns one results table.

A trajectory is a sweep over stopping times: a row is the pipeline cut off at that time. Analytic boundaries of a phase map are
rows of its table, named in `problem.boundary`, that have coordinates but no losses.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from theory import results, rows
from theory.allocation import allocate, optimum
from theory.arrays import Array
from theory.features import BLOCKS, modes_from_blocks
from theory.grid import Axis, Grid, evaluate
from theory.losses import LOSSES
from theory.modes import learning_time
from theory.recipe import Recipe
from theory.settings import config_hash
from theory.stages import DEFAULTS, predict, solve
from theory.thresholds import exposure_time, half_time, retained_crossing

MIXED = 0.2
"""The alpha that the figures call mixed; unmixed is 0."""
WINDOW = {
    "sigma_pre": 0.1,
    "sigma_post": 0.6,
    "sigma_ft": 0.1,
    "init_scale": 1e-3,
    "t_pre": 12.0,
    "t_post": 1.0,
    "t_ft": 5.0,
}
"""A setting inside the mixing window for large beta: mixed learns the specialised modes before the inconsistent ones."""


def _table(parts: list[dict[str, Any]], study: str, *science: Any) -> Any:
    """One table from parts of one study; missing columns are null."""
    import pyarrow as pa

    name = config_hash(study, *science)
    made = [
        rows.columns(
            {k: v for k, v in p.items() if k not in LOSSES}, [p.get(k) for k in LOSSES], study=study, config_hash=name
        )
        for p in parts
    ]
    kinds = {c: "text" if c in ("problem.boundary", "problem.stage") else "real" for p in made for c in p if "." in c}
    tables = []
    for part in made:
        sized = next(len(v) for v in part.values() if np.ndim(v))
        tables.append(pa.table(_filled(part, kinds, sized), schema=results.schema(kinds)))
    whole = pa.concat_tables(tables).unify_dictionaries()
    results.verify(whole)
    return whole


def _filled(part: dict[str, Any], kinds: dict[str, str], size: int) -> dict[str, Any]:
    return {field.name: results.column(part.get(field.name), field.type, size) for field in results.schema(kinds)}


def trajectories() -> Any:
    """Mode strengths and losses through the three stages, mixed and unmixed."""
    base = DEFAULTS
    parts = []
    for alpha, method in ((0.0, "unmixed"), (MIXED, "mixed")):
        for i, stage in enumerate(("pre", "post", "ft")):
            done = [base[f"t_{name}"] for name in ("pre", "post", "ft")[:i]]
            time = np.linspace(0.0, base[f"t_{stage}"], 241)
            times = [*done, time, *[0.0] * (2 - i)]
            v = {**base, "alpha": alpha} | {
                f"t_{name}": t for name, t in zip(("pre", "post", "ft"), times, strict=True)
            }
            solution = solve(modes_from_blocks(v, 1), v)
            strength = np.broadcast_to(solution.strengths[3], (3, len(time)))
            losses = {
                name: np.broadcast_to(loss, time.shape) for name, loss in zip(LOSSES, solution.losses, strict=True)
            }
            modes = {f"problem.{block}": strength[j] for j, block in enumerate(BLOCKS)}
            parts.append(v | losses | modes | {"method": method, "problem.stage": stage, "problem.time": time})
    return _table(parts, "trajectories", base, MIXED)


def alpha_curves() -> Any:
    """The losses against alpha, for several stage-3 times."""
    alpha = np.linspace(0.0, 0.5, 251)
    times = (0.1, 0.3, 1.0, 3.0)
    parts = [_solved({"alpha": alpha, "t_ft": np.full(alpha.shape, t)}) for t in times]
    return _table(parts, "alpha_curves", alpha, times)


def _solved(values: dict[str, Any]) -> dict[str, Any]:
    """Settings together with their losses as columns."""
    v = {**DEFAULTS, **values}
    return v | predict(v)._asdict()


def _map(x: Axis, y: Axis, fixed: dict[str, Any]) -> dict[str, Any]:
    grid = Grid([y, x], fixed)
    losses = dict(zip(LOSSES, evaluate(grid), strict=True))
    return grid.fixed | grid.coordinates(0, grid.size) | losses


def _boundary(name: str, x_name: str, x: Array, y_name: str, y: Array, fixed: dict[str, Any]) -> dict[str, Any]:
    x, y = (np.asarray(value, dtype=float) for value in np.broadcast_arrays(x, y))
    return {**DEFAULTS, **fixed, x_name: x, y_name: y, "problem.boundary": name}


def phase_alpha() -> Any:
    """loss_ret over (alpha, t_ft), with the exposure time and the time at which the inconsistent modes are half forgotten."""
    alpha, time = np.linspace(0.0, 0.4, 161), np.geomspace(1e-2, 1e2, 161)
    v = DEFAULTS
    needed = (exposure_time(v["beta"], v["init_scale"]) - v["t_post"]) / v["t_pre"]
    half = learning_time(v["sigma_post"], (v["sigma_post"] + v["sigma_ft"]) / 2, variance=1.0, sigma=v["sigma_ft"])
    parts = [
        _map(Axis("alpha", alpha), Axis("t_ft", time), {}),
        _boundary("exposure time", "alpha", needed, "t_ft", time[[0, -1]], {}),
        _boundary("half forgotten", "alpha", alpha[[0, -1]], "t_ft", half, {}),
    ]
    return _table(parts, "phase_alpha", alpha, time, v)


def phase_beta() -> Any:
    """loss_ret over (beta, alpha) inside the mixing window's regime, with four boundaries.

    Exposure time: specialised modes half learned. Escape time: the inconsistent modes leave 0 within stages 1 and 2. C.6: the paper's
    condition on alpha beta. C.17 crossing: the beta above which the mixed model's retained loss is the lower one.
    """
    beta, alpha = np.linspace(0.05, 2.0, 157), np.linspace(0.0, 0.6, 145)
    v = {**DEFAULTS, **WINDOW}
    start = v["init_scale"] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        exposure = (exposure_time(beta, v["init_scale"]) - v["t_post"]) / v["t_pre"]
        salience = v["sigma_pre"] / (beta - v["sigma_post"] + v["sigma_pre"])
    salience = np.where((beta > v["sigma_post"]) & (salience <= alpha[-1]), salience, np.nan)
    escape = half_time(start, 1.0, (1 - alpha) * v["sigma_pre"] + alpha * v["sigma_post"])
    left = np.interp(-v["t_pre"], -escape, alpha)  # escape falls with alpha
    crossing = retained_crossing(v["sigma_post"], v["sigma_ft"])
    shown = (exposure >= 0) & (exposure <= alpha[-1])
    kept = np.isfinite(salience)
    parts = [
        _map(Axis("beta", beta), Axis("alpha", alpha), WINDOW),
        _boundary("exposure time", "beta", beta[shown], "alpha", exposure[shown], WINDOW),
        _boundary("escape time", "beta", beta[[0, -1]], "alpha", left, WINDOW),
        _boundary("C.6", "beta", beta[kept], "alpha", salience[kept], WINDOW),
        _boundary("C.17 crossing", "beta", crossing, "alpha", alpha[[0, -1]], WINDOW),
    ]
    return _table(parts, "phase_beta", beta, alpha, WINDOW)


def frontiers() -> Any:
    """End points of stage-2 x stage-3 sweeps, mixed and unmixed: the linear counterpart of the paper's Figure 2."""
    post, ft = np.geomspace(0.3, 3.0, 12), np.geomspace(0.02, 3.0, 16)
    parts = []
    for alpha, method in ((0.0, "unmixed"), (MIXED, "mixed")):
        grid = Grid([Axis("t_post", post), Axis("t_ft", ft)], {"alpha": alpha, "sigma_ft": 0.8})
        losses = dict(zip(LOSSES, evaluate(grid), strict=True))
        parts.append(grid.fixed | grid.coordinates(0, grid.size) | losses | {"method": method})
    return _table(parts, "frontiers", post, ft, MIXED)


MATCHED = {"n": 2, "k": 1, "sigma_ft": 0.4, "beta": 0.9}
"""Problem of the compute-matched curves; the invariant modes are left out: they do not depend on lambda."""


def compute_matched() -> Any:
    """loss_im and loss_ret along lambda under a fixed D_post budget, for several step ratios and stage-3 times."""
    exposure = np.linspace(0.0, 1.0, 201)
    recipe = Recipe(split="compute-matched")
    ratios, times = (0.5, 1.0, 1.5, 2.0, 4.0), (0.03, 0.3, 3.0)
    parts = []
    for ratio in ratios:
        for time in times:
            budget = {"pre_time": 20.0, "post_time": 4.0, "step_ratio": ratio}
            settings = {**MATCHED, "t_ft": time}
            curve = _solved(settings | allocate(exposure, recipe, budget))
            _, best = optimum(settings, recipe, budget)
            at = _solved(settings | allocate(best.exposure[None], recipe, budget))
            common = budget | {"split": recipe.split, "mixing": recipe.mixing}
            flat = {k: np.broadcast_to(v, exposure.shape) for k, v in curve.items() if np.ndim(v)}
            parts.append(curve | flat | common | {"exposure": exposure})
            parts.append(at | common | {"exposure": best.exposure[None], "problem.depth_of_minimum": best.depth[None]})
    return _table(parts, "compute_matched", exposure, ratios, times, MATCHED)


STARTS = 24
"""Points that each fit of the overlay refines; with 8 the fit of Figure 3a stops at a local minimum."""


def overlay() -> Any:
    """Figure 3 of the paper as the plain linear model fits it: each half alone, at equal step sizes."""
    from theory.fit import Fit, fit, points_from
    from theory.published import load

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
    return _table(parts, "overlay", exposure, STARTS)


STUDIES: dict[str, Callable[[], Any]] = {
    "trajectories": trajectories,
    "alpha_curves": alpha_curves,
    "phase_alpha": phase_alpha,
    "phase_beta": phase_beta,
    "frontiers": frontiers,
    "compute_matched": compute_matched,
    "overlay": overlay,
}
"""Name -> function that computes the table."""
