"""Where the best exposure lies when D_post is seen once in all: lambda of it in stage 1, the rest in stage 2 (P1, P3, P4).

Against fine-tuning length (all lengths from one run) and against the step ratio rho, for linear and nonlinear networks. A minimum
counts as interior only where it is notably deep and its depth's interval excludes 0 (`theory.minima`).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sims.setup import Setup
from sims.studies.networks import LINEAR, NETWORKS, THEORY, Network, with_seeds
from sims.study import Case, Study, by_seed, closed_columns
from sims.verdict import UNPREDICTED, Verdict, verdict
from theory.allocation import NOTABLE_GAIN, Budget, allocate, exposure_curve, optimum
from theory.minima import gain, interior, lowest, over_seeds
from theory.models import MODELS
from theory.recipe import Recipe
from theory.results import column

MATCHED = Recipe(split="compute-matched")
TIMES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Fine-tuning lengths: from before anything is forgotten to long after the shared block is."""
FINE = np.linspace(0, 1, 41)
COARSE = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.75, 0.9, 1.0])
"""Exposures of a linear and of a nonlinear network; the second are 50 times as dear."""
RATIOS = (0.5, 1.0, 2.0, 4.0)
NONLINEAR_RATIOS = (0.5, 1.0, 4.0)
TANH_RATIOS = (1.0,)
LINEAR_STEPS = (4000, 4000, 1600)
"""The specialised mode of the plain model is half learned after one pass, where an error of the exponent shows most: at these steps
gradient descent differs from the flow by less than 1 % of loss_im."""
NONLINEAR_STEPS = (500, 120, 480)
"""Twice as many move no best exposure, and no depth by more than .007 (relu and relu-corr, rho 1, 8 seeds)."""
SHORT = 0.25
"""A second budget, this fraction of the first, at equal steps: stage 2 cannot finish whatever the exposure."""
CHECKS: dict[str, tuple[str, dict[str, Any]]] = {
    "pool": ("relu", {"population": 256}),
    "pool-corr": ("relu-corr", {"population": 256}),
    "width": ("relu", {"width": 40}),
}
"""Does a choice of `sims.studies.networks` decide the result? Name -> network, and what is changed."""
SPARSE = np.array([0.0, 0.3, 0.6, 0.75, 1.0])
"""Exposures of the checks."""
LAW: dict[str, Any] = {"sigma_pre": 1.0, "sigma_post": 1.0, "sigma_ft": 1.0}
"""No inconsistency: what is left of loss_im is the specialised mode, which alone the exposure law is about."""

UNCHANGED = 0.02
"""The exposure law holds if loss_im moves by at most this fraction along lambda (discretisation alone moves it by .01)."""
REGRET = 0.01
"""A simulated best exposure agrees with the closed form if there its loss is at most this fraction above the minimum."""
RISE = 0.3
"""The best exposure rises with fine-tuning length if it does by this much between the shortest and the longest."""
LONG = 0.9
"""After long fine-tuning the best exposure counts as 1 from here on."""


def matched(network: Network, exposure: Any, budget: Budget, ratio: Any, **settings: Any) -> dict[str, Any]:
    """Settings of the runs that spend a budget at every exposure and step ratio."""
    axes = with_seeds(network, exposure=exposure, ratio=ratio)
    spent = {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": axes["ratio"]}
    stages = allocate(axes["exposure"], MATCHED, spent)
    own = {name: value for name, value in axes.items() if name not in ("exposure", "ratio")}
    return own | stages | {"t_ft": TIMES[-1]} | settings


def case(
    model: str, network: Network, exposure: Any, ratios: Any, kind: str, share: float = 1.0, **settings: Any
) -> Case:
    """The runs of one network, with the columns that say which question they answer."""
    budget = replace(network.budget, post_time=share * network.budget.post_time)
    axes = with_seeds(network, exposure=exposure, ratio=ratios)
    steps = LINEAR_STEPS if network.linear else NONLINEAR_STEPS
    setup: Setup = replace(network.setup, steps=steps, observe=tuple(t / TIMES[-1] for t in TIMES))
    columns = {
        "exposure": axes["exposure"],
        "split": MATCHED.split,
        "problem.step_ratio": axes["ratio"],
        "problem.post_time": budget.post_time,
        "sims.question": kind,
        "sims.population": float(setup.population),
    }
    return Case(model, setup, matched(network, exposure, budget, ratios, **settings), columns)


def cases() -> list[Case]:
    """Every network over exposures and step ratios; at equal steps a short budget, the exposure law, and the checks."""
    made = []
    for model, network in NETWORKS.items():
        if network.linear:
            made.append(case(model, network, FINE, RATIOS, "ratio"))
            continue
        tanh = network.setup.activation == "tanh"
        made.append(case(model, network, COARSE, TANH_RATIOS if tanh else NONLINEAR_RATIOS, "ratio"))
        made.append(case(model, network, COARSE, 1.0, "short", SHORT))
    made.append(case("plain", NETWORKS["plain"], FINE, 1.0, "law", **LAW))
    made.append(case("relu", NETWORKS["relu"], COARSE, 1.0, "law", **LAW))
    for name, (model, change) in CHECKS.items():
        network = NETWORKS[model]
        made.append(case(model, network._replace(setup=replace(network.setup, **change)), SPARSE, 1.0, name))
    return made


def curves(table: Any, model: str, ratio: float, time: float, loss: str, kind: str = "ratio") -> tuple[Any, Any]:
    """Exposures, and a loss along them: shape (seeds, exposures)."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == kind)
    keep &= (column(table, "problem.step_ratio") == ratio) & np.isclose(column(table, "t_ft"), time)
    points, values = by_seed(table, keep, "exposure", loss)
    return points, values


def ratios_of(table: Any, model: str) -> list[float]:
    """The step ratios that a network was simulated at."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == "ratio")
    return [float(ratio) for ratio in np.unique(column(table, "problem.step_ratio")[keep])]


def deepest(
    table: Any, model: str, ratio: float, kind: str = "ratio", loss: str = "loss_ret"
) -> tuple[float, Any, Any]:
    """The fine-tuning length at which the minimum of the mean curve lies furthest below both ends, and the curves there."""
    found = {time: curves(table, model, ratio, time, loss, kind) for time in TIMES}
    time = max(TIMES, key=lambda t: float(gain(lowest(found[t][0], found[t][1].mean(0)))))
    return (time, *found[time])


def judge(table: Any) -> list[Verdict]:
    """P1, P3, P4 for every network in the table, and agreement with the closed forms."""
    present = set(column(table, "model"))
    found = []
    for model in NETWORKS:
        if model not in present:
            continue
        found += _plain(table) if model == "plain" else _interior(table, model)
        found += _rises(table, model)
        if model in LINEAR:
            found.append(_closed_form(table, model))
    return found + _laws(table) + _checks(table)


def _laws(table: Any) -> list[Verdict]:
    """P1: without an inconsistent mode loss_im does not depend on lambda."""
    made = []
    laws = column(table, "sims.question") == "law"
    for model in dict.fromkeys(column(table, "model")[laws]):
        _, values = curves(table, model, 1.0, TIMES[0], "loss_im", "law")
        spread = over_seeds(lambda mean: (mean.max(-1) - mean.min(-1)) / mean.max(-1), values)
        made.append(
            verdict("P1", model, spread.value <= UNCHANGED, "spread of loss_im along lambda, no inconsistent mode",
                    spread, f"at most {UNCHANGED:g} of it"))  # fmt: skip
    return made


def _plain(table: Any) -> list[Verdict]:
    """P1 and P3 in the plain model: nothing to gain from lambda > 0 unless stage 1 takes larger steps."""
    ratios = ratios_of(table, "plain")
    equal = [
        (ratio, time, loss) for ratio in ratios if ratio <= 1 for time in TIMES for loss in ("loss_im", "loss_ret")
    ]
    minima = [lowest(points, values.mean(0)) for points, values in (curves(table, "plain", *cell) for cell in equal)]
    best = max(float(found.depth_below_zero) for found in minima)
    largest = max(float(found.exposure) for found in minima)
    larger = max((ratio for ratio in ratios if ratio > 1), key=lambda r: float(_gain_at(table, "plain", r)))
    time, points, values = deepest(table, "plain", larger)
    at, depth, counts = interior(points, values)
    return [
        verdict("P1", "plain", best < NOTABLE_GAIN, "largest gain in loss_im or loss_ret from lambda > 0, rho <= 1",
                best, f"below {NOTABLE_GAIN:g}"),
        verdict("P3", "plain", best < NOTABLE_GAIN, f"largest gain from lambda > 0, both losses, rho <= 1, best lambda up to {largest:.3g}",
                best, f"below {NOTABLE_GAIN:g}"),
        verdict("P3", "plain", counts, f"depth of the minimum of loss_ret at rho {larger:g}, t_ft {time:g}, "
                f"lambda {at.value:.3g}", depth, "an interior minimum at rho > 1"),
    ]  # fmt: skip


def _gain_at(table: Any, model: str, ratio: float) -> Any:
    _, points, values = deepest(table, model, ratio)
    return gain(lowest(points, values.mean(0)))


def _interior(table: Any, model: str) -> list[Verdict]:
    """P3 at equal steps: loss_im is best at 0; loss_ret inside where features can stand in for one another, else also at 0."""
    time, points, values = deepest(table, model, 1.0)
    at, depth, counts = interior(points, values)
    _, immediate = curves(table, model, 1.0, TIMES[0], "loss_im")
    below = over_seeds(lambda mean: lowest(points, mean).depth_below_zero, immediate)
    im_at = float(lowest(points, immediate.mean(0)).exposure)
    untold = below.low is not None and below.low <= 0
    bracket = "" if at.low is None else f" [{at.low:.3g}, {at.high:.3g}]"
    said = f"depth of the minimum of loss_ret at rho 1, t_ft {time:g}, lambda {at.value:.3g}{bracket}"
    found = [
        verdict("P3", model, counts == NETWORKS[model].redundant, said, depth, _expected(model)),
        verdict("P3", model, below.value < NOTABLE_GAIN or untold, f"gain in loss_im from lambda {im_at:.3g} at rho 1",
                below, f"loss_im is best at lambda 0: below {NOTABLE_GAIN:g}, or not told from 0"),
    ]  # fmt: skip
    if model in LINEAR:
        return found
    time, points, values = deepest(table, model, 1.0, "short")
    at, depth, counts = interior(points, values)
    said = f"the same with {SHORT:g} of the budget, t_ft {time:g}, lambda {at.value:.3g}"
    return [*found, verdict("P3", model, counts == NETWORKS[model].redundant, said, depth, _expected(model))]


def _expected(model: str) -> str:
    return f"{'an' if NETWORKS[model].redundant else 'no'} interior minimum at equal steps"


def _rises(table: Any, model: str) -> list[Verdict]:
    """P4: the best exposure rises with fine-tuning length, to 1; with independent features only at rho > 1."""
    redundant, ratio = NETWORKS[model].redundant, 1.0 if NETWORKS[model].redundant else max(ratios_of(table, model))
    if not redundant and ratio <= 1:
        return []
    cells = [curves(table, model, ratio, time, "loss_ret") for time in (TIMES[0], TIMES[-1])]
    points, both = cells[0][0], np.stack([values for _, values in cells], axis=1)
    first, last = lowest(points, both.mean(0)).exposure
    if not redundant:
        above = over_seeds(lambda mean: mean[:, 1, -1] - mean[:, 1].min(-1), both)
        said = f"loss_ret at lambda 1 above its minimum (lambda {last:.3g}), t_ft {TIMES[-1]:g}, rho {ratio:g}"
        return [verdict("P4", model, above.value < NOTABLE_GAIN, said, above, f"below {NOTABLE_GAIN:g}: as good as 1")]
    rise = over_seeds(lambda mean: np.diff(lowest(points, mean).exposure, axis=-1)[..., 0], both)
    sure = rise.low is None or rise.low > 0
    said = f"rise of the best exposure, from {first:.3g} at t_ft {TIMES[0]:g} to {last:.3g} at {TIMES[-1]:g}"
    good = bool(rise.value >= RISE and last >= LONG and sure)
    return [verdict("P4", model, good, said, rise, f"at least {RISE:g}, ending at {LONG:g} or more")]


def closed_form(model: str, ratio: float, times: Any) -> tuple[Any, Any]:
    """The closed form's minima of loss_im and loss_ret at these fine-tuning lengths."""
    return optimum(THEORY[model] | {"t_ft": times}, MATCHED, _spent(model, ratio), MODELS[model].predict)


def closed_rows() -> list[dict[str, Any]]:
    """The closed form's best exposures between the simulated fine-tuning lengths."""
    times = np.geomspace(TIMES[0], TIMES[-1], 61)
    made = []
    for model in LINEAR:
        for ratio in RATIOS:
            best = closed_form(model, ratio, times)[1]
            settings = MODELS[model].defaults() | THEORY[model] | {"t_ft": times}
            losses = exposure_curve(best.exposure, settings, MATCHED, _spent(model, ratio), MODELS[model].predict)
            columns = settings | {"exposure": best.exposure, "step_ratio": np.full(len(times), ratio)}
            made.append(closed_columns("compute-matched", model, columns, losses))
    return made


def _spent(model: str, ratio: float) -> Mapping[str, Any]:
    budget = NETWORKS[model].budget
    return {"pre_time": budget.pre_time, "post_time": budget.post_time, "step_ratio": ratio}


def _closed_form(table: Any, model: str) -> Verdict:
    """At the simulated best exposure, how far the closed form's loss_ret is above its minimum: agreement, no prediction."""
    worst = 0.0
    for ratio in ratios_of(table, model):
        argmins = [float(lowest(p, v.mean(0)).exposure) for p, v in
                   (curves(table, model, ratio, time, "loss_ret") for time in TIMES)]  # fmt: skip
        times = np.array(TIMES)
        losses = exposure_curve(
            np.array(argmins), THEORY[model] | {"t_ft": times}, MATCHED, _spent(model, ratio), MODELS[model].predict
        )
        best = closed_form(model, ratio, times)[1].loss
        worst = max(worst, float(((losses.loss_ret - best) / best).max()))
    return verdict(UNPREDICTED, model, worst <= REGRET, "closed form: largest excess of loss_ret at the simulated argmin", worst,
                   f"at most {REGRET:g} of the minimum, every rho and t_ft")  # fmt: skip


def _checks(table: Any) -> list[Verdict]:
    """P3 again with a larger pool or a wider network: neither makes the minimum."""
    made = []
    for name, (model, change) in CHECKS.items():
        if name not in set(column(table, "sims.question")):
            continue
        time, points, values = deepest(table, model, 1.0, name)
        at, depth, counts = interior(points, values)
        said = ", ".join(f"{setting} {value}" for setting, value in change.items())
        said = f"the same with {said}, t_ft {time:g}, lambda {at.value:.3g}"
        made.append(verdict("P3", model, counts == NETWORKS[model].redundant, said, depth, _expected(model)))
    return made


COMPUTE_MATCHED = Study(
    "compute-matched", "the best exposure under a fixed D_post budget, and its depth (P1, P3, P4)", cases, judge,
    closed_form=closed_rows,
)  # fmt: skip
