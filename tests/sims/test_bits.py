"""A run gives the same bits wherever it is computed: singly, among others, in another process."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from sims import Setup, simulate
from sims.run import complete
from sims.vectors import as_rows
from tests.sims.test_engine import TIMES_HERE

KINDS = {
    "plain": {},
    "recorded": {"record": 3, "observe": (0.3, 1.0)},
    "placed": {"placement": "anneal"},
    "deep": {"depth": 3, "init": "random"},
    "batches of a sample": {"batch": 4, "samples": 20},
    "sampled masks": {"dropout_masks": "sampled"},
    "expected masks": {"dropout_masks": "expected", "basis": "equal", "width": 8},
    "adapter": {"rank": 2},
    "stopping": {"early_stopping": True},
    "given vectors": {"given_vectors": as_rows(np.eye(6)[::-1], -np.eye(6)), "init": "identity"},
    "adapted tanh": {"activation": "tanh", "init": "random", "width": 4, "population": 10, "rank": 2, "batch": 4},
    "relu": {"activation": "relu", "init": "random", "population": 20, "optimiser": "adam"},
    "pathways": {"problem": "pathways", "units": "separate", "width": 2, "samples": 12},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_gives_the_same_bits_wherever_it_is_computed(kind):
    """40 runs at once, singly, in reverse order, and among neighbours that are rotated, decayed, pulled and dropped."""
    setup = Setup(steps=(12, 10, 9), **KINDS[kind])
    values = {**{name: 0.05 * time for name, time in TIMES_HERE.items() if name != "init_scale"}, "init_scale": 0.4}
    runs = {"alpha": np.linspace(0, 0.25, 40), "seed": np.arange(40)}
    if setup.early_stopping:
        runs["stop_at"] = np.linspace(1, 40, 40)
    whole = simulate(setup, values | runs)

    def same(other, index):
        for got, expected in zip(jax.tree.leaves(other), jax.tree.leaves(whole), strict=True):
            np.testing.assert_array_equal(got, np.asarray(expected)[..., index])

    same(simulate(setup, values | {name: value[::-1] for name, value in runs.items()}, workers=1), np.arange(40)[::-1])
    for index in (0, 17, 39):
        same(simulate(setup, values | {name: value[index] for name, value in runs.items()}), index)
    odd = {"l2_to_start": 2.0, "decay_pre": 0.3, "decay_ft": 0.2, "t_ft": 300.0, "correlation": 0.5}
    odd |= {} if setup.problem == "pathways" else {"rotation": 0.7}
    odd |= {"dropout": 0.5} if setup.dropout_masks != "off" else {}
    odd |= {"label_noise": 1.0} if setup.batch or setup.samples else {}
    own = complete(setup, values)
    chosen = [17, 3, 39]
    among = {name: np.insert(value[chosen], [0, 1, 2, 3], value[5]) for name, value in runs.items()}
    for name, strange in odd.items():
        usual = values.get(name, own[name])
        among[name] = np.array([strange, usual, strange, usual, strange, usual, strange])
    mixed = simulate(setup, values | among)
    for got, expected in zip(jax.tree.leaves(mixed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(got[..., [1, 3, 5]], np.asarray(expected)[..., chosen])


ELSEWHERE = """
import numpy as np
from sims import Setup, simulate
setup = Setup(steps=(12, 10, 9), batch=4, samples=20)
values = {"t_pre": 0.2, "t_post": 0.1, "t_ft": 0.1, "init_scale": 0.4, "alpha": np.linspace(0, 0.4, 3), "seed": [4, 5, 6]}
losses = np.array(simulate(setup, values, workers=1).losses)
"""


def test_another_process_gives_the_same_bits():
    """Without the type checker of the tests, with another number of threads, and compiled anew."""
    alone = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    code = ELSEWHERE + "print(losses.tobytes().hex())"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=alone)
    here = {}
    exec(ELSEWHERE, here)
    assert made.stdout.strip() == here["losses"].tobytes().hex()
