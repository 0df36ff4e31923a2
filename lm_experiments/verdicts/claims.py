"""The claims C1, C2 and C8 of the paper as criteria on a lambda study: supported, refuted or undecided.

Every condition is the sign of a number with an interval over seeds. It is met where the whole interval has the right sign, broken where
the whole interval has the wrong one, and open in between. A claim is supported where all its conditions are met and refuted where
one is broken. One seed has no interval: its verdict is undecided, and `point` says what its losses would show if they were exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.stats import rankdata

from common.arrays import Float
from common.curves import NOTABLE
from common.seeds import Interval, interval, mean_interval
from lm_experiments.verdicts.groups import Group

MOSTLY = 0.5
"""C1 in its weaker reading: loss_im moves by less than half of the fall of loss_ret, so most of the benefit was not to be seen."""
PREDICTS = 0.7
"""C8: a rank correlation below this leaves more than half of the variance of the retained ranks (1 - 0.7^2 = 0.51) unexplained."""
LEAST_SEEDS = 3
"""No verdict with an interval of fewer seeds: with two, a sign is right by chance half of the time."""

Decision = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a study says about a claim."""

    claim: str
    statement: str
    engine: str
    model: str
    pipeline: str
    where: str
    seeds: int
    verdict: Decision
    point: Decision
    """The same without intervals: what the means say."""
    evidence: dict[str, Interval]
    """Named numbers in nats (rank correlation for C8); a negative change is a fall from lambda = 0."""


class _Condition:
    """The sign that a number must have."""

    def __init__(self, number: Interval, *, positive: bool) -> None:
        self.number, self.positive = number, positive

    def decided(self) -> Decision:
        low, high = self.number.low, self.number.high
        if low is None or high is None:
            return "undecided"
        return self._of(low, high)

    def point(self) -> Decision:
        return self._of(self.number.value, self.number.value)

    def _of(self, low: float, high: float) -> Decision:
        if not self.positive:
            low, high = -high, -low
        return "supported" if low > 0 else "refuted" if high < 0 else "undecided"


def _all(decisions: Sequence[Decision]) -> Decision:
    if "refuted" in decisions:
        return "refuted"
    return "supported" if set(decisions) == {"supported"} else "undecided"


def _verdict(
    claim: str,
    statement: str,
    group: Group,
    conditions: Sequence[_Condition],
    evidence: Mapping[str, Interval],
    where: str = "",
) -> Verdict:
    enough = len(group.seeds) >= LEAST_SEEDS
    return Verdict(
        claim=claim, statement=statement, engine=group.engine, model=group.model, pipeline=group.pipeline,
        where=where or group.title, seeds=len(group.seeds),
        verdict=_all([one.decided() for one in conditions]) if enough else "undecided",
        point=_all([one.point() for one in conditions]), evidence=dict(evidence),
    )  # fmt: skip


def latent(group: Group) -> list[Verdict]:
    """C1 in two readings, from lambda = 0 to the largest: loss_ret falls notably, and loss_im moves by a small part of that."""
    change_im, change_ret = (values[:, -1] - values[:, 0] for values in (group.im, group.ret))
    forgetting = group.ret[:, 0] - group.im[:, 0]
    evidence = {
        "change of loss_im": mean_interval(change_im),
        "change of loss_ret": mean_interval(change_ret),
        "forgetting at lambda = 0": mean_interval(forgetting),
        "share of the fall in loss_im": interval(
            lambda drawn: drawn[..., 0].mean(axis=1) / drawn[..., 1].mean(axis=1),
            np.stack([change_im, change_ret], axis=-1),
        ),
    }
    if group.ft is not None:
        evidence["change of loss_ft"] = mean_interval(group.ft[:, -1] - group.ft[:, 0])
    falls = [
        _Condition(mean_interval(change_ret + NOTABLE * forgetting), positive=False),
        _Condition(mean_interval(change_ret), positive=False),
    ]
    found = []
    for claim, share, words in (("C1", NOTABLE, "a tenth"), ("C1 mostly", MOSTLY, "half")):
        flat = [
            _Condition(mean_interval(change_im - share * change_ret), positive=True),
            _Condition(mean_interval(change_im + share * change_ret), positive=False),
        ]
        statement = (
            f"loss_ret falls by more than a tenth of the forgetting, loss_im moves by less than {words} of that fall"
        )
        found.append(_verdict(claim, statement, group, [*falls, *flat], evidence))
    return found


def interior(group: Group) -> Verdict:
    """C2: loss_im is lowest at lambda = 0, loss_ret inside (0, 1).

    The lambda to compare with is chosen for every seed by the other seeds, so that the best of several is not praised for its noise.
    """
    last = len(group.exposure) - 1
    inside = range(1, last)
    best_mixed = _picked(group.im, range(1, last + 1))
    evidence = {
        "loss_im, best lambda > 0 minus lambda = 0": mean_interval(best_mixed - group.im[:, 0]),
        "lambda of the lowest loss_im": _argmin(group, group.im),
        "lambda of the lowest loss_ret": _argmin(group, group.ret),
    }
    conditions = [_Condition(evidence["loss_im, best lambda > 0 minus lambda = 0"], positive=True)]
    if inside:
        best = _picked(group.ret, inside)
        for end, at in (("0", 0), ("1", last)):
            name = f"loss_ret, best inside minus lambda = {end}"
            evidence[name] = mean_interval(best - group.ret[:, at])
            conditions.append(_Condition(evidence[name], positive=False))
    else:
        conditions.append(_Condition(Interval(value=0.0), positive=False))
    return _verdict(
        "C2",
        "compute-matched: loss_im is lowest at lambda = 0, loss_ret strictly inside (0, 1)",
        group,
        conditions,
        evidence,
    )


def _picked(loss: Float[np.ndarray, "seeds lambdas"], among: Sequence[int]) -> Float[np.ndarray, " seeds"]:
    """Each seed's loss at the lambda that is best in the mean of the other seeds (of itself, where it is the only one)."""
    candidates = loss[:, list(among)]
    others = candidates.sum(axis=0) - candidates if len(loss) > 1 else candidates
    best: Float[np.ndarray, " seeds"] = np.take_along_axis(candidates, others.argmin(axis=1)[:, None], axis=1)[:, 0]
    return best


def _argmin(group: Group, loss: Float[np.ndarray, "seeds lambdas"]) -> Interval:
    return interval(lambda drawn: group.exposure[drawn.mean(axis=1).argmin(axis=-1)], loss)


def unpredictive(groups: Sequence[Group]) -> list[Verdict]:
    """C8: across the recipes (lambda, split, replay) of one size and learning rate, loss_im does not rank loss_ret.

    Only the seeds that all groups share count; without any there is no verdict.
    """
    first = groups[0]
    seeds = tuple(seed for seed in first.seeds if all(seed in group.seeds for group in groups))
    if not seeds:
        return []
    pairs = [
        np.stack([values[[group.seeds.index(seed) for seed in seeds]] for values in (group.im, group.ret)], axis=-1)
        for group in groups
    ]
    joined = np.concatenate(pairs, axis=1)
    below = _Condition(interval(lambda drawn: _rank_correlation(drawn) - PREDICTS, joined), positive=False)
    statement = f"the rank correlation of loss_im and loss_ret across {joined.shape[1]} recipes is below {PREDICTS:g}"
    evidence = {"rank correlation": interval(_rank_correlation, joined)}
    where = first.title if len(groups) == 1 else first.title.replace(first.recipe, "all recipes", 1)
    return [_verdict("C8", statement, replace(first, seeds=seeds), [below], evidence, where)]


def _rank_correlation(drawn: Float[np.ndarray, "replicates seeds recipes 2"]) -> Float[np.ndarray, " replicates"]:
    """Spearman's correlation of the seed means; 0 where all recipes tie."""
    ranks = rankdata(drawn.mean(axis=1), axis=1)
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norm = np.sqrt((centred**2).sum(axis=1).prod(axis=-1))
    found: Float[np.ndarray, " replicates"] = np.zeros(len(norm))
    np.divide((centred[..., 0] * centred[..., 1]).sum(axis=1), norm, out=found, where=norm > 0)
    return found


CLAIMS: dict[str, Callable[[Group], list[Verdict]]] = {
    "independent": latent,
    "compute-matched": lambda group: [interior(group)],
}
"""Split -> what is asked of a single group."""
