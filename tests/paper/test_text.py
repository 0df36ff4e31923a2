"""The text: no number that no table gave, no macro, figure, label or source that is not there, and a PDF where latexmk is."""

import re
import shutil
from pathlib import Path

import pytest

from common.console import Failed, run
from common.seeds import Interval
from common.settings import WrongUse
from figures.make import PICTURES
from paper import build
from paper.commands import COMMANDS
from paper.macros import Macro, Rows, document, escaped, written
from paper.numbers import numbers

PAPER = Path(build.HERE)
SECTIONS = sorted((PAPER / "sections").glob("*.tex"))
TEXT = {path.name: path.read_text() for path in (PAPER / "main.tex", *SECTIONS)}
BODY = "\n".join(TEXT.values())
MADE = (PAPER / "macros.tex").read_text()
NAMES = re.findall(r"^\\newcommand\{\\(\w+)\}", MADE, re.MULTILINE)
LAYOUT = re.compile(
    r"^.*\\(?:begin\{(?:tabular|longtable)|includegraphics|setlength|documentclass|usepackage).*$", re.MULTILINE
)
ALLOWED = ("Theorems~5.1 to~5.3", "Theorem~5.3", "0.2M parameters")
"""Names of the paper's theorems and of a size of model: no measured numbers."""


def test_macros_are_those_of_the_tables():
    assert document(numbers()) == MADE, (
        "stale: run `python -m paper macros`, and read the sentences around what changed"
    )


def test_every_macro_is_used_and_says_where_it_is_from():
    assert len(NAMES) > 80
    for macro in numbers():
        assert (PAPER / macro.table).exists(), macro.table
        assert f"% {macro.table}, {macro.column}: " in MADE
    wanted = {name for name in NAMES if not name.endswith("Status")}
    assert wanted == {
        name
        for name in wanted
        if rf"\{name}" in re.sub(r"\\[A-Za-z]+", lambda one: one[0] + "!", BODY).replace("!", " ")
    }


def test_no_macro_of_a_number_is_undefined():
    """Names with a capital inside are ours; LaTeX's own that the text uses have none, but for these."""
    used = set(re.findall(r"\\([A-Z][A-Za-z]+|[a-z]+[A-Z][A-Za-z]*)", BODY)) - {
        "Dpre",
        "Dpost",
        "Dft",
        "PassOptionsToPackage",
    }
    own = set(re.findall(r"\\(?:new|provide)command\{\\(\w+)\}", BODY))
    assert used - own - set(NAMES) == {"Lim", "Lret", "Lft", "Lpre"} - own


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: path.stem)
def test_no_decimal_number_stands_in_the_prose(path):
    prose = LAYOUT.sub("", path.read_text())
    for allowed in ALLOWED:
        prose = prose.replace(allowed, "")
    assert re.findall(r"(?<![A-Za-z])\d*\.\d+", prose) == []  # C.4 is a section of the paper's appendix


def test_figures_labels_and_sources_are_there():
    drawn = re.findall(r"\\includegraphics\[[^]]*\]\{figures/(\w+)\}", BODY)
    assert sorted(drawn) == sorted(build.FIGURES)
    assert set(drawn) <= set(PICTURES)
    labels = re.findall(r"\\label\{([^}]+)\}", BODY)
    assert len(labels) == len(set(labels))
    assert set(re.findall(r"\\(?:eq)?ref\{([^}]+)\}", BODY)) <= set(labels)
    sources = re.findall(r"^@\w+\{(\w+),", (PAPER / "references.bib").read_text(), re.MULTILINE)
    cited = {key.strip() for found in re.findall(r"\\cite[tp]\{([^}]+)\}", BODY) for key in found.split(",")}
    assert cited == set(sources)
    included = re.findall(r"\\input\{sections/(\w+)\}", TEXT["main.tex"])
    assert sorted(included) == [path.stem for path in SECTIONS]


def test_how_a_value_is_written():
    assert written(Interval(value=-0.0216, low=-0.03, high=0.0), 3) == r"\ensuremath{-0.022\ [-0.030,\ 0.000]}\xspace"
    assert written(Interval(value=0.5), 2) == r"\ensuremath{0.50}\xspace"
    assert written(-0.0002, 3) == r"\ensuremath{0.000}\xspace"
    assert written(950_000, 3) == r"\ensuremath{950{,}000}\xspace"
    assert written(Rows(r"a & b \\"), 3) == r"a & b \\"
    assert written("a_b", 3) == r"a\_b\xspace"
    assert escaped("50% < x^2") == r"50\% \textless{} x\textasciicircum{}2"
    with pytest.raises(WrongUse, match="not finite"):
        written(float("nan"), 3)


def test_names_are_checked():
    made = {"table": "results/README.md", "column": "-", "reduction": "-", "value": lambda: 1}
    with pytest.raises(WrongUse, match="letters only"):
        document([Macro(name="A1", **made)])
    with pytest.raises(WrongUse, match="defined twice"):
        document([Macro(name="A", **made), Macro(name="A", **made)])


def test_without_latexmk_the_packages_are_named(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert run("paper", COMMANDS, "", ["build"]) == 2
    assert build.PACKAGES in " ".join(capsys.readouterr().err.split())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the PDF, boxes in the place of figures and one derivation (`tests/theory/test_proofs.py` compiles them all)."""
    if shutil.which("latexmk") is None:
        pytest.skip("needs latexmk")
    out = tmp_path_factory.mktemp("paper")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "DERIVED", ("law-optimum",))
        assert build.build(figures=False, out=out).stat().st_size > 10_000
    return out


def test_the_text_compiles_and_nothing_is_undefined(made):
    log = (made / "main.log").read_text(errors="replace")
    assert "undefined" not in log
    worst = [float(width) for width in re.findall(r"Overfull \\hbox \((\d+\.\d+)pt too wide\)", log)]
    assert max(worst, default=0) < 30


def test_boxes_of_before_are_no_figures(made):
    """Figures that are missing are a failure, although there is a PDF of the same text."""
    with pytest.raises(Failed, match="overlay"):
        build.compile_text(made, figures=True)


@pytest.mark.parametrize("wrong", [r"\ref{sec:nowhere}", r"\citet{nobody}"])
def test_an_undefined_reference_is_a_failure(wrong, tmp_path, monkeypatch):
    if shutil.which("latexmk") is None:
        pytest.skip("needs latexmk")
    monkeypatch.setattr(build, "HERE", tmp_path)
    text = r"\documentclass{article}\usepackage{natbib}\begin{document}See " + wrong + r".\end{document}"
    (tmp_path / "main.tex").write_text(text)
    with pytest.raises(Failed, match=r"not defined.*(nowhere|nobody)"):
        build.compile_text(tmp_path, figures=True)
