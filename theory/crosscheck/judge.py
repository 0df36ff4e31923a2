"""Verdicts of a study on the claims and predictions that a lambda study speaks to, and the models that it excludes.

Criteria are those of `common.curves`: a notable fall exceeds a tenth of the forgetting, and it is latent where loss_im moves by less than a
tenth of the fall. A single run per point decides nothing: its verdicts stay undecided and show the value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from common.curves import NOTABLE
from common.gates import together
from common.minima import FEWEST as HALVES
from common.minima import NOTABLE_GAIN
from common.minima import interior as interior_minimum
from common.seeds import LEVEL, Interval, mean_interval
from common.verdicts import Verdict, all_of, untestable, within
from theory.crosscheck.effect import Effect
from theory.crosscheck.outside import Predicted
from theory.crosscheck.reading import SPLITS, Study

ELSEWHERE = {
    "P1": "blocks of features", "P5": "arms with replay, dropout or decay", "P6": "several lengths of fine-tuning at known rates",
    "P7": "decay or misaligned weights", "P8": "loss_pre along alpha", "P9": "a fine grid of exposures", "P10": "loss_pre after stage 2",
    "P11": "several fine-tuning lengths at matched loss_im", "P12": "arms of low rank", "P13": "misaligned tasks", "P14": "depth",
    "P15": "loss_ft along fine-tuning", "P16": "few unique samples", "C3": "frontiers of a sweep", "C4": "frontiers of a sweep",
    "C5": "arms with dropout and replay", "C6": "arms of low rank", "C7": "a second model size",
}  # fmt: skip
"""What it takes to speak to the others."""


def _latent(claim: str, model: str, effect: Effect) -> Verdict:
    curve = effect.curve
    forgetting = np.maximum(curve.ret[:, 0] - curve.im[:, 0], 0.0)
    fall = curve.ret[:, 0] - curve.ret[:, -1]
    moved = curve.im[:, -1] - curve.im[:, 0]
    where: dict[str, Any] = {"engine": "lm", "where": curve.name}
    parts = [
        within(claim, model, "fall of loss_ret beyond a tenth of the forgetting, nats", mean_interval(fall - NOTABLE * forgetting),
               "above 0", at_least=0.0, **where),
        within(claim, model, "a tenth of that fall minus the fall of loss_im, nats", mean_interval(NOTABLE * fall + moved), "above 0",
               at_least=0.0, **where),
        within(claim, model, "a tenth of that fall minus the rise of loss_im, nats", mean_interval(NOTABLE * fall - moved), "above 0",
               at_least=0.0, **where),
    ]  # fmt: skip
    return all_of(parts, "loss_ret falls by a tenth of the forgetting, and loss_im moves by less than a tenth of that")


def _interior(claim: str, model: str, effect: Effect) -> Verdict:
    curve = effect.curve
    criterion = f"a minimum inside (0, 1), {NOTABLE_GAIN:g} nats below both ends"
    where: dict[str, Any] = {"engine": "lm", "where": curve.name}
    measured = effect.depth
    if len(curve.ret) >= HALVES:
        _, share, _ = interior_minimum(curve.exposure, curve.ret[:, None])
        scale = float(np.minimum(curve.ret.mean(0)[0], curve.ret.mean(0)[-1]))
        measured = Interval(
            value=share.value * scale, n=share.n, df=share.df, error=None if share.error is None else share.error * scale,
            low=None if share.low is None else share.low * scale, high=None if share.high is None else share.high * scale,
        )  # fmt: skip
    return within(claim, model, "depth of the minimum of loss_ret, nats (chosen and measured by other seeds)", measured, criterion,
                  at_least=NOTABLE_GAIN, **where)  # fmt: skip


def verdicts(study: Study, found: list[Effect], gates: Mapping[str, str] | None = None) -> list[Verdict]:
    """C1, C2, C8, P2, P3 and P4, curve by curve; what a lambda study cannot say is not listed (`ELSEWHERE`).

    Args:
        study: what is judged.
        found: its effects.
        gates: how each testbed of it stands (`common.gates.standing`), by `Curve.testbed`.
    """
    gates = gates or {}
    whole = together(gates.get(curve.testbed, "") for curve in study.curves)
    by_curve = [
        replace(one, gates=gates.get(effect.curve.testbed, "")) for effect in found for one in _of_curve(effect)
    ]
    return by_curve + [replace(one, gates=whole) for one in (_unpredictive(study), _longer(found))]


def _of_curve(effect: Effect) -> list[Verdict]:
    if effect.curve.split == SPLITS[0]:
        return [_latent("C1", "as measured", effect), _latent("P2", "redundant pathways, not plain", effect)]
    best_im = effect.curve.im[:, 1:].min(1) - effect.curve.im[:, 0]
    flat = within("C2", "as measured", "best loss_im above lambda = 0 minus that at 0, nats", mean_interval(best_im), "at least 0",
                  at_least=0.0, engine="lm", where=effect.curve.name)  # fmt: skip
    return [
        all_of([flat, _interior("C2", "as measured", effect)], "loss_im is lowest at lambda = 0, loss_ret inside"),
        _interior("P3", "redundant pathways or unequal steps, not plain at equal steps", effect),
    ]


def _unpredictive(study: Study) -> Verdict:
    """C8: rank correlation of loss_im and loss_ret along lambda, curve by curve."""
    from scipy import stats

    ranks = [
        float(stats.spearmanr(curve.im.mean(0), curve.ret.mean(0))[0])
        for curve in study.curves
        if len(curve.exposure) > 2 and np.ptp(curve.im.mean(0)) > 0 and np.ptp(curve.ret.mean(0)) > 0
    ]
    effect = "mean rank correlation of loss_im and loss_ret along lambda"
    if not ranks:
        return untestable("C8", "as measured", effect, "no curve has three exposures", engine="lm")
    value = mean_interval(np.array(ranks))
    return within("C8", "as measured", effect + ", over curves", value, "below 0.5", at_most=0.5, engine="lm")


def _longer(found: list[Effect]) -> Verdict:
    """P4: the best exposure at the largest fine-tuning rate minus at the smallest, curves otherwise equal."""
    pairs: dict[tuple[str, float], list[Effect]] = {}
    for effect in found:
        if np.isfinite(effect.curve.lr_ft) and effect.curve.split == SPLITS[1]:
            pairs.setdefault((effect.curve.split, effect.curve.tokens), []).append(effect)
    moves = []
    for many in pairs.values():
        many.sort(key=lambda one: one.curve.lr_ft)
        if len(many) > 1:
            moves.append(many[-1].best - many[0].best)
    said = "best exposure at the largest lr_ft minus at the smallest, over sizes"
    if not moves:
        return untestable(
            "P4", "redundant pathways", said, "one fine-tuning rate only, or no compute-matched split", engine="lm"
        )
    return within(
        "P4", "redundant pathways", said, mean_interval(np.array(moves)), "above 0", at_least=0.0, engine="lm"
    )


@dataclass(frozen=True)
class Exclusion:
    """What a study says against a model."""

    model: str
    excluded: bool
    reason: str


def excluded(study: Study, found: list[Effect], predictions: list[Predicted]) -> list[Exclusion]:
    """Models against which the study speaks, each with the number that does."""
    made = []
    changed = [one for one in found if one.forgetting_change.low is not None and one.forgetting_change.high is not None]
    strong = [one for one in changed if (one.forgetting_change.high or 0) < 0 or (one.forgetting_change.low or 0) > 0]
    if changed:
        made.append(
            Exclusion(
                "null (constant forgetting)", _more_than_chance(len(strong), len(changed)),
                f"forgetting changes with exposure on {len(strong)} of {len(changed)} curves (95 % intervals without 0)",
            )
        )  # fmt: skip
    else:
        made += _against_null(predictions)
    deep = [
        one for one in found if one.curve.split == SPLITS[1] and 0 < one.best < 1 and one.depth.value >= NOTABLE_GAIN
    ]
    sure = [one for one in deep if _interior("P3", "", one).status == "supported"]
    matched = sum(one.curve.split == SPLITS[1] for one in found)
    if matched:
        several = any(len(one.curve.ret) > 1 for one in found)
        seeded = f"seeds confirm {len(sure)} of them" if several else "single runs: if the points are right"
        made.append(
            Exclusion("plain at equal step sizes", bool(sure) or (bool(deep) and not several),
                      f"ordered targets allow no interior minimum (order theorem); {len(deep)} of {matched} curves have one, {seeded}")
        )  # fmt: skip
    for one in predictions:
        if one.model == "S measured" and not -(twice := 2 * one.values["phi_error"]) <= one.values["phi"] <= 1 + twice:
            made.append(
                Exclusion(f"S ({one.what})", True, f"phi = {one.values['phi']:.2f} is no share of what stage 2 learned")
            )
    compared: dict[str, list[bool]] = {}
    for null in (one for one in predictions if one.model == "null" and one.error is not None):
        for one in predictions:
            if (one.what, one.how) == (null.what, null.how) and one is not null and one.error is not None:
                compared.setdefault(one.model, []).append(one.error > (null.error or 0.0))
    for model, lost in compared.items():
        if any(lost):
            made.append(
                Exclusion(
                    model,
                    False,
                    f"though constant forgetting predicts better in {sum(lost)} of {len(lost)} comparisons",
                )
            )
    return made


def _more_than_chance(some: int, many: int) -> bool:
    """Whether that many of some 95 % intervals miss a true value less often than once in twenty by chance."""
    from scipy import stats

    return some > 0 and float(stats.binom.sf(some - 1, many, 1 - LEVEL)) <= 1 - LEVEL + 1e-9


def _against_null(predictions: list[Predicted]) -> list[Exclusion]:
    """F test of phi: the null is S at phi = 0."""
    from scipy import stats

    made = []
    for name in {one.what for one in predictions}:
        by: dict[str, Any] = {
            one.model: one for one in predictions if one.what == name and one.how == "a curve left out"
        }
        if {"null", "S"} <= set(by) and (count := _numbers(by["S"])) > by["S"].numbers:
            least, more = by["S"].fitted ** 2 * count, by["null"].fitted ** 2 * count
            p = float(stats.f.sf((more - least) / (least / (count - by["S"].numbers)), 1, count - by["S"].numbers))
            made.append(
                Exclusion(
                    "null (constant forgetting)",
                    p < 0.01,
                    f"F test of phi = 0 within S: p = {p:.1g} (one run per point)",
                )
            )
    return made


def _numbers(one: Predicted) -> int:
    return int(one.values.get("numbers", 0))
