"""Early exposure to a finite sample: N unique D_post examples with label noise, seen over and over in stage 1 (P16).

Stage 2 is left out, so that the specialised features come from stage 1 alone, or lasts a flow time of 1; stage 3 is long
enough to reset the features that D_ft uses. What label noise adds to loss_ret is then the specialised features' share of the
noise: at a small weight alpha `n tau^2 k/(N - k - 1)`, because D_pre fixes all other directions. What D_pre forbids to fit of D_post
is noise as well (`conflict`). More passes are more flow time.

`python -m sims finite-samples`, under half a minute on two cores. What came out: label noise adds about the predicted floor;
most of it stays undecided within its margins.
"""

from typing import Any

import numpy as np

from common.arrays import Array
from common.curves import gain, paired, whole_seeds
from common.results import column
from common.verdicts import UNPREDICTED, Verdict
from sims.cases import Case, product
from sims.effects import judged, mean, ratio
from sims.setup import Setup
from sims.studies.gains import SEEDS
from sims.study import Study, seeds

SAMPLES = (12, 16, 24, 48, 96)
NOISE = (0.0, 0.25, 0.5)
MIXED = 0.1
GAP = 1.0
"""sigma_post - sigma_pre."""
T_PRE = (30.0, 60.0, 120.0, 240.0)
"""Exposure alpha t_pre of 3 to 24; the specialised mode is half learned at 3.8."""
T_POST = (0.0, 1.0)
STEPS = (2000, 100, 300)
BETA = 0.9
OUTPUTS = 6
MODES = 1
TOLERANCE = 0.2
"""The floor counts as found if the measured excess is within this fraction of it ..."""
SATURATED = 0.02
"""... and the benefit as saturated if doubling the exposure changes it by less than this fraction."""


def floor(samples: Array | int, noise: Array | float, trained: str = "stage 1") -> Any:
    """What label noise leaves in the specialised features: `n tau^2 k/(N - k - 1)`, or `n tau^2 k/(N - n - 1)`.

    Args:
        samples: N.
        noise: tau.
        trained: "stage 1" where D_pre fixes the other directions, "stage 2" where the sample decides all of them.
    """
    fitted = MODES if trained == "stage 1" else OUTPUTS
    return OUTPUTS * np.asarray(noise) ** 2 * MODES / (np.asarray(samples) - fitted - 1)


def conflict(samples: Array | int) -> Any:
    """`(1 - alpha)^2 gap^2 k^2/(N - k - 1)`: the same for the part of D_post that a mixture with D_pre cannot fit.

    While stage 1 lasts an inconsistent mode stays (1 - alpha)(sigma_post - sigma_pre) away from what D_post asks for. On a sample its
    input is correlated with those of the specialised modes, so that these take over some of the error, as they do of label noise.
    """
    return ((1 - MIXED) * GAP * MODES) ** 2 / (np.asarray(samples) - MODES - 1)


def cases() -> list[Case]:
    """Unmixed and mixed, over sizes of the sample, label noise, exposure and seeds; without and with a stage 2."""
    runs = product(label_noise=NOISE, t_post=T_POST, t_pre=T_PRE, alpha=(0.0, MIXED), seed=seeds(SEEDS))
    fixed = {"t_ft": 10.0, "beta": BETA, "sigma_post": 0.4 + GAP, "sigma_pre": 0.4}
    made = []
    for samples in SAMPLES:
        setup = Setup(n=OUTPUTS, k=MODES, steps=STEPS, samples=samples, record=1)
        noisy = (floor(samples, runs["label_noise"], stage) for stage in ("stage 2", "stage 1"))
        floors = {"sims.floor": np.where(runs["t_post"] > 0, *noisy), "sims.conflict": conflict(samples)}
        made.append(Case("plain", setup, runs | fixed, floors))
    return made


def _chosen(table: Any, samples: int, noise: float, t_post: float) -> Any:
    return (
        (column(table, "sims.samples") == samples)
        & (column(table, "problem.label_noise") == noise)
        & (column(table, "t_post") == t_post)
    )


def excess(table: Any, samples: int, noise: float, t_post: float = 0.0) -> tuple[Any, Any]:
    """t_pre, and what label noise adds to the mixed network's loss_ret, over the floor: shape (seeds, t_pre)."""
    mixed = column(table, "alpha") > 0
    arms = [(_chosen(table, samples, level, t_post) & mixed, "loss_ret") for level in (noise, 0.0)]
    points, (noisy, silent) = paired(table, "t_pre", *arms)
    return points, (noisy - silent) / floor(samples, noise)


def benefit(table: Any, samples: int, noise: float, t_post: float) -> tuple[Any, Any]:
    """t_pre, and the gain in loss_ret: shape (seeds, t_pre)."""
    return gain(table, _chosen(table, samples, noise, t_post), "t_pre")


def missing(table: Any, samples: int, noise: float) -> Any:
    """What is missing to a benefit of k beta^2 after the longest stage 1, over the floor with conflict; one per seed."""
    _, gains = benefit(table, samples, noise, 0.0)
    return (MODES * BETA**2 - gains[:, -1]) / (floor(samples, noise) + conflict(samples))


def judge(table: Any) -> list[Verdict]:
    """P16: the benefit saturates, at the noise floor, and passes over the same sample do not lower it.

    P16 says nothing of conflict, nor of a stage 2: that its floor leaves out the first, and does not hold after the second, are findings.
    """
    noise, table = max(NOISE), table.filter(whole_seeds(column(table, "seed")))
    made: list[Verdict] = []

    def over_sizes(of_size: Any) -> Any:
        """Sizes of the sample are independent experiments: a seed's value is its mean over them."""
        return np.stack([of_size(samples) for samples in SAMPLES]).mean(0)

    def near_one(variant: str, effect: str, values: Any, prediction: str = "P16") -> None:
        said, low, high = f"within {TOLERANCE:.0%} of 1", 1 - TOLERANCE, 1 + TOLERANCE
        made.append(judged(prediction, "plain", effect, mean(values), said, variant, at_least=low, at_most=high))

    gains = over_sizes(lambda samples: benefit(table, samples, noise, 0.0)[1])
    flat = ratio(gains[:, -1] - gains[:, -2], gains[:, -2])
    made.append(judged("P16", "plain", "change of the benefit when the exposure is doubled", flat,
                       f"at most {SATURATED:.0%}, up or down", at_least=-SATURATED, at_most=SATURATED))  # fmt: skip
    excesses = over_sizes(lambda samples: excess(table, samples, noise)[1])
    near_one("", "loss that label noise adds, over n tau^2 k/(N - k - 1)", excesses[:, -1])
    repeated = ratio(excesses[:, -1], excesses[:, -2])
    made.append(judged("P16", "plain", "that loss after twice as many passes, over before", repeated,
                       f"at least {1 - SATURATED:g}", at_least=1 - SATURATED))  # fmt: skip
    total = over_sizes(lambda samples: missing(table, samples, noise) * (1 + conflict(samples) / floor(samples, noise)))
    near_one("", "all that is missing to k beta^2, over the same floor", total, UNPREDICTED)
    near_one("", "the same, where conflict between D_pre and D_post counts as noise",
             over_sizes(lambda samples: missing(table, samples, noise)))  # fmt: skip
    near_one("with a stage 2", "loss that label noise adds, over the same floor, with a stage 2 on the sample",
             over_sizes(lambda samples: excess(table, samples, noise, 1.0)[1][:, -1]), UNPREDICTED)  # fmt: skip
    near_one("with a stage 2", "the same over n tau^2 k/(N - n - 1), where the sample decides all directions",
             over_sizes(lambda samples: excess(table, samples, noise, 1.0)[1][:, -1]
                        * floor(samples, noise) / floor(samples, noise, "stage 2")))  # fmt: skip
    return made


FINITE_SAMPLES = Study("finite-samples", "a finite, noisy D_post sample, repeated (P16)", cases, judge)
