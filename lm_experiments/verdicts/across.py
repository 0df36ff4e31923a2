"""What exposure does beyond its strongest decoy, over testbeds: a claim that generalises over corpora needs several, and their scatter.

    testbed i    x_i = (real minus strongest alternative, loss_ret at matched loss_ft) / forgetting of the unexposed, standard error s_i;
                 studies of the same three corpora are one testbed, their mean weighted by 1/error^2
    over all     mu = sum w_i x_i / sum w_i,  w_i = 1/(s_i^2 + tau^2),  tau^2 by the method of moments (DerSimonian and Laird 1986)
                 Student interval with (testbeds - 1) degrees of freedom and variance max(1, q) / sum w_i,
                 q = sum w_i (x_i - mu)^2 / (testbeds - 1)    (Hartung and Knapp 2001, never narrower than without q)

Losses of different text are not comparable in nats, so each effect is a share of its own testbed's forgetting, taken as known. The
strongest alternative is the decoy of lowest mean loss_ret, or no exposure where every decoy does harm. Two testbeds leave one degree of
freedom and a factor of 12.7: it takes more of them, not more seeds, to say something about corpora at large. Written when both valid
testbeds had been seen, so that the verdict is exploratory.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.seeds import Interval, around_value, mean_interval
from common.verdicts import Verdict, within
from lm_experiments.verdicts.controls import others
from lm_experiments.verdicts.groups import Group

CRITERION = (
    "loss_ret over testbeds: real exposure below the strongest of its decoys and none, as a share of the forgetting"
)


def share(names: Sequence[str], group: Group) -> tuple[str, Interval]:
    """The strongest alternative, and real exposure minus it as a share of the unexposed models' forgetting.

    Args:
        names: of the decoys.
        group: lambda = 0, real, then the decoys, as `controls.controlled` makes it, at matched loss_ft.
    """
    forgetting = float(np.mean(group.ret[:, 0] - group.im[:, 0]))
    strongest, lowest = min(others(names, group).items(), key=lambda other: float(other[1].mean()))
    return strongest, mean_interval((group.ret[:, 1] - lowest) / forgetting)


def random_effects(found: Sequence[Interval]) -> Interval:
    """The mean over testbeds with the interval above; the seeds of all are counted, its degrees of freedom are of testbeds.

    Args:
        found: at least two, each with a standard error above 0.
    """
    x = np.array([one.value for one in found])
    variance = np.array([one.error for one in found], dtype=float) ** 2
    df = len(x) - 1
    fixed = 1 / variance
    spread = float((fixed * (x - np.average(x, weights=fixed)) ** 2).sum())
    between = max(0.0, (spread - df) / (fixed.sum() - (fixed**2).sum() / fixed.sum()))
    weight = 1 / (variance + between)
    mean = float(np.average(x, weights=weight))
    scatter = float((weight * (x - mean) ** 2).sum()) / df
    error = math.sqrt(max(1.0, scatter) / weight.sum())
    return around_value(mean, error, sum(one.n or 0 for one in found), df)


def over_testbeds(beds: Sequence[tuple[Sequence[str], Group]]) -> list[Verdict]:
    """D1 over several testbeds; nothing where there are fewer than two with a scatter over seeds.

    Args:
        beds: of each the names of its decoys and its group at matched loss_ft. One that has a seed in common with an earlier one of
            the same scale and corpora is left out: studies share what they train.
    """
    told: dict[str, list[Interval]] = {}
    counted: set[tuple[Any, ...]] = set()
    for names, group in beds:
        runs = {(group.key["pipeline"], group.key["scale"], seed) for seed in group.seeds}
        if (
            len(group.seeds) > 1
            and group.ret.shape[1] > 2
            and not runs & counted
            and (found := share(names, group)[1]).error
        ):
            told.setdefault(group.key["pipeline"], []).append(found)
            counted |= runs
    if len(told) < 2:
        return []
    each = {pipeline: _together(some) for pipeline, some in told.items()}
    parts = "; ".join(f"{pipeline} {one}" for pipeline, one in each.items())
    return [
        within(
            "D1", "all sizes", f"loss_ret, real minus the strongest alternative, as a share of the forgetting: {parts}",
            random_effects(list(each.values())), CRITERION, at_most=0.0, primary=True, statistic="random effects",
            engine=beds[0][1].key["engine"], where=f"{len(each)} testbeds", variant="over testbeds", exploratory=True,
        )
    ]  # fmt: skip


def _together(found: Sequence[Interval]) -> Interval:
    """Studies of one testbed."""
    weight = np.array([one.error for one in found], dtype=float) ** -2.0
    value = float(np.average([one.value for one in found], weights=weight))
    seeds = sum(one.n or 0 for one in found)
    return around_value(value, float(weight.sum()) ** -0.5, seeds, seeds - len(found))
