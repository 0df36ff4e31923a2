"""Closed form against simulation: every solution of `theory` must come out of gradient descent on matrices, up to O(eta).

Random singular vectors and hidden bases, several exposures and fine-tuning times; each case at three numbers of steps. The error of a
correct solution falls as the learning rate eta, which is asserted by the fitted order. With dropout masks that are drawn, single runs
scatter about the expected flow by sqrt(eta). And before any flow: the discrete map of a mode, `a <- a (1 + 2 eta c (s - a))^2`, must be
matrix descent to rounding.

`python -m sims verify`, under half a minute on two cores. What came out: every closed form comes out of gradient descent, with
an error of order one in the learning rate.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.losses import LOSSES
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, product
from sims.setup import Setup
from sims.study import FIRST_SEED, Check, Report, Study, seeds
from theory.models import MODELS
from theory.stages import DEFAULTS

STEPS = (1600, 400, 400)
"""Of the three stages, at the coarsest; a multiple of 16, so that a ramp of eight pieces in half a stage begins with a step."""
REFINED = (1, 2, 4)
"""Times that many steps."""
ORDER, SLACK = 1.0, 0.15
"""Euler's method converges at first order; O(eta^2) terms of the coarsest runs may bend the fitted line by so much."""
SCATTER, WIDE = 0.5, 0.25
"""The order of the scatter of random masks, and the room for its sampling error (twice .09 with 64 seeds, and O(eta) terms)."""
ROUNDING = 1e-12
"""Errors below this are rounding of losses of order 10 and have no order."""
SEEDS = 64
RUNS = product(alpha=(0.0, 0.1, 0.18, 0.25), t_ft=(0.5, 2.0), seed=seeds(2))


class Way(NamedTuple):
    """One solution of the theory, and the simulation that must agree with it."""

    fields: Mapping[str, Any] = {}
    """Of `Setup`."""
    values: Mapping[str, Any] = {}
    """Settings of the runs, in simulation and theory, beside `RUNS`."""
    theory: Mapping[str, Any] = {}
    """Settings that only the theory has."""
    model: str = "plain"


_UNIT = {"dropout_masks": "expected", "basis": "unit", "width": 8}
_PATHS: dict[str, Any] = {"problem": "pathways", "width": 2}
_STOPS = product(alpha=(0.1, 0.18, 0.25), t_ft=0.5, stop_at=np.geomspace(0.02, 0.5, 32), seed=FIRST_SEED)
_LONG = {"t_pre": 30.0, "t_post": 2.0, "replay": 0.1, "correlation": 0.9}
WAYS: dict[str, Way] = {
    "plain": Way(),
    "unbalanced": Way({}, {"imbalance": 0.05}),
    "replay": Way({}, {"replay": 0.3}),
    "weight decay": Way({}, {"decay_pre": 0.02, "decay_post": 0.05, "decay_ft": 0.03}),
    "l2 to start": Way({}, {"l2_to_start": 0.5}),
    "leakage": Way({}, {"leakage": 0.3, "beta_ft": 0.2}),
    "depth 3": Way({"depth": 3}, {"init_scale": 0.1}, {"depth": 3}, "deep"),
    "depth 4": Way({"depth": 4}, {"init_scale": 0.2}, {"depth": 4}, "deep"),
    "dropout, unit basis": Way(_UNIT, {"dropout": 0.2, "dropout_ft": 0.1}),
    "dropout, equal basis": Way(_UNIT | {"basis": "equal"}, {"dropout": 0.2}, {"dropout_basis": "equal", "width": 8}),
    "sampled dropout": Way(_UNIT | {"dropout_masks": "sampled"}, {"dropout": 0.2}),
    "low rank 1": Way({"rank": 1}, {}, {"rank": 1}),
    "low rank 2": Way({"rank": 2}, {}, {"rank": 2}),
    "early stopping": Way({"early_stopping": True}, _STOPS),
    "placement late": Way({"placement": "late"}, {}, {"placement": "late"}),
    "placement anneal": Way({"placement": "anneal"}, {}, {"placement": "anneal"}),
    "redundant pathways": Way(_PATHS | {"units": "separate"}, _LONG, model="rp"),
    "shared unit": Way(_PATHS, _LONG, model="rp-shared"),
}
NOISY = "sampled dropout"
MAP = "discrete map"


def cases() -> list[Case]:
    """Every way at every number of steps, with the losses of the theory as columns beside those of the simulation."""
    return [case for name in WAYS for case in _cases(name)]


def _cases(name: str) -> list[Case]:
    way = WAYS[name]
    runs = {"alpha": 0.2, "seed": seeds(SEEDS)} if name == NOISY else RUNS
    values = {**runs, **way.values}
    model = MODELS["plain" if way.model == "deep" else way.model]
    expected = model.predict({k: v for k, v in values.items() if k != "seed"} | dict(way.theory))
    columns: dict[str, Any] = {f"sims.theory_{loss}": value for loss, value in zip(LOSSES, expected, strict=True)}
    made = []
    for factor in REFINED:
        setup = Setup(**way.fields, steps=(STEPS[0] * factor, STEPS[1] * factor, STEPS[2] * factor))
        own: dict[str, Any] = {"method": name, "sims.rate": 1 / factor}
        if name == "plain":
            mapped = discrete_losses(values, setup.steps)
            own |= {f"sims.map_{loss}": value for loss, value in zip(LOSSES, mapped, strict=True)}
        made.append(Case(way.model, setup, values, columns | own))
    return made


def discrete_losses(values: Mapping[str, Any], steps: tuple[int, int, int]) -> list[Any]:
    """The four losses from `a <- a (1 + 2 eta c (s - a))^2` for the modes of the plain model, one at a time."""
    v = {**DEFAULTS, **values}
    one, none = np.ones_like(v["alpha"]), np.zeros_like(v["alpha"])
    variance = np.array([[one, one, none], [one, one, one], [one, one, none]])
    sigma = np.array(
        [[s * one for s in (v["sigma_inv"], v[f"sigma_{task}"], v["beta"])] for task in ("pre", "post", "ft")]
    )
    shares = np.array([[1 - v["alpha"], v["alpha"], none], [none, one, none], [none, none, one]])
    a = np.full_like(sigma[0], v["init_scale"] ** 2)
    after = []
    for share, name, count in zip(shares, ("t_pre", "t_post", "t_ft"), steps, strict=True):
        c = (share[:, None] * variance).sum(0)
        push = (share[:, None] * variance * sigma).sum(0)
        for _ in range(count):
            a = a * (1 + 2 * v[name] / count * (push - c * a)) ** 2
        after.append(a)
    many = np.array([v["n"] - 2 * v["k"], v["k"], v["k"]])[:, None]

    def loss(task: int, a: Any) -> Any:
        return (many * variance[task] * (a - sigma[task]) ** 2).sum(0)

    return [loss(1, after[1]), loss(1, after[2]), loss(2, after[2]), loss(0, after[2])]


class Errors(NamedTuple):
    """How far simulation and theory are apart in one way of learning."""

    rates: Any
    """Relative learning rates, rising."""
    largest: Any
    """Largest error of a run, of shape (losses, rates)."""
    scatter: Any
    """Standard deviation of the error over the runs, likewise."""


def errors(table: Any, name: str, against: str = "theory") -> Errors:
    """The errors of one way in all four losses."""
    here = column(table, "method") == name
    rate = column(table, "sims.rate")[here]
    rates = np.unique(rate)
    gaps = [column(table, loss)[here] - column(table, f"sims.{against}_{loss}")[here] for loss in LOSSES]
    parts = [[gap[rate == value] for value in rates] for gap in gaps]
    largest = np.array([[np.abs(part).max() for part in row] for row in parts])
    return Errors(rates, largest, np.array([[part.std() for part in row] for row in parts]))


def order(rates: Any, error: Any) -> float | None:
    """The slope of log error against log rate, fitted; None where the error is rounding."""
    return float(np.polyfit(np.log(rates), np.log(error), 1)[0]) if error.min() > ROUNDING else None


def checks(table: Any) -> list[Check]:
    """One a way: the fitted order that is farthest from the expected one, of the losses whose error is not rounding."""
    made = []
    for name in WAYS:
        found = errors(table, name)
        noisy = name == NOISY
        expected, room = (SCATTER, WIDE) if noisy else (ORDER, SLACK)
        fitted = [order(found.rates, row) for row in (found.scatter if noisy else found.largest)]
        worst = max((value for value in fitted if value is not None), key=lambda value: abs(value - expected))
        what = "order of the scatter" if noisy else "order of the error"
        made.append(Check(name, abs(worst - expected) <= room, what, worst, f"within {room:g} of {expected:g}"))
    exact = float(errors(table, "plain", "map").largest.max())
    made.append(Check(MAP, exact <= ROUNDING, "largest error of a loss", exact, f"at most {ROUNDING:g}"))
    return made


def report(table: Any) -> Report:
    """Checks, and the largest error of every loss at every number of steps."""
    rows: list[list[Any]] = []
    for name, against in [*((name, "theory") for name in WAYS), ("plain", "map")]:
        found = errors(table, name, against)
        title = MAP if against == "map" else name
        for rate, error in zip(found.rates[::-1], found.largest.T[::-1], strict=True):
            times = round(1 / rate)
            rows.append([title, "/".join(str(count * times) for count in STEPS), *(f"{value:.1e}" for value in error)])
    return Report(checks(table), "Largest error of a run", ["", "steps", *LOSSES], rows)


def judge(_: Any) -> list[Verdict]:
    """None: what is checked here is the simulation, not a prediction."""
    return []


VERIFY = Study("verify", "every closed form against gradient descent on matrices", cases, judge, report)
