"""The gates: each fails when, and only when, its own column is wrong in a single seed."""

import numpy as np
import pytest

from common import results
from common.gates import gates, standing, together
from common.gates import testbeds as beds
from common.settings import WrongUse

VALID = {
    "exposure": np.array([0.0, 0.0, 1.0]), "seed": np.array([0, 1, 0]), "split": "independent", "tokens_pre": 4_000_000,
    "lm.loss_post_after_pre": np.array([4.3, 4.4, 9.0]), "lm.loss_pre_after_pre": np.array([3.6, 3.6, 3.6]),
    "lm.loss_pre_after_post": np.array([4.2, 4.3, 6.9]), "lm.stopped_early": np.array([1.0, 1.0, 0.0]),
}  # fmt: skip
"""Two unexposed seeds that pass; the exposed model, which would not, does not count."""
EVERY = {"engine": "lm", "study": "s", "scale": "nano", "config_hash": "h", "code_version": "v"}


def judged(**changes):
    columns = (
        EVERY | VALID | {"loss_im": 1.0, "loss_ret": 1.0} | {key.replace("__", "."): v for key, v in changes.items()}
    )
    return {gate.name: gate.passed for gate in gates(results.table(columns), 1024, 200_000)}


def test_a_valid_testbed_passes_what_a_table_can_say():
    assert judged() == {
        "V1": "not in the table",
        "V2": "passed",
        "V3": "not in the table",
        "V4": "passed",
        "V5": "passed",
        "V6": "passed",
    }


MEASURED = {"lm__rare_post": 0.002, "lm__rare_ft": np.array([0.001, 0.009, 0.5]), "lm__unigram_post": 5.0}


MEASURED_COLUMNS = {"loss_im": 1.0, "loss_ret": 1.0} | {
    key.replace("__", "."): value for key, value in MEASURED.items()
}


def test_rare_tokens_and_a_loss_beyond_the_unigrams_are_told_where_they_were_measured():
    assert {name: judged(**MEASURED)[name] for name in ("V1", "V3")} == {"V1": "passed", "V3": "passed"}
    assert judged(**MEASURED | {"lm__rare_ft": np.array([0.001, 0.011, 0.0])})["V1"] == "failed"
    assert judged(**MEASURED | {"lm__rare_post": 0.011})["V1"] == "failed"
    assert judged(**MEASURED, loss_ret=np.array([1.0, 5.1, 1.0]))["V3"] == "failed"
    assert judged(**MEASURED, loss_ret=np.array([1.0, 1.0, 9.0]))["V3"] == "passed"
    assert judged(**MEASURED | {"lm__rare_ft": np.array([0.001, np.nan, 0.0])})["V1"] == "not in the table"


@pytest.mark.parametrize(
    ("gate", "changes"),
    [
        ("V2", {"lm__loss_post_after_pre": np.array([4.3, 6.94, 4.0])}),
        ("V4", {"lm__loss_pre_after_post": np.array([4.2, 5.3, 4.0])}),
        ("V5", {"lm__stopped_early": np.array([1.0, 0.0, 1.0])}),
        ("V6", {"tokens_pre": 3_900_000}),
    ],
)
def test_one_bad_seed_fails_its_gate_and_no_other(gate, changes):
    found = judged(**changes)
    assert [name for name, passed in found.items() if passed == "failed"] == [gate]


def test_a_table_without_unexposed_models_is_refused():
    with pytest.raises(WrongUse, match="no unexposed"):
        judged(exposure=np.ones(3))
    with pytest.raises(WrongUse, match=r"lacks lm\.loss_post_after_pre"):
        gates(results.table(EVERY | {"loss_im": 1.0, "exposure": 0.0}), 1024, None)


def test_every_testbed_of_a_table_has_its_own_gates():
    rare = np.array([0.001, 0.02, 0.001])
    columns = EVERY | VALID | {"loss_im": 1.0, "loss_ret": 1.0, "lm.rare_post": 0.0, "lm.rare_ft": rare}
    table = results.table(columns | {"pipeline": np.array(["a>b>c", "a>b>d", "a>b>c"])})
    found = {
        pipeline: {gate.name: gate.passed for gate in gates(rows, 1024, None)} for _, pipeline, rows in beds(table)
    }
    assert {pipeline: made["V1"] for pipeline, made in found.items()} == {"a>b>c": "passed", "a>b>d": "failed"}


def test_a_standing_names_what_fails_and_what_a_table_cannot_say():
    def stands(**changes):
        columns = EVERY | VALID | MEASURED_COLUMNS | changes
        return standing(gates(results.table(columns), 1024, 200_000))

    assert stands() == "met"
    assert stands(**{"lm.rare_post": 0.02, "tokens_pre": 10}) == "fails V1, V6"
    assert stands(**{"lm.rare_post": np.nan, "tokens_pre": 10}) == "fails V6 (V1 not in the table)"
    assert stands(**{"lm.rare_post": np.nan}) == "none fails (V1 not in the table)"
    assert standing([]) == "not known"
    assert together(["met", "", "met", "fails V1"]) == "met / fails V1"
    assert together([""]) == ""
