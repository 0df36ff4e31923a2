"""`python -m sims`: sweeps, single runs, studies; exit codes, one JSON document, nothing left behind."""

import csv
import json

import numpy as np
import pytest

import sims.commands.run as run_command
import sims.commands.study as study_commands
import sims.commands.sweep as sweep
from common import results
from common.console import run
from common.verdicts import within
from sims import Setup, simulate
from sims.cases import Case
from sims.commands import commands
from sims.commands.study import study_command
from sims.study import Check, Report, Study

SHORT = ("--steps", "60", "40", "30")
FIXED = ("t_pre=4", "t_post=2", "init_scale=0.3")


def call(capsys, *arguments, known=None):
    code = run("sims", known or commands(), "test", list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def call_json(capsys, *arguments, known=None):
    code, out, _ = call(capsys, *arguments, "--json", known=known)
    return code, json.loads(out)


def test_sweep_writes_the_library_numbers(capsys, outside):
    code, got = call_json(capsys, "sweep", "alpha=0:0.4:3", "t_ft=0.5,1.5", "seed=4", *FIXED, *SHORT)
    assert (code, got["runs"], got["rows"], got["diverged"]) == (0, 6, 6, None)
    table = results.read(outside / "out/sims/sweep.parquet")
    np.testing.assert_array_equal(table["alpha"], np.repeat([0, 0.2, 0.4], 2))
    values = {"alpha": np.linspace(0, 0.4, 3)[:, None], "t_ft": [0.5, 1.5], "seed": 4, "t_pre": 4, "t_post": 2}
    expected = simulate(Setup(steps=(60, 40, 30)), values | {"init_scale": 0.3}).losses.loss_ret
    np.testing.assert_array_equal(table["loss_ret"], expected.ravel())
    assert set(table["seed"].to_pylist()) == {4}
    assert [path.name for path in (outside / "out/sims").iterdir()] == ["sweep.parquet"]


def test_sweep_is_identical_whatever_the_threads_and_interruptions(capsys, tmp_path, monkeypatch):
    """Chunks of 32 runs, the first piece of 16: the second try computes only what the first has left."""
    monkeypatch.setattr(sweep, "CHUNK", 32)
    axes = ("alpha=0:0.4:50", "t_ft=0.5,1.5", *FIXED, *SHORT)
    paths = [str(tmp_path / name) for name in ("one.parquet", "two.parquet", "cut.parquet")]
    assert call(capsys, "sweep", *axes, "--workers", "1", "--out", paths[0])[0] == 0
    assert call(capsys, "sweep", *axes, "--workers", "3", "--out", paths[1])[0] == 0
    done, original = [], sweep.simulate

    def interrupted(*arguments, **more):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments, **more)

    monkeypatch.setattr(sweep, "simulate", interrupted)
    code, _, said = call(capsys, "sweep", *axes, "--out", paths[2])
    assert (code, "Interrupted" in said) == (130, True)
    done.clear()
    assert call(capsys, "sweep", *axes, "--out", paths[2])[0] == 0
    assert len(done) == 3  # of the runs from 64 on
    contents = {(tmp_path / name).read_bytes() for name in ("one.parquet", "two.parquet", "cut.parquet")}
    assert len(contents) == 1
    assert len(list(tmp_path.iterdir())) == 3


def test_a_sweep_keeps_pieces_of_seconds_and_drops_damaged_ones(capsys, tmp_path, monkeypatch):
    """Ten pieces in one chunk: interrupted, three of them damaged or misplaced; the table is that of a sweep left alone."""
    monkeypatch.setattr(sweep, "PIECE_SECONDS", 0.0)
    axes = ("alpha=0:0.4:80", "t_ft=0.5,1.5", *FIXED, *SHORT, "--workers", "1")
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    assert call(capsys, "sweep", *axes, "--out", str(whole))[0] == 0
    monkeypatch.setattr(sweep, "assemble", lambda *_: [][0])
    assert call(capsys, "sweep", *axes, "--out", str(cut))[0] == 1
    monkeypatch.undo()
    pieces = sorted((tmp_path / ".cut.parts").glob("*.npz"))
    assert len(pieces) == 10
    harmed = bytearray(pieces[0].read_bytes())
    harmed[len(harmed) // 2] ^= 4
    pieces[0].write_bytes(harmed)
    pieces[2].write_bytes(pieces[3].read_bytes())
    pieces[5].write_bytes(b"")
    pieces[7].unlink()
    code, _, said = call(capsys, "sweep", *axes, "--out", str(cut))
    assert (code, said.count("is damaged")) == (0, 3)
    assert cut.read_bytes() == whole.read_bytes()
    assert len(list(tmp_path.iterdir())) == 2


def test_sweep_says_what_it_left_out(capsys, tmp_path):
    """Results stand with the rest; where nothing is left it is wrong use."""
    out = str(tmp_path / "sweep.parquet")
    code, got = call_json(capsys, "sweep", "t_pre=4,60,4.5", "t_post=2", "init_scale=0.3", *SHORT, "--out", out)
    assert (code, got["rows"]) == (0, 2)
    assert "1 of 3" in got["diverged"]
    assert "1/(2 c s) = 0.167" in got["diverged"]
    np.testing.assert_array_equal(results.read(tmp_path / "sweep.parquet")["t_pre"], [4.0, 4.5])
    lost = str(tmp_path / "lost.parquet")
    code, _, said = call(capsys, "sweep", "t_pre=60,70", *SHORT, "--out", lost)
    assert (code, "2 of 2" in said) == (2, True)
    assert not (tmp_path / "lost.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "at least one axis"),
        (("gamma=1",), "gamma"),
        (("lambda=0:1:3",), "lambda is called exposure"),
        (("exposure=0,1", "alpha=0.1"), "alpha is decided"),
        (("exposure=0,2", "--split", "compute-matched"), "negative share"),
        (("alpha=0.1", "--split", "compute-matched"), "only together with exposure"),
        (("alpha=0.1", "post_time=3"), "only together with exposure"),
        (("alpha=0:1",), "not understood"),
        (("alpha=0,2",), "alpha = 2"),
        (("alpha=0.1", "alpha=0.2"), "twice"),
        (("width=8,16",), "--width"),
        (("seed=0.5",), "whole"),
        (("dropout=0.1",), "dropout_masks"),
        (("alpha=0.1", "--record", "5"), "sims run"),
        (("alpha=0.1", "--workers", "0"), "workers"),
        (("alpha=0.6", "--placement", "late"), "window"),
        (("alpha=0.1", "--depth", "3", "--activation", "relu"), "depth"),
    ],
)
def test_wrong_sweeps_are_refused_in_one_paragraph(capsys, outside, arguments, says):
    code, out, said = call(capsys, "sweep", *arguments)
    assert code == 2
    assert says in said + out
    assert not (outside / "out").exists()


def test_an_exposure_is_spent_as_in_python(capsys, outside):
    """With its budget, in the place of alpha and t_pre (and t_post); the table says what was asked, and what it means for the stages."""
    spent = {"pre_time": 4.0, "post_time": 2.0, "step_ratio": 2.0, "split": "compute-matched", "init_scale": 0.3}
    axes = [f"{name}={value}" for name, value in spent.items() if name != "split"]
    option = ("--split", "compute-matched")
    code, got = call_json(capsys, "run", "exposure=.5", *axes, *option, *SHORT, "--record", "0")
    expected = simulate(Setup(steps=(60, 40, 30)), exposure=[0.0, 0.5], **spent).losses.loss_ret
    assert (code, got["losses"]["loss_ret"]) == (0, pytest.approx(float(expected[1]), rel=1e-12))
    assert (got["settings"]["t_pre"], got["settings"]["t_post"]) == (6.0, 1.0)
    assert call(capsys, "sweep", "exposure=0,.5", *axes, *option, *SHORT, "--out", "s.parquet")[0] == 0
    table = results.read(outside / "s.parquet")
    np.testing.assert_array_equal(table["loss_ret"], expected)
    told = ("exposure", "split", "mixing", "t_pre", "t_post", "problem.step_ratio")
    assert [tuple(row[name] for name in told) for row in table.to_pylist()] == [
        (0.0, "compute-matched", "add", 4.0, 2.0, 2.0), (0.5, "compute-matched", "add", 6.0, 1.0, 2.0)
    ]  # fmt: skip


def test_run_shows_one_run_from_inside(capsys):
    code, got = call_json(capsys, "run", "alpha=0.3", *FIXED, *SHORT, "--record", "3")
    assert code == 0
    made = simulate(Setup(steps=(60, 40, 30)), {"alpha": 0.3, "t_pre": 4, "t_post": 2, "init_scale": 0.3})
    assert got["losses"] == pytest.approx({name: float(loss) for name, loss in made.losses._asdict().items()}, rel=1e-9)
    points = got["trajectory"]
    assert [point["stage"] for point in points] == ["pre"] * 3 + ["post"] * 3 + ["ft"] * 4
    np.testing.assert_allclose([p["time"] for p in points[:6]], [0, 4 / 3, 8 / 3, 0, 2 * 13 / 40, 2 * 27 / 40])
    np.testing.assert_allclose([p["time"] for p in points[6:]], [0, 1 / 3, 2 / 3, 1])
    assert points[0]["strengths"] == pytest.approx([0.09] * 6)
    assert points[-1]["on_post"] == pytest.approx(got["losses"]["loss_ret"])
    code, out, _ = call(capsys, "run", "alpha=0.3", *FIXED, *SHORT, "--record", "3")
    assert code == 0
    for word in ("Trajectory", "alignment", "a6", "loss_ret"):
        assert word in out
    assert call(capsys, "run", "alpha=0.1,0.2")[0] == 2
    assert "1/(2 c s)" in call(capsys, "run", "t_pre=60", *SHORT)[2]


def test_run_keeps_the_trajectory_in_a_file(capsys, outside):
    """All of it in full precision: the table for people shows a few digits."""
    wanted = ("run", "alpha=0.3", "rotation=0.4", *FIXED, *SHORT, "--init", "random", "--record", "3")
    code, got = call_json(capsys, *wanted, "--out", "runs/one.json")
    assert code == 0
    assert json.loads((outside / "runs/one.json").read_text()) == got
    assert got["settings"]["rotation"] == 0.4
    code, out, _ = call(capsys, *wanted, "--out", "runs/one.csv")
    assert (code, "Wrote runs/one.csv" in out) == (0, True)
    with (outside / "runs/one.csv").open() as file:
        rows = list(csv.DictReader(file))
    strengths = [f"a{i + 1}" for i in range(6)]
    names = ["stage", "time", "on_pre", "on_post", "on_ft", "alignment", "post_only_energy", *strengths]
    assert list(rows[0]) == names
    for row, point in zip(rows, got["trajectory"], strict=True):
        assert row["stage"] == point["stage"]
        assert [float(row[name]) for name in names[1:7]] == [point[name] for name in names[1:7]]
        assert [float(row[name]) for name in strengths] == point["strengths"]
    assert rows[0]["alignment"] != rows[-1]["alignment"]
    assert 0 < float(rows[1]["post_only_energy"]) < 1
    assert float(rows[-1]["post_only_energy"]) < 1e-12  # D_ft has no variance there
    assert {path.name for path in (outside / "runs").iterdir()} == {"one.json", "one.csv"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--out", "one.txt"), ".csv or .json"),
        (("--out", "one.csv", "--record", "0"), "record"),
        (("--out", "."), "out"),
    ],
)
def test_a_trajectory_that_cannot_be_kept_is_refused_before_the_run(capsys, outside, monkeypatch, arguments, says):
    monkeypatch.setattr(run_command, "simulate", None)
    code, _, said = call(capsys, "run", *arguments)
    assert (code, says in said) == (2, True)
    assert list(outside.iterdir()) == []


def test_a_nonlinear_run_has_losses_and_energy_but_no_strengths(capsys, outside):
    wanted = ("run", "t_pre=1", "t_post=1", *SHORT, "--activation", "relu", "--init", "random", "--rank", "2")
    code, got = call_json(capsys, *wanted, "--population", "16", "--record", "2", "--out", "one.csv")
    assert code == 0
    assert got["trajectory"][1]["strengths"] == [None] * 6
    assert got["trajectory"][1]["post_only_energy"] > 0
    assert "nan" in (outside / "one.csv").read_text()


def trial_study(name, passed):
    case = Case("plain", Setup(steps=(60, 40, 30)), {"t_pre": 4, "t_post": 2, "init_scale": 0.3, "alpha": [0.0, 0.3]})
    found = [within("P1", "plain", "something", 0.5, "at least 0.1", at_least=0.1)]
    checked = Report([Check("order", passed, "order", 1.0, "within 0.1 of 1")], "Errors", ["", "x"], [["plain", 0.5]])
    return Study(name, "a trial", lambda: [case], lambda _: found, lambda _: checked)


def trial(passed):
    return commands() | {"trial": study_command(trial_study("trial", passed))}


def test_studies_print_verdicts_and_fail_with_their_checks(capsys, outside):
    code, out, _ = call(capsys, "trial", known=trial(True))
    assert code == 0
    for word in ("P1", "supported", "passed", "Errors", "2 rows"):
        assert word in out
    code, got = call_json(capsys, "trial", known=trial(True))
    assert (code, got["checks"][0]["passed"], got["verdicts"][0]["value"]) == (0, True, 0.5)
    code, out, said = call(capsys, "trial", known=trial(False))
    assert (code, "FAILED" in out, "order" in said) == (1, True, True)
    assert (outside / "out/sims/trial.parquet").exists()


def test_a_failed_check_does_not_keep_the_other_studies_from_running(capsys, outside, monkeypatch):
    made = {name: trial_study(name, passed) for name, passed in (("first", False), ("second", True))}
    monkeypatch.setattr(study_commands, "STUDIES", made)
    code, got = call_json(capsys, "all")
    assert code == 1
    assert "first: 1 of 1 checks failed: order (order 1, not within 0.1 of 1)." in got["error"]
    assert "fault of the program" not in got["error"]
    assert "half-written" not in got["error"]
    assert {path.stem for path in (outside / "out/sims").iterdir()} == {"first", "second"}


def test_help_names_every_command(capsys):
    code, out, _ = call(capsys, "--help")
    assert code == 0
    for name in ("verify", "misalignment", "sweep", "run", "all"):
        assert name in out
    code, out, _ = call(capsys, "sweep", "--help")
    assert code == 0
    assert "NAME=START:STOP:COUNT" in out
    assert "--given-vectors" not in out
    code, out, _ = call(capsys, "run", "--help")
    assert code == 0
    for name in ("post_only_energy", "alignment", "a1, a2", "--record", "--out", "NAME.csv", "--vectors-file"):
        assert name in out
