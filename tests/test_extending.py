"""`docs/extending.md` is followed to the letter, on a copy of the toolkit: its edits are made and its commands run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, re.MULTILINE))
EDIT = re.compile(r"^`([^`]+)`, (?:new|in place of `([^`]+)`):\n\n```python\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
ROOMS = ("common", "theory", "sims", "lm_experiments", "figures")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The rooms, in a folder from which Python imports them."""
    folder = tmp_path_factory.mktemp("toolkit")
    for room in (*ROOMS, "paper/published"):
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def follow(section, folder):
    """Make the edits of a section and run its commands; returns how many there were of each, and what was printed."""
    edits = EDIT.findall(section)
    assert len(edits) == section.count("```python"), "a block that no line introduces"
    for path, old, new in edits:
        file = folder / path
        if old:
            text = file.read_text()
            assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {path}"
            file.write_text(text.replace(old, new))
        else:
            assert not file.exists()
            file.write_text(new + "\n")
    said = []
    for command in re.findall(r"^    (python -.+)$", section, re.MULTILINE):
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    return said


def test_an_intervention_reaches_every_engine(copy):
    assert [float(said) for said in follow(SECTIONS["An intervention"], copy)] == [0.1, 0.1]
    code = (
        "from tests_contract import PROBLEM\nfrom common.recipe import Recipe, COLUMNS\nfrom lm_experiments.realise import realise\n"
        "assert 'decay_post' in COLUMNS\nrealise(Recipe(decay_post=0.1), PROBLEM)"
    )
    shutil.copy(ROOT / "tests" / "test_contract.py", copy / "tests_contract.py")
    refused = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True, text=True)
    assert "lm_experiments cannot realise decay_post = 0.1" in refused.stderr


def test_a_study_is_run_and_its_figure_drawn(copy):
    (said,) = follow(SECTIONS["A study"], copy)
    assert "gain in loss_ret" in said
    follow(SECTIONS["A figure"], copy)
    assert (copy / "out" / "figures" / "pace.png").exists()


def test_a_corpus_is_read(copy):
    (said,) = follow(SECTIONS["A corpus"], copy)
    assert "T:" in said


def test_a_model_is_solved(copy):
    solved, best = follow(SECTIONS["A pathway model"], copy)
    assert "rp-apart" in solved + best
