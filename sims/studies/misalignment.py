"""How much of the benefit of early exposure is left where the tasks do not share their singular vectors (P13, P7).

Every task's outputs are turned by its own random rotation exp(rotation K_t). The gain is loss_ret unmixed minus mixed. It goes in
two ways that loss_im tells apart. Before fine-tuning: turned tasks compete in stage 1, the mixed network learns the specialised
features later, and a stage 1 that was long enough no longer is; four times as long, it mostly is again. In fine-tuning: turned
tasks move the output weights that the features share with others, and take part of them although their inputs never occur.

The prediction names rotations without saying how K_t is normalised, so that it is judged in two ways: a rotation as that of
`sims.tasks`, where the entries of K_t have variance 1/(2n), and as sqrt(2) times as much, where they have variance 1/n.

`python -m sims misalignment`, under half a minute on two cores. What came out: the gain survives a rotation of .3 and is more
than half gone at 1.
"""

from typing import Any

import numpy as np

from common.curves import paired
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, product
from sims.effects import judged, ratio
from sims.setup import Setup
from sims.studies.gains import noticed
from sims.study import Study, seeds

SEEDS = 48
"""Twice as many as elsewhere: at large rotations the gain of single seeds spreads from below 0 to all of it."""
ENGINE = np.sqrt(2)
"""A rotation by entries of variance 1/n is so many of `sims.tasks`."""
NORMALISED = {"1/(2n)": 1 / ENGINE, "1/n": 1.0}
"""Variance of the entries of K_t -> what its rotations are in those of variance 1/n."""
SMALL, LARGE = 0.3, 1.0
"""Rotations of the prediction."""
STATED = tuple(sorted({0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.4} | {float(r / ENGINE) for r in (SMALL, LARGE)}))
"""Rotations by entries of variance 1/n; those of the prediction in both normalisations."""
MIXED = 0.2
STARTS: dict[str, tuple[Setup, float]] = {
    "aligned": (Setup(steps=(1600, 400, 400)), 20.0),
    "random": (Setup(steps=(1600, 400, 400), init="random", width=16), 20.0),
    "long": (Setup(steps=(2400, 400, 400)), 80.0),
}
"""Name -> setup and t_pre; `long` starts aligned."""
VARIANTS = {"aligned": "", "random": "random start", "long": "long stage 1"}
"""What the verdicts call them."""
UNCHANGED = 0.9
"""At rotation 0.3 the gain counts as unchanged if at least this fraction of it is left ..."""
GONE = 1 / 3
"""... and at rotation 1 as two thirds gone if at most this fraction is."""


def cases() -> list[Case]:
    """Unmixed and mixed, over rotations and seeds; aligned and small random weights, and a long stage 1."""
    runs = product(rotation=ENGINE * np.array(STATED), alpha=(0.0, MIXED), seed=seeds(SEEDS))
    stated = {"sims.rotation_stated": runs["rotation"] / ENGINE}
    return [Case("plain", setup, runs | {"t_pre": t_pre}, stated) for setup, t_pre in STARTS.values()]


def gains(table: Any, start: str) -> tuple[Any, Any, Any]:
    """Rotations, and the gains in loss_im and loss_ret of every seed at each: shape (seeds, rotations)."""
    setup, t_pre = STARTS[start]
    keep = (column(table, "sims.init") == setup.init) & (column(table, "t_pre") == t_pre)
    alpha = column(table, "alpha")
    arms = [(keep & mask, loss) for loss in ("loss_im", "loss_ret") for mask in (alpha == 0, alpha > 0)]
    points, (im_unmixed, im_mixed, unmixed, mixed) = paired(table, "sims.rotation_stated", *arms)
    return points, im_unmixed - im_mixed, unmixed - mixed


def judge(table: Any) -> list[Verdict]:
    """P13: unchanged up to rotation 0.3, two thirds gone at 1; P7: what fine-tuning takes where tasks are misaligned."""
    made = []

    def at(rotation: float) -> int:
        return int(np.argmin(np.abs(points - rotation)))

    for start in STARTS:
        points, _, retained = gains(table, start)
        for variance, unit in NORMALISED.items():
            small, large = (ratio(retained[:, at(rotation * unit)], retained[:, 0]) for rotation in (SMALL, LARGE))
            effect = f"share of the gain left at rotation {{:g}}, variance {variance}"
            made += [
                judged("P13", "plain", effect.format(SMALL), small, f"at least {UNCHANGED:g}", VARIANTS[start],
                       at_least=UNCHANGED),
                judged("P13", "plain", effect.format(LARGE), large, f"at most {GONE:.2g}", VARIANTS[start], at_most=GONE),
            ]  # fmt: skip
    points, immediate, retained = gains(table, "long")
    taken = immediate - retained
    for rotation in (0.3, 0.6, 1.0):
        eroded = ratio(taken[:, at(rotation)] - taken[:, 0], immediate[:, 0])
        effect = f"share of the gain lost in stage 3, tasks misaligned by {rotation:g}"
        made.append(noticed("P7", effect, eroded, VARIANTS["long"]))
    return made


MISALIGNMENT = Study("misalignment", "the gain where tasks do not share singular vectors (P13, P7)", cases, judge)
