"""Whether a network trained by gradient descent forgets as the law Slin says, where its features are redundant (`prove law-derived`).

    lazy    the output layer is large (imbalance 16, 64), so that the network is linear in its weights, or not (.25 to 4)
    rare    D_post is 10, 3 and 1 % of stage 1
    budget  one pass over D_post in all, a share lambda of it in stage 1, at equal step sizes

Ten modes, twenty inputs, two layers, full-batch gradient descent. What the law says is computed for the same ten modes: L(e) is the sum
of their squared targets times e^(-2 gamma e).

`python -m sims redundant-features`, about half a minute on two cores. What came out: the law holds to a thousandth where both are so, and
at equal step sizes loss_ret has an interior optimum, a tenth below both ends.
"""

from typing import Any

import numpy as np

from common.arrays import Array, Float
from common.results import column
from common.verdicts import Verdict
from sims.cases import Case, closed_columns
from sims.effects import judged
from sims.setup import Setup
from sims.study import Study
from theory.laws.mechanism import RedundantFeatures, law_values, targets

MODES = 10
LAZINESS = (0.25, 1.0, 4.0, 16.0, 64.0)
RARITY = (0.1, 0.03, 0.01)
"""Weight of D_post in stage 1 where all of the budget is there."""
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
BUDGET = 8.0
"""One pass over D_post, in units in which gamma is a rate."""
ERASED = 0.7
"""1 - e^(-g t_ft): what stage 3 takes back of a shared feature."""
TOLERANCE = 0.02
"""Relative error of loss_ret at which the law counts as found in the laziest network with the rarest D_post."""
DIP = 0.01
"""How far below both ends, relatively, an interior minimum must lie."""


def flow_time(exposure: Any, laziness: float) -> Any:
    """Flow time of two layers in which the output layer, of square `laziness`, does what an exposure does to weights of one layer."""
    return np.asarray(exposure) / (2 * laziness)


def _case(laziness: float, rarity: float) -> Case:
    share = np.array(SHARES)
    values = {
        "alpha": share * rarity,
        "t_pre": float(flow_time(BUDGET / rarity, laziness)),
        "t_post": np.maximum(flow_time((1 - share) * BUDGET, laziness), 1e-9),
        "t_ft": float(flow_time(-np.log(1 - ERASED) / RedundantFeatures().hold, laziness)),
        "imbalance": laziness,
    }
    # a step of stage 1 moves a shared feature by a thirtieth of what D_pre holds, whatever the rarity
    setup = Setup(problem="redundant", n=MODES, width=MODES, steps=(int(30 * BUDGET / rarity), 2000, 500))
    return Case("redundant", setup, values, {"sims.laziness": laziness, "sims.rarity": rarity, "exposure": share})


def cases() -> list[Case]:
    """The laziest network at every rarity, and the rarest D_post at every laziness."""
    chosen = [(LAZINESS[-1], rarity) for rarity in RARITY] + [(lazy, RARITY[-1]) for lazy in LAZINESS[:-1]]
    return [_case(laziness, rarity) for laziness, rarity in chosen]


def predicted(share: Float[Array, "shares"]) -> tuple[Float[Array, "shares"], Float[Array, "shares"]]:
    """loss_im and loss_ret of the law Slin for these ten modes, along the share of the budget in stage 1."""
    family = RedundantFeatures()
    rates, weights = targets(vars(family), MODES)
    values = law_values(family.overlap, 1.0, ERASED)
    kappa, first = float(values["undone"]), np.asarray(share) * BUDGET
    second = float(values["post_worth"]) * (1 - np.asarray(share)) * BUDGET

    def left(exposure: Any) -> Any:
        return np.exp(-2 * np.multiply.outer(exposure, rates)) @ weights

    after, between, before = (left(first + part * second) for part in (1.0, 0.5, 0.0))
    return after, (1 - kappa) ** 2 * after + 2 * kappa * (1 - kappa) * between + kappa**2 * before


def curve(table: Any, laziness: float, rarity: float) -> tuple[Array, Array, Array]:
    """Shares, loss_im and loss_ret of one case, in order."""
    keep = (column(table, "sims.laziness") == laziness) & (column(table, "sims.rarity") == rarity)
    order = np.argsort(column(table, "exposure")[keep])
    share, im, ret = (column(table, name)[keep][order] for name in ("exposure", "loss_im", "loss_ret"))
    return share, im, ret


def error(table: Any, laziness: float, rarity: float) -> float:
    """Largest relative error of the law's loss_ret along lambda."""
    share, _, ret = curve(table, laziness, rarity)
    return float(np.abs(predicted(share)[1] / ret - 1).max())


def judge(table: Any) -> list[Verdict]:
    """The law in the limit, that it is approached, and that lambda has an interior optimum at equal step sizes."""
    lazy, rare = LAZINESS[-1], RARITY[-1]
    name, variant = "redundant", f"imbalance {lazy:g}, D_post {rare:.0%} of stage 1"
    made = [
        judged("-", name, "largest relative error of the law Slin, loss_ret along lambda", error(table, lazy, rare),
               f"at most {TOLERANCE:g}", variant, at_most=TOLERANCE),
    ]  # fmt: skip
    for what, far in (
        ("a tenth of the rarity", (lazy, RARITY[0])),
        ("sixteen times the laziness", (LAZINESS[2], rare)),
    ):
        ratio = error(table, lazy, rare) / error(table, *far)
        made.append(judged("-", name, f"that error at {what} over before", ratio, "at most .5", variant, at_most=0.5))
    _, _, ret = curve(table, lazy, rare)
    dip = min(ret[0], ret[-1]) / ret[1:-1].min() - 1
    effect = "better end of loss_ret over its lowest in between, less 1, at equal step sizes"
    made.append(judged("-", name, effect, float(dip), f"at least {DIP:g}: an interior optimum", variant, at_least=DIP))
    return made


def closed_form() -> list[dict[str, Any]]:
    """What the law says at the same shares, as rows."""
    share = np.array(SHARES)
    nothing = np.full_like(share, np.nan)
    settings = {"exposure": share, "problem.overlap": RedundantFeatures().overlap}
    return [closed_columns("redundant-features", "Slin", settings, (*predicted(share), nothing, nothing))]


REDUNDANT_FEATURES = Study(
    "redundant-features", "the law Slin in a network with redundant features", cases, judge, closed_form=closed_form
)
