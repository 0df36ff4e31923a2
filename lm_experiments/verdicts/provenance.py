"""Whether exposure to half of D_post protects that half only (experiment E1): the halves of one model, so that nothing else differs.

    account               exposed half A   other half B     A's gain over B's
    S, rp, rp-shared      falls            as unexposed     above 0
    plain                 as unexposed     as unexposed     0
    flatness, closeness   falls            falls alike      0

Written down before the study `provenance` was run. The gain of a half is its loss_ret at lambda = 0 minus that at the largest lambda, the
mean over the stage-3 rates; both halves are measured in the same weights, so that loss_ft is the same.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from common.arrays import Float
from common.seeds import mean_interval
from common.verdicts import Verdict, within

EXPOSED, OTHER = "facts-a", "facts-b"
"""The halves; their corpora may have options (`facts-a-names32`)."""


def by_half(table: Any, stage: str = "ft") -> tuple[list[int], Float[np.ndarray, "seeds halves doses"]]:
    """Loss of both halves at lambda = 0 and at the largest, the mean over the stage-3 rates, of the seeds that have all.

    Args:
        table: of the study `provenance`.
        stage: pre, post or ft: after which stage.
    """
    columns = ("seed", "exposure", "lr_ft", "lm.losses")
    rows = table.select(columns).to_pylist()
    doses = (0.0, max(row["exposure"] for row in rows))
    rates = sorted({row["lr_ft"] for row in rows})
    found = {(row["seed"], row["exposure"], row["lr_ft"]): json.loads(row["lm.losses"])[stage] for row in rows}
    seeds = [
        seed
        for seed in sorted({row["seed"] for row in rows})
        if all((seed, dose, rate) in found for dose in doses for rate in rates)
    ]
    values = [
        [
            [np.mean([_of(half, found[seed, dose, rate]) for rate in rates]) for dose in doses]
            for half in (EXPOSED, OTHER)
        ]
        for seed in seeds
    ]
    return seeds, np.array(values, dtype=float).reshape(-1, 2, 2)


def _of(half: str, losses: Mapping[str, float]) -> float:
    """The loss of a half's answers among all that was measured."""
    return next(loss for name, loss in losses.items() if re.fullmatch(rf"{half}(-[^/]*\d)?/report#answers", name))


def provenance(table: Any) -> list[Verdict]:
    """E1, and beside it what exposure to A does to each half alone."""
    seeds, loss = by_half(table)
    if not seeds:
        return []
    gain = loss[:, :, 0] - loss[:, :, 1]
    row = table.slice(0, 1).to_pylist()[0]
    stamp = {
        "engine": row["engine"],
        "where": f"{row['pipeline']}, lambda {max(table['exposure'].to_pylist()):g} of half A",
    }
    return [
        within("E1", row["scale"], "gain in loss_ret of the exposed half minus that of the other",
               mean_interval(gain[:, 0] - gain[:, 1]), "above 0", at_least=0.0, primary=True, **stamp),
        *(
            within("E1", row["scale"], f"gain in loss_ret of {name}", mean_interval(gain[:, place]), "above 0", at_least=0.0,
                   variant=name, statistic=name, **stamp)
            for place, name in enumerate(("the exposed half", "the other half"))
        ),
    ]  # fmt: skip
