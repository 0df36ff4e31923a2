"""What variants of a recipe change of loss_ret at matched loss_ft: studies of placement and of mitigation, and any curves of end points.

For every seed, loss_ret is read off the line through a curve's end points (loss_ft, loss_ret), one per stage-3 rate, and averaged over the
range of loss_ft that all curves which are compared reach. That selects after the fact: a description, no causal control.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from common.arrays import Float
from common.curves import at_matched

STUDIES = ("placement", "mitigation")
"""Studies of variants, without `-controlled`."""
Curves = dict[tuple[str, float], dict[int, list[tuple[float, float]]]]
"""Variant and lambda -> seed -> (loss_ft, loss_ret), one per stage-3 rate."""


def curves(table: Any) -> Curves:
    """The end points of a study of variants; a variant with a strength of damage is one for each."""
    columns = ("lm.variant", "placement", "noise_ft", "bits_ft", "exposure", "seed", "loss_ft", "loss_ret")
    found: Curves = {}
    for row in table.select(columns).to_pylist():
        name = row["lm.variant"].partition(", ")[0]
        if row["placement"] not in (None, "uniform"):
            name = row["placement"]
        elif strength := row["noise_ft"] or row["bits_ft"]:
            name = f"{name} {strength:g}"
        by_seed = found.setdefault((name, row["exposure"]), {})
        by_seed.setdefault(row["seed"], []).append((row["loss_ft"], row["loss_ret"]))
    return found


def compared(found: Curves, *which: tuple[str, float]) -> Float[np.ndarray, "seeds curves"]:
    """loss_ret of several curves at matched loss_ft, of the seeds that have all of them and where their ranges overlap."""
    seeds = [seed for seed in found[which[0]] if all(seed in found[name] for name in which)]
    made = []
    for seed in seeds:
        points = [np.array(found[name][seed], dtype=float) for name in which]
        if len({one.shape for one in points}) == 1 and len(points[0]) > 1:
            stacked = np.stack(points)
            made.append(at_matched(stacked[..., 0], stacked[..., 1]))
    whole = np.array(made, dtype=float).reshape(-1, len(which))
    kept: Float[np.ndarray, "seeds curves"] = whole[np.isfinite(whole).all(axis=1)]
    return kept


def is_damage(name: str) -> bool:
    """Whether a variant damages the weights in the place of stage 3."""
    return name.startswith(("noise", "rounding"))


def damaged(found: Curves, name: str) -> Float[np.ndarray, "seeds curves"]:
    """loss_ret unmixed and mixed where damage takes the place of stage 3, one end point each."""
    pair = [found[name, dose] for dose in doses(found)]
    seeds = [seed for seed in pair[0] if seed in pair[1]]
    return np.array([[one[seed][0][1] for one in pair] for seed in seeds], dtype=float).reshape(-1, 2)


def doses(found: Curves) -> tuple[float, float]:
    """No exposure, and the largest."""
    return 0.0, max(dose for _, dose in found)


def contrasts(found: Curves, study: str) -> Iterable[tuple[str, str, Float[np.ndarray, " seeds"]]]:
    """What is compared in a study: the variant, the difference in words, and its value in every seed."""
    none, full = doses(found)
    names = dict.fromkeys(name for name, _ in found)
    if study == "placement":
        for name in names:
            base = ("uniform", none)
            yield name, f"{name} minus no exposure", _minus(compared(found, (name, full), base))
        for name in (name for name in names if name != "uniform"):
            yield name, f"{name} minus uniform", _minus(compared(found, (name, full), ("uniform", full)))
        return
    for name in names:
        damage = is_damage(name)
        pair = damaged(found, name)[:, ::-1] if damage else compared(found, (name, full), (name, none))
        yield name, f"{name}, mixed minus unmixed", _minus(pair)
        for dose, words in ((none, "unmixed"), (full, "mixed")):
            if not damage and name != "none":
                yield name, f"{name} minus none, {words}", _minus(compared(found, (name, dose), ("none", dose)))


def _minus(pair: Float[np.ndarray, "seeds curves"]) -> Float[np.ndarray, " seeds"]:
    difference: Float[np.ndarray, " seeds"] = pair[:, 0] - pair[:, 1]
    return difference
