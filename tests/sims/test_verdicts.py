"""The table of verdicts: complete, both sides of a contradiction shown, and nothing taken from a file on trust."""

import json

import pytest

from common import verdicts
from common.console import run
from common.files import write_json
from common.seeds import Interval
from common.settings import WrongUse
from sims.commands import commands
from sims.commands.verdicts import standing
from sims.findings import gather, read
from sims.studies import STUDIES
from sims.verdict import PREDICTIONS, Verdict, around, untestable, verdict, within

ONE = Verdict("P13", "plain", "", "supported", "share of the gain left", 0.95, 0.93, 0.97, "at least 0.9", 0.9, None)


def document(study, made):
    """What a study writes."""
    return {
        "study": study,
        "about": "a study",
        "command": f"python -m sims {study}",
        "rows": 12,
        "seconds": 0.5,
        "code_version": "0.1.0",
        "verdicts": [v._asdict() for v in made],
        "diverged": [],
    }


def put(folder, study, made):
    write_json(folder / f"{study}.json", document(study, made))


def call(*arguments):
    return run("sims", commands(), "test", ["verdicts", *map(str, arguments)])


def test_a_study_is_read_back_as_it_was_written(tmp_path):
    untested = ONE._replace(finding="not testable here", effect="", value=0.0, low=None, high=None)
    other = ONE._replace(variant="random start", supported_from=None)
    put(tmp_path, "misalignment", [ONE, untested, other])
    assert read(tmp_path / "misalignment.json", "misalignment").verdicts == [ONE, untested, other]


def test_every_prediction_is_listed_and_contradictions_are_shown_on_both_sides(tmp_path, capsys):
    relu = ONE._replace(model="relu", prediction="P5", supported_from=None)
    put(tmp_path, "misalignment", [ONE, relu, relu._replace(variant="width 40", finding="refuted")])
    put(tmp_path, "frontier", [ONE._replace(finding="refuted", value=0.2, low=None, high=None)])
    assert call("--results", tmp_path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "verdicts.json").read_text())
    entries = {entry["prediction"]: entry for entry in printed["predictions"]}
    assert list(entries) == list(PREDICTIONS)
    assert entries["P13"]["standing"] == "divided"
    both = {v["finding"]: v["study"] for v in entries["P13"]["verdicts"]}
    assert both == {"supported": "misalignment", "refuted": "frontier"}
    assert entries["P13"]["verdicts"][0]["command"] == f"python -m sims misalignment --out {tmp_path}"
    assert entries["P5"]["models"] == {"relu": "supported", "relu (width 40)": "refuted"}
    assert entries["P1"]["standing"] == "missing"
    assert entries["P1"]["verdicts"] == []
    assert printed["without_result"] == [name for name in STUDIES if name not in ("misalignment", "frontier")]
    rows = verdicts.read(tmp_path / "verdicts.parquet").to_pylist()
    assert sum(row["finding"] == "missing" for row in rows) == len(PREDICTIONS) - 2
    assert [row["supported_from"] for row in rows if row["prediction"] == "P13"] == [0.9, 0.9]
    assert [row["variant"] for row in rows if row["prediction"] == "P5"] == ["", "width 40"]
    assert call("--results", tmp_path) == 0  # its own files in the folder are no strangers
    assert "0.95 [0.93, 0.97]" in capsys.readouterr().out


def test_text_in_a_file_is_not_markup(tmp_path, capsys):
    put(tmp_path, "misalignment", [ONE._replace(effect="[bold]a [/nothing] b", model="[red]")])
    assert call("--results", tmp_path) == 0
    assert "[/nothing]" in capsys.readouterr().out


def change(**fields):
    return json.dumps(document("misalignment", [ONE]) | fields)


def altered(**fields):
    return change(verdicts=[ONE._asdict() | fields])


HOSTILE = {
    "empty": "",
    "truncated": change()[:-40],
    "two documents": change() + change(),
    "a list": "[]",
    "not text": b"\xff\xfe\x00",
    "too deep": "[" * 100_000,
    "too large": change(about="x" * 2_000_000),
    "a name twice": change()[:-1] + ', "study": "misalignment"}',
    "of another study": change(study="frontier"),
    "no study": change(study=None),
    "no verdicts": change(verdicts=None),
    "verdicts that are none": change(verdicts=["P1"]),
    "negative rows": change(rows=-1),
    "rows that are none": change(rows=True),
    "half a row": change(rows=1.5),
    "endless seconds": change().replace("0.5", "1e999", 1),
    "not a number": change().replace("0.95", "NaN"),
    "too many digits": change().replace("0.95", "9" * 5000),
    "no number that fits": change().replace("0.95", "9" * 400),
    "rows that do not fit": change(rows=10**400),
    "an unknown prediction": altered(prediction="P17"),
    "an unknown finding": altered(finding="proven"),
    "text for a number": altered(value="0.95"),
    "no value": altered(value=None),
    "a range backwards": altered(supported_from=0.9, supported_to=0.1),
    "a range in words": altered(supported_from="0.9"),
    "supported outside its range": altered(supported_from=0.96),
    "supported above its range": altered(supported_from=None, supported_to=0.9),
    "a variant of two lines": altered(variant="depth 3\nP1"),
    "no variant": altered(variant=None),
    "half an interval": altered(low=None),
    "an interval backwards": altered(low=1.0, high=0.0),
    "a field too many": altered(note="x"),
    "a control character": altered(effect="a\x1b[2Jb"),
    "two lines": altered(model="plain\nP1"),
    "an essay": altered(criterion="x" * 1000),
    "no effect": altered(effect=""),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_damaged_or_hostile_file_is_one_error_that_names_it_and_its_command(content, tmp_path, capsys):
    path = tmp_path / "misalignment.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert call("--results", tmp_path, "--json") == 2
    heard = json.loads(capsys.readouterr().out)["error"]
    assert str(path) in heard
    assert f"python -m sims misalignment --out {tmp_path}" in heard
    assert len(heard) < 1000
    assert heard.isprintable()
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_place_of_a_file_and_a_stranger_are_refused(tmp_path):
    (tmp_path / "frontier.json").mkdir()
    with pytest.raises(WrongUse, match=r"not an ordinary file.*python -m sims frontier"):
        gather(tmp_path, STUDIES)
    put(tmp_path / "other", "benchmark", [ONE])
    with pytest.raises(WrongUse, match=r"benchmark\.json is the result of no study"):
        gather(tmp_path / "other", STUDIES)


def test_a_folder_without_results_says_how_to_make_them(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert call("--results", folder) == 2
        assert f"python -m sims all --out {folder}" in capsys.readouterr().err


def test_a_damaged_file_leaves_the_earlier_table_as_it_was(tmp_path):
    put(tmp_path, "misalignment", [ONE])
    assert call("--results", tmp_path) == 0
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.stem == "verdicts"}
    (tmp_path / "frontier.json").write_text("{")
    assert call("--results", tmp_path) == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.stem == "verdicts"} == before


@pytest.mark.parametrize(
    ("value", "levels", "finding"),
    [
        (0.95, {"at_least": 0.9}, "supported"),
        (0.85, {"at_least": 0.9}, "refuted"),
        (0.9, {"at_least": 0.9, "at_most": 0.9}, "supported"),
        (0.95, {"at_most": 0.9}, "refuted"),
        (0.95, {"at_least": 0.9, "whole": True}, "refuted"),
        (1.05, {"at_least": 0.9, "whole": True}, "supported"),
    ],
)
def test_a_range_decides_and_is_kept(value, levels, finding):
    measured = Interval(value=value, low=value - 0.1, high=value + 0.1)
    made = within("P13", "plain", "a share", measured, "as said", "long stage 1", **levels)
    assert (made.finding, made.variant) == (finding, "long stage 1")
    assert (made.supported_from, made.supported_to) == (levels.get("at_least"), levels.get("at_most"))


def test_other_criteria_have_no_range_and_what_is_not_finite_no_finding():
    assert verdict("P13", "plain", True, "a share", 0.5, "the interval excludes 0")[-2:] == (None, None)
    near = around("P8", "plain", "a ratio", 1.05, 1.0, 0.1)
    assert (near.finding, near.criterion) == ("supported", "within 0.1 of 1")
    assert near[-2:] == pytest.approx((0.9, 1.1))
    assert around("P8", "plain", "a ratio", float("nan"), 1.0, 0.1).finding == "not testable here"
    assert untestable("P14", "plain", "a width", "too few seeds", "depth 4").finding == "not testable here"


def test_how_a_prediction_stands():
    untested, supported, refuted = "not testable here", "supported", "refuted"
    assert standing([supported, refuted, untested]) == "divided"
    assert standing([untested, refuted]) == refuted
    assert standing([supported, supported]) == supported
    assert standing([untested]) == untested
    assert standing(["missing"]) == "missing"


def test_a_table_of_verdicts_refuses_what_is_none(tmp_path):
    row = {"prediction": "P1", "statement": "x", "finding": "supported", "criterion": "y"}
    with pytest.raises(WrongUse, match="'proven' is none of"):
        verdicts.write([row | {"finding": "proven"}], tmp_path / "v.parquet")
    with pytest.raises(WrongUse, match="criterion is empty in 1 rows"):
        verdicts.write([row | {"criterion": None}], tmp_path / "v.parquet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "v.parquet").write_text("PAR1")
    with pytest.raises(WrongUse, match="cannot be read as a table of verdicts"):
        verdicts.read(tmp_path / "v.parquet")
