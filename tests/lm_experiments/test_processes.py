"""What accelerate and torch do around the loop: several processes, sharded weights, compilation, trackers."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from common.settings import WrongUse
from lm_experiments import models
from lm_experiments.dropout import everywhere
from tests.lm_experiments.tiny import SHAPE, lines, run

WATCHED = {"stop_on": "stop", "eval_every": 6, "patience": 3, "dropout": everywhere(0.1)}

REPLICATED = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.lm_experiments.test_processes import WATCHED
from tests.lm_experiments.tiny import run
run(Path(sys.argv[1]), **WATCHED)
torch.distributed.destroy_process_group()  # or its threads may abort the interpreter as it ends
"""

SHARDED = """
import sys
from pathlib import Path
import accelerate, torch
from accelerate.optimizer import AcceleratedOptimizer
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from lm_experiments.processes import optimizer_of
from tests.lm_experiments.test_processes import WATCHED
from tests.lm_experiments.tiny import Plain, run, settings
torch.set_num_threads(1)

def prepare(self, module, optimizer):
    mesh = init_device_mesh("cpu", (2,))
    for layer in module.model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    self._models.append(module)
    return module, AcceleratedOptimizer(optimizer_of(module, settings()))

accelerate.Accelerator.prepare = prepare

class Interrupted(Plain):
    def batch(self, step):
        if step == 14:
            raise KeyboardInterrupt
        return super().batch(step)

try:
    run(Path(sys.argv[1]), Interrupted(), **WATCHED)
except KeyboardInterrupt:
    run(Path(sys.argv[1]), **WATCHED)
torch.distributed.destroy_process_group()
"""


def by_two_processes(script: str, folder: Path) -> None:
    path = folder.with_suffix(".py")
    path.write_text(script)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", path, folder]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", [REPLICATED, SHARDED], ids=["replicated", "sharded"])
def test_two_processes_give_the_losses_of_one(tmp_path, script):
    """gloo; replicated as in DDP, and with weights and moments sharded as FSDP does, interrupted on the way.

    Dropout included: a mask belongs to a row of the whole batch. accelerate shards on accelerators only, so the test does that in its
    place; gathering, clipping, checkpoints and the restored best weights are ours. Tolerance: sums over 2 + 2 windows instead of 4 round
    differently, and Adam amplifies it.
    """
    by_two_processes(script, tmp_path / "two")
    one = run(tmp_path / "one", **WATCHED)
    found, alone = lines(tmp_path / "two"), lines(tmp_path / "one")
    assert [line["step"] for line in found] == [line["step"] for line in alone]
    for mine, theirs in zip(found, alone, strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    assert json.loads((tmp_path / "two" / "outcome.json").read_text())["losses"] == pytest.approx(one.losses, rel=1e-4)


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++"))), reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # torch about itself
def test_a_compiled_model_trains_to_the_same_losses(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    shape = replace(SHAPE, layers=1)  # compiling takes most of the time
    run(tmp_path / "compiled", model=models.build(shape, 0), compile=True)
    run(tmp_path / "plain", model=models.build(shape, 0))
    assert any((tmp_path / "cache").rglob("*.cpp"))
    for compiled, plain in zip(lines(tmp_path / "compiled"), lines(tmp_path / "plain"), strict=True):
        assert compiled == pytest.approx(plain, rel=1e-4)


def test_tensorboard_shows_what_the_log_says(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path, trackers=("tensorboard",))
    events = EventAccumulator(str(next(tmp_path.rglob("events.out.*")).parent)).Reload()
    shown = {event.step: event.value for event in events.Scalars("loss")}
    assert shown == pytest.approx({line["step"]: line["loss"] for line in lines(tmp_path)})
    assert {"lr", "grad_norm", "tokens_per_second"} <= set(events.Tags()["scalars"])


@pytest.mark.parametrize("tracker", ["wandb", "trackio"])
def test_an_absent_tracker_is_named(tmp_path, monkeypatch, tracker):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(WrongUse, match=f"pip install {tracker}"):
        run(tmp_path, trackers=(tracker,))
