"""What accelerate and torch do around the loop: several processes, sharded weights, compilation, trackers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.settings import WrongUse
from lm_experiments import checkpoints, models
from lm_experiments.outcomes import read_outcome
from tests.lm_experiments.shared import stage
from tests.lm_experiments.test_training import same
from tests.lm_experiments.tiny import SHAPE, lines, run

REPLICATED = """
import os
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from tests.lm_experiments.shared import stage
stage(Path(sys.argv[1]), 11)
stage(Path(sys.argv[1]))
torch.distributed.destroy_process_group()
os._exit(0)  # threads of gloo may abort the interpreter as it ends
"""


def by_two_processes(*command: object) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", "PYTHONPATH": str(Path.cwd())}
    launched = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *command]
    done = subprocess.run(list(map(str, launched)), env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A stage of one process that nobody stopped."""
    folder = tmp_path_factory.mktemp("alone")
    stage(folder)
    assert read_outcome(folder)[0].best_step == 18  # of 24, so that there are best weights to restore
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """What two processes did that shared the model: see there."""
    folder = tmp_path_factory.mktemp("shared")
    stage(folder / "more", 11)
    assert not (folder / "more" / "outcome.json").exists()
    by_two_processes("-m", "tests.lm_experiments.shared", folder)
    return folder


def agree(folder, alone):
    """Tolerance: sums over 2 + 2 windows instead of 4 round differently, and Adam amplifies it."""
    mine, theirs = lines(folder), lines(alone)
    assert [line["step"] for line in mine] == [line["step"] for line in theirs]
    for one, other in zip(mine, theirs, strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    (found, _), (wanted, _) = map(read_outcome, (folder, alone))
    assert found.losses == pytest.approx(wanted.losses, rel=1e-4)
    assert found.displacement == pytest.approx(wanted.displacement, rel=1e-3)
    return True


def test_two_processes_give_the_losses_of_one(tmp_path, alone):
    """gloo, replicated as in DDP, interrupted on the way. Dropout included: a mask belongs to a row of the whole batch."""
    path = tmp_path / "script.py"
    path.write_text(REPLICATED)
    by_two_processes(path, tmp_path / "two")
    assert agree(tmp_path / "two", alone)


def test_two_processes_that_share_the_model_go_on_again_and_again(shared, alone):
    """Asked to stop at the end of a pass over the data, interrupted within later ones, and best weights restored."""
    assert json.loads((shared / "seen.json").read_text())["asked"] == ["checkpoint-4", "checkpoint-5"]
    assert agree(shared / "again", alone)


def test_a_stage_goes_on_with_more_processes_or_fewer(shared, alone):
    """Begun by one process and ended by two that share the model, window by window, activations computed twice; and the other way round."""
    assert agree(shared / "more", alone)
    assert [path.name for path in sorted((shared / "fewer").glob("checkpoint-*"))] == ["checkpoint-4", "checkpoint-8"]
    stage(shared / "fewer")
    assert agree(shared / "fewer", alone)


def test_a_layer_is_a_unit_of_sharding_and_only_the_first_process_gathers(shared):
    seen = json.loads((shared / "seen.json").read_text())
    assert seen["units"] == ["", "model.model.layers.0", "model.model.layers.1"]
    assert seen["held"] == [len(checkpoints.weights(models.build(SHAPE, 0))), 0]


def test_a_shared_model_in_bf16_has_float32_where_it_should(shared, tmp_path):
    """Products are rounded as in one process, and nothing else is: in the first step, before the order of sums can tell."""
    first = {"fp32": 0.0, "bf16": 0.0}
    for precision in first:
        stage(tmp_path / precision, precision=precision, max_steps=3, log_every=1)
        first[precision] = lines(tmp_path / precision)[0]["loss"]
    assert lines(shared / "bf16")[0]["loss"] == pytest.approx(first["bf16"], rel=1e-6)
    assert first["fp32"] != pytest.approx(first["bf16"], rel=1e-5)


def test_what_needs_whole_weights_is_refused_where_they_are_shared(shared):
    rank, noise, batch = json.loads((shared / "seen.json").read_text())["refusals"]
    assert rank.startswith("rank = 2 needs whole weights")
    assert noise.startswith("damage = 0.1 needs whole weights")
    assert "--shard" in rank
    assert batch.startswith("batch = 3 cannot be shared by 2 processes")


def test_one_process_has_nothing_to_share(tmp_path, alone):
    stage(tmp_path, shard=True)
    assert same(tmp_path, alone)


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
