"""Stages as jobs of a real Slurm on this machine: dependencies, a failed parent, a killed driver, two drivers, a pre-empted job."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lm_experiments import journal
from lm_experiments.stages import ensure, folder_of
from tests.lm_experiments import slurm_local
from tests.lm_experiments.slurm_driver import graph, stores

LACKING = slurm_local.missing() or (
    "" if "EARLY_EXPOSURE_SLURM" in os.environ else "set EARLY_EXPOSURE_SLURM=1: it takes minutes"
)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def slurm(tmp_path):
    with slurm_local.cluster(tmp_path / "slurm") as environment:
        yield environment


def until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.1)
    return found


def test_twelve_stages_outlive_their_driver_and_a_preemption(slurm, tmp_path):
    root = tmp_path / "runs"
    root.mkdir()
    leaves, slow, bad = graph()
    every = {one.hash: one for node in leaves for one in node.lineage}
    assert len(every) == 12

    def tell(command):
        return subprocess.run(command, env=slurm, capture_output=True, text=True, timeout=60, shell=True).stdout

    def drive():
        command = [sys.executable, "-m", "tests.lm_experiments.slurm_driver", str(root)]
        return subprocess.Popen(
            command, env=slurm, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    driver = drive()
    until(lambda: len(list((root / ".jobs").glob("*.json"))) == 12, 120, "twelve jobs")
    driver.kill()
    driver.communicate()
    jobs = {name: json.loads((root / ".jobs" / f"{name}.json").read_text())["job"] for name in every}

    whole = tmp_path / "whole"  # the same stages in this process, meanwhile
    whole.mkdir()
    good = [node for node in leaves if bad not in node.lineage]
    for node in good:
        ensure(node, whole, stores(), lambda _: None)

    until(lambda: "step" in journal.look(root, slow.hash).about, 180, "the slow stage runs")
    tell("sbatch -p high -n 4 -o /dev/null --wrap 'sleep 0.5'")
    until(lambda: (folder_of(slow, root) / "requeued.json").exists(), 60, "the slow stage is put back")

    drivers = [drive(), drive()]
    told = [json.loads(driver.communicate(timeout=240)[0]) for driver in drivers]
    assert told[0] == told[1]
    done = {one.hash for node in good for one in node.lineage}
    assert set(told[0]["done"]) == done
    assert "unreadable" in told[0]["failed"][bad.hash]
    for node in leaves:
        if bad in node.lineage:
            seen = journal.look(root, node.hash)
            assert seen.state == "failed"
            assert "unreadable" in seen.about
            assert bad.hash in seen.about
    for name in done:
        for file in ("model.safetensors", "metrics.jsonl", "ledger.json"):
            assert (root / name / file).read_bytes() == (whole / name / file).read_bytes(), (name, file)
    assert "Restarts=1" in tell(f"scontrol show job {jobs[slow.hash]}")
    now = {name: json.loads((root / ".jobs" / f"{name}.json").read_text())["job"] for name in done}
    assert now == {name: jobs[name] for name in done}  # nothing that ends well was submitted twice
