"""The PDF: figures and appendix made anew, then latexmk; a reference that nothing defines is a failure."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from common.console import Failed
from common.files import atomic_write, folder
from common.settings import WrongUse
from paper.macros import escaped

HERE = Path(__file__).resolve().parent
OUT = HERE.parent / "out" / "paper"
FIGURES = (
    "overlay",
    "law_optimum",
    "simulated_latent",
    "simulated_optimum",
    "simulated_redundant_features",
    "controls",
)
"""Those of the text; `python -m figures make` draws them."""
DERIVED = ("exposure-law", "no-latent", "order", "theorem-5-3", "law-optimum", "law-derived")
"""Results whose derivations stand in the appendix; `python -m theory prove --latex` prints all."""
PACKAGES = "latexmk texlive-latex-recommended texlive-latex-extra texlive-fonts-recommended"
UNDEFINED = re.compile(
    r"^(?:LaTeX|Package natbib) Warning: ((?:Reference|Citation) `[^']+'[^.]*undefined)", re.MULTILINE
)


def build(*, figures: bool = True, out: Path = OUT, done: Callable[[int], None] = lambda count: None) -> Path:
    """Make `main.pdf`, with everything that it includes.

    Args:
        figures: whether figures are drawn; without, boxes of their size stand in their place.
        out: the folder; `main.tex` finds figures and appendix there.
        done: called with 1 after each of the three steps.

    Raises:
        WrongUse: there is no latexmk.
        Failed: LaTeX failed, or something is referred to that is not defined.
    """
    if shutil.which("latexmk") is None:
        raise WrongUse(
            f"The PDF needs latexmk, which is not installed here. On Debian or Ubuntu: `apt-get install {PACKAGES}`. "
            "Without it, docs/theory.md and docs/claims.md say the same, and `make figures` draws the pictures."
        )
    folder(out)
    appendix(out)
    done(1)
    if figures:
        draw(out)
    done(1)
    compile_text(out, figures)
    done(1)
    return out / "main.pdf"


def appendix(out: Path) -> None:
    """`derivations.tex` and `errata.tex`, of what the theory proves and refutes now."""
    from theory.errata import ERRATA
    from theory.proofs import prove
    from theory.proofs.rendering import latex

    rows = []
    for one in ERRATA.values():
        cells = map(escaped, (one.where, one.printed, one.holds, shortened(one.status)))
        rows.append(" & ".join((rf"\texttt{{{escaped(one.name)}}}", *cells)))
    texts = {
        "derivations": "\n".join(latex(prove(name)) for name in DERIVED),
        "errata": " \\\\\n".join(rows) + " \\\\\n",
    }
    for name, text in texts.items():
        with atomic_write(out / f"{name}.tex") as temporary:
            temporary.write_text(text)


def shortened(status: str) -> str:
    """An erratum's status for a narrow column."""
    return status.replace("false as printed; repaired:", "false;")


def draw(out: Path) -> None:
    """The figures as PDF, from stored tables and those of quick theory studies, which are made first."""
    from figures.make import PICTURES

    studies = sorted({table for name in FIGURES for table in PICTURES[name].tables})
    commands = ([["theory", "study", *studies]] if studies else []) + [
        ["figures", "make", *FIGURES, "--formats", "pdf", "--workers", "1", "--out", str(out / "figures")]
    ]
    for command in commands:
        _call([sys.executable, "-m", *command], HERE.parent, f"`python -m {' '.join(command)}`")


def compile_text(out: Path, figures: bool) -> None:
    """Run latexmk and read its log. Raises `Failed`."""
    before = rf"\def\made{{{out.as_posix()}}}" + ("" if figures else r"\PassOptionsToPackage{demo}{graphicx}")
    # -g: a PDF of before, with boxes in the place of figures, is not up to date
    command = ["latexmk", "-g", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-outdir={out}"]
    command += [f"-usepretex={before}", "main.tex"]
    _call(command, HERE, "latexmk", out / "main.log")
    log = (out / "main.log").read_text(errors="replace")
    if missing := sorted(set(UNDEFINED.findall(log))):
        raise Failed(f"The text refers to what is not defined: {'; '.join(missing)}.")


def _call(command: list[str], place: Path, name: str, log: Path | None = None) -> None:
    heard = subprocess.run(command, cwd=place, capture_output=True, text=True, errors="replace")
    if heard.returncode:
        said = log.read_text(errors="replace") if log and log.exists() else heard.stderr
        wrong = [line for line in said.splitlines() if line.startswith(("!", "l.", "error"))] or said.splitlines()[-8:]
        raise Failed(f"{name} failed: {' '.join(wrong)[:1200]}")
