"""The wheel works outside the checkout: its data travel with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from figures.make import PICTURES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with nothing but the installed wheel; built and installed without a network."""
    built, target = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = built.glob("*.whl")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return target


def call(installed, folder, *words):
    """Run Python in a folder with the installed packages before any others; returns its standard output."""
    paths = [str(installed), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_numbers_results_and_types_travel(installed, tmp_path):
    code = (
        "import common.published as p, figures.make as m; print(p.FOLDER, p.load(3).num_rows, "
        "[x.path for y in m.PICTURES.values() for x in y.measured if not x.file.exists()])"
    )
    folder, count, missing = call(installed, tmp_path, "-c", code).split(maxsplit=2)
    assert Path(folder).is_relative_to(installed)
    here = [one.path for shown in PICTURES.values() for one in shown.measured if not one.file.exists()]
    assert (count, missing.strip()) == ("30", str(here)), "what is measured travels"
    for room in ("common", "theory", "sims", "lm_experiments", "figures"):
        assert (installed / room / "py.typed").exists()


def test_commands_run_in_an_empty_folder(installed, tmp_path):
    assert "--spectrum" in call(installed, tmp_path, "-m", "theory", "fit", "--help")
    assert "published_figure03.png" in call(
        installed, tmp_path, "-m", "figures", "make", "published_figure03", "fits", "--formats", "png", "--workers", "1"
    )
    assert "C8" in call(installed, tmp_path, "-m", "lm_experiments", "verdicts")
    assert sorted(path.name for path in (tmp_path / "out/figures").iterdir()) == ["fits.png", "published_figure03.png"]
