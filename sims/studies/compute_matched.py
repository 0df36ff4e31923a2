"""Where the best exposure lies when D_post is seen once in all: lambda of it in stage 1, the rest in stage 2 (P1, P3, P4).

Against fine-tuning length (all lengths from one run) and against the step ratio rho, for linear and nonlinear networks. A minimum is
interior where the whole interval of its depth is notable, and there is none where the whole interval is not (`sims.effects.largest`).

`python -m sims compute-matched`, three to six minutes on two cores. What came out: redundant features have an interior optimum
at equal steps, the plain model only at larger step ratios.
"""

from typing import Any

import numpy as np

from common.curves import by_seed, paired
from common.minima import NOTABLE_DEPTH, NOTABLE_GAIN, lowest
from common.results import column
from common.verdicts import UNPREDICTED, Verdict, all_of
from sims.effects import Effect, deepest, judged, largest, largest_size, mean
from sims.studies.compute_matched_cases import CHECKS, MATCHED, SHORT, TIMES, cases, closed_form, closed_rows, spent
from sims.studies.networks import LINEAR, NETWORKS, THEORY
from sims.study import Study
from theory.allocation import exposure_curve

UNCHANGED = 0.02
"""The exposure law holds if loss_im moves by at most this fraction along lambda (discretisation alone moves it by .01)."""
REGRET = 0.01
"""A simulated best exposure agrees with the closed form if there its loss is at most this fraction above the minimum."""
RISE = 0.3
"""The best exposure rises with fine-tuning length if it does by this much between the shortest and the longest ..."""
LONG = 0.9
"""... and ends here or above, which counts as 1."""


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
    """P1: without an inconsistent mode loss_im does not depend on lambda: between no two of them does it differ."""
    made = []
    laws = column(table, "sims.question") == "law"
    for model in dict.fromkeys(column(table, "model")[laws]):
        _, values = curves(table, model, 1.0, TIMES[0], "loss_im", "law")
        one, other = np.triu_indices(values.shape[1], 1)
        spread = largest_size(values[:, one] - values[:, other], values[:, :1])
        said = "largest difference of loss_im between two lambda, over that at 0"
        made.append(
            judged(
                "P1",
                model,
                said,
                spread,
                f"at most {UNCHANGED:g}",
                "no inconsistent mode",
                at_most=UNCHANGED,
                equivalence=True,
            )
        )
    return made


def _plain(table: Any) -> list[Verdict]:
    """P1 and P3 in the plain model: nothing to gain from lambda > 0 unless stage 1 takes larger steps."""
    ratios = ratios_of(table, "plain")
    equal = [
        (ratio, time, loss) for ratio in ratios if ratio <= 1 for time in TIMES for loss in ("loss_im", "loss_ret")
    ]
    swept = [curves(table, "plain", *cell) for cell in equal]
    best = largest(np.concatenate([values[:, :1] - values[:, 1:] for _, values in swept], axis=1))
    at = max(float(lowest(points, values.mean(0)).exposure) for points, values in swept)
    larger = max((ratio for ratio in ratios if ratio > 1), key=lambda ratio: _depth(table, "plain", ratio)[0].value)
    depth, said = _depth(table, "plain", larger)
    small = f"nowhere more than {NOTABLE_GAIN:g}"
    return [
        judged("P1", "plain", "largest gain in loss_im or loss_ret from lambda > 0, rho <= 1", best, small,
               at_most=NOTABLE_GAIN),
        judged("P3", "plain", f"largest gain from lambda > 0, both losses, rho <= 1, best lambda up to {at:.3g}",
               best, small, at_most=NOTABLE_GAIN),
        judged("P3", "plain", f"{said}, rho {larger:g}", depth, "an interior minimum at rho > 1", at_least=1.0),
    ]  # fmt: skip


def _depth(table: Any, model: str, ratio: float, kind: str = "ratio") -> tuple[Effect, str]:
    """How far loss_ret lies below both of its ends, at the fine-tuning length and lambda that show it best, in units of what is notable.

    Notable is `NOTABLE_DEPTH` of the end, and `NOTABLE_GAIN` of the loss. The words say where, and how deep in shares of the better end.
    """
    points, found = at_lengths(table, model, ratio, kind)
    below = found[..., [0, -1], None] - found[..., None, 1:-1]  # seeds, lengths, ends, exposures inside
    share = below / (NOTABLE_DEPTH * found[..., [0, -1], None].mean(0))
    parts = np.concatenate([share, below / NOTABLE_GAIN], axis=2).swapaxes(2, 3)
    depth = deepest(parts.reshape(len(found), -1, 4))
    length, inside = np.unravel_index(depth.cell, (len(TIMES), len(points) - 2))
    curve = found.mean(0)[length]
    better = min(curve[0], curve[-1])
    said = (
        f"depth of the minimum of loss_ret in units of the least notable; {(better - curve[1 + inside]) / better:.3g} of the better "
        f"end at t_ft {TIMES[length]:g}, lambda {points[1 + inside]:.3g}"
    )
    return depth, said


def _interior(table: Any, model: str) -> list[Verdict]:
    """P3 at equal steps: loss_im is best at 0; loss_ret inside where features can stand in for one another, else also at 0."""
    points, immediate = curves(table, model, 1.0, TIMES[0], "loss_im")
    best = float(lowest(points, immediate.mean(0)).exposure)
    found = [
        _minimum(table, model, "ratio"),
        judged("P3", model, f"largest gain in loss_im from lambda > 0 at rho 1, best lambda {best:.3g}",
               largest(immediate[:, :1] - immediate[:, 1:]), f"loss_im is best at lambda 0: nowhere more than {NOTABLE_GAIN:g}",
               at_most=NOTABLE_GAIN),
    ]  # fmt: skip
    return found if model in LINEAR else [*found, _minimum(table, model, "short", f"{SHORT:g} of the budget")]


def _minimum(table: Any, model: str, kind: str, variant: str = "") -> Verdict:
    """P3: whether loss_ret has an interior minimum at equal steps, at the fine-tuning length that shows it best."""
    depth, said = _depth(table, model, 1.0, kind)
    if NETWORKS[model].redundant:
        return judged("P3", model, said, depth, "an interior minimum at equal steps", variant, at_least=1.0)
    return judged("P3", model, said, depth, "no interior minimum at equal steps", variant, at_most=1.0)


def _rises(table: Any, model: str) -> list[Verdict]:
    """P4: the best exposure rises with fine-tuning length, to 1; with independent features only at rho > 1.

    A seed's best exposure is where its own curve is lowest; the interval is that of the mean over seeds.
    """
    redundant, ratio = NETWORKS[model].redundant, 1.0 if NETWORKS[model].redundant else max(ratios_of(table, model))
    if not redundant and ratio <= 1:
        return []
    points, both = at_lengths(table, model, ratio, times=(TIMES[0], TIMES[-1]))
    first, last = points[both.argmin(-1)].T
    if not redundant:
        above = largest(both[:, 1, -1:] - both[:, 1, :-1])
        said = f"loss_ret at lambda 1 above its lowest elsewhere, t_ft {TIMES[-1]:g}, rho {ratio:g}"
        return [judged("P4", model, said, above, f"at most {NOTABLE_GAIN:g}: as good as 1", at_most=NOTABLE_GAIN)]
    said = (
        f"rise of the best exposure, from {first.mean():.3g} at t_ft {TIMES[0]:g} to {last.mean():.3g} at {TIMES[-1]:g}"
    )
    parts = [
        judged("P4", model, said, mean(last - first), f"at least {RISE:g}", at_least=RISE),
        judged("P4", model, f"best exposure at t_ft {TIMES[-1]:g}", mean(last), f"at least {LONG:g}", at_least=LONG),
    ]
    return [all_of(parts, f"rises by at least {RISE:g} with fine-tuning length, to {LONG:g} or more")]


def _closed_form(table: Any, model: str) -> Verdict:
    """At the simulated best exposure, how far the closed form's loss_ret is above its minimum: agreement, no prediction."""
    excess, times = [], np.array(TIMES)
    for ratio in ratios_of(table, model):
        points, found = at_lengths(table, model, ratio)
        settings = THEORY[model] | {"t_ft": times}
        retained = exposure_curve(points[:, None], settings, MATCHED, spent(model, ratio), model).loss_ret
        chosen = np.take_along_axis(retained, found.argmin(-1), axis=0)  # of every seed and length
        excess.append(chosen / closed_form(model, ratio, times)[1].loss - 1)
    return judged(UNPREDICTED, model, "closed form: largest excess of loss_ret at a seed's simulated argmin",
                  largest(np.concatenate(excess, axis=1)), f"at most {REGRET:g}, every rho and t_ft", at_most=REGRET)  # fmt: skip


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
