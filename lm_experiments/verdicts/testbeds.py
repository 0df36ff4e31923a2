"""Whether the testbeds of a table met their gates (`common.gates`), so that no verdict is read without it."""

from typing import Any

from common.gates import UNKNOWN, gates, standing, testbeds, vocabulary_of
from common.settings import WrongUse
from lm_experiments import models


def parameters_of(table: Any) -> int | None:
    """Parameters of the preset that a table names; None where it names several, or an unknown one."""
    scales = [name for name in table["scale"].unique().to_pylist() if name]
    if len(scales) != 1 or scales[0] not in models.PRESETS:
        return None
    return models.parameter_count(models.PRESETS[scales[0]])


def standings(table: Any) -> dict[tuple[str, str], str]:
    """How each testbed of a table stands, by scale and pipeline; only language models have gates."""
    found = {}
    for scale, pipeline, rows in testbeds(table):
        if "lm" not in rows["engine"].to_pylist():
            continue
        try:
            found[scale, pipeline] = standing(gates(rows, vocabulary_of(rows), parameters_of(rows)))
        except WrongUse:  # no losses between the stages, or nothing unexposed
            found[scale, pipeline] = UNKNOWN
    return found
