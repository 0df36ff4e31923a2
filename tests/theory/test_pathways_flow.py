"""The integrator of the redundant-pathway model: against scipy, in JAX, on many settings; what it refuses."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from common.settings import WrongUse
from tests.theory.test_pathways import SOLVERS, draw, pathway_predict
from theory.pathways import (
    DEFAULTS,
    RANGES,
    Pathways,
    PathwayStages,
    Strengths,
    fine_tuning_pull,
    post_training_pull,
    predict_separate,
    pretraining_pull,
    solve_separate,
)
from theory.pathways_flow import SEPARATE, SHARED, Pull, attempt, flow
from theory.pathways_shared import Polar, predict_shared, solve_shared, strengths
from theory.stages import Schedule


def by_scipy(variant: str, v: dict[str, float]) -> list[Strengths]:
    """Strengths after each stage by LSODA at relative tolerance 1e-10."""
    field = SEPARATE if variant == "rp" else SHARED
    log = 2 * np.log(v["init_scale"])
    state = np.array([log, log if variant == "rp" else 0.0])

    def theta() -> Strengths:
        return Strengths(*np.exp(state)) if variant == "rp" else strengths(Polar(*state))

    after = []
    for stage in ("pre", "post", "ft"):
        if stage == "pre":
            pull = pretraining_pull(v)
        elif stage == "post":
            pull = post_training_pull(v, theta(), shared=variant != "rp")
        else:
            pull = fine_tuning_pull(v)
        if v[f"t_{stage}"] > 0:
            span = 0.0, v[f"t_{stage}"]
            state = solve_ivp(
                lambda _, y, p=pull: field.velocity(*y, p), span, state, "LSODA", rtol=1e-10, atol=1e-12
            ).y[:, -1]
        after.append(theta())
    return after


@pytest.mark.parametrize("variant", SOLVERS)
def test_integrator_against_scipy(variant: str) -> None:
    v = draw(40, 1)
    solution = SOLVERS[variant](v)
    for i in range(40):
        reference = by_scipy(variant, {name: float(value[i]) for name, value in v.items()})
        for mine, theirs in zip(solution.strengths[1:], reference, strict=True):
            got = [strength[i] for strength in mine]
            scale = np.array(theirs) if variant == "rp" else np.hypot(*theirs)
            assert np.abs((got - np.array(theirs)) / scale).max() < 1e-7


@pytest.mark.parametrize("columns", [2, 3, 4])
@pytest.mark.parametrize("field", [SEPARATE, SHARED])
def test_every_column_raises_the_order(monkeypatch: pytest.MonkeyPatch, field: Any, columns: int) -> None:
    """Local error h^(columns + 1). With all ten it is below rounding before it is asymptotic."""
    pull = Pull(1.0, 0.3, 0.4, 1.1, 0.6, 0.05)
    exact = [attempt_in_parts(field, -0.3, 0.2, pull, h, 4) for h in (0.01, 0.005)]
    monkeypatch.setattr("theory.pathways_flow.COLUMNS", columns)
    whole = [attempt_in_parts(field, -0.3, 0.2, pull, h, 1) for h in (0.01, 0.005)]
    errors = [np.abs(np.subtract(*pair)).max() for pair in zip(whole, exact, strict=True)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(columns + 1, abs=0.12)


def attempt_in_parts(field: Any, x: float, y: float, pull: Pull, time: float, count: int) -> list[float]:
    """The end of `count` equal steps."""
    for _ in range(count):
        dx, dy, _, _ = attempt(field, np.float64(x), np.float64(y), pull, np.float64(time / count))
        x, y = x + dx, y + dy
    return [x, y]


@pytest.mark.parametrize("field", [SEPARATE, SHARED])
def test_jacobian(field: Any) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 20)) * 0.5
    pull = Pull(*rng.uniform(0, 2, (6, 20)))
    e = 1e-6
    by_x = [
        (p - m) / (2 * e) for p, m in zip(field.velocity(x + e, y, pull), field.velocity(x - e, y, pull), strict=True)
    ]
    by_y = [
        (p - m) / (2 * e) for p, m in zip(field.velocity(x, y + e, pull), field.velocity(x, y - e, pull), strict=True)
    ]
    for entry, difference in zip(field.jacobian(x, y, pull), (by_x[0], by_y[0], by_x[1], by_y[1]), strict=True):
        np.testing.assert_allclose(entry, difference, atol=1e-7)


@pytest.mark.parametrize("variant", SOLVERS)
def test_arrays_broadcast_like_loops(variant: str) -> None:
    alpha, t_ft = np.array([0.01, 0.2])[:, None], np.array([0.1, 1.0, 3.0])
    grid = pathway_predict({"alpha": alpha, "t_ft": t_ft, "correlation": 0.9}, variant)
    for i, j in ((0, 2), (1, 0)):
        one = pathway_predict({"alpha": float(alpha[i, 0]), "t_ft": float(t_ft[j]), "correlation": 0.9}, variant)
        np.testing.assert_allclose([loss[i, j] for loss in grid], one, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize("variant", SOLVERS)
def test_jax_values_and_derivatives(variant: str) -> None:
    import jax
    import jax.numpy as jnp

    names = ("sigma_pre", "beta", "correlation", "alpha", "t_pre", "init_scale", "decay_pre", "t_post")
    point = np.array([0.9, 1.2, 0.95, 0.1, 12.0, 0.05, 0.02, 0.7])
    underflowing = np.array([[*point[:-2], 9.3, 20.0], [*point[:-2], 10.0, 300.0]])

    def loss(values: Any) -> Any:
        entries = values.T if isinstance(values, np.ndarray) else values
        return pathway_predict({"replay": 0.1, **dict(zip(names, entries, strict=True))}, variant).loss_ret

    with jax.enable_x64(True):
        points = jnp.asarray([point, 0.9 * point, *underflowing])
        value, backward = jax.jit(jax.vmap(jax.value_and_grad(loss)))(points)
        forward = jax.jit(jax.vmap(jax.jacfwd(loss)))(points)
    assert np.isfinite(np.asarray(forward)).all()
    assert np.isfinite(np.asarray(backward)).all()
    np.testing.assert_allclose(value, loss(np.asarray(points)), rtol=1e-6)
    np.testing.assert_allclose(forward[:2], backward[:2], rtol=1e-7)
    steps = 1e-4 * np.diag(point)
    difference = (loss(point + steps) - loss(point - steps)) / (2e-4 * point)
    np.testing.assert_allclose(forward[0], difference, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("count", [40, 300])
def test_settings_that_leave_the_batch_in_jax_end_as_in_numpy(count: int) -> None:
    """In one loop, and in two, the second of which goes on with the slowest."""
    import jax

    rng = np.random.default_rng(2)
    (x, y), time = rng.normal(-3, 2, (2, count)), 10.0 ** rng.uniform(-3, 2, count)
    pull = Pull(1.0, *rng.uniform(0.1, 1, (4, count)), 0.0)
    expected = flow(SEPARATE, x, y, pull, time)
    with jax.enable_x64(True):
        got = flow(SEPARATE, jax.numpy.asarray(x), y, pull, time)
    np.testing.assert_allclose(got, expected, rtol=1e-8)


def test_nothing_imports_jax() -> None:
    code = "import sys, theory.models as m; m.MODELS['rp'].predict({}); assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_wrong_use_is_named() -> None:
    with pytest.raises(WrongUse, match=r"correlation = 1\.2 is outside"):
        Pathways(correlation=1.2)
    with pytest.raises(WrongUse, match="dropout"):
        PathwayStages(dropout=1.0)
    with pytest.raises(WrongUse, match="chi is no setting"):
        predict_separate({"chi": 0.3})
    with pytest.raises(WrongUse, match=r"alpha = -0\.1"):
        predict_shared({"alpha": np.array([0.1, -0.1])})
    with pytest.raises(WrongUse, match="Choose one of plain, rp, rp-shared"):
        pathway_predict({}, "redundant")


def test_settings_are_those_of_the_dataclasses() -> None:
    assert set(DEFAULTS) == set(RANGES)
    assert Pathways().sigma_post + Pathways().beta == 2.0
    assert DEFAULTS["alpha"] == Schedule().alpha


def test_flow_refuses_what_it_cannot_integrate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("theory.pathways_flow.ATTEMPTS", 3)
    with pytest.raises(WrongUse, match="more than 3 steps"):
        flow(SEPARATE, -10.0, -10.0, Pull(1.0, 0.5, 0.5, 1.0, 1.0, 0.0), 50.0)


@pytest.mark.parametrize("solution", [solve_separate, solve_shared])
def test_a_strength_below_every_float_regrows(solution: Any) -> None:
    # ln a falls to about -800 in stage 1; in stage 2 it has time for +2400, so only the converged model is right
    v = {"decay_pre": 10.0, "t_post": 300.0}
    losses = solution(v).losses
    assert losses.loss_im < 1e-20
    apart = solve_separate({**v, "correlation": 0.0})
    assert np.array(apart.strengths[2]) == pytest.approx([1.0, 1.0], abs=1e-12)
    short = solution({**v, "t_post": 1.0}).losses
    assert [short.loss_im, short.loss_ft] == pytest.approx([4.0, 1.0])


@pytest.mark.parametrize("solution", [solve_separate, solve_shared])
def test_losses_are_finite_and_not_negative(solution: Any) -> None:
    rng = np.random.default_rng(17)
    v = draw(400, 17)
    strong = v | {name: 10 ** rng.uniform(-2, 1, 400) for name in ("decay_pre", "decay_post")}
    strong["decay_ft"] = np.where(rng.random(400) < 0.5, 0.0, v["decay_ft"])
    for values in (v, strong, strong | {"decay_ft": 0.0}):
        losses = np.array(solution(values).losses)
        assert np.isfinite(losses).all()
        assert (losses >= 0).all()
