"""The measured effect of exposure, curve by curve and seed by seed, and the gates that a testbed of language models meets."""

from dataclasses import dataclass

from common.gates import COLUMNS, Gate, gates, testbeds, vocabulary_of
from common.results import column
from common.seeds import Interval, mean_interval
from theory.crosscheck.reading import Curve, Study, named


@dataclass(frozen=True)
class Effect:
    """What exposure does along one curve, paired by seed."""

    curve: Curve
    im: Interval
    """loss_im at the largest lambda minus at the smallest, nats."""
    ret: Interval
    """The same of loss_ret."""
    forgetting: Interval
    """loss_ret - loss_im at the smallest lambda."""
    forgetting_change: Interval
    """How it changes to the largest lambda."""
    best: float
    """Lambda at which mean loss_ret is lowest."""
    depth: Interval
    """How far mean loss_ret there lies below the better end, nats; 0 at an end. The place is chosen by the same data."""


def effects(study: Study) -> list[Effect]:
    """One effect a curve."""
    return [_effect(curve) for curve in study.curves]


def _effect(curve: Curve) -> Effect:
    at = int(curve.ret.mean(0).argmin())
    better = 0 if curve.ret[:, 0].mean() <= curve.ret[:, -1].mean() else -1
    forgotten = curve.ret - curve.im
    return Effect(
        curve,
        mean_interval(curve.im[:, -1] - curve.im[:, 0]),
        mean_interval(curve.ret[:, -1] - curve.ret[:, 0]),
        mean_interval(forgotten[:, 0]),
        mean_interval(forgotten[:, -1] - forgotten[:, 0]),
        float(curve.exposure[at]),
        mean_interval(curve.ret[:, better] - curve.ret[:, at]),
    )


def gates_of(study: Study, vocabulary: int | None, parameters: int | None) -> dict[str, list[Gate]]:
    """The gates of each testbed in a table of language models, by scale and pipeline; none for anything else."""
    table = study.table
    if table is None or any(name not in table.column_names for name in COLUMNS):
        return {}
    found = {}
    for scale, pipeline, rows in testbeds(table):
        if "lm" in rows["engine"].to_pylist() and (column(rows, "exposure") == 0).any():
            found[named(scale, pipeline)] = gates(rows, vocabulary or vocabulary_of(rows), parameters)
    return found
