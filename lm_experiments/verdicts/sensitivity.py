"""Whether a choice that the paper leaves open changes what exposure does: the effect under it minus the effect as it is.

    effect    loss_ret at matched loss_ft, largest lambda: real minus lambda = 0 (raw), real minus the decoy (over the decoy)
    verdict   supported: the choice moves it by less than a tenth of the forgetting as it is; refuted: by more

Paired by seed, Student 95 %. Written down before the study `few-sensitivity` was run.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from common.arrays import Float
from common.curves import NOTABLE
from common.gates import together
from common.seeds import mean_interval
from common.verdicts import UNPREDICTED, Verdict, all_of, within
from lm_experiments.studies.sensitivity import AS_IT_IS
from lm_experiments.verdicts.controls import choice, controlled
from lm_experiments.verdicts.groups import Group, matched

EFFECTS = {"raw": 0, "over the decoy": 2}
"""What real exposure is compared with: the column of a group that `controlled` makes."""


def sensitivity(found: list[Group]) -> list[Verdict]:
    """For every choice of a study whose arms are called "real, CHOICE" and "shuffled, CHOICE", two verdicts.

    Args:
        found: the lambda studies of its table.
    """
    by_choice: dict[str, Group] = {}
    if not any(choice(group) == AS_IT_IS for group in found):
        return []
    for name in dict.fromkeys(choice(group) for group in found):
        at_matched = matched(group for _, group in controlled(one for one in found if choice(one) == name))
        if len(at_matched) == 1:
            by_choice[name] = at_matched[0]
    if AS_IT_IS not in by_choice:
        return []
    base = by_choice.pop(AS_IT_IS)
    return [
        _moved(name, group, base, seeds, what)
        for name, group in by_choice.items()
        if (seeds := [seed for seed in base.seeds if seed in group.seeds])
        for what in EFFECTS
    ]


def _moved(name: str, group: Group, base: Group, seeds: list[Any], what: str) -> Verdict:
    other, own = (_of(one, seeds) for one in (group, base))
    against = EFFECTS[what]
    difference = (other[:, 1] - other[:, against]) - (own[:, 1] - own[:, against])
    margin = NOTABLE * (own[:, 0] - np.array([base.im[base.seeds.index(seed), 0] for seed in seeds]))
    said = f"moves the effect by less than {NOTABLE:g} of the forgetting as it is"
    effect = f"{what} effect on loss_ret, {name} minus {AS_IT_IS}"
    parts = [
        within(UNPREDICTED, base.model, effect, mean_interval(difference + sign * margin), said, statistic=f"{sign}", **limit)
        for sign, limit in ((1, {"at_least": 0.0}), (-1, {"at_most": 0.0}))
    ]  # fmt: skip
    whole = all_of(
        parts, said, engine=base.key["engine"], where=f"{name}: {what} effect", variant=name, equivalence=True,
        gates=together((base.gates, group.gates)),
    )  # fmt: skip
    plain = mean_interval(difference)
    return _shown(whole, plain.value, plain.low, plain.high)


def _shown(verdict: Verdict, value: float, low: float | None, high: float | None) -> Verdict:
    """With the difference itself in the place of the contrast that decides, which says how far the margin is away."""
    wide = None if low is None or high is None or verdict.status != "undecided" else (high - low) / 2
    return replace(verdict, value=value, low=low, high=high, supported_from=None, supported_to=None, detectable=wide)


def _of(group: Group, seeds: list[Any]) -> Float[np.ndarray, "seeds recipes"]:
    return np.array([group.ret[group.seeds.index(seed)] for seed in seeds])
