"""Single lines of the engine that other tests would let pass if they were wrong."""

import numpy as np
import pytest

from sims import Setup, simulate


def test_early_stopping_watches_the_loss_on_d_post() -> None:
    """Stage 2 ends within a step of the asked loss_im, from above; the losses on D_pre and D_ft are far from it then."""
    setup = Setup(early_stopping=True, steps=(400, 2000, 1))
    level = np.array([0.1, 0.5])
    values = {"t_pre": 20.0, "t_post": 8.0, "t_ft": 1e-9, "sigma_ft": 0.4, "stop_at": level}
    losses = simulate(setup, values).losses
    assert (losses.loss_im <= level).all()
    assert (losses.loss_im > 0.95 * level).all()
    assert (np.abs(losses.loss_ft - level) > 0.05).all()
    unlimited = simulate(setup, values | {"stop_at": 0.0}).losses.loss_im
    assert (unlimited < 0.9 * level).all()  # it would have gone on


@pytest.mark.parametrize("name", ["pieces", "early", "late"])
def test_stage_one_changes_its_mixture_at_the_very_step(name: str) -> None:
    """The specialised mode by `a <- a (1 + 2 eta c (beta - a))^2`, c = 0.6 in three of eight steps and 0 in the others."""
    first = 0 if name == "early" else 5
    shares = np.where((np.arange(8) >= first) & (np.arange(8) < first + 3), 0.6, 0.0)
    values = {"t_pre": 1.0, "t_post": 0.0, "t_ft": 0.0, "init_scale": 0.5, "beta": 0.9}
    if name == "pieces":
        setup = Setup(steps=(8, 1, 1), record=1, pieces=((0.625, 0.0), (0.375, 0.6)))
    else:
        setup = Setup(steps=(8, 1, 1), record=1, placement=name)  # type: ignore[arg-type]
        values |= {"alpha": 0.6 * 0.375, "window": 0.375}
    expected, inconsistent = 0.25, 0.25
    for share in shares:
        expected *= (1 + 2 * share / 8 * (0.9 - expected)) ** 2
        inconsistent *= (1 + 2 / 8 * ((1 - share) * 0.4 + share * 1.4 - inconsistent)) ** 2
    strengths = simulate(setup, values).trajectory.strengths[1]
    np.testing.assert_allclose(strengths[4:], [inconsistent, expected], rtol=1e-12)
