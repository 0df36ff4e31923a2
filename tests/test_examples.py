"""The pages of `examples/` run as scripts, in an empty folder, and say what their text says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SAID = {
    "three_engines": ("0.40 passes over D_post", "0.60 passes over D_post", "loss_ret is lowest at lambda = 0"),
    "own_table": ("best lambda", "nats rms", "undecided", "from the published study: "),
    "new_intervention": ("all converged: True", "closed form: +"),
}
"""Page -> what is printed."""


def test_every_page_is_tried():
    assert sorted(path.stem for path in (ROOT / "examples").iterdir() if path.suffix == ".py") == sorted(SAID)


@pytest.mark.parametrize("name", SAID)
def test_a_page_runs(name, tmp_path):
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", str(ROOT / "examples" / f"{name}.py")],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for said in SAID[name]:
        assert said in done.stdout
    assert not list(tmp_path.iterdir())
    if name == "three_engines":  # the closed form and the finer network agree
        assert float(re.search(r"closed form: ([\d.]+)", done.stdout)[1]) < 0.02


@pytest.mark.parametrize("name", SAID)
def test_a_page_is_cells(name):
    """As notebooks have them: a title first, text as comments, code between."""
    text = (ROOT / "examples" / f"{name}.py").read_text()
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    assert cells[0].startswith(" [markdown]\n# # ")
    for cell in cells:
        head, *body = cell.split("\n")
        assert head in (" [markdown]", "")
        if head:
            assert all(line.startswith("#") or not line for line in body), body


def test_the_workflow_runs_what_a_change_must_pass():
    text = (ROOT / ".github/workflows/check.yml").read_text()
    assert "- run: .ci/run\n" in text
    assert os.access(ROOT / ".ci/run", os.X_OK)
    from paper.build import PACKAGES

    assert PACKAGES in text


@pytest.mark.parametrize("page", ["CHANGELOG.md", "CONTRIBUTING.md"])
def test_pages_name_what_exists(page):
    text = (ROOT / page).read_text()
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for errand in re.findall(r"(?:`| {4})make (\w+)", text):
        assert re.search(rf"^{errand}:", makefile, re.MULTILINE), errand
    said = [pair for pair in re.findall(r"python -m (\w+) ([a-z]+)", text) if pair[0] != "pytest"]
    assert said
    for room, command in said:
        sources = [path for path in (ROOT / room).glob("commands*") if path.suffix == ".py"] or [
            ROOT / room / "commands/__init__.py"
        ]
        study = ROOT / room / "studies" / f"{command}.py"
        assert study.exists() or f'"{command}": ' in sources[0].read_text(), f"{room} {command}"
