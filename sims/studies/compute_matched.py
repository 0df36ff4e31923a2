"""Where the best exposure lies when D_post is seen once in all: lambda of it in stage 1, the rest in stage 2 (P1, P3, P4).

Against fine-tuning length (all lengths from one run) and against the step ratio rho, for linear and nonlinear networks. A minimum
counts as interior only where it is notably deep and its depth's interval excludes 0, chosen by one half of the seeds and measured in
the other (`common.minima`).
"""

from typing import Any

import numpy as np

from common.curves import by_seed, paired
from common.minima import NOTABLE_GAIN, crossfitted, deepest, gain, gain_above_zero, interior, lowest, over_seeds
from common.results import column
from sims.studies.compute_matched_cases import CHECKS, MATCHED, SHORT, TIMES, cases, closed_form, closed_rows, spent
from sims.studies.networks import LINEAR, NETWORKS, THEORY
from sims.study import Study
from sims.verdict import UNPREDICTED, Verdict, verdict, within
from theory.allocation import exposure_curve

UNCHANGED = 0.02
"""The exposure law holds if loss_im moves by at most this fraction along lambda (discretisation alone moves it by .01)."""
REGRET = 0.01
"""A simulated best exposure agrees with the closed form if there its loss is at most this fraction above the minimum."""
RISE = 0.3
"""The best exposure rises with fine-tuning length if it does by this much between the shortest and the longest."""
LONG = 0.9
"""After long fine-tuning the best exposure counts as 1 from here on."""


def _runs(table: Any, model: str, ratio: float, kind: str) -> Any:
    keep = (column(table, "model") == model) & (column(table, "sims.question") == kind)
    return keep & (column(table, "problem.step_ratio") == ratio)


def curves(table: Any, model: str, ratio: float, time: float, loss: str, kind: str = "ratio") -> tuple[Any, Any]:
    """Exposures, and a loss along them: shape (seeds, exposures)."""
    keep = _runs(table, model, ratio, kind) & np.isclose(column(table, "t_ft"), time)
    return by_seed(table, keep, "exposure", loss)


def at_lengths(
    table: Any, model: str, ratio: float, kind: str = "ratio", times: tuple[float, ...] = TIMES
) -> tuple[Any, Any]:
    """Exposures, and loss_ret along them at several fine-tuning lengths: shape (seeds, lengths, exposures)."""
    runs, length = _runs(table, model, ratio, kind), column(table, "t_ft")
    points, found = paired(table, "exposure", *((runs & np.isclose(length, time), "loss_ret") for time in times))
    return points, np.stack(found, axis=1)


def ratios_of(table: Any, model: str) -> list[float]:
    """The step ratios that a network was simulated at."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == "ratio")
    return [float(ratio) for ratio in np.unique(column(table, "problem.step_ratio")[keep])]


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
            within("P1", model, "spread of loss_im along lambda", spread, f"at most {UNCHANGED:g} of it",
                   "no inconsistent mode", at_most=UNCHANGED))  # fmt: skip
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
    points, found = at_lengths(table, "plain", larger)
    at, depth, counts = interior(points, found)
    small, time = f"below {NOTABLE_GAIN:g}", TIMES[deepest(points, found)]
    return [
        within("P1", "plain", "largest gain in loss_im or loss_ret from lambda > 0, rho <= 1", best, small,
               at_most=NOTABLE_GAIN),
        within("P3", "plain", f"largest gain from lambda > 0, both losses, rho <= 1, best lambda up to {largest:.3g}",
               best, small, at_most=NOTABLE_GAIN),
        verdict("P3", "plain", counts, f"depth of the minimum of loss_ret at rho {larger:g}, t_ft {time:g}, "
                f"lambda {at.value:.3g}", depth, "an interior minimum at rho > 1"),
    ]  # fmt: skip


def _gain_at(table: Any, model: str, ratio: float) -> Any:
    points, found = at_lengths(table, model, ratio)
    return gain(lowest(points, found.mean(0))).max()


def _interior(table: Any, model: str) -> list[Verdict]:
    """P3 at equal steps: loss_im is best at 0; loss_ret inside where features can stand in for one another, else also at 0."""
    _, immediate = curves(table, model, 1.0, TIMES[0], "loss_im")
    points, mean = curves(table, model, 1.0, TIMES[0], "loss_im")[0], immediate.mean(0)
    below = crossfitted(gain_above_zero, immediate)
    untold = below.low is not None and below.low <= 0
    found = [
        _minimum(table, model, "ratio"),
        verdict("P3", model, below.value < NOTABLE_GAIN or untold,
                f"gain in loss_im from lambda > 0 at rho 1, best lambda {float(lowest(points, mean).exposure):.3g}",
                below, f"loss_im is best at lambda 0: below {NOTABLE_GAIN:g}, or not told from 0"),
    ]  # fmt: skip
    return found if model in LINEAR else [*found, _minimum(table, model, "short", f"{SHORT:g} of the budget")]


def _minimum(table: Any, model: str, kind: str, variant: str = "") -> Verdict:
    """P3: whether loss_ret has an interior minimum at equal steps, at the fine-tuning length that shows it best."""
    points, found = at_lengths(table, model, 1.0, kind)
    at, depth, counts = interior(points, found)
    bracket = "" if at.low is None else f" [{at.low:.3g}, {at.high:.3g}]"
    time, redundant = TIMES[deepest(points, found)], NETWORKS[model].redundant
    said = f"depth of the minimum of loss_ret at rho 1, t_ft {time:g}, lambda {at.value:.3g}{bracket}"
    criterion = f"{'an' if redundant else 'no'} interior minimum at equal steps"
    met = None if counts is None else counts == redundant
    return verdict("P3", model, met, said, depth, criterion, variant)


def _rises(table: Any, model: str) -> list[Verdict]:
    """P4: the best exposure rises with fine-tuning length, to 1; with independent features only at rho > 1."""
    redundant, ratio = NETWORKS[model].redundant, 1.0 if NETWORKS[model].redundant else max(ratios_of(table, model))
    if not redundant and ratio <= 1:
        return []
    points, both = at_lengths(table, model, ratio, times=(TIMES[0], TIMES[-1]))
    first, last = lowest(points, both.mean(0)).exposure
    if not redundant:
        above = over_seeds(lambda mean: mean[:, 1, -1] - mean[:, 1].min(-1), both)
        said = f"loss_ret at lambda 1 above its minimum (lambda {last:.3g}), t_ft {TIMES[-1]:g}, rho {ratio:g}"
        return [within("P4", model, said, above, f"below {NOTABLE_GAIN:g}: as good as 1", at_most=NOTABLE_GAIN)]
    rise = over_seeds(lambda mean: np.diff(lowest(points, mean).exposure, axis=-1)[..., 0], both)
    sure = rise.low is None or rise.low > 0
    said = f"rise of the best exposure, from {first:.3g} at t_ft {TIMES[0]:g} to {last:.3g} at {TIMES[-1]:g}"
    good = bool(rise.value >= RISE and last >= LONG and sure)
    return [verdict("P4", model, good, said, rise, f"at least {RISE:g}, ending at {LONG:g} or more")]


def _closed_form(table: Any, model: str) -> Verdict:
    """At the simulated best exposure, how far the closed form's loss_ret is above its minimum: agreement, no prediction."""
    worst = 0.0
    for ratio in ratios_of(table, model):
        argmins = [float(lowest(p, v.mean(0)).exposure) for p, v in
                   (curves(table, model, ratio, time, "loss_ret") for time in TIMES)]  # fmt: skip
        times = np.array(TIMES)
        losses = exposure_curve(np.array(argmins), THEORY[model] | {"t_ft": times}, MATCHED, spent(model, ratio), model)
        best = closed_form(model, ratio, times)[1].loss
        worst = max(worst, float(((losses.loss_ret - best) / best).max()))
    return within(UNPREDICTED, model, "closed form: largest excess of loss_ret at the simulated argmin", worst,
                  f"at most {REGRET:g} of the minimum, every rho and t_ft", at_most=REGRET)  # fmt: skip


def _checks(table: Any) -> list[Verdict]:
    """P3 again with a larger pool or a wider network: neither makes the minimum."""
    asked = set(column(table, "sims.question"))
    return [
        _minimum(table, model, name, ", ".join(f"{setting} {value}" for setting, value in change.items()))
        for name, (model, change) in CHECKS.items()
        if name in asked
    ]


COMPUTE_MATCHED = Study(
    "compute-matched", "the best exposure under a fixed D_post budget, and its depth (P1, P3, P4)", cases, judge,
    closed_form=closed_rows,
)  # fmt: skip
