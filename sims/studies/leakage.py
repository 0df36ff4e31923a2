"""Fine-tuning that reaches the specialised features: leakage, weight decay, dropout; and how fast it resets the shared ones (P6, P7).

leakage   D_ft has variance eps along D_post's own features and wants 0 there: the gain falls as (1 + 2x)/(1 + x)^2, x = 4 eps beta t_ft
rate      no leakage; the distance of the inconsistent mode to its D_ft target falls as e^(-4 sigma_ft t_ft), or as 1/(4 t_ft) at 0
decay     no leakage; weight decay mu takes a strength down as e^(-4 mu t_ft)
dropout   no leakage; whether hidden dropout reaches the specialised modes depends on the units that they share with others

`python -m sims leakage`, under half a minute on two cores. What came out: both laws hold where tasks share their singular
vectors, and are some per cent off where they do not.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from common.arrays import Array
from common.curves import by_seed, paired
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, product
from sims.effects import judged, mean
from sims.setup import Setup
from sims.studies.gains import SEEDS, lost, mean_at, noticed
from sims.study import Study, seeds

BETA = 0.9
MIXED = 0.3
"""Exposure enough for the specialised mode to be all learned after stage 2."""
LEAKAGES = (0.01, 0.03, 0.1, 0.3)
HALF = (1 + np.sqrt(2)) / 4
"""The gain is halved at t_ft = HALF/(eps beta)."""
OBSERVED = tuple(np.round(np.arange(1, 13) / 12, 6).tolist())
STARTS = {
    "aligned": (Setup(record=1), 0.0),
    "random": (Setup(width=16, init="random", record=1), 0.0),
    "turned": (Setup(width=16, init="random", record=1), 0.42),
}
"""Start -> setup and rotation of the tasks; 0.42 is the 0.3 of P13."""
VARIANTS = {"aligned": "", "random": "random start", "turned": "random start, tasks turned"}
"""What the verdicts call them."""
TARGETS = (0.0, 0.2, 0.4, 0.8)
DECAYS = (0.01, 0.03, 0.1)
DROPOUTS = (0.05, 0.1, 0.2, 0.3)
T_FT = 3.0
BASES = ("unit", "equal", "random")
TOLERANCE = 0.05
"""A rate or half-time counts as found if it is within this fraction of the prediction."""


def _setup(start: str, observe: tuple[float, ...] = (1.0,), steps: int = 600) -> Setup:
    return replace(STARTS[start][0], steps=(1000, 200, steps), observe=observe)


def _started(start: str, values: dict[str, Any]) -> dict[str, Any]:
    return values | {"rotation": STARTS[start][1]}


def _leak_cases(start: str) -> list[Case]:
    made = []
    for eps in LEAKAGES:
        t_ft = 3 * HALF / (eps * BETA)
        runs = product(alpha=(0.0, MIXED), seed=seeds(SEEDS)) | {"leakage": eps, "t_ft": t_ft, "beta": BETA}
        # the steps follow the length of the stage: shorter than the stability bound, and a step error that does not grow
        steps = max(600, 10 * int(np.ceil(t_ft)))
        made.append(Case("plain", _setup(start, OBSERVED, steps), _started(start, runs), {"sims.part": "leakage"}))
    return made


def _other_cases(start: str) -> list[Case]:
    made = []
    for sigma in TARGETS:
        t_ft = 2 / sigma if sigma else 10.0
        runs = {"sigma_ft": sigma, "t_ft": t_ft, "alpha": MIXED, "seed": seeds(SEEDS)}
        made.append(Case("plain", _setup(start, OBSERVED, 1200), _started(start, runs), {"sims.part": "rate"}))
    runs = product(decay_ft=DECAYS, seed=seeds(SEEDS)) | {"t_ft": T_FT, "alpha": MIXED}
    return [*made, Case("plain", _setup(start), _started(start, runs), {"sims.part": "decay"})]


def _dropout_cases() -> list[Case]:
    runs = product(dropout_ft=DROPOUTS, seed=seeds(SEEDS)) | {"t_ft": T_FT, "alpha": MIXED}
    return [
        Case("plain", Setup(width=8, steps=(1000, 200, 600), record=1, basis=basis, dropout_masks="expected"),  # type: ignore[arg-type]
             runs, {"sims.part": "dropout"})
        for basis in BASES
    ]  # fmt: skip


def cases() -> list[Case]:
    """The four parts; the first three aligned, from small random weights, and with turned tasks."""
    return [case for start in STARTS for case in (*_leak_cases(start), *_other_cases(start))] + _dropout_cases()


def chosen(table: Any, part: str, name: str = "sims.part", value: float | str | None = None) -> Any:
    """Mask of a part's rows, or of those where a column has a value."""
    keep = column(table, "sims.part") == part
    return keep if value is None else keep & (column(table, name) == value)


def begun(table: Any, start: str) -> Any:
    """Mask of the rows of a start."""
    setup, rotation = STARTS[start]
    return (column(table, "sims.init") == setup.init) & (column(table, "problem.rotation") == rotation)


def remaining(table: Any, start: str, leakage: float) -> tuple[Any, Any]:
    """x = 4 eps beta t_ft, and the gain in loss_ret over that before fine-tuning: shape (seeds, times)."""
    keep = chosen(table, "leakage", "problem.leakage", leakage) & begun(table, start)
    alpha = column(table, "alpha")
    arms = [(keep & mask, loss) for loss in ("loss_im", "loss_ret") for mask in (alpha == 0, alpha > 0)]
    times, (before_unmixed, before_mixed, unmixed, mixed) = paired(table, "t_ft", *arms)
    return 4 * leakage * BETA * times, (unmixed - mixed) / (before_unmixed - before_mixed)


def half_gain(x: Array, left: Array) -> Array:
    """The x at which half of the gain is left, a seed; between observations x is nearly linear in ln(left)."""
    return np.array([np.interp(-np.log(0.5), -np.log(row), x) for row in left])


def forgetting(table: Any, start: str, sigma: float) -> tuple[Any, Any]:
    """t_ft, and |a - sigma_ft| of the inconsistent mode, which is the square root of loss_ft: shape (seeds, times)."""
    keep = chosen(table, "rate", "problem.sigma_ft", sigma) & begun(table, start)
    times, losses = by_seed(table, keep, "t_ft", "loss_ft")
    return times, np.sqrt(losses)


def rate(times: Array, distance: Array, sigma: float) -> Array:
    """Slope over the last half of the stage, over its prediction: of ln(distance) over 4 sigma, of 1/distance over 4 at 0."""
    late = slice(len(times) // 2, None)
    values, predicted = (-np.log(distance), 4 * sigma) if sigma else (1 / distance, 4.0)
    return np.polyfit(times[late], values[:, late].T, 1)[0] / predicted


def judge(table: Any) -> list[Verdict]:
    """P6: half-gain time and rates; P7: decay and dropout in fine-tuning."""
    made = []

    def near(prediction: str, start: str, effect: str, values: Any) -> None:
        found, said, low, high = mean(values), f"within {TOLERANCE:.0%} of 1", 1 - TOLERANCE, 1 + TOLERANCE
        made.append(judged(prediction, "plain", effect, found, said, VARIANTS[start], at_least=low, at_most=high))

    for start in STARTS:
        for eps in (LEAKAGES[0], LEAKAGES[-1]):
            effect = f"time to half the gain over (1 + sqrt 2)/(4 eps beta), leakage {eps:g}"
            near("P6", start, effect, half_gain(*remaining(table, start, eps)) / (4 * HALF))
        for sigma in (TARGETS[0], TARGETS[-1]):
            effect = (
                f"forgetting over 4 sigma_ft, sigma_ft = {sigma:g}" if sigma else "slope of 1/a over 4, sigma_ft = 0"
            )
            near("P6", start, effect, rate(*forgetting(table, start, sigma), sigma))
        keep = chosen(table, "decay") & begun(table, start)
        points, share = lost(table, keep, "problem.decay_ft")
        near("P7", start, "decay of a frozen strength over e^(-4 mu t_ft), in logarithms, mu = 0.1",
             np.log(1 - share[:, -1]) / (-4 * points[-1] * T_FT))  # fmt: skip
    for basis in BASES:
        points, share = lost(table, chosen(table, "dropout", "sims.basis", basis), "problem.dropout_ft")
        effect = f"share of a frozen strength lost to dropout {DROPOUTS[-1]:g}"
        found = mean_at(share, points, DROPOUTS[-1])
        made.append(noticed("P7", effect, found, f"{basis} basis", expected=basis != "unit"))
    return made


LEAKAGE = Study("leakage", "fine-tuning that reaches protected features, and its pace (P6, P7)", cases, judge)
