"""The stage-2 x stage-3 sweeps of a results table of language models: the end points of each method, seed by seed.

    method                       stage 1     stage 2
    unmixed                      lambda 0    full fine-tuning
    mixed                        largest     full fine-tuning
    mixed+dropout, mixed+replay  largest     with dropout, with replay; unmixed+... likewise
    lora_mixed, lora_unmixed     either      low-rank; the others are then called fft_mixed and fft_unmixed, as in Figure 7

Methods are compared by the hypervolume of their points, as a share of the box that holds the points of all methods and all seeds of the
pipeline, seen from its upper right corner: one reference point and one normalisation for all. A seed counts where it has every point of
every method, so that all is paired.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Float
from common.frontier import box_shares
from common.results import as_table
from common.settings import WrongUse

LOSSES = ("loss_ret", "loss_ft", "loss_pre")
VIEWS = (("loss_ft", "loss_ret"), ("loss_ret", "loss_pre"))
"""Losses on the axes of the paper's frontiers."""
WIDER = 0.01
"""A frontier has moved if it dominates this share more of the box that holds all points."""
SETTINGS = ("lr_post", "lm.stage2.batch", "dropout", "replay", "rank", "lr_ft")
"""What tells the points of a method apart."""
_READ = ("pipeline", "scale", "seed", "exposure", "exposed", *LOSSES)


class Sweeps(NamedTuple):
    """The end points of all methods of a pipeline."""

    pipeline: str
    scale: str
    seeds: tuple[int, ...]
    points: dict[str, Float[np.ndarray, "seeds _ 3"]]
    """Method -> the losses of `LOSSES` of every seed and setting; settings in the same order in every seed."""

    def seen(self, method: str, view: Sequence[str]) -> Float[np.ndarray, "seeds _ 2"]:
        """The points of a method in two of the losses."""
        return self.points[method][..., [LOSSES.index(loss) for loss in view]]

    def as_many(self, *methods: str) -> bool:
        """Whether methods have equally many points: with more, a method would win by their number alone."""
        return len({self.points[method].shape[1] for method in methods}) == 1

    def shares(self, view: Sequence[str]) -> dict[str, Float[np.ndarray, " seeds"]]:
        """Method -> hypervolume of each seed's points, as a share of the common box. Raises `WrongUse` where that has no area."""
        methods = list(self.points)
        found = box_shares([points for method in methods for points in self.seen(method, view)])
        return dict(zip(methods, np.reshape(found, (len(methods), -1)), strict=True))


def sweeps(table: Any) -> list[Sweeps]:
    """The sweeps in a results table, by pipeline in order of appearance; rows of decoys, and rows that lack a loss, do not count.

    Raises:
        WrongUse: two rows agree in pipeline, method, seed and setting, or no seed has all points of all methods.
    """
    table = as_table(table)
    settings = [name for name in SETTINGS if name in table.column_names]
    names = [name for name in dict.fromkeys((*_READ, *settings)) if name in table.column_names]
    rows = [row for row in table.select(names).to_pylist() if row.get("exposed") in (None, "post")]
    rows = [row for row in rows if None not in [row[loss] for loss in LOSSES]]
    low_rank = any(row.get("rank") for row in rows)
    found: dict[str, dict[str, dict[int, dict[tuple[Any, ...], list[float]]]]] = {}
    for row in rows:
        method, at = method_of(row, low_rank), tuple(row[name] for name in settings)
        here = found.setdefault(row["pipeline"], {}).setdefault(method, {}).setdefault(row["seed"], {})
        if at in here:
            said = ", ".join(f"{name} = {value}" for name, value in zip(settings, at, strict=True) if value is not None)
            raise WrongUse(
                f"Two rows of {row['pipeline']}, {method}, have seed = {row['seed']} and {said}. Nothing tells these points of its "
                "frontier apart; remove one."
            )
        here[at] = [row[loss] for loss in LOSSES]
    scale = next((row["scale"] for row in rows), "")
    return [_whole(pipeline, scale or "", methods) for pipeline, methods in found.items()]


def method_of(row: Any, low_rank: bool) -> str:
    """What the paper calls a row's recipe; `low_rank`: whether others of its table have a low-rank stage 2."""
    mixed = "mixed" if row["exposure"] else "unmixed"
    if low_rank:
        return f"{'lora' if row.get('rank') else 'fft'}_{mixed}"
    return mixed + "".join(f"+{name}" for name in ("dropout", "replay") if row.get(name))


def _whole(pipeline: str, scale: str, methods: dict[str, dict[int, dict[tuple[Any, ...], list[float]]]]) -> Sweeps:
    """Of the seeds that have every setting of every method."""
    settings = {
        name: sorted({at for points in seeds.values() for at in points}, key=repr) for name, seeds in methods.items()
    }
    every = sorted({seed for seeds in methods.values() for seed in seeds})
    kept = [seed for seed in every if all(len(methods[name].get(seed, {})) == len(settings[name]) for name in methods)]
    if not kept:
        raise WrongUse(
            f"No seed of {pipeline} has all points of {', '.join(methods)}: runs diverged or are missing. Run the study again, which makes "
            "up what is missing."
        )
    points = {name: np.array([[methods[name][seed][at] for at in settings[name]] for seed in kept]) for name in methods}
    return Sweeps(pipeline, scale, tuple(kept), points)
