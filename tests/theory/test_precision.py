"""The solved models against fifty digits: the same equations, solved in mpmath by closed forms or Taylor series."""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from common.settings import WrongUse
from theory.features import modes_from_blocks
from theory.pathways import DEFAULTS as PATHWAYS
from theory.pathways import solve_separate
from theory.pathways_shared import solve_shared
from theory.stages import DEFAULTS, predict, solve

DIGITS = 50


def logistic(a: Any, c: Any, g: Any, t: Any) -> Any:
    """`da/dt = 4 a (g - c a)`."""
    x = 4 * g * t
    return a * mp.exp(x) / (1 + c * a * (mp.expm1(x) / g if g else 4 * t))


def plain_by_mpmath(v: dict[str, float]) -> tuple[list[list[Any]], list[Any]]:
    """Strengths of the three blocks after each stage and the four losses; balanced, depth two."""
    e = {name: mp.mpf(v[name]) for name in v if isinstance(v[name], int | float)}
    sigma = {  # block: (variance, target) under pre, post, ft
        "inv": [(1, e["sigma_inv"])] * 3,
        "inc": [(1, e["sigma_pre"]), (1, e["sigma_post"]), (1, e["sigma_ft"])],
        "spec": [(0, mp.mpf(0)), (1, e["beta"]), (e["leakage"], e["beta_ft"])],
    }
    counts = {"inv": e["n"] - 2 * e["k"], "inc": e["k"], "spec": e["k"]}
    weights = [(1 - e["alpha"], e["alpha"], 0), (e["replay"], 1 - e["replay"], 0), (0, 0, 1)]
    stages: list[list[Any]] = [[], [], []]
    for tasks in sigma.values():
        a = e["init_scale"] ** 2
        for after, weight, name in zip(stages, weights, ("pre", "post", "ft"), strict=True):
            c = sum(w * variance for w, (variance, _) in zip(weight, tasks, strict=True))
            g = sum(w * variance * s for w, (variance, s) in zip(weight, tasks, strict=True)) - e[f"decay_{name}"]
            a = logistic(a, c, g, e[f"t_{name}"])
            after.append(a)

    def loss(task: int, after: list[Any]) -> Any:
        rows = zip(counts, after, sigma.values(), strict=True)
        return sum(counts[name] * tasks[task][0] * (a - tasks[task][1]) ** 2 for name, a, tasks in rows)

    return stages, [loss(1, stages[1]), loss(1, stages[2]), loss(2, stages[2]), loss(0, stages[2])]


PLAIN = [
    {},
    {"alpha": 0.0, "t_pre": 3.0},
    {"replay": 0.3, "decay_pre": 0.05, "decay_post": 0.1, "decay_ft": 0.2, "leakage": 0.1},
    {"t_post": 60.0, "t_ft": 40.0, "sigma_ft": 0.0},
    {"init_scale": 1e-75, "t_post": 200.0},
    {"decay_pre": 10.0, "t_post": 300.0},
    {"decay_pre": 10.0, "t_pre": 40.0, "t_post": 320.0, "replay": 0.1, "decay_post": 0.05},
    {"decay_pre": 10.0, "decay_post": 10.0, "t_post": 20.0, "t_ft": 700.0},
    {"decay_post": 100.0, "t_post": 100.0, "t_ft": 1.0},
]
"""Ordinary settings and extremes: strengths far below the smallest float that regrow, starts at the edge of the range."""


@pytest.mark.parametrize("choices", PLAIN)
def test_plain_against_fifty_digits(choices: dict[str, float]) -> None:
    v = {**DEFAULTS, **choices}
    with mp.workdps(DIGITS):
        strengths, losses = plain_by_mpmath(v)
        solution = solve(modes_from_blocks(v), v)
        for mine, exact in zip(solution.strengths[1:], strengths, strict=True):
            np.testing.assert_allclose(np.broadcast_to(mine, 3), [float(a) for a in exact], rtol=1e-10, atol=1e-250)
        np.testing.assert_allclose(predict(choices), [float(loss) for loss in losses], rtol=1e-9, atol=1e-30)


def taylor(slope: Callable[[Any, list[Any]], list[Any]], start: list[Any], time: Any) -> list[Any]:
    """The end of a stage by Taylor series in mpmath."""
    if time == 0:
        return start
    return [mp.mpf(x) for x in mp.odefun(slope, 0, start)(time)]


def pathways_by_mpmath(v: dict[str, float], shared: bool) -> list[list[Any]]:
    """(a, b) after each stage from the equations of the weights: balanced units, or one hidden direction (w1, wa, wb)."""
    e = {name: mp.mpf(value) for name, value in v.items()}
    chi, d = e["correlation"], e["init_scale"]
    state = [d, d, mp.mpf(0)] if shared else [d, d]

    def theta(w: list[Any]) -> list[Any]:
        return [w[0] * w[1], w[0] * w[2]] if shared else [w[0] ** 2, w[1] ** 2]

    stages = []
    for name, post, ft in (("pre", e["alpha"], False), ("post", 1 - e["replay"], False), ("ft", mp.mpf(0), True)):
        a0, b0 = theta(state)
        mu = e[f"decay_{name}"]
        gamma = e["dropout"] / (1 - e["dropout"]) if name == "post" else mp.mpf(0)
        lam = e["l2_to_start"] if name == "post" else mp.mpf(0)

        def force(w: list[Any], post=post, ft=ft, gamma=gamma, lam=lam, a0=a0, b0=b0) -> tuple[Any, Any]:  # type: ignore[no-untyped-def]
            a, b = theta(w)
            if ft:
                return a - e["sigma_ft"], mp.mpf(0)
            da, db = a - e["sigma_post"], b - e["beta"]
            cross = gamma * post * chi if shared else 0
            g_a = (1 - post) * (a - e["sigma_pre"]) + post * (da + chi * db) + gamma * a + cross * b + lam * (a - a0)
            return g_a, post * (db + chi * da) + gamma * post * b + cross * a + lam * (b - b0)

        def slope(_: Any, w: list[Any], force=force, mu=mu) -> list[Any]:  # type: ignore[no-untyped-def]
            g_a, g_b = force(w)
            if not shared:
                return [-2 * (g_a + mu) * w[0], -2 * (g_b + mu) * w[1]]
            first = -2 * (g_a * w[1] + g_b * w[2]) - 2 * mu * w[0]
            return [first, -2 * g_a * w[0] - 2 * mu * w[1], -2 * g_b * w[0] - 2 * mu * w[2]]

        state = taylor(slope, state, e[f"t_{name}"])
        stages.append(theta(state))
    return stages


RP = [
    {"alpha": 0.3, "t_pre": 2.0},
    {"alpha": 0.6, "correlation": 0.8, "sigma_ft": 0.3, "beta": 1.4, "decay_ft": 0.0},
    {"correlation": 0.7, "alpha": 0.5, "replay": 0.2, "sigma_pre": 0.4, "beta": 1.7, "t_pre": 2.0},
    {"correlation": 0.9, "alpha": 0.4, "dropout": 0.3, "l2_to_start": 0.2, "decay_pre": 0.1, "decay_post": 0.05},
]


@pytest.mark.parametrize("solution", [solve_separate, solve_shared])
@pytest.mark.parametrize("choices", RP)
def test_pathways_against_taylor_series(solution: Any, choices: dict[str, float]) -> None:
    v = {**PATHWAYS, "t_pre": 1.5, "t_post": 0.8, "t_ft": 0.5, "init_scale": 0.05, "decay_ft": 0.1, **choices}
    with mp.workdps(20):
        exact = pathways_by_mpmath(v, solution is solve_shared)
    for mine, theirs in zip(solution(v).strengths[1:], exact, strict=True):
        np.testing.assert_allclose(np.array(mine), [float(x) for x in theirs], rtol=1e-10, atol=1e-12)


def test_plain_in_jax_is_as_precise_and_differentiable() -> None:
    import jax
    import jax.numpy as jnp

    with jax.enable_x64(True):
        for choices in ({"decay_pre": 10.0, "t_post": 300.0}, {"decay_pre": 0.05, "decay_post": 0.1, "t_post": 1.0}):
            names = list(choices)

            def loss(x: Any, names: list[str] = names) -> Any:
                return predict(dict(zip(names, x, strict=True))).loss_ret

            value, slope = jax.value_and_grad(loss)(jnp.asarray(list(choices.values())))
            with mp.workdps(DIGITS):
                exact = plain_by_mpmath({**DEFAULTS, **choices})[1][1]
            assert float(value) == pytest.approx(float(exact), rel=1e-9)
            assert np.isfinite(np.asarray(slope)).all()


def test_the_equal_basis_gives_up_instead_of_running_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("theory.factors.EVALUATIONS", 2000)
    with pytest.raises(WrongUse, match=r"2000 evaluations for flow time = 100. Lower t_post"):
        predict({"dropout": 0.3, "dropout_basis": "equal", "t_post": 100.0})
    assert np.isfinite(predict({"dropout": 0.3, "dropout_basis": "equal", "t_post": 1.0})).all()
