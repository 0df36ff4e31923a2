"""Verdicts: whole intervals decide, few seeds do not, secondaries are corrected, and the table keeps what is consistent only."""

import math
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from common import results, seals
from common.seeds import Interval, mean_interval, ratio_interval
from common.settings import WrongUse
from common.verdict_table import load, stored, write
from common.verdicts import Verdict, all_of, around, data_hash, holm, mark_exploratory, untestable, within


def measured(mean, spread, n=8):
    """Seeds with exactly that mean and standard deviation."""
    values = np.linspace(-1, 1, n)
    return mean_interval(mean + spread * values / values.std(ddof=1))


def judged(found, **limits):
    return within("P1", "plain", "a change", found, "said", **limits)


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (measured(0.5, 0.1), "supported"),
        (measured(0.95, 0.1), "undecided"),
        (measured(1.05, 0.1), "undecided"),
        (measured(1.5, 0.1), "refuted"),
        (measured(-0.5, 0.1), "refuted"),
        (measured(0.5, 3.0), "undecided"),
        (measured(0.5, 0.01, n=4), "undecided"),
        (Interval(value=0.5, n=1), "undecided"),
        (Interval(value=0.5, n=8), "undecided"),
        (0.5, "supported"),
        (1.0, "supported"),
        (1.1, "refuted"),
        (Interval(value=0.5), "supported"),
        (ratio_interval(np.ones(8), np.array([1.0, -1, 2, -2, 3, -3, 1, -0.5])), "undecided"),
        (math.nan, "not testable here"),
    ],
)
def test_only_a_whole_interval_decides(found, status):
    one = judged(found, at_least=0.0, at_most=1.0)
    assert one.status == status
    assert one.equivalence or status == "not testable here"
    if status == "undecided" and one.low is not None:
        assert one.detectable == pytest.approx((one.high - one.low) / 2)


def test_a_wide_interval_that_holds_the_margin_is_undecided_not_supported():
    assert judged(measured(0.0, 1.0), at_most=0.001).status == "undecided"
    assert judged(measured(-1.0, 0.1), at_most=0.001).status == "supported"
    assert around("P16", "plain", "ratio", measured(1.0, 0.01), 1.0, 0.1).status == "supported"
    assert around("P16", "plain", "ratio", measured(1.0, 1.0), 1.0, 0.1).status == "undecided"


def test_p_is_below_five_percent_exactly_where_the_interval_decides():
    for mean in np.linspace(-2, 3, 101):
        for limits in ({"at_least": 0.0}, {"at_most": 1.0}, {"at_least": 0.0, "at_most": 1.0}):
            one = judged(measured(mean, 0.4), **limits)
            assert (one.p < 0.05) == (one.status != "undecided"), (mean, limits)


def test_a_criterion_needs_a_range_and_a_claim_a_name():
    with pytest.raises(WrongUse, match="has no range"):
        judged(1.0)
    with pytest.raises(WrongUse, match="P17 is no claim"):
        within("P17", "plain", "x", 1.0, "said", at_least=0.0)


def test_all_of_is_supported_by_all_and_refuted_by_one():
    good, better = (judged(measured(mean, 0.1), at_least=0.0) for mean in (0.2, 0.5))
    vague, bad = judged(measured(0.0, 1.0), at_least=0.0), judged(measured(-0.5, 0.1), at_least=0.0)
    assert (all_of([better, good], "both").status, all_of([better, good], "both").value) == ("supported", good.value)
    assert (all_of([good, vague], "both").status, all_of([good, vague], "both").value) == ("undecided", vague.value)
    assert (all_of([good, bad], "both").status, all_of([good, bad], "both").value) == ("refuted", bad.value)
    barely = judged(measured(-0.1, 0.1), at_least=0.0)
    barely = replace(barely, p=0.03, status="refuted")
    assert all_of([good, barely], "both").status == "undecided"  # each of two had a chance to fail
    fixed = judged(-1.0, at_least=0.0)
    assert all_of([good, fixed], "both").status == "refuted"
    assert all_of([good, better], "both").criterion_hash != all_of([good, better], "others").criterion_hash


def test_holm_corrects_secondaries_within_a_claim_of_an_engine():
    one = replace(judged(measured(1.0, 0.1), at_least=0.0), engine="sims")
    family = [replace(one, p=p) for p in (0.012, 0.03, 0.02, 0.01)]
    found = holm(
        [
            *family,
            replace(one, p=0.04, primary=True),
            replace(one, p=0.04, claim="P2"),
            replace(one, p=0.04, engine="lm"),
        ]
    )
    assert [each.p for each in found] == pytest.approx([0.04, 0.04, 0.04, 0.04, 0.04, 0.04, 0.04])
    assert {each.status for each in found} == {"supported"}
    wider = holm([replace(one, p=p) for p in (0.012, 0.03, 0.02, 0.014)])
    assert [each.status for each in wider] == ["supported", "supported", "supported", "supported"]
    many = holm([replace(one, p=p) for p in (0.001, 0.03, 0.03, 0.9)])
    assert [each.status for each in many] == ["supported", "undecided", "undecided", "undecided"]
    assert "Holm" in many[1].criterion
    assert many[1].detectable == pytest.approx((one.high - one.low) / 2)
    assert many[1].p == pytest.approx(0.09)
    fixed = judged(1.0, at_least=0.0)
    assert holm([fixed, fixed]) == [fixed, fixed]


def test_a_changed_criterion_on_seen_data_is_exploratory():
    def row(level, data, study="one"):
        return replace(judged(measured(0.5, 0.1), at_least=level), data=data, study=study)

    earlier = [vars(row(0.0, "first"))]
    marked = mark_exploratory([row(0.0, "first"), row(0.1, "first"), row(0.1, "fresh")], earlier)
    assert [one.exploratory for one in marked] == [False, True, False]
    assert marked[1].said == "supported (exploratory)"
    again = mark_exploratory([row(0.1, "first")], [*earlier, vars(marked[1])])
    assert again[0].exploratory  # for good: judging twice is no new evidence
    (own,) = mark_exploratory([replace(row(0.0, "fresh"), exploratory=True)], [])
    assert own.exploratory  # whoever knows what had been seen may say so
    fixed = [replace(judged(0.5, at_least=level), data="first", study="one") for level in (0.0, 0.1)]
    before = [vars(replace(fixed[0], exploratory=True))]
    anew = [replace(one, data="fresh") for one in fixed]
    assert [one.exploratory for one in mark_exploratory(anew, before)] == [True, True]  # other seeds, the same number
    assert [one.exploratory for one in mark_exploratory(anew, [vars(fixed[0])])] == [False, True]
    nothing = [vars(untestable("C6", "", "", "no such rows"))]
    assert not mark_exploratory([row(0.1, "first")], nothing)[0].exploratory
    unknown = [vars(row(0.0, "", "one"))]
    assert [one.exploratory for one in mark_exploratory([row(0.1, "a"), row(0.1, "a", "other")], unknown)] == [
        True,
        False,
    ]


def test_tables_of_other_configurations_or_seeds_are_other_data():
    def hashed(config, seed):
        made = {
            "engine": "sims",
            "study": "x",
            "config_hash": config,
            "code_version": "0",
            "seed": seed,
            "loss_im": 1.0,
        }
        return data_hash(results.table(made))

    assert hashed("a", [1, 2]) == hashed("a", [2, 1])
    assert len({hashed("a", [1, 2]), hashed("a", [1, 3]), hashed("b", [1, 2]), hashed("b", None)}) == 4


def test_a_table_of_verdicts_is_read_back_as_written(tmp_path):
    rows = [
        judged(measured(0.5, 0.1), at_least=0.0, where="here"),
        judged(0.5, at_least=1.0),
        untestable("C6", "nano", "", "no such rows"),
    ]
    path = write(rows, tmp_path / "verdicts.parquet")
    assert load(path) == rows
    assert len(stored(path)) == 3
    assert seals.sealed(path)
    whole = path.read_bytes()
    claim = whole.rindex(b"criterion_hash")
    path.write_bytes(whole[:claim] + b"d" + whole[claim + 1 :])
    with pytest.raises(WrongUse, match="its checksum does not match"):
        load(path)
    path.write_bytes(whole)
    assert stored(tmp_path / "none.parquet") == []
    older = pq.read_table(path).drop(["n"])
    pq.write_table(older, tmp_path / "older.parquet")
    (unknown,) = stored(tmp_path / "older.parquet")
    assert mark_exploratory(rows[:1], [unknown])[0].exploratory


def test_an_older_table_lacks_gates_and_is_read(tmp_path):
    rows = [judged(measured(0.5, 0.1), at_least=0.0, gates="fails V2")]
    path = write(rows, tmp_path / "verdicts.parquet")
    assert load(path) == rows
    pq.write_table(pq.read_table(path).drop(["gates"]), path)
    assert load(path) == [replace(rows[0], gates="")]


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"low": -0.1}, "leaves the range"),
        ({"n": 4}, "4 seeds decide"),
        ({"low": None, "high": None}, "without an interval"),
        ({"low": 2.0}, "no interval"),
        ({"value": None}, "no value"),
        ({"value": math.inf}, "not finite"),
    ],
)
def test_a_decision_that_contradicts_its_numbers_is_not_written(change, wrong, tmp_path):
    good = Verdict(claim="P1", status="supported", criterion="c", value=0.5, low=0.4, high=0.6, n=8, supported_from=0.0)
    write([good], tmp_path / "good.parquet")
    with pytest.raises(WrongUse, match=wrong):
        write([replace(good, **change)], tmp_path / "bad.parquet")
