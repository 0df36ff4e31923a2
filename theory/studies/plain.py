"""What the plain linear model does: trajectories, curves, phase maps, frontiers, the compute-matched question."""

from typing import Any

import numpy as np

from common.losses import LOSSES
from common.recipe import Recipe
from theory.allocation import optimum
from theory.features import BLOCKS, modes_from_blocks
from theory.grid import Axis, Grid, evaluate
from theory.modes import learning_time
from theory.realise import realise
from theory.stages import DEFAULTS, predict, solve
from theory.studies.table import boundary, of_parts, phase_map, solved
from theory.thresholds import exposure_time, half_time, mixing_window, retained_crossing

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
    return of_parts(parts, "trajectories", base, MIXED)


def alpha_curves() -> Any:
    """The losses against alpha, for several stage-3 times."""
    alpha = np.linspace(0.0, 0.5, 251)
    times = (0.1, 0.3, 1.0, 3.0)
    parts = [solved({"alpha": alpha, "t_ft": np.full(alpha.shape, t)}) for t in times]
    return of_parts(parts, "alpha_curves", alpha, times)


def phase_alpha() -> Any:
    """loss_ret over (alpha, t_ft), with the exposure time and the time at which the inconsistent modes are half forgotten."""
    alpha, time = np.linspace(0.0, 0.4, 161), np.geomspace(1e-2, 1e2, 161)
    v = DEFAULTS
    needed = (exposure_time(v["beta"], v["init_scale"]) - v["t_post"]) / v["t_pre"]
    half = learning_time(v["sigma_post"], (v["sigma_post"] + v["sigma_ft"]) / 2, variance=1.0, sigma=v["sigma_ft"])
    parts = [
        phase_map(Axis("alpha", alpha), Axis("t_ft", time), {}),
        boundary("exposure time", "alpha", needed, "t_ft", time[[0, -1]], {}),
        boundary("half forgotten", "alpha", alpha[[0, -1]], "t_ft", half, {}),
    ]
    return of_parts(parts, "phase_alpha", alpha, time, v)


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
        phase_map(Axis("beta", beta), Axis("alpha", alpha), WINDOW),
        boundary("exposure time", "beta", beta[shown], "alpha", exposure[shown], WINDOW),
        boundary("escape time", "beta", beta[[0, -1]], "alpha", left, WINDOW),
        boundary("C.6", "beta", beta[kept], "alpha", salience[kept], WINDOW),
        boundary("C.17 crossing", "beta", crossing, "alpha", alpha[[0, -1]], WINDOW),
    ]
    return of_parts(parts, "phase_beta", beta, alpha, WINDOW)


def swept() -> Any:
    """A sweep like anybody's, as `python -m theory sweep` writes them: the example in the figures of sweeps."""
    axes = [
        Axis("beta", np.array([0.5, 0.9, 1.5])),
        Axis("t_ft", np.array([0.1, 0.3, 1.0, 3.0])),
        Axis("alpha", np.linspace(0.0, 0.4, 41)),
    ]
    grid = Grid(axes, {})
    losses = dict(zip(LOSSES, evaluate(grid), strict=True))
    return of_parts(
        [grid.fixed | grid.coordinates(0, grid.size) | losses], "sweep", [(axis.name, axis.values) for axis in axes]
    )


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
            curve = solved(settings | realise(recipe, budget, varied={"exposure": exposure}))
            _, best = optimum(settings, recipe, budget)
            at = solved(settings | realise(recipe, budget, varied={"exposure": best.exposure[None]}))
            common = budget | {"split": recipe.split, "mixing": recipe.mixing}
            flat = {k: np.broadcast_to(v, exposure.shape) for k, v in curve.items() if np.ndim(v)}
            parts.append(curve | flat | common | {"exposure": exposure})
            parts.append(at | common | {"exposure": best.exposure[None], "problem.depth_of_minimum": best.depth[None]})
    return of_parts(parts, "compute_matched", exposure, ratios, times, MATCHED)


def window() -> Any:
    """What stage 1 has learned over (alpha, t_pre): the mixing window of C.10 between its two analytic boundaries.

    `problem.inconsistent` and `problem.specialised` are fractions of the targets that the mixture teaches.
    """
    alpha, time = np.linspace(0.02, 0.5, 121), np.geomspace(1.0, 100.0, 121)
    fixed = {"sigma_pre": 0.1, "sigma_post": 0.6, "beta": 1.5, "init_scale": 1e-3, "t_post": 0.0, "t_ft": 0.0}
    grid = Grid([Axis("t_pre", time), Axis("alpha", alpha)], fixed)
    points = grid.coordinates(0, grid.size)
    v = grid.fixed | points
    learned = np.broadcast_to(solve(modes_from_blocks(v, 1), v).strengths[1], (3, grid.size))
    mixed = (1 - points["alpha"]) * fixed["sigma_pre"] + points["alpha"] * fixed["sigma_post"]
    fractions = {"problem.inconsistent": learned[1] / mixed, "problem.specialised": learned[2] / fixed["beta"]}
    sides = mixing_window(alpha, fixed["sigma_pre"], fixed["sigma_post"], fixed["beta"], fixed["init_scale"])
    parts = [
        v | predict(v)._asdict() | fractions,
        boundary("specialised half learned", "alpha", alpha, "t_pre", sides.specialised, fixed),
        boundary("inconsistent half learned", "alpha", alpha, "t_pre", sides.inconsistent, fixed),
    ]
    return of_parts(parts, "window", alpha, time, fixed)
