"""Networks with redundant features: the tasks are those of the exact solution, and the verdicts go both ways."""

import numpy as np
import pytest

from common import results
from sims import Setup, simulate
from sims.cases import closed_columns
from sims.studies import redundant_features as study
from theory.laws.mechanism import solve

LAZY = 400.0


@pytest.mark.parametrize("alpha", [0.0, 0.1])
def test_a_lazy_network_is_the_exact_solution(alpha):
    """Three modes, D_post not at all rare: every stage, overlap and hold must sit where the closed form has them."""
    family = {"overlap": 0.7, "hold": 0.5, "slowest": 0.1, "fastest": 2.0}
    exposure = {"t_pre": 6.0, "t_post": 0.4, "t_ft": 1.5}
    flow = {name: time / (2 * LAZY) for name, time in exposure.items()}
    setup = Setup(problem="redundant", n=3, width=3, steps=(600, 200, 200))
    found = simulate(setup, alpha=alpha, imbalance=LAZY, init_scale=1e-4, **family, **flow)
    rates = np.geomspace(0.1, 2.0, 3)
    weights = rates**0.25 * np.exp(-2 * rates * 0.3)  # power and offset by default
    weights /= weights.sum()
    erased = 1 - np.exp(-family["hold"] * exposure["t_ft"])
    left = solve(rates, alpha=alpha, t_pre=6.0, t_post=0.4, erased=erased, hold=0.5, overlap=0.7)
    assert bool(found.converged)
    assert float(found.losses.loss_im) == pytest.approx(left.second**2 @ weights, rel=0.01)
    assert float(found.losses.loss_ret) == pytest.approx(left.third**2 @ weights, rel=0.01)
    assert float(found.losses.loss_ret) > float(found.losses.loss_im)


def table(ret, scale):
    """What the study would give if loss_ret were this along lambda, times 1 + scale by laziness and rarity."""
    share = np.array(study.SHARES)
    made = []
    for laziness in study.LAZINESS:
        for rarity in study.RARITY:
            losses = (ret, ret * (1 + scale(laziness, rarity)), ret, ret)
            columns = closed_columns("redundant-features", "redundant", {"exposure": share}, losses)
            more = {
                "engine": "sims",
                "sims.laziness": np.full_like(share, laziness),
                "sims.rarity": np.full_like(share, rarity),
            }
            made.append(results.table(columns | more))
    import pyarrow as pa

    return pa.concat_tables(made)


def test_the_verdicts_follow_the_law_and_its_limits():
    law = study.predicted(np.array(study.SHARES))[1]
    good = study.judge(table(law, lambda lazy, rare: 0.1 * rare + 0.05 / lazy))
    assert [one.status for one in good] == ["supported"] * 4
    stuck = study.judge(table(law, lambda lazy, rare: 0.05))
    assert [one.status for one in stuck] == ["refuted", "refuted", "refuted", "supported"]
    falling = study.judge(table(np.linspace(2, 1, len(study.SHARES)), lambda lazy, rare: 0.0 * lazy))
    assert falling[-1].status == "refuted"


def test_the_law_beside_the_runs_is_that_of_their_modes():
    (rows,) = study.closed_form()
    assert rows["model"] == "Slin"
    im, ret = study.predicted(np.array([0.0, 1.0]))
    assert im[1] == pytest.approx(ret[1])  # where all of it is in stage 1, there is nothing to undo
    assert ret[0] > im[0]
