"""The checks of `verify` pass on the simulation, and fail on one that converges to something else, or too slowly."""

import numpy as np
import pytest

from common import results
from common.losses import LOSSES
from sims import Setup, simulate
from sims.studies import verify
from sims.study import run_study


def synthetic(error):
    """The checks on a table of all ways whose losses are off by `error(rate)`, by name."""
    count = len(verify.WAYS)
    gaps = np.repeat([error(1.0), error(0.5), error(0.25)], 4) * np.tile([1, 0.3, -1, 0.1], 3)
    table = results.table(
        {
            "engine": "sims",
            "study": "verify",
            "config_hash": "0",
            "code_version": "0",
            "method": np.repeat(list(verify.WAYS), 12),
            "sims.rate": np.tile(np.repeat([1.0, 0.5, 0.25], 4), count),
            **{loss: np.tile(1 + gaps, count) for loss in LOSSES},
            **{f"sims.{side}_{loss}": np.ones(12 * count) for loss in LOSSES for side in ("theory", "map")},
        }
    )
    return {check.name: check for check in verify.checks(table)}


@pytest.fixture
def only(monkeypatch):
    """Restricts the study to some ways."""

    def restrict(*names):
        monkeypatch.setattr(verify, "WAYS", {name: verify.WAYS[name] for name in names})

    return restrict


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (lambda rate: 0.02 * rate, True),
        (lambda rate: 0.02 * rate + 0.001 * rate**2, True),
        (lambda rate: 0.02 * rate + 0.01, False),  # something is left in the limit
        (lambda rate: 0.02 * rate**0.5, False),
        (lambda rate: 0.02 * rate**2, False),
    ],
)
def test_first_order_is_asked_for(only, error, passes):
    only("plain")
    made = synthetic(error)
    assert made["plain"].passed == passes
    assert not made[verify.MAP].passed  # that one must agree to rounding


def test_drawn_masks_may_scatter_with_the_root_of_the_step(only):
    only("plain", verify.NOISY)
    assert synthetic(lambda rate: 0.02 * rate**0.5)[verify.NOISY].passed
    assert not synthetic(lambda rate: 0.02)[verify.NOISY].passed


def test_the_study_passes_on_a_few_ways(tmp_path, only):
    """Those that share one machine program; the error table has a row for each and every number of steps."""
    only("plain", "unbalanced", "weight decay", "l2 to start", "leakage")
    done = run_study(verify.VERIFY, tmp_path)
    assert done.verdicts == []
    assert not done.diverged
    assert [check.name for check in done.report.checks if not check.passed] == []
    assert len(done.report.rows) == 6 * len(verify.REFINED)
    assert '"checks"' in (tmp_path / "verify.json").read_text()


def test_matrices_follow_the_discrete_map():
    """Every mode of random U, V, Q, at a step that is half of the largest stable one: far from the flow."""
    values = {"alpha": np.array([0.0, 0.15, 0.3]), "t_pre": 20.0, "t_post": 4.0, "t_ft": 1.0, "init_scale": 0.05}
    setup = Setup(steps=(240, 48, 12))
    made = simulate(setup, values | {"seed": np.arange(3)})
    np.testing.assert_allclose(made.losses, verify.discrete_losses(values, setup.steps), rtol=1e-11, atol=1e-14)


def test_every_way_is_a_different_solution():
    """No way silently repeats another: all expected losses differ from those of the plain one."""
    made = {case.columns["method"]: case.columns["sims.theory_loss_ret"] for case in verify.cases()}
    plain = made.pop("plain")
    for name, losses in made.items():
        assert np.shape(losses) != np.shape(plain) or np.abs(losses - plain).max() > 1e-4, name
