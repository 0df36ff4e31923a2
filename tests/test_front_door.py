"""The front door from Python: what is public, that every wrong name and value is told, results as data frames, examples that run."""

import contextlib
import doctest
import importlib
import inspect
import io
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results
from common.console import Command, Json, Output, run
from common.placement import Piece
from common.recipe import Recipe
from common.settings import WrongUse
from figures import picture
from sims import Setup, simulate
from theory import Blocks, Budget, Schedule, exposure_curve, optimum, predict, realise, solve
from theory.stages import DEFAULTS
from theory.stages import predict as unchecked

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("theory", "sims", "lm_experiments", "figures")
PUBLIC = [(room, name) for room in ROOMS for name in importlib.import_module(room).__all__]

WRONG = [
    ({"leekage": 0.5}, "Did you mean leakage"),
    ({"lambda_": 0.5}, "lambda is called exposure"),
    ({"lamda": 0.5}, "lambda is called exposure"),
    ({"lam": 0.5}, "lambda is called exposure"),
    ({"exposure": 0.5, "split": ["independent", "compute-matched"]}, "split is one name for the whole call"),
    ({"exposure": 0.5, "mixing": ("add", "replace")}, "mixing is one name for the whole call"),
    ({"alpha": 5}, "alpha = 5"),
    ({"alpha": [0.1, 1.5]}, "alpha = 1.5"),
    ({"alpha": float("nan")}, "not finite"),
    ({"t_ft": np.array([1.0, np.inf])}, "not finite"),
    ({"alpha": None}, "not a number"),
    ({"alpha": "much"}, "not a number"),
    ({"alpha": True}, "not a number"),
    ({"t_ft": -1}, "t_ft = -1"),
    ({"exposure": 0.5, "alpha": 0.2}, "alpha is decided by the exposure"),
    ({"exposure": 0.5, "t_post": 1.0, "split": "compute-matched"}, "t_post is decided"),
    ({"exposure": -0.5}, "exposure = -0.5"),
    ({"exposure": 0.5, "step_ratio": 0.0}, "step_ratio = 0"),
    ({"post_time": 3.0}, "only together with exposure"),
    ({"alpha": [0.1, 0.2], "t_ft": [1.0, 2.0, 3.0]}, "do not broadcast"),
]


@pytest.mark.parametrize(("values", "says"), WRONG)
def test_predict_and_simulate_tell_what_is_wrong(values, says):
    for call in (predict, lambda given: simulate(Setup(), given)):
        with pytest.raises(WrongUse, match=says):
            call(values)
    with pytest.raises(WrongUse, match=says):
        predict(**values)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"rank": 0}, "rank = 0"),
        ({"rank": 99}, "at most 6"),
        ({"n": 2.5}, "counts something"),
        ({"n": 3, "k": 2}, "2k"),
        ({"placement": "never"}, "Choose one of"),
        ({"placement": "lately"}, "Did you mean late"),
        ({"placement": ["early", "late"]}, "placement is one name for the whole call"),
        ({"model": "rp-shered"}, "Did you mean rp-shared"),
        ({"sigma_ft": 1e200}, "range of floating-point"),
        ({"sigma_ft": [1.0, 1e200]}, "range of floating-point"),
        ({"pieces": [Piece(1.0, 0.1)], "sigma_ft": 1e200}, "range of floating-point"),
        ({"model": "deep"}, "plain"),
        ({"model": "rp", "leakage": 0.1}, "leakage"),
        ({"model": "rp", "rank": 2}, "rank"),
    ],
)
def test_predict_knows_its_models(values, says):
    with pytest.raises(WrongUse, match=says):
        predict(**values)


def test_curves_and_optima_are_checked_too():
    for call in (lambda **more: exposure_curve(0.5, **more), optimum):
        for given, says in (
            ({"alpha": 0.3}, "alpha is decided"),
            ({"leekage": 0.1}, "leakage"),
            ({"t_ft": -1}, "t_ft = -1"),
            ({"step_ratio": 2.0}, "belongs to the recipe or the budget"),
            ({"budget": {"pre_time": 20.0, "post_time": 2.0}}, "lacks step_ratio"),
            ({"budget": {"pre_time": 20.0, "post_time": -2.0, "step_ratio": 1.0}}, "post_time = -2"),
        ):
            with pytest.raises(WrongUse, match=says):
                call(**given)
    with pytest.raises(WrongUse, match="exposure = -1"):
        exposure_curve([-1.0])
    with pytest.raises(WrongUse, match="Did you mean leakage"):
        exposure_curve(leekage=0.1)
    with pytest.raises(WrongUse, match="needs its exposure"):
        exposure_curve()
    for call in (lambda: exposure_curve(0.5, sigma_ft=1e200), lambda: optimum(sigma_ft=1e200)):
        with pytest.raises(WrongUse, match="range of floating-point"):
            call()
    with pytest.raises(WrongUse, match="post_time = 0"):
        optimum(budget=Budget(post_time=0.0))


def test_a_law_says_nan_of_what_it_does_not_know():
    losses = predict(model="S5")
    assert [bool(np.isnan(loss)) for loss in losses] == [False, False, True, True]


def test_settings_tell_unknown_names():
    for call, says in (
        (lambda: Blocks(leekage=0.1), "Did you mean leakage"),
        (lambda: Recipe(exposre=0.1), "Did you mean exposure"),
        (lambda: Recipe(lamda=0.1), "lambda is called exposure"),
        (lambda: Setup(widht=3), "Did you mean width"),
        (lambda: Budget(tpost=1.0), "Did you mean post_time"),
        (lambda: Schedule(t_pst=0.1), "Did you mean t_post"),
        (lambda: replace(Setup(), widht=3), "Did you mean width"),
    ):
        with pytest.raises(WrongUse, match=says):
            call()
    assert list(inspect.signature(Budget).parameters) == ["pre_time", "post_time", "step_ratio"]
    assert pickle.loads(pickle.dumps(Budget(post_time=1.0))) == Budget(post_time=1.0)


def test_what_has_the_wrong_type_is_told_in_words():
    """In a process of its own: here the run-time type check would speak first."""
    code = """
import pyarrow as pa
from common.settings import WrongUse
from lm_experiments import corpus, documents, judge
from theory import exposure_curve, predict
assert exposure_curve(exposure=[0.0, 1.0]).loss_ret.tolist() == exposure_curve([0.0, 1.0]).loss_ret.tolist()
for call in (
    lambda: predict(model=["plain", "rp"]), lambda: judge(["x.parquet"]), lambda: judge([None]), lambda: judge(5),
    lambda: judge([pa.table({"a": [1]})]), lambda: corpus(5), lambda: documents(5),
):
    try:
        call()
    except WrongUse as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    for line, says in zip(
        done.stdout.splitlines(),
        ("model is one name for the whole call", "str is no table", "NoneType is no table", "int is no list",
         "lacks the column engine", "Corpus 5 is no name", "Corpus 5 is no name"), strict=True,
    ):  # fmt: skip
        assert says in line


def test_exposure_means_what_it_means_on_the_command_line():
    budget = Budget(pre_time=12.0, post_time=3.0, step_ratio=2.0)
    recipe = Recipe(exposure=0.4, split="compute-matched", replay=0.2)
    expected = unchecked(realise(recipe, budget) | {"beta": 1.1})
    spent = {"exposure": 0.4, "pre_time": 12.0, "post_time": 3.0, "step_ratio": 2.0, "split": "compute-matched"}
    assert predict(spent, beta=1.1, replay=0.2) == expected
    assert predict(exposure=[0.4], beta=1.1).loss_im == exposure_curve([0.4], beta=1.1).loss_im


def test_traced_settings_are_checked_by_name_and_shape():
    assert jax.grad(lambda alpha: predict(alpha=alpha).loss_ret)(0.2) < 0
    for values in ({"alfa": 0.2}, {"t_ft": np.ones(3), "t_post": np.ones(2)}):
        with pytest.raises(WrongUse, match=r"alpha|broadcast"):
            jax.jit(lambda alpha, values=values: predict(values, alpha=alpha).loss_ret)(0.2)
    with pytest.raises(WrongUse, match="alpha = 5"):
        predict(alpha=jax.numpy.asarray(5.0))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_shows_its_public_names_and_loads_nothing(room):
    heavy = "('numpy', 'jax', 'torch', 'matplotlib')"
    code = f"import sys, {room}; print(dir({room}) == {room}.__all__, [m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True []"
    assert (ROOT / room / "py.typed").exists()
    with pytest.raises(AttributeError, match="numpy"):
        getattr(importlib.import_module(room), "numpy")  # noqa: B009 (told apart from a forgotten line)


def test_a_module_does_not_take_the_place_of_a_public_name():
    code = "import theory.realise, theory; print(theory.realise(theory.Recipe(), theory.Budget())['t_pre'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["20.0"]


def test_help_of_sims_loads_no_jax():
    code = "import sys, sims.commands; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(("room", "name"), PUBLIC)
def test_what_is_public_has_an_example_that_runs(room, name):
    found = getattr(importlib.import_module(room), name)
    if not inspect.isfunction(found) and not inspect.isclass(found):
        return
    module = sys.modules[found.__module__]
    tests = [test for test in doctest.DocTestFinder(recurse=False).find(found, name, module=module) if test.examples]
    assert tests, f"{room}.{name} has no Example"
    said = io.StringIO()
    for test in tests:
        outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.write)
        assert outcome.failed == 0, said.getvalue()
    plt.close("all")


def test_results_become_data_frames(monkeypatch):
    alpha, times = np.array([[0.0], [0.2]]), np.array([0.1, 1.0, 10.0])
    losses = predict(alpha=alpha, t_ft=times)
    frame = losses.to_pandas(alpha=alpha, t_ft=times)
    assert frame.shape == (6, 6)
    assert frame.loss_ret[4] == losses.loss_ret[1, 1]
    assert (frame.alpha[4], frame.t_ft[4]) == (0.2, 1.0)
    both = optimum(t_ft=times)
    assert both.ret.to_pandas(t_ft=times).depth.tolist() == both.ret.depth.tolist()
    frame = both.to_pandas(t_ft=times)
    assert frame.loss_im.tolist() == both.im.loss.tolist() != frame.loss_ret.tolist() == both.ret.loss.tolist()
    assert (frame.exposure_ret.tolist(), frame.interior_im.tolist()) == (
        both.ret.exposure.tolist(),
        both.im.interior.tolist(),
    )
    from theory import modes_from_blocks

    assert solve(modes_from_blocks(DEFAULTS), DEFAULTS).to_pandas().post.round(3).tolist() == [3.0, 1.393, 0.888]
    with pytest.raises(WrongUse, match="broadcast"):
        losses.to_pandas(alpha=[1, 2, 3, 4])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(WrongUse, match="pip install pandas"):
        losses.to_pandas()


def test_pictures_take_data_frames_and_axes():
    alpha, times = np.meshgrid(np.linspace(0, 0.3, 4), [0.1, 1.0, 10.0])
    frame = predict(alpha=alpha, t_ft=times).to_pandas(alpha=alpha, t_ft=times)
    assert np.allclose(picture("alpha_curves", frame).axes[1].lines[0].get_ydata(), frame.loss_ret[frame.t_ft == 0.1])
    frame["problem.boundary"] = None
    figure, ax = plt.subplots()
    assert picture("phase_alpha", frame, ax=ax) is figure
    assert ax.collections
    for arguments, more, says in (
        (("alfa_curves", frame), {}, "Did you mean alpha_curves"),
        (("alpha_curves",), {}, "1 tables"),
        (("alpha_curves", 3), {}, "no table"),
        (("alpha_curves", frame), {"ax": ax}, "Leave ax out"),
        (("alpha_curves", frame.rename(columns={"alpha": "weight"})), {}, "problem.weight"),
    ):
        with pytest.raises(WrongUse, match=says):
            picture(*arguments, **more)
    plt.close("all")
    table = results.table({"engine": "theory", "study": "s", "config_hash": "0", "code_version": "0", "loss_im": [1.0]})
    assert results.as_table(table) is table


def shown(width, rows, heads):
    from rich.console import Console

    out, said = Output(as_json=False), io.StringIO()
    out.console = Console(file=said, width=width, highlight=False)
    out.table("Title", heads, rows)
    return said.getvalue()


def test_tables_break_no_number():
    heads = [f"loss{i} argmin" for i in range(12)]
    rows = [[f"0.8{10 + i}" for i in range(12)], [f"0.9{10 + i}" for i in range(12)]]
    for width in (40, 80, 120, 400):
        text = shown(width, rows, heads)
        assert all(cell in text for row in rows for cell in row)
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    prose = "as long a sentence as a criterion of a study may well be, and longer"
    text = shown(60, [["P1", 0.123456, prose]], ["", "value", "criterion"])
    assert "0.123456" in text
    assert [word for word in prose.split() if word not in text.split()] == []


def test_piped_tables_are_plain_and_unbroken(capsys):
    Output(as_json=False).table("Title", ["a", "b"], [["x" * 300, 0.5], ["word " * 60, 0.25]])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "x" * 300 in said
    assert "word " * 59 in said


def test_figures_come_from_ones_own_tables(tmp_path, capsys):
    from figures.commands import Make
    from figures.make import FITS, LANGUAGE

    def make(*arguments):
        with contextlib.chdir(tmp_path):
            code = run("figures", {"make": Make}, "test", ["make", *arguments, "--formats", "png", "--workers", "1"])
        return code, capsys.readouterr().err

    (tmp_path / "mine").mkdir()
    for name, command in (
        ("fits", "python -m theory fit --out mine/theory"),
        ("language_models", "python -m lm_experiments run fig3a --scale nano --out mine/lm/nano"),
        ("phase_beta", "python -m theory study phase_beta --out mine"),
    ):
        code, said = make(name, "--tables", "mine")
        assert (code, command in said) == (2, True), said
    (tmp_path / "mine" / "fits.parquet").write_bytes(FITS.file.read_bytes())
    assert make("fits", "--tables", "mine")[0] == 0
    assert (tmp_path / "out/figures/fits.png").exists()
    (tmp_path / "mine" / "fig3a.parquet").write_bytes(LANGUAGE["fig3a", "micro"].file.read_bytes())
    code, said = make("language_models", "--tables", "mine")
    assert (code, "scale micro" in said) == (2, True)


@dataclass(frozen=True, kw_only=True)
class Says(Command):
    """Prints brackets, or fails."""

    error: str = ""
    json: Json = False

    def run(self, out):
        raised = {"memory": MemoryError(), "disk": OSError(28, "No space left on device"), "": None}[self.error]
        if raised is not None:
            raise raised
        out.show("[/red] [bold]a[/bold]")
        out.table("[/title]", ["[/head]"], [["[/cell]"]])
        out.remark("[/remark]")


@pytest.mark.parametrize(
    ("error", "says"), [("memory", "Out of memory. Ask for less"), ("disk", "Make room on that disk")]
)
def test_errors_of_the_system_come_with_a_remedy(capsys, error, says):
    assert run("room", {"says": Says, "other": Says}, "test", ["says", "--error", error]) == 1
    assert says in capsys.readouterr().err


def test_brackets_are_printed_as_they_are(capsys):
    assert run("room", {"says": Says, "other": Says}, "test", ["says"]) == 0
    said = capsys.readouterr()
    for text in ("[/red] [bold]a[/bold]", "[/title]", "[/head]", "[/cell]"):
        assert text in said.out
    assert said.err == "[/remark]\n"


@pytest.mark.parametrize(
    ("content", "said"), [(b"[" * 100_000, "it is nested too deeply"), (b"\xff", "it is not text in UTF-8")]
)
def test_files_that_are_no_json_are_refused_in_words(content, said, tmp_path, capsys):
    from sims.vectors import read_vectors
    from theory.commands import commands

    (tmp_path / "bad.json").write_bytes(content)
    assert run("theory", commands([]), "test", ["solve", "--file", str(tmp_path / "bad.json")]) == 2
    assert f"cannot be read as JSON ({said})" in capsys.readouterr().err
    with pytest.raises(WrongUse, match=said):
        read_vectors(tmp_path / "bad.json")


def test_what_would_never_end_is_refused(tmp_path, capsys, monkeypatch):
    from lm_experiments.commands import COMMANDS as LANGUAGE
    from theory.commands import commands

    with pytest.raises(WrongUse, match="would take weeks"):
        Setup(steps=(10**12, 1, 1))
    os.mkfifo(tmp_path / "pipe")
    assert run("theory", commands([]), "test", ["solve", "--file", str(tmp_path / "pipe")]) == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("lm_experiments.conduct.conduct", lambda *_: pytest.fail("began"))
    assert run("lm_experiments", LANGUAGE, "test", ["run", "smoke", "--runs", str(tmp_path / "file")]) == 2
    monkeypatch.setenv("EARLY_EXPOSURE_CACHE", "~nobody-here/cache")
    assert run("lm_experiments", LANGUAGE, "test", ["corpora", "fetch"]) == 2
    assert capsys.readouterr().err.count("error: ") == 3
