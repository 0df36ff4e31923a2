"""Many runs: shapes, refusals, what diverges and how that is said, and studies that are interrupted."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import sims.run
import sims.study
from common import results, rows
from common.curves import by_seed
from common.results import column
from common.settings import WrongUse
from sims import Setup, simulate
from sims.cases import Case
from sims.networks import start_adapter
from sims.run import LANES, ahead, report_diverged
from sims.study import Study, run_study
from theory import predict

SHORT = Setup(steps=(60, 40, 30))
TIMES = {"t_pre": 4.0, "t_post": 2.0, "t_ft": 1.5, "init_scale": 0.3}


def test_settings_broadcast_as_in_the_theory():
    values = TIMES | {"alpha": np.array([[0.0], [0.3]]), "seed": np.arange(3)}
    made = simulate(SHORT, values)
    assert made.losses.loss_ret.shape == made.converged.shape == (2, 3)
    assert made.rates.shape == (3, 2, 3)
    one = simulate(SHORT, TIMES | {"alpha": 0.3, "seed": 2})
    assert one.losses.loss_im.shape == ()
    assert one.losses.loss_im == made.losses.loss_im[1, 2]
    expected = predict({name: value for name, value in values.items() if name != "seed"})
    np.testing.assert_allclose(made.losses.loss_ret[:, 0], expected.loss_ret.ravel(), atol=0.2)


def test_losses_along_stage_three_are_those_of_shorter_stages():
    """Halves of 30 steps at the same learning rate, to the bit."""
    several = simulate(Setup(steps=(60, 40, 30), observe=(0.5, 1.0)), TIMES)
    early = simulate(Setup(steps=(60, 40, 15)), TIMES | {"t_ft": 0.75})
    np.testing.assert_array_equal([loss[0] for loss in several.losses], np.array(early.losses))
    np.testing.assert_array_equal([loss[1] for loss in several.losses], np.array(simulate(SHORT, TIMES).losses))


def test_progress_counts_every_run_once():
    heard = []
    simulate(SHORT, TIMES | {"alpha": np.linspace(0, 0.4, 2 * LANES + 3)}, progress=heard.append)
    assert heard == [LANES, LANES, 3]


def test_blocks_are_computed_only_a_little_ahead():
    """So that an interrupted call does not go on for all its blocks."""
    done = []
    stream = ahead(lambda item: done.append(item) or item, range(1000), 2)
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    stream.close()
    assert len(done) <= 3 + 2 * sims.run.AHEAD


@pytest.mark.parametrize(
    ("fields", "values", "says"),
    [
        ({}, {"gamma": 1.0}, "gamma"),
        ({}, {"width": 3.0}, "Setup"),
        ({}, {"alpha": 1.5}, "alpha = 1.5"),
        ({}, {"alpha": np.array([0.1, np.nan])}, "not finite"),
        ({}, {"alpha": np.empty(0)}, "empty"),
        ({}, {"dropout": 0.2}, "dropout_masks"),
        ({}, {"stop_at": 0.2}, "early_stopping"),
        ({}, {"label_noise": 0.2}, "batch or samples"),
        ({"depth": 3}, {"imbalance": 0.2}, "imbalance"),
        ({"placement": "late"}, {"alpha": 0.6}, "window"),
        ({}, {"seed": 0.5}, "whole numbers"),
        ({}, {"seed": np.array([1, 2**32])}, "seed"),
        ({}, {"adapter_scale": 0.2}, "rank"),
        ({"problem": "pathways"}, {"rotation": 0.2}, "blocks"),
        ({"pieces": ((1.0, 0.1),)}, {"alpha": np.array([0.2, 0.3])}, r"alpha = 0\.3 .*pieces"),
        ({"pieces": ((1.0, 0.1),)}, {"window": 0.3}, "pieces"),
        ({}, {"window": np.array([0.5, 0.3])}, r"window = 0\.3 .*early, late or anneal"),
        ({"record": 100}, {"alpha": np.linspace(0, 1, 300_000)}, "GB"),
    ],
)
def test_wrong_settings_are_refused(fields, values, says):
    with pytest.raises(WrongUse, match=says):
        simulate(Setup(steps=(200, 100, 100), **fields), values)


@pytest.mark.parametrize(
    "fields",
    [
        {"activation": "relu"},
        {"activation": "relu", "init": "random", "depth": 3},
        {"activation": "tanh", "init": "random", "rank": 7},
        {"width": 4},
        {"basis": "equal", "width": 6},
        {"dropout_masks": "expected", "depth": 3},
        {"problem": "pathways", "units": "separate", "width": 3},
        {"observe": (0.5,)},
        {"observe": (0.5, 0.4, 1.0)},
        {"steps": (0, 1, 1)},
        {"steps": (5, -5, 5)},
        {"steps": (True, 5, 5)},
        {"n": 3, "rank": 4},
        {"problem": "pathways", "rank": 2},
        {"rank": 1, "dropout_masks": "expected"},
        {"steps": (5, 5, 1), "observe": (0.5, 1.0)},
        {"n": 3, "k": 2},
        {"pieces": ((0.5, 0.1),)},
    ],
)
def test_impossible_setups_are_refused(fields):
    with pytest.raises(WrongUse):
        Setup(**fields)


def test_what_breaks_the_bound_is_left_out_and_said():
    """c s = 2: eta .249 converges and .251 ends in a cycle (docs/theory.md, section 1.2: 1/(2 c s)); both beside a run that explodes."""
    setup = Setup(steps=(200, 200, 800))
    values = {"sigma_inv": 2.0, "init_scale": 0.3, "t_pre": 1.0, "t_post": 0.5}
    made = simulate(setup, values | {"t_ft": np.array([0.249, 0.251, 2.0]) * 800})
    assert made.converged.tolist() == [True, False, False]
    np.testing.assert_allclose(made.bounds[2], 0.25, rtol=1e-12)
    assert made.losses.loss_ft[0] < 1e-12
    assert 1e-4 < made.losses.loss_ft[1] < 1.0  # finite: only the bound tells
    assert not np.isfinite(made.losses.loss_ft[2])
    said = report_diverged(made, setup)
    for part in ("2 of 3", "t_ft", "0.251", "0.25", "804 steps"):
        assert part in said
    assert report_diverged(simulate(setup, values), setup) is None
    needed = simulate(Setup(steps=(200, 200, 804)), values | {"t_ft": 0.251 * 800})
    assert needed.converged


SLOW = {"t_pre": 1.0, "t_post": 0.1, "t_ft": 0.1}


@pytest.mark.parametrize(
    ("fields", "values", "says"),
    [
        ({}, {"t_ft": 400.0}, ("t_ft", "gradient descent is stable only below 1/(2 c s) = 0.167")),
        ({"depth": 3}, {"t_ft": 400.0}, ("gradient descent is stable only below 1/(3 c s^(2 - 2/3)) =",)),
        ({"optimiser": "momentum"}, {"t_ft": 400.0}, ("descent with momentum is stable only below 1.9/(2 c s) = 0.317",)),
        ({"rank": 1, "depth": 3}, {"t_post": 400.0}, ("t_post", "below 1/(2 c s) =", "with s what the frozen weights leave")),
        ({"optimiser": "adam"}, {"t_post": 1e200}, ("5e+197 in t_post", "No closed bound", "for Adam", "Use more steps")),
        ({"activation": "relu", "init": "random"}, {"t_post": 1e4}, ("50 in t_post", "known for relu networks", "more steps")),
        ({"activation": "tanh", "init": "random", "optimiser": "momentum"}, {"t_ft": 1e200}, ("known for tanh networks",)),
    ],
)  # fmt: skip
def test_what_diverged_is_said_of_the_optimiser_and_the_network(fields, values, says):
    """The bound where there is one, with its own factor; where there is none, that none is known, and what to do."""
    setup = Setup(steps=(200, 200, 200), **fields)
    said = report_diverged(simulate(setup, SLOW | values), setup)
    for part in says:
        assert part in said
    assert ("only below" in said) != ("No closed bound" in said)
    assert "every bound known" not in said


def test_a_run_that_explodes_below_known_bounds_is_not_said_to_lack_one():
    """Fine-tuning towards 0 has no bound of its own, and a step that is far too long for where it starts."""
    setup = Setup(problem="pathways", units="separate", width=2, steps=(400, 200, 10))
    made = simulate(setup, {"sigma_ft": 0.0, "t_pre": 30.0, "t_post": 2.0, "t_ft": 100.0})
    said = report_diverged(made, setup)
    assert "below the bounds" in said
    assert "No closed bound" not in said
    assert "Use more steps" in said


@pytest.mark.parametrize(
    ("fields", "values", "stage", "expected"),
    [
        ({"depth": 3}, {}, 2, 1 / (3 * 3.0 * 3.0 ** (1 / 3))),
        ({}, {"l2_to_start": 0.5}, 1, 1 / (2 * 4.5)),
        ({"placement": "late"}, {"alpha": 0.4, "beta": 5.0, "window": 0.5}, 0, 1 / (2 * 0.8 * 5.0)),
        ({"rank": 1}, {"t_pre": 40.0, "alpha": 0.0}, 1, 1 / (2 * 1.0)),
        ({"optimiser": "adam"}, {}, 0, np.inf),
        ({"optimiser": "momentum"}, {"sigma_inv": 3.0}, 2, 1.9 / (2 * 3.0)),
        ({}, {"sigma_inv": 3.0, "decay_ft": 0.5}, 2, 1 / (2 * 3.0)),
    ],
)
def test_bounds_follow_the_steepest_mode(fields, values, stage, expected):
    """Depth, the pull to the start, the steepest piece of stage 1, and what an adapter has left to learn."""
    made = simulate(Setup(steps=(3000, 20, 20), **fields), {"t_post": 0.1, "t_ft": 0.1, **values})
    np.testing.assert_allclose(made.bounds[stage], expected, rtol=1e-3)


def test_the_bound_with_momentum_is_where_runs_stop_converging():
    """From near the solution."""
    setup = Setup(k=0, steps=(400, 200, 4000), observe=(0.5, 1.0), optimiser="momentum")
    values = {"sigma_inv": 2.0, "init_scale": 0.3, "t_pre": 0.5, "t_post": 0.1}
    limit = simulate(setup, values).bounds[2]
    half, end = simulate(setup, values | {"t_ft": limit * np.array([0.98, 1.02]) * 4000}).losses.loss_ft
    assert abs(end[0] - half[0]) < 1e-9
    assert end[0] == pytest.approx(0.0, abs=1e-9)
    assert not abs(end[1]) < 1e-6


def test_an_adapter_starts_along_an_input_where_the_features_have_no_direction():
    """chi = 1: both features of D_post are one, and its factor maps a direction to zero."""
    setup = Setup(problem="pathways", width=2, rank=1)
    inner, outer = start_adapter(setup, {"adapter_scale": 0.1}, np.zeros((1, 2)), np.zeros((2, 2)), None)
    np.testing.assert_allclose(inner, [[0.1, 0.0]])
    np.testing.assert_array_equal(outer, 0.0)


def cases():
    """Three cases, the last with a run that diverges."""
    alphas = {"alpha": np.linspace(0, 0.4, 5), "seed": np.arange(5)}
    longest = {"t_ft": np.array([0.5, 1.0, 1.5, 2.0, 30.0])}
    return [
        Case("plain", SHORT, TIMES | alphas, {"method": "first"}),
        Case("plain", SHORT, TIMES | alphas | {"beta": 0.5}, {"method": "second"}),
        Case("plain", SHORT, TIMES | alphas | longest, {"method": "third"}),
    ]


STUDY = Study("trial", "a trial", cases, lambda table: [])


def same_tables(first, second):
    names = [name for name in first.column_names if name != "wall_seconds"]
    return first.select(names).equals(second.select(names))


def test_an_interrupted_study_goes_on_where_it_was(tmp_path, monkeypatch):
    whole = run_study(STUDY, tmp_path / "whole")
    assert whole.rows == 14
    assert len(whole.diverged) == 1
    assert "1 of 5" in whole.diverged[0]
    ran, simulate_all = [], sims.study.simulate

    def counted(setup, values, **more):
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(values)
        return simulate_all(setup, values, **more)

    monkeypatch.setattr(sims.study, "simulate", counted)
    with pytest.raises(KeyboardInterrupt):
        run_study(STUDY, tmp_path / "cut")
    assert not (tmp_path / "cut" / "trial.parquet").exists()
    ran.clear()
    heard = []
    again = run_study(STUDY, tmp_path / "cut", progress=heard.append)
    assert len(ran) == 1
    assert sum(heard) == 15
    assert again.diverged == whole.diverged
    assert same_tables(results.read(again.table), results.read(whole.table))
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {"trial.parquet", "trial.json"}
    assert json.loads((tmp_path / "cut" / "trial.json").read_text())["diverged"] == whole.diverged


KILLED = """
import os, signal, sys
from pathlib import Path
from sims.study import run_study
from tests.sims.test_run import STUDY
count = 0
def progress(runs):
    global count
    count += runs
    if count > 10:
        os.kill(os.getpid(), signal.SIGKILL)
run_study(STUDY, Path(sys.argv[1]), progress=progress)
"""


def test_a_killed_study_goes_on_where_it_was(tmp_path, monkeypatch):
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "cut")], env=os.environ | {"PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL
    whole = run_study(STUDY, tmp_path / "whole")
    ran, simulate_all = [], sims.study.simulate
    monkeypatch.setattr(sims.study, "simulate", lambda *args, **more: ran.append(1) or simulate_all(*args, **more))
    again = run_study(STUDY, tmp_path / "cut")
    assert len(ran) == 1
    assert same_tables(results.read(again.table), results.read(whole.table))


def test_rows_hold_the_settings_of_the_runs_that_are_left(tmp_path):
    table = results.read(run_study(STUDY, tmp_path).table)
    third = column(table, "method") == "third"
    np.testing.assert_array_equal(column(table, "t_ft")[third], [0.5, 1.0, 1.5, 2.0])
    np.testing.assert_array_equal(column(table, "seed")[third], [0, 1, 2, 3])
    assert set(table["engine"].to_pylist()) == {"sims"}


def test_a_judge_that_fails_loses_no_table(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run_study(Study("trial", "", cases, lambda table: [1 / 0]), tmp_path)
    assert results.read(tmp_path / "trial.parquet").num_rows == 14


def test_seeds_that_miss_a_value_are_left_out():
    """Seed 1 has no run at 0.2; without seed 0 nothing is whole, and that is said."""
    seeds, at = np.array([1, 0, 0]), np.array([0.1, 0.2, 0.1])
    table = results.table(
        rows.columns(
            {"alpha": at},
            [np.array([5.0, 2.0, 1.0])] * 4,
            study="x",
            config_hash="x",
            engine="sims",
            model="plain",
            seed=seeds,
        )
    )
    points, values = by_seed(table, seeds < 2, "alpha", "loss_ret")
    np.testing.assert_array_equal(points, [0.1, 0.2])
    np.testing.assert_array_equal(values, [[1.0, 2.0]])
    with pytest.raises(WrongUse, match="alpha"):
        by_seed(table, (seeds == 1) | (at == 0.2), "alpha", "loss_ret")


def test_a_study_of_which_nothing_is_left_is_refused(tmp_path):
    """And one case without a run that converged does no harm to the others."""
    lost = Case("plain", SHORT, TIMES | {"t_pre": [60.0, 70.0]})
    with pytest.raises(WrongUse, match="2 of 2 runs"):
        run_study(Study("lost", "", lambda: [lost], lambda table: []), tmp_path)
    done = run_study(Study("half", "", lambda: [lost, cases()[0]], lambda table: []), tmp_path)
    assert done.rows == 5
    assert len(done.diverged) == 1


def test_many_blocks_on_several_threads_come_to_an_end() -> None:
    """Two programs with decompositions at once waited for one another for ever, once in some hundred calls; a child can be given up."""
    program = """
import numpy as np
from sims import Setup, simulate
for _ in range(150):
    simulate(Setup(steps=(2, 2, 2), placement="anneal"), {"seed": np.arange(160)}, workers=4)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=150)
