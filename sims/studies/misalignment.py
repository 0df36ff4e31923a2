"""How much of the benefit of early exposure is left where the tasks do not share their singular vectors (P13).

Every task's outputs are turned by its own random rotation exp(rotation K_t). The gain is loss_ret unmixed minus mixed.
"""

from typing import Any

import numpy as np

from sims.setup import Setup
from sims.study import Case, Study, by_seed, column, product
from sims.verdict import Verdict, verdict
from theory.seeds import interval

SEEDS = 24
ROTATIONS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)
MIXED = 0.2
SETUP = Setup(steps=(2000, 600, 600))
UNCHANGED = 0.9
"""At rotation 0.3 the gain counts as unchanged if at least this fraction of it is left ..."""
GONE = 1 / 3
"""... and at rotation 1 as two thirds gone if at most this fraction is."""


def cases() -> list[Case]:
    """Unmixed and mixed, over rotations and seeds; two starts."""
    runs = product(rotation=ROTATIONS, alpha=(0.0, MIXED), seed=np.arange(SEEDS))
    return [Case("plain", SETUP, runs)]


def gains(table: Any) -> tuple[Any, Any]:
    """Rotations, and the gain in loss_ret of every seed at each: shape (seeds, rotations)."""
    alpha = column(table, "alpha")
    points, unmixed = by_seed(table, alpha == 0, "problem.rotation", "loss_ret")
    _, mixed = by_seed(table, alpha > 0, "problem.rotation", "loss_ret")
    return points, unmixed - mixed


def judge(table: Any) -> list[Verdict]:
    """P13: unchanged up to rotation 0.3, two thirds gone at 1."""
    points, gain = gains(table)

    def left(sample: Any, rotation: float) -> Any:
        at, aligned = (int(np.argmin(np.abs(points - r))) for r in (rotation, 0.0))
        return sample[..., at].mean(-1) / sample[..., aligned].mean(-1)

    small = interval(lambda sample: left(sample, 0.3), gain)
    large = interval(lambda sample: left(sample, 1.0), gain)
    return [
        verdict(
            "P13",
            "plain",
            small.value >= UNCHANGED,
            "share of the gain left at rotation 0.3",
            small,
            f"at least {UNCHANGED:g}",
        ),
        verdict(
            "P13", "plain", large.value <= GONE, "share of the gain left at rotation 1", large, f"at most {GONE:.2g}"
        ),
    ]


MISALIGNMENT = Study("misalignment", "the gain where tasks do not share singular vectors (P13)", cases, judge)
