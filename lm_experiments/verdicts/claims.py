"""The claims C1, C2 and C8 of the paper as criteria on a lambda study; see `common.verdicts` for what decides.

A claim that asks several things is supported where all hold and refuted where one fails. C3 to C6 need frontiers: see `frontiers`. C7
needs 1B parameters, of which there is no table.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.stats import rankdata

from common.arrays import Float
from common.claims import CLAIMS
from common.curves import NOTABLE
from common.minima import FEWEST, crossfitted
from common.seeds import Interval, mean_interval
from common.verdicts import Status, Verdict, all_of, untestable, within
from lm_experiments.verdicts.groups import Group

MOSTLY = 0.5
"""C1 in its weaker reading: loss_im moves by less than half of the fall of loss_ret, so most of the benefit was not to be seen."""
PREDICTS = 0.7
"""C8: a rank correlation below this leaves more than half of the variance of the retained ranks (1 - 0.7^2 = 0.51) unexplained."""
RANKED = 4
"""Recipes that C8 needs, at least: two are always ranked perfectly, the same way or the other."""
UNTESTED = {
    "C3": "no table with the end points of a frontier in several pipelines",
    "C4": "no table with the end points of a frontier in several pipelines",
    "C5": "no table with dropout and replay beside the same without them",
    "C6": "no table with LoRA in stage 2",
    "C7": "no table of a model of 1B parameters",
}
"""Claims that a lambda study cannot test, and what is missing where no other table is given."""


def latent(group: Group) -> list[Verdict]:
    """C1 in two readings, from lambda = 0 to the largest: loss_ret falls notably, and loss_im moves by a small part of that."""
    change_im, change_ret = (values[:, -1] - values[:, 0] for values in (group.im, group.ret))
    forgetting = group.ret[:, 0] - group.im[:, 0]
    falls = [
        _part("C1", group, "change of loss_ret from lambda = 0", change_ret, at_most=0.0),
        _part(
            "C1", group, f"change of loss_ret + {NOTABLE:g} forgetting", change_ret + NOTABLE * forgetting, at_most=0.0
        ),
    ]
    found = []
    for variant, share, words in (("", NOTABLE, "a tenth"), ("mostly", MOSTLY, "half")):
        part, effect = share * change_ret, f"{share:g} change of loss_ret"
        flat = [
            _part("C1", group, f"change of loss_im - {effect}", change_im - part, at_least=0.0),
            _part("C1", group, f"change of loss_im + {effect}", change_im + part, at_most=0.0),
        ]
        said = f"loss_ret falls by more than a tenth of the forgetting, loss_im moves by less than {words} of that fall"
        found.append(_judged(group, [*falls, *flat], said, variant))
    return found


def interior(group: Group) -> list[Verdict]:
    """C2: loss_im is lowest at lambda = 0, loss_ret inside (0, 1).

    The lambda to compare with is chosen by one half of the seeds and measured in the other, so that the best of several is not
    praised for its noise.
    """
    last = len(group.exposure) - 1
    parts = [
        _part(
            "C2",
            group,
            "loss_im, best lambda > 0 minus lambda = 0",
            _best(group.im, range(1, last + 1), 0),
            at_least=0.0,
        )
    ]
    if not (inside := range(1, last)):
        reason = "no lambda between 0 and 1 was measured"
        return [
            untestable("C2", group.model, "", reason, engine=group.key["engine"], where=group.title, gates=group.gates)
        ]
    parts += [
        _part("C2", group, f"loss_ret, best inside minus lambda = {end}", _best(group.ret, inside, at), at_most=0.0)
        for end, at in (("0", 0), ("1", last))
    ]
    return [_judged(group, parts, "compute-matched: loss_im is lowest at lambda = 0, loss_ret strictly inside (0, 1)")]


def _best(loss: Float[np.ndarray, "seeds lambdas"], among: Sequence[int], reference: int) -> Interval:
    """Loss at the best of some lambda, minus at a reference; chosen and measured in different seeds where there are enough."""
    candidates = list(among)

    def statistic(choosing: Any, measured: Any) -> Any:
        best = np.asarray(candidates)[choosing[:, candidates].argmin(axis=1)]
        return measured[np.arange(len(measured)), best] - measured[:, reference]

    if 1 < len(loss) < FEWEST:
        mean = loss.mean(axis=0)[None]
        return Interval(value=float(statistic(mean, mean)[0]), n=len(loss))
    return crossfitted(statistic, loss)


def unpredictive(group: Group) -> list[Verdict]:
    """C8: across the recipes of one size and learning rate, loss_im does not rank loss_ret within a seed; nothing for a few recipes.

    The correlation is taken seed by seed, as a developer with one run would see it, and its mean over seeds judged. Ranks of means
    would have no interval that can be trusted: leaving out a seed often changes no rank at all.
    """
    count = group.im.shape[1]
    if count < RANKED:
        return []
    correlation = mean_interval(_rank_correlations(group.im, group.ret))
    effect = f"rank correlation of loss_im and loss_ret across {count} recipes, mean over seeds"
    return [
        _judged(
            group, [_part("C8", group, effect, correlation, at_most=PREDICTS)], f"within a seed, below {PREDICTS:g}"
        )
    ]


def _part(claim: str, group: Group, effect: str, measured: Any, **limits: float) -> Verdict:
    """A condition on an interval, or on the mean of one number per seed."""
    found = measured if isinstance(measured, Interval) else mean_interval(measured)
    return within(claim, group.model, effect, found, effect, **limits)  # type: ignore[arg-type]


def _judged(group: Group, parts: Sequence[Verdict], criterion: str, variant: str = "") -> Verdict:
    """All parts at once; what the means alone would say stands beside the effect."""
    one = all_of(parts, criterion, engine=group.key["engine"], where=group.title, variant=variant, gates=group.gates)
    several = f" (of {len(parts)} conditions)" if len(parts) > 1 else ""
    return replace(one, effect=f"{one.effect}{several}; means alone: {_means(parts)}")


def _means(parts: Sequence[Verdict]) -> Status:
    """What the values say where their intervals are left out."""
    found = []
    for part in parts:
        value = part.value
        if value is None:
            return "undecided"
        low, high = part.supported_from, part.supported_to
        found.append((low is None or value >= low) and (high is None or value <= high))
    return "supported" if all(found) else "refuted"


def _rank_correlations(
    im: Float[np.ndarray, "seeds recipes"], ret: Float[np.ndarray, "seeds recipes"]
) -> Float[np.ndarray, " seeds"]:
    """Spearman's correlation within each seed; 0 where all recipes tie."""
    one, other = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (rankdata(im, axis=1), rankdata(ret, axis=1)))
    norm = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    found: Float[np.ndarray, " seeds"] = np.zeros(len(norm))
    np.divide((one * other).sum(axis=1), norm, out=found, where=norm > 0)
    return found


def untested(engine: str, found: Sequence[Verdict]) -> list[Verdict]:
    """A row for every claim that none of the tables could test, of which no verdict was found."""
    tested = {one.claim for one in found}
    return [
        untestable(claim, "", CLAIMS[claim], reason, engine=engine)
        for claim, reason in UNTESTED.items()
        if claim not in tested
    ]


BY_SPLIT: dict[str, Callable[[Group], list[Verdict]]] = {"independent": latent, "compute-matched": interior}
"""Split -> what is asked of a single group."""
