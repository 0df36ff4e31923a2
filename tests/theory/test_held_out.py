"""Random and extreme settings of every model against mpmath: quadrature of the scalar equations, or Taylor series of the weights.

Nothing here uses the toolkit's own solutions: a deep mode is compared by the time it takes, an integral; everything else by the
equations of the weights w1 and w2.
"""

from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest

from common.settings import WrongUse
from tests.theory.test_precision import pathways_by_mpmath, taylor
from theory.api import predict
from theory.modes import evolve
from theory.pathways import DEFAULTS as PATHWAYS
from theory.pathways import solve_separate
from theory.pathways_shared import solve_shared

BLOCKS = ("inv", "inc", "spec")
PLAIN = {"sigma_inv": 3.0, "sigma_pre": 0.4, "sigma_post": 1.4, "sigma_ft": 0.4, "beta": 0.9, "beta_ft": 0.0, "leakage": 0.0,
         "init_scale": 1e-3, "imbalance": 0.0, "replay": 0.0, "alpha": 0.2, "t_pre": 20.0, "t_post": 1.0, "t_ft": 1.0,
         "decay_pre": 0.0, "decay_post": 0.0, "decay_ft": 0.0, "dropout": 0.0, "dropout_ft": 0.0, "l2_to_start": 0.0,
         "width": 8.0, "adapter_scale": 0.1}  # fmt: skip


def weights_of(a: Any, kappa: Any) -> list[Any]:
    """(w1, w2) of a strength and imbalance."""
    root = mp.sqrt(kappa**2 + 4 * a**2)
    w1 = mp.sqrt((root + kappa) / 2)
    return [w1, a / w1]


def plain_by_weights(v: dict[str, Any], *, basis: str = "aligned", adapted: tuple[int, ...] = ()) -> list[Any]:
    """The four losses of n = 6, k = 1 from the weights of every mode, six or, with an adapter, up to ten at once."""
    e = {name: mp.mpf(value) for name, value in (PLAIN | v).items() if not isinstance(value, str)}
    tasks = {
        "pre": [(1, e["sigma_inv"]), (1, e["sigma_pre"]), (0, 0)],
        "post": [(1, e["sigma_inv"]), (1, e["sigma_post"]), (1, e["beta"])],
        "ft": [(1, e["sigma_inv"]), (1, e["sigma_ft"]), (e["leakage"], e["beta_ft"])],
    }
    count = (4, 1, 1)
    start = weights_of(e["init_scale"] ** 2, e["imbalance"])
    units = [[list(start)] for _ in BLOCKS]  # of every mode a list of (w1, w2)

    def run(name: str, mix: dict[str, Any], mu: Any, p: Any, lam: Any, frozen: bool) -> None:
        gamma, sizes = p / (1 - p), [len(own) for own in units]
        before = [sum(w1 * w2 for w1, w2 in own) for own in units]

        def slope(_: Any, flat: list[Any]) -> list[Any]:
            modes, at = [], 0
            for size in sizes:
                modes.append([(flat[at + 2 * i], flat[at + 2 * i + 1]) for i in range(size)])
                at += 2 * size
            variance = [sum(w * tasks[t][i][0] for t, w in mix.items()) for i in range(3)]
            power1 = sum(count[i] * w1**2 for i in range(3) for w1, _ in modes[i]) / e["width"]
            power2 = sum(count[i] * variance[i] * w2**2 for i in range(3) for _, w2 in modes[i]) / e["width"]
            out = []
            for i in range(3):
                a = sum(w1 * w2 for w1, w2 in modes[i])
                force = sum(w * tasks[t][i][0] * (tasks[t][i][1] - a) for t, w in mix.items()) - lam * (a - before[i])
                for j, (w1, w2) in enumerate(modes[i]):
                    still = frozen and not (i in adapted and j == 1)
                    one = gamma * variance[i] * w2**2 if basis == "aligned" else gamma * power2
                    two = gamma * variance[i] * w1**2 if basis == "aligned" else gamma * variance[i] * power1
                    out += [0, 0] if still else [2 * (force * w2 - (mu + one) * w1), 2 * (force * w1 - (mu + two) * w2)]
            return [mp.mpf(x) for x in out]

        flat = taylor(slope, [x for own in units for pair in own for x in pair], e[f"t_{name}"])
        for own in units:
            for pair in own:
                pair[:], flat = flat[:2], flat[2:]

    def loss(task: str) -> Any:
        return sum(
            count[i] * tasks[task][i][0] * (sum(w1 * w2 for w1, w2 in units[i]) - tasks[task][i][1]) ** 2
            for i in range(3)
        )

    zero = mp.mpf(0)
    run("pre", {"pre": 1 - e["alpha"], "post": e["alpha"]}, e["decay_pre"], zero, zero, False)
    for i in adapted:
        units[i].append([zero, e["adapter_scale"]])
    run(
        "post",
        {"pre": e["replay"], "post": 1 - e["replay"]},
        e["decay_post"],
        e["dropout"],
        e["l2_to_start"],
        bool(adapted),
    )
    immediate = loss("post")
    run("ft", {"ft": mp.mpf(1)}, e["decay_ft"], e["dropout_ft"], zero, False)
    return [immediate, loss("post"), loss("ft"), loss("pre")]


def agree(v: dict[str, Any], digits: int = 20, tolerance: float = 1e-9, **others: Any) -> None:
    """`predict` against the weights, absolute to the tolerance of the losses, or of 1 where they are larger."""
    with mp.workdps(digits):
        exact = [float(x) for x in plain_by_weights(v, **others)]
    rank = {"rank": 4 * (0 in others["adapted"]) + sum(i > 0 for i in others["adapted"])} if "adapted" in others else {}
    basis = {"dropout_basis": others["basis"]} if "basis" in others else {}
    found = predict({name: int(x) if name == "width" else x for name, x in v.items()} | rank | basis)
    np.testing.assert_allclose(found, exact, rtol=tolerance, atol=tolerance)


def draw(seed: int, *names: str) -> dict[str, Any]:
    """Settings of ordinary size, some of them zero."""
    rng = np.random.default_rng(seed)
    ranges: dict[str, Callable[[], float]] = {
        "imbalance": lambda: float(rng.choice([-1, 1]) * 10 ** rng.uniform(-6, 0.5)),
        "init_scale": lambda: float(10 ** rng.uniform(-4, 0)),
        "leakage": lambda: float(rng.choice([0.0, rng.uniform(0, 1)])),
        "replay": lambda: float(rng.choice([0.0, rng.uniform(0, 1)])),
        "dropout": lambda: float(rng.uniform(0, 0.6)),
        "dropout_ft": lambda: float(rng.choice([0.0, rng.uniform(0, 0.6)])),
        "adapter_scale": lambda: float(10 ** rng.uniform(-3, 0)),
        "alpha": lambda: float(rng.choice([0.0, 1.0, rng.uniform(0, 1)], p=[0.2, 0.1, 0.7])),
        "width": lambda: int(rng.integers(6, 20)),
    }
    usual = ["sigma_inv", "sigma_pre", "sigma_post", "sigma_ft", "beta", "beta_ft", "t_pre", "t_post", "t_ft"]
    targets = {name: float(rng.choice([0.0, rng.uniform(0, 2)], p=[0.1, 0.9])) for name in usual}
    more = {name: ranges.get(name, lambda: float(10 ** rng.uniform(-3, 0)))() for name in ("alpha", *names)}
    return targets | more


INTERVENTIONS = (
    "init_scale", "leakage", "replay", "l2_to_start", "decay_pre", "decay_post", "decay_ft", "dropout", "dropout_ft",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_unbalanced_modes(seed: int) -> None:
    agree(draw(seed, "imbalance", "init_scale", "leakage", "replay", "l2_to_start"))


@pytest.mark.parametrize("seed", range(2))
def test_decay_dropout_replay_leakage_and_the_pull_to_the_start(seed: int) -> None:
    agree(draw(seed, *INTERVENTIONS))


@pytest.mark.parametrize("seed", range(2))
def test_dropout_in_an_equal_basis(seed: int) -> None:
    agree(draw(seed, *INTERVENTIONS, "width"), basis="equal")


@pytest.mark.parametrize(("seed", "decay"), [(0, ()), (1, ("decay_ft",)), (2, ("decay_pre", "decay_ft"))])
def test_an_adapter_and_weight_decay_after_it(seed: int, decay: tuple[str, ...]) -> None:
    agree(draw(seed, "init_scale", "leakage", "replay", "adapter_scale", *decay), adapted=(0, 1, 2))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("solution", [solve_separate, solve_shared])
def test_pathways_with_interventions(solution: Any, seed: int) -> None:
    some = draw(100 + seed, "init_scale", "replay", "l2_to_start", "decay_pre", "decay_post", "decay_ft", "dropout")
    v = PATHWAYS | {name: x for name, x in some.items() if name in PATHWAYS}
    v["correlation"] = float(np.random.default_rng(seed).uniform(0, 1))
    with mp.workdps(20):
        exact = [[float(x) for x in stage] for stage in pathways_by_mpmath(v, solution is solve_shared)]
    for mine, theirs in zip(solution(v).strengths[1:], exact, strict=True):
        np.testing.assert_allclose(np.array(mine), theirs, rtol=1e-9, atol=1e-10)


def deep_by_quadrature(a0: float, guess: float, c: float, s: float, time: float, depth: int) -> Any:
    """The strength at a time from the integral of 1/velocity, corrected from a guess by Newton's method."""
    q, a, start = 2 - mp.mpf(2) / depth, mp.mpf(guess), mp.mpf(a0)

    def velocity(x: Any) -> Any:
        return 2 * depth * mp.mpf(c) * x**q * (mp.mpf(s) - x)

    def spent(end: Any) -> Any:
        """In ln a on the way up from small strengths, in ln |s - a| near the target."""
        middle = (start + end) / 2 if (end - start) * (s - end) > 0 and abs(end - s) < abs(start - s) / 4 else end
        rise = mp.quad(lambda x: mp.exp(x) / velocity(mp.exp(x)), mp.linspace(mp.log(start), mp.log(middle), 9))
        near = [mp.log(abs(s - middle)), mp.log(abs(s - end))]
        side = 1 if s > start else -1
        fall = (
            mp.quad(lambda y: side * -mp.exp(y) / velocity(s - side * mp.exp(y)), mp.linspace(*near, 9))
            if middle != end
            else 0
        )
        return rise + fall

    for _ in range(3):
        a -= (spent(a) - mp.mpf(time)) * velocity(a)
    return a


@pytest.mark.parametrize("depth", [3, 4])
@pytest.mark.parametrize(
    ("a0", "c", "s", "time"),
    [(1e-4, 1.0, 1.3, 3.0), (1e-8, 0.3, 2.0, 900.0), (0.9, 1.7, 0.2, 0.8), (2e-3, 0.5, 0.7, 60.0)],
)
def test_deep_modes(depth: int, a0: float, c: float, s: float, time: float) -> None:
    found = float(evolve(a0, variance=c, sigma=s, time=time, depth=depth))
    if found == s:
        return
    with mp.workdps(50):
        assert found == pytest.approx(float(deep_by_quadrature(a0, found, c, s, time, depth)), rel=1e-11)


def test_modes_that_sink_below_every_float_regrow_with_dropout_in_an_equal_basis_or_are_refused() -> None:
    deep = {"decay_pre": 10.0, "t_post": 300.0}
    exact = predict(**deep)
    np.testing.assert_allclose(predict(**deep, dropout=1e-12, dropout_basis="equal"), exact, rtol=1e-9, atol=1e-9)
    with pytest.raises(
        WrongUse, match=r"decay_post = 10 and dropout = 0.1 take a mode below every number.*Lower decay_post"
    ):
        predict(decay_post=10.0, t_post=40.0, dropout=0.1, dropout_basis="equal")
    assert np.isfinite(predict(decay_post=10.0, t_post=40.0, t_ft=0.0, dropout=0.1, dropout_basis="equal")).all()


EXTREMES: list[tuple[str, dict[str, Any]]] = [
    ("plain", {"rank": 1, "decay_ft": 5.9, "t_ft": 5e4, "sigma_ft": 25.0, "leakage": 17.0}),
    ("plain", {"dropout": 0.99, "dropout_basis": "equal", "decay_post": 5.3, "t_post": 100.0, "t_ft": 0.0}),
    ("plain", {"depth": 3, "t_pre": 27602.518473639768, "sigma_ft": 349.56, "t_ft": 0.0, "sigma_pre": 8.757247166464252,
               "sigma_post": 4.412968204976366, "l2_to_start": 0.028155539886898846, "alpha": 0.9430187995542889,
               "init_scale": 1.368983884893781e-06, "n": 5, "k": 2, "beta": 0.008931631060924905, "leakage": 0.06779310919779412}),
    ("rp", {"decay_post": 435617.0, "t_post": 0.66, "alpha": 0.0, "dropout": 0.77}),
    ("rp-shared", {"decay_ft": 96925.0, "correlation": 0.64, "t_ft": 0.3, "l2_to_start": 17.4}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "choices"), EXTREMES)
def test_extremes_give_numbers_and_no_warnings(model: str, choices: dict[str, Any]) -> None:
    assert np.isfinite(predict(choices, model=model)).all()
