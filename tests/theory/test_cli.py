"""The command line: exit codes, one error paragraph, one JSON document, nothing left behind; sweeps are in `test_cli_sweep`."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from common import verdict_table
from common.console import run
from theory import predict
from theory.commands import commands


def call(capsys, *arguments):
    """Run one command in this process; returns exit code, standard output, standard error."""
    code = run("theory", commands(arguments), "test", list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def call_json(capsys, *arguments):
    code, out, _ = call(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_solve_prints_the_library_numbers(capsys):
    code, got = call_json(capsys, "solve", "--alpha", "0.3", "--t-ft", "2", "--beta", "1.1")
    assert code == 0
    expected = predict({"alpha": 0.3, "t_ft": 2.0, "beta": 1.1})
    assert got["losses"] == pytest.approx({name: float(value) for name, value in expected._asdict().items()}, rel=1e-14)
    assert got["modes"] == ["invariant", "inconsistent", "specialised"]
    assert set(got["strengths"]) == {"start", "pre", "post", "ft"}
    code, out, _ = call(capsys, "solve")
    assert code == 0
    for word in ("loss_ret", "inconsistent", "C.6", "exposure"):
        assert word in out


def test_solve_reads_files_lists_and_standard_input(capsys, tmp_path, monkeypatch):
    modes = {
        "variance": {"pre": [1, 0], "post": [1, 1], "ft": [1, 0]},
        "sigma": {"pre": [0.4, 0], "post": [1.4, 0.9], "ft": [0.4, 0]},
    }
    blocks = {"n": 2, "k": 1, "alpha": 0.2}
    path = tmp_path / "problems.json"
    path.write_text(
        json.dumps(
            [{"modes": modes, "alpha": 0.2}, blocks, {"n": 2, "k": 1, "exposure": 0.5, "split": "compute-matched"}]
        )
    )
    code, got = call_json(capsys, "solve", "--file", str(path))
    assert code == 0
    assert got[0]["losses"] == pytest.approx(got[1]["losses"], rel=1e-12)
    assert got[2]["settings"]["t_post"] == 1.0
    assert got[2]["settings"]["t_pre"] == 21.0
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(blocks)))
    code, one = call_json(capsys, "solve", "--file", "-")
    assert (code, one["losses"]) == (0, got[1]["losses"])


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "JSON"),
        ("[]", "empty list"),
        ("3", "not a JSON object"),
        ('{"gamma": 1}', "gamma"),
        ('{"leekage": 1}', "Did you mean leakage"),
        ('{"lambda": 0.2}', "lambda is called exposure"),
        ('{"exposure": 0.5, "alpha": 0.1}', "alpha is decided"),
        ('{"exposure": 0.5, "alpha": 0.2}', "alpha is decided"),  # though it is the default
        ('{"split": "independent"}', "only together with exposure"),
        ('{"alpha": 2}', "alpha = 2"),
        ('{"alpha": "a lot"}', "not a number"),
        ('{"alpha": NaN}', "nan"),
        ('{"depth": 2.5}', "whole"),
        ('{"depth": 3, "imbalance": 0.1}', "imbalance"),
        ('{"modes": {"variance": {"pre": [1]}}}', "variance"),
        ('{"modes": {"variance": {"pre": [1], "post": [1], "ft": [1]}, "sigma": {"pre": [1], "post": [1, 2], "ft": [1]}}}', "lengths"),
        ('{"modes": {"variance": {"pre": [-1], "post": [1], "ft": [1]}, "sigma": {"pre": [1], "post": [1], "ft": [1]}}}', "variance.pre"),
        ('{"modes": {"variance": {"pre": [[1]], "post": [1], "ft": [1]}, "sigma": {"pre": [1], "post": [1], "ft": [1]}}}', "flat list"),
        ('{"modes": {"speed": 1}}', "speed"),
        ('{"modes": null}', "modes must be"),
        ('{"modes": true}', "modes must be"),
        ('{"modes": {"variance": {"pre": ["1"], "post": [1], "ft": [1]}, "sigma": {"pre": [1], "post": [1], "ft": [1]}}}', "variance.pre"),
        ('{"exposure": "x"}', "exposure"),
        ('{"exposure": true}', "exposure"),
        ('{"exposure": -1}', "exposure = -1"),
        ('{"exposure": [0.1]}', "exposure"),
        ('{"mixing": null}', "mixing"),
        ('{"step_ratio": 0}', "step_ratio = 0"),
        ('{"pre_time": NaN}', "pre_time"),
        ('{"n": Infinity}', "n = inf"),
        ('{"depth": 1000000}', "depth"),
        ('{"alpha": 1' + "0" * 400 + "}", "alpha"),
        ("[" * 100000, "JSON"),
        ('{"rank": 1.5}', "whole"),
    ],
)  # fmt: skip
def test_wrong_documents_are_wrong_use(capsys, tmp_path, document, says):
    path = tmp_path / "p.json"
    path.write_text(document)
    code, out, err = call(capsys, "solve", "--file", str(path))
    assert code == 2
    assert out == ""
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1  # one paragraph


@pytest.mark.parametrize("document", ['{"split": "both"}', '{"placement": "never"}', '{"dropout_basis": "odd"}'])
def test_wrong_names_are_wrong_use(document):
    # in a process of its own: here the run-time type check would speak first
    command = [sys.executable, "-m", "theory", "solve", "--file", "-"]
    done = subprocess.run(command, input=document, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Choose one of" in done.stderr


def test_a_fit_says_when_it_is_not_determined():
    from theory.commands.fit import underdetermined

    floors = {"method": "floors only", "fitted_numbers": 3}
    fits = [floors, {"method": "plain", "fitted_numbers": 9, "numbers": 9}]
    said = underdetermined([*fits, {"method": "rp", "fitted_numbers": 11, "numbers": 9}])
    assert said.startswith("9 losses do not determine the fitted numbers of plain 9, rp 11")
    assert underdetermined([floors, {"method": "plain", "fitted_numbers": 9, "numbers": 10}]) is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("sweep", "gamma=1,2"), "gamma"),
        (("sweep", "t_pre=-1,1"), "t_pre = -1"),
        (("sweep", "alpha=0:2:3"), "alpha = 2"),
        (("sweep", "alpha=0:1:0"), "empty"),
        (("sweep",), "at least one axis"),
        (("sweep", "alpha=0:1:100000", "beta=0:1:100000"), "memory"),
        (("sweep", "alpha=0:1:10000000000"), "Split the sweep"),
        (("sweep", "alpha=0:1:3", "--out", ""), "cannot be written"),
        (("sweep", "alpha=0:1:3", "--out", "."), "cannot be written"),
        (("solve", "--sigma-post", "1e308"), "floating-point"),
        (("solve", "--init-scale", "1e200"), "floating-point"),
        (("solve", "--model", "rp", "--correlation", "2"), "correlation = 2"),
        (("sweep", "alpha=0:1:1000000", "beta=0:1:1000000", "--stream"), "--limit"),
        (("sweep", "alpha=0:1:3", "--out", "/proc/nowhere/x.parquet"), "cannot be written"),
        (("sweep", "alpha=0:1:3", "--t-ft", "-2"), "t_ft = -2"),
        (("sweep", "alpha=0:1:3", "--depth", "3", "--imbalance", "0.1"), "imbalance"),
        (("sweep", "alpha=0,0.1", "--out", "s.txt"), ".parquet or .csv"),
        (("sweep", "alpha=0,0.1", "--out", "s"), ".parquet or .csv"),
        (("sweep", "rank=1,2"), "--rank"),
        (("sweep", "placement=early,late"), "--placement"),
        (("sweep", "lambda=0,1"), "lambda is called exposure"),
        (("sweep", "alfa=0,0.1"), "Did you mean alpha"),
        (("sweep", "exposure=0,1", "--alpha", "0.3"), "alpha is decided"),
        (("sweep", "alpha=0,0.1", "--post-time", "3"), "only together with exposure"),
        (("solve", "--exposure", "0.5", "--alpha", "0.2"), "alpha is decided"),
        (("solve", "--exposure=0.5", "--t-pre=3"), "t_pre is decided"),
        (("solve", "--exposure", "0.5", "--t-post", "3", "--split", "compute-matched"), "t_post is decided"),
        (("solve", "--step-ratio", "2"), "only together with exposure"),
        (("solve", "--rank", "99"), "at most 6"),
        (("optimum", "--alpha", "0.3"), "alpha is decided"),
        (("optimum", "--t-post", "3"), "t_post is decided"),
        (("optimum", "--post-time", "0"), "post_time = 0"),
        (("optimum", "post_time=0,1"), "post_time = 0"),
        (("headline",), "--out out/theory/headline_sweep.parquet"),
        (("optimum", "exposure=0,1"), "lambda"),
        (("optimum", "alpha=0,1"), "alpha"),
        (("study", "nothing"), "nothing"),
        (("headline", "--sweep", "absent.parquet"), "absent.parquet"),
        (("solve", "--file", "absent.json"), "absent.json"),
    ],
)
def test_wrong_use_exits_2_and_leaves_no_file(capsys, outside, arguments, says):
    code, out, err = call(capsys, *arguments)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
    assert [p for p in outside.rglob("*") if p.is_file()] == []
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 2
    assert says in json.loads(out)["error"]


@pytest.mark.parametrize(
    "arguments", [("solve", "--gamma", "1"), ("solve", "--alpha", "much"), ("walk",), ("optimum", "--split", "both")]
)
def test_misspelt_options_exit_2(capsys, arguments):
    assert call(capsys, *arguments)[0] == 2
    code, out, _ = call(capsys, *arguments, "--json")
    assert code == 2
    assert "error" in json.loads(out)


@pytest.mark.parametrize("option", ["--lambda", "--lamda=.5"])
def test_lambda_as_an_option_points_to_exposure(capsys, option):
    code, _, err = call(capsys, "solve", option)
    assert (code, "error: lambda is called exposure here: --exposure" in err) == (2, True)
    code, out, err = call(capsys, "solve", option, "--json")
    assert (code, "lambda is called exposure" in json.loads(out)["error"], "lambda is" in err) == (2, True, False)


def test_optimum_reports_argmin_and_depth(capsys):
    code, got = call_json(capsys, "optimum", "step_ratio=1,4", "t_ft=0.1")
    assert code == 0
    assert [row["loss_ret"]["interior"] for row in got] == [False, True]
    assert got[0]["loss_ret"]["exposure"] == 0
    assert got[1]["loss_ret"]["depth_below_zero"] > 0.5
    assert "interior minimum" in call(capsys, "optimum")[1]


def test_help_teaches_and_loads_nothing_heavy():
    heavy = "('jax', 'sympy', 'torch', 'matplotlib', 'scipy', 'pyarrow', 'moocore')"
    code = f"import sys; from theory.commands import commands; commands([]); print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
    done = subprocess.run(
        [sys.executable, "-m", "theory", "sweep", "--help"], capture_output=True, text=True, check=True
    )
    assert "NAME=START:STOP:COUNT" in done.stdout
    assert "--json" in done.stdout


def test_an_interrupted_pipe_is_quiet():
    done = subprocess.run(
        f"{sys.executable} -m theory solve | head -1", shell=True, capture_output=True, text=True, check=True
    )
    assert "Traceback" not in done.stderr


def test_verdicts_on_the_theorems_follow_from_their_proofs_and_the_published_points(tmp_path, capsys):
    code, rows = call_json(capsys, "verdicts", "--out", str(tmp_path / "verdicts.parquet"))
    assert code == 0
    said = {(row["claim"], row["engine"]): row["status"] for row in rows}
    assert said["T1", "theory"] == "supported"
    assert said["T2", "theory"] == said["T3", "theory"] == "refuted"
    assert said["T3", "published"] == "undecided"  # one seed
    assert all(row["value"] < 0 for row in rows if row["where"])  # the published mixed models forget less
    stored = verdict_table.load(Path("paper/results/theory/verdicts.parquet"))
    assert [(one.claim, one.engine, one.status, one.value) for one in stored] == [
        (row["claim"], row["engine"], row["status"], row["value"]) for row in rows
    ]
