"""The statistics of the experiments E2 to E5, one number per seed, from the table of a study such as `deciding` and that of its probes.

Written as `lm_experiments/verdicts/mechanisms.py` states them, in whose words M is the model exposed at the largest lambda and U the
unexposed one; the shuffled decoy takes the place of M in a second series. Where several models are compared at matched loss_ft, the
range of loss_ft is the one that all of them reach in that seed (`common.curves.at_matched`). A seed that lacks anything is left out.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Float
from common.curves import at_matched

ACCOUNTS: dict[str, dict[str, int]] = {
    "S": {"E2": -1, "E3": 0, "E4": -1, "E5": 0},
    "pathways": {"E2": -1, "E3": 0, "E4": -1, "E5": -1},
    "plain": {"E2": 0, "E3": 0, "E4": 0, "E5": 0},
    "flatness": {"E2": -1, "E3": -1, "E4": 0, "E5": 0},
    "displacement": {"E2": 0, "E3": 0, "E4": 0, "E5": 0},
}
"""Account -> experiment -> sign that it predicts of the primary statistic."""
REAL, SHUFFLED = "real", "shuffled"
RELEARNED = (6, 12, 24, 48)


class Statistic(NamedTuple):
    """A number per seed, and which sign supports the claim."""

    claim: str
    name: str
    effect: str
    """What it is, with its unit."""
    of: str
    """What is in the place of M: real or shuffled."""
    values: Float[np.ndarray, " seeds"]
    sign: int = -1
    primary: bool = False


Key = tuple[str, float, float]
"""Arm, lambda, weight of L2 in stage 2."""
Model = dict[float, dict[str, Any]]
"""Stage-3 rate -> row."""
U: Key = (REAL, 0.0, 0.0)
Number = Callable[[int], float]
"""Of a seed; raises `KeyError` where something is missing that it is made of."""


class Models:
    """Rows of a table by model and seed."""

    def __init__(self, table: Any) -> None:
        """Args: table: results table of one pipeline, with its arms in lm.variant."""
        self._rows: dict[tuple[Key, int], Model] = {}
        for row in table.to_pylist():
            key = row["lm.variant"], row["exposure"], row["l2_to_start"] or 0.0
            self._rows.setdefault((key, row["seed"]), {})[row["lr_ft"]] = row
        self.seeds = sorted({seed for _, seed in self._rows})
        self.keys = sorted({key for key, _ in self._rows})

    def exposed(self, arm: str) -> Key:
        """An arm at its largest lambda."""
        return arm, max((key[1] for key in self.keys if key[0] == arm), default=0.0), 0.0

    def has(self, arm: str) -> bool:
        """Whether an arm was exposed."""
        return any(key[0] == arm and key[1] > 0 for key in self.keys)

    def of(self, key: Key, seed: int) -> Model:
        """Rows by rate; none where there is no such model."""
        return self._rows.get((key, seed), {})

    def value(self, key: Key, seed: int, name: str, rate: float | None = None) -> float:
        """What all rates of a model share, or that of one rate. Raises `KeyError` where it was not measured."""
        for at, row in self.of(key, seed).items():
            if rate in (None, at) and row.get(name) is not None:
                return float(row[name])
        raise KeyError(name)

    def matched(self, seed: int, *series: tuple[Key, str]) -> Float[np.ndarray, " series"]:
        """loss_ret at matched loss_ft. Raises `KeyError` where a rate of one is missing, or no loss_ft is reached by all.

        Args:
            seed: of all.
            series: model, and before which word its columns have `ret` and `ft`: "loss_", "probe.given_" or "probe.taken_".
        """
        rates = sorted(set.union(*(set(self.of(key, seed)) for key, _ in series)))
        ft, ret = (
            np.array([[self.value(key, seed, prefix + name, rate) for rate in rates] for key, prefix in series])
            for name in ("ft", "ret")
        )
        found = at_matched(ft, ret)
        if not np.isfinite(found).all():
            raise KeyError("no common loss_ft")
        return found


def of_runs(table: Any) -> list[Statistic]:
    """E2, and whether the gains of SAM and exposure add (E3), from the results table of one pipeline."""
    models, made = Models(table), []
    anchored = [key for key in models.keys if key[0] == "anchored" and key[1] == 0]
    others = {"extra": ("extra", 0.0, 0.0), "slow": ("slow", 0.0, 0.0)} | {f"L2 {key[2]:g}": key for key in anchored}
    for arm, x in _exposed(models):
        if anchored:
            effect = "loss_ret minus that of unexposed models held by L2 at its displacement, matched loss_ft, nats"
            number = partial(_beside_held, models, x, [U, *anchored])
            made.append(Statistic("E2", "held", effect, arm, _over(models, number), primary=True))
        for name, other in others.items():
            for what, early in (("loss_ret", False), ("forgetting", True)):
                effect = f"{what} minus that of {name}, matched loss_ft, nats"
                number = partial(_beside, models, x, other, early)
                made.append(Statistic("E2", f"{what} {name}", effect, arm, _over(models, number)))
    if models.has("SAM"):
        effect = "effect of exposure on loss_ret under SAM minus without, matched loss_ft, nats"
        made.append(Statistic("E3", "SAM", effect, REAL, _over(models, partial(_added, models)), sign=1))
    return [one for one in made if len(one.values)]


def of_probes(table: Any) -> list[Statistic]:
    """E3 (but for SAM), E4 and E5, from the table of probes of one pipeline."""
    models, made = Models(table), []
    rates = sorted({rate for seed in models.seeds for rate in models.of(U, seed)})
    for arm, x in _exposed(models):

        def add(
            claim: str, name: str, effect: str, number: Callable[[Key, int], float], arm: str = arm, x: Key = x
        ) -> None:
            values = _over(models, lambda seed: number(x, seed) - number(U, seed))
            primary = name in PRIMARY
            made.append(Statistic(claim, name, f"{effect}; exposed minus unexposed", arm, values, primary=primary))

        for claim, name, effect in _OF_WEIGHTS:
            add(claim, name, effect, partial(models.value, name=f"probe.{name}"))
        for rate in rates:
            effect = f"share of D_ft's gradient in input directions of D_post, after stage 3 at {rate:g}"
            add("E4", f"share_ret {rate:g}", effect, partial(models.value, name="probe.share_ret", rate=rate))
        for steps in RELEARNED:
            effect = f"log of the loss above loss_im that is left after {steps} steps of relearning"
            add("E5", f"relearned_{steps}", effect, partial(left, models, steps=steps))
        for name, base, sign, said in (
            ("given", U, -1, "unexposed model that was given what exposure left, minus itself"),
            ("taken", x, 1, "exposed model from which it was taken, minus itself"),
        ):
            effect = f"loss_ret of the {said}, matched loss_ft, nats"
            number = partial(_moved, models, x, base, name)
            made.append(Statistic("E4", name, effect, arm, _over(models, number), sign=sign))
    return [one for one in made if len(one.values)]


def primaries(runs: Any, probes: Any) -> dict[tuple[str, str], Float[np.ndarray, " seeds"]]:
    """The primary statistic of every experiment, by what is in the place of M: (claim, real or shuffled) -> values per seed."""
    return {(one.claim, one.of): one.values for one in [*of_runs(runs), *of_probes(probes)] if one.primary}


def left(models: Models, key: Key, seed: int, steps: int) -> float:
    """log((loss after so many steps - loss_im)/(loss before - loss_im)); nan where one of them is not above loss_im."""
    base = models.value(key, seed, "loss_im")
    after, before = (models.value(key, seed, f"probe.relearned_{at}") - base for at in (steps, 0))
    return math.log(after / before) if after > 0 and before > 0 else math.nan


PRIMARY = ("noise_03", "share_im", "relearned_24")
_OF_WEIGHTS = (
    ("E3", "noise_03", "rise of the D_post loss under noise of .03, nats"),
    ("E3", "noise_10", "rise of the D_post loss under noise of .1, nats"),
    ("E3", "step_along", "rise of the D_post loss after a step of length 1 as D_ft's gradient begins, nats"),
    ("E3", "noise_bend_03", "second difference of the D_post loss along noise of .03, nats"),
    ("E3", "noise_bend_10", "second difference of the D_post loss along noise of .1, nats"),
    ("E3", "step_bend", "second difference of the D_post loss along D_ft's gradient, nats"),
    ("E4", "share_im", "share of D_ft's gradient in input directions of D_post, after stage 2"),
    ("E4", "fisher_share_im", "share of D_ft's gradient in coordinates of D_post by Fisher information, after stage 2"),
)
"""Claim, column of the probes, and what it is."""


def _exposed(models: Models) -> Iterator[tuple[str, Key]]:
    """What is in the place of M."""
    yield from ((arm, models.exposed(arm)) for arm in (REAL, SHUFFLED) if models.has(arm))


def _over(models: Models, number: Number) -> Float[np.ndarray, " seeds"]:
    """A number of every seed that has all it is made of."""
    found = []
    for seed in models.seeds:
        with suppress(KeyError):
            found.append(number(seed))
    return np.array(found, dtype=float)


def _beside_held(models: Models, x: Key, held: list[Key], seed: int) -> float:
    """loss_ret beside the curve of unexposed models in the distance that stage 2 moved them, at x's distance or its nearest end."""
    own, *others = models.matched(seed, *((key, "loss_") for key in (x, *held)))
    moved = np.array([models.value(key, seed, "lm.moved_post") for key in held])
    order = np.argsort(moved)
    there = models.value(x, seed, "lm.moved_post")
    return float(own - np.interp(there, moved[order], np.array(others)[order]))


def _beside(models: Models, x: Key, other: Key, early: bool, seed: int) -> float:
    """loss_ret beside another model's; with `early` less the difference that was there after stage 2."""
    own, its = models.matched(seed, (x, "loss_"), (other, "loss_"))
    before = (models.value(x, seed, "loss_im") - models.value(other, seed, "loss_im")) if early else 0.0
    return float(own - its) - before


def _added(models: Models, seed: int) -> float:
    keys = (models.exposed("SAM"), ("SAM", 0.0, 0.0), models.exposed(REAL), U)
    sam_m, sam_u, m, u = models.matched(seed, *((key, "loss_") for key in keys))
    return float((sam_m - sam_u) - (m - u))


def _moved(models: Models, x: Key, base: Key, name: str, seed: int) -> float:
    own, before = models.matched(seed, (x, f"probe.{name}_"), (base, "loss_"))
    return float(own - before)
