"""`theory fit`: its files, its refusals, its end."""

import json

import pytest

from common import results
from common.console import run
from common.published import load
from common.settings import WrongUse
from theory.commands.fit import FitCommand
from theory.fit import points_from


def call(capsys, *arguments):
    code = run("theory", {"fit": FitCommand, "again": FitCommand}, "test", ["fit", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.usefixtures("unchecked")
def test_the_command_writes_both_files_and_repeats_itself(capsys, tmp_path):
    options = ("--model", "plain", "--starts", "1", "--groups", "3", "--json")
    code, text, _ = call(capsys, *options, "--out", str(tmp_path / "a"))
    assert code == 0
    document = json.loads(text)
    stored = json.loads((tmp_path / "a" / "fits.json").read_text())
    assert [entry["method"] for entry in stored["fits"]] == [
        "floors only",
        "curve means",
        "curve lines",
        "plain",
        "plain+spectrum",
    ]
    assert "--model plain --spectrum both" in stored["command"]
    fit_entry = stored["fits"][4]
    assert fit_entry["numbers"] == 60
    assert fit_entry["fitted_numbers"] == 16
    assert set(fit_entry["intervals"]) == set(fit_entry["parameters"]) - {"sigma_post"}
    assert set(fit_entry["cross"]) == {"independent", "compute-matched"}
    assert fit_entry["rmse"] < stored["fits"][0]["rmse"]
    table = results.read(tmp_path / "a" / "fits.parquet")
    assert table.num_rows == 2 * 6 * 101
    assert set(table["method"].to_pylist()) == {"plain", "plain+spectrum"}
    _, again, _ = call(capsys, *options, "--out", str(tmp_path / "b"))
    for entry, other in zip(document["fits"][3:], json.loads(again)["fits"][3:], strict=True):
        assert {**entry, "seconds": 0} == {**other, "seconds": 0}


def test_the_command_reads_any_lambda_study(capsys, tmp_path):
    path = results.write(load(3), tmp_path / "study.parquet")
    code, text, _ = call(
        capsys, str(path), "--model", "plain", "--spectrum", "without", "--halves", "independent", "--starts", "1",
        "--no-intervals", "--out", str(tmp_path),
    )  # fmt: skip
    assert code == 0
    for word in ("AICc", "observed", "pre_time", "fits.json"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("missing.parquet",), "cannot be read"),
        (("--model", "cubic"), "cubic"),
        (("--starts", "0"), "--starts 0"),
        (("--groups", "0"), "--groups 0"),
        (("a.parquet", "b.parquet"), "one at a time"),
    ],
)
def test_wrong_commands_exit_with_two(capsys, outside, arguments, says):
    code, _, errors = call(capsys, *arguments)
    assert code == 2
    assert says in errors
    assert list(outside.iterdir()) == []


def test_tables_without_curves_are_wrong_use(capsys, outside):
    results.write(load(2), outside / "frontier.parquet")
    assert call(capsys, "frontier.parquet")[0] == 2
    broken = load(3).drop_columns(["exposure"]).append_column("exposure", [[None] * 30])
    with pytest.raises(WrongUse, match="finite"):
        points_from(broken)
    unsized = load(3)
    where = unsized.column_names.index("tokens_post")
    with pytest.raises(WrongUse, match="tokens_post"):
        points_from(unsized.set_column(where, "tokens_post", [[0] * 30]))


def test_an_interrupt_ends_fits_that_run_side_by_side():
    import threading
    import time

    from theory.commands.fit import side_by_side

    ended = threading.Event()

    def forever(done):
        try:
            while True:
                time.sleep(0.01)
                done(1)
        finally:
            ended.set()

    def interrupted(done):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side([forever, interrupted], lambda _: None)
    assert ended.wait(2)
    assert side_by_side([lambda done: 1, lambda done: 2], lambda _: None) == [1, 2]
