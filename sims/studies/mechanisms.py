"""What each account of protection predicts in a network that realises it: the counterpart of the language models' experiments (E1 to E5).

    E1   exposure to half A of D_post in stage 1, both halves in stage 2: what half A gains in loss_ret minus what half B gains
    E2   mixed minus unmixed whose stage 2 is held so that theta moves as far; loss_ret where loss_ft is at one level
    E3   rise of the D_post loss under noise on the weights after stage 2: .03 of each layer's root mean square (as in the language
         models), or of one size everywhere; and after a step down D_ft's gradient. Mixed minus unmixed, over unmixed
    E4   share of the energy of D_ft's gradient after stage 2 that falls into features that only D_post uses, mixed minus unmixed; the
         logarithm of that share where D_ft excites them a little. And what exposure changed in stage 1, grafted onto the unmixed
         model and pruned from the mixed one after stage 2: change of loss_ret at matched loss_ft
    E5   log of what D_post once more, for a while after stage 3, leaves of the forgetting: mixed minus unmixed

Losses are in units of the unmixed forgetting, loss_ret minus loss_im. What the accounts should predict (`PREDICTED`) was written down for
the language models before any of them was trained; a verdict says whether the network meets it. The same .05 is an effect if the whole
interval lies beyond it, and none if it lies within. `sims.accounts` has the networks; regimes were chosen on seeds from 1000 on.

`python -m sims mechanisms`, seconds. What came out: E1 and, but for the plain network, grafts and pruning do as predicted; held at equal
displacement (E2) the plain network loses, too; noise (E3) has a sign of its own in each; the share of D_ft's gradient (E4) is 0 or rises.
"""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common import rows
from common.results import column
from common.settings import config_hash
from common.verdicts import Verdict
from sims import probes
from sims.accounts import ARMS, Arm, Problem, gradient, moved, problem, start, train
from sims.cases import Case, setup_columns
from sims.effects import Effect, judged, mean, ratio
from sims.run import complete
from sims.setup import Setup
from sims.study import Check, Report, Study, seeds

SEEDS = 16
"""Where the start is random; elsewhere one run says all."""
MARGIN = 0.05
"""What counts as an effect, and as none: of the unmixed forgetting (E1, E2, grafts), of the unmixed model's rise (E3), in shares or their
logarithms (E4) and in logarithms (E5)."""
NOISE = 0.03
"""Standard deviation of the noise: of a layer's root mean square, or of the weights as they are."""
STEP = 0.1
"""Length of the step down D_ft's gradient; one of length 1 would leave the neighbourhood of networks as small as these."""
LEVEL = 0.01
"""Where losses are matched: loss_ft as a share of what the unmixed model begins stage 3 with."""
LEAK = 0.01
"""Variance under D_ft of what otherwise only D_post excites, in the share with a leak."""


class Account(NamedTuple):
    """A network that realises an account."""

    says: str
    """Whose predictions it should meet: S, pathways or plain."""
    half: Setup
    """The problem of one half."""
    setup: Setup
    """The network of both."""
    values: Mapping[str, float]
    """Settings of the runs, as of `sims.simulate`."""
    back: float
    """Flow time of D_post after stage 3."""
    random: bool
    """Whether seeds differ."""


ACCOUNTS: dict[str, Account] = {
    "plain": Account(
        "plain", Setup(n=3, k=1, init="random"), Setup(n=6, width=16, init="random", steps=(800, 1000, 300)),
        {"alpha": 0.2, "t_pre": 40.0, "t_post": 20.0, "t_ft": 5.0, "init_scale": 0.01, "sigma_inv": 1.0}, 0.1, random=True,
    ),
    "rp": Account(
        "pathways", Setup(problem="pathways", init="random"),
        Setup(problem="redundant", n=2, width=4, units="separate", steps=(2500, 400, 200)),
        {"alpha": 0.03, "t_pre": 100.0, "t_post": 5.0, "t_ft": 5.0}, 0.1, random=False,
    ),
    "rp-shared": Account(
        "pathways", Setup(problem="pathways", init="random"),
        Setup(problem="redundant", n=2, width=16, init="random", steps=(800, 400, 200)),
        {"alpha": 0.01, "t_pre": 30.0, "t_post": 5.0, "t_ft": 5.0, "init_scale": 0.01}, 0.1, random=True,
    ),
    "redundant": Account(
        "S", Setup(problem="redundant", n=4), Setup(problem="redundant", n=8, width=8, steps=(1400, 300, 200)),
        {"alpha": 0.03, "t_pre": 4 / 0.03 / 128, "t_post": 4 / 128, "t_ft": 5 / 128, "imbalance": 64.0}, 1 / 128, random=False,
    ),
}  # fmt: skip
"""Model -> network and schedule: exposure has some of its effect but not all, so that mixed models still forget. A layer of square 64
learns 64 times as fast, and twice for the loss that is not halved."""

PREDICTED: dict[str, dict[str, int]] = {
    "S": {"E1": 1, "E2": -1, "E3": 0, "E4": -1, "E5": 0},
    "pathways": {"E1": 1, "E2": -1, "E3": 0, "E4": -1, "E5": -1},
    "plain": {"E1": 0, "E2": 0, "E3": 0, "E4": 0, "E5": 0},
}
"""Account -> sign of every experiment: of E1 as `common.claims` says it, and none in plain with a converged stage 2, which protects
nothing; of E2 to E5 the table that stands at the verdicts of the language models."""


class Quantity(NamedTuple):
    """A statistic of an experiment."""

    claim: str
    effect: str
    variant: str = ""
    """Empty for the first of its experiment."""
    opposite: bool = False
    """Whether it should have the other sign."""


QUANTITIES: dict[str, Quantity] = {
    "halves": Quantity("E1", "gain of half A minus that of half B, exposed to A; share of the unmixed forgetting of a half"),
    "held": Quantity("E2", "matched loss_ret, mixed minus held at its displacement; share of the unmixed forgetting"),
    "noise": Quantity("E3", "rise under noise relative to each layer, mixed over unmixed less 1"),
    "noise_even": Quantity("E3", "rise under noise of one size, mixed over unmixed less 1", "one size"),
    "step": Quantity("E3", "rise after a step down D_ft's gradient, mixed over unmixed less 1", "D_ft's gradient"),
    "share": Quantity("E4", "share of D_ft's gradient in input features of D_post's own, mixed minus unmixed"),
    "share_leak": Quantity("E4", "log of that share where D_ft excites these features a little, mixed minus unmixed", "leak"),
    "grafted": Quantity("E4", "matched loss_ret, grafted minus unmixed; share of the unmixed forgetting", "grafted"),
    "pruned": Quantity("E4", "matched loss_ret, pruned minus mixed; share of the unmixed forgetting", "pruned", opposite=True),
    "relearned": Quantity("E5", "log of what is left of the forgetting, mixed minus unmixed"),
}  # fmt: skip
"""In the order of the figure."""


def cases() -> list[Case]:
    """A case per network."""
    return [
        Case(model, one.setup, dict(one.values) | {"seed": seeds(SEEDS if one.random else 1)})
        for model, one in ACCOUNTS.items()
    ]


def run(case: Case, study: str) -> dict[str, Any]:
    """Train the arms of a network and measure them: columns, a row per arm and seed."""
    begun = time.perf_counter()
    account, setup, count = ACCOUNTS[case.model], case.setup, case.size
    values = complete(account.half, case.values)
    on = problem(account.half, values)
    made = train(setup, on, values, start(setup, values, values["seed"]), account.back)
    level = LEVEL * probes.loss(made["unmixed"].post, on.ft)
    parts = [measured(setup, on, made[arm], level) for arm in ARMS]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    settings = {name: value for name, value in values.items() if name != "seed"}
    exposed = [arm in ("mixed", "half", "pruned") for arm in ARMS]
    settings["alpha"] = np.repeat(np.where(exposed, values["alpha"], 0.0), count)
    settings["l2_to_start"] = np.concatenate([made[arm].pull for arm in ARMS])
    losses = [found.pop(name) for name in ("loss_im", "loss_ret", "loss_ft", "loss_pre")]
    further = setup_columns(setup) | {f"sims.{name}": value for name, value in found.items()}
    further |= {"sims.arm": np.repeat(ARMS, count).tolist(), "seed": np.tile(values["seed"], len(ARMS))}
    return rows.columns(
        settings, losses, study=study, config_hash=config_hash(study, case.model, setup), engine="sims", model=case.model,
        wall_seconds=(time.perf_counter() - begun) / count / len(ARMS), **further,
    )  # fmt: skip


def measured(setup: Setup, on: Problem, arm: Arm, level: Any) -> dict[str, Any]:
    """Everything that is measured of an arm, one number per seed; losses are matched at a level of loss_ft."""
    kept, adapted = (np.stack([probes.loss(weights, task) for weights in arm.path]) for task in (on.post, on.ft))
    down = gradient(setup, arm.post, on.ft.moments)
    leak = gradient(setup, arm.post, on.ft.leaking(on.own, LEAK).moments)
    first, second = probes.sizes(setup, arm.post)
    fall, bend = probes.step(arm.post, down, STEP, on.post)
    even = probes.rise(setup, arm.post, on.post, (NOISE**2, NOISE**2))
    left = probes.loss(arm.back, on.post) - kept[0], kept[-1] - kept[0]
    return {
        "loss_im": kept[0], "loss_ret": kept[-1], "loss_ft": adapted[-1], "loss_pre": probes.loss(arm.path[-1], on.pre),
        "loss_ret_a": probes.loss(arm.path[-1], on.post.of_half(0)),
        "loss_ret_b": probes.loss(arm.path[-1], on.post.of_half(1)),
        "loss_ret_matched": probes.matched(adapted, kept, level),
        "moved_post": moved(arm.pre, arm.post),
        "noise": probes.rise(setup, arm.post, on.post, (NOISE**2 * first, NOISE**2 * second)),
        "noise_even": even, "curvature": even / NOISE**2, "step": fall, "curvature_ft": bend,
        "share": probes.share(down, on.own), "share_leak": probes.share(leak, on.own),
        "relearned": np.log(left[0] / left[1], out=np.full_like(left[0], np.nan), where=np.minimum(*left) > 0),
    }  # fmt: skip


def by_arm(table: Any, model: str, name: str) -> dict[str, Any]:
    """A column, arm by arm, seeds in order."""
    made = {}
    for arm in ARMS:
        keep = (column(table, "model") == model) & (column(table, "sims.arm") == arm)
        made[arm] = column(table, name)[keep][np.argsort(column(table, "seed")[keep])]
    return made


def effect(table: Any, model: str, name: str) -> Effect:
    """A quantity of `QUANTITIES` in a network, over its seeds."""

    def by(which: str) -> dict[str, Any]:
        return by_arm(table, model, which)

    forgetting = by("loss_ret")["unmixed"] - by("loss_im")["unmixed"]
    if name == "halves":
        gain_a, gain_b = (by(f"sims.loss_ret_{half}")["unmixed"] - by(f"sims.loss_ret_{half}")["half"] for half in "ab")
        return ratio(gain_a - gain_b, forgetting / 2)
    if name in ("held", "grafted", "pruned"):
        ret = by("sims.loss_ret_matched")
        one, other = {"held": ("mixed", "held"), "grafted": ("grafted", "unmixed"), "pruned": ("pruned", "mixed")}[name]
        return ratio(ret[one] - ret[other], forgetting)
    found = by(f"sims.{name}")
    if name == "share_leak":
        return mean(np.log(found["mixed"] / found["unmixed"]))
    if QUANTITIES[name].claim == "E3":
        return ratio(found["mixed"] - found["unmixed"], found["unmixed"])
    return mean(found["mixed"] - found["unmixed"])


def expected(model: str, name: str) -> int:
    """The sign that the account of a network predicts for a quantity."""
    quantity = QUANTITIES[name]
    return PREDICTED[ACCOUNTS[model].says][quantity.claim] * (-1 if quantity.opposite else 1)


def judge(table: Any) -> list[Verdict]:
    """Every quantity of every network: has it the sign that its account predicts?"""
    made = []
    for model in ACCOUNTS:
        if not (column(table, "model") == model).any():
            continue
        for name, quantity in QUANTITIES.items():
            sign, says = expected(model, name), ACCOUNTS[model].says
            bounds: dict[str, Any] = {
                1: {"at_least": MARGIN}, -1: {"at_most": -MARGIN}, 0: {"at_least": -MARGIN, "at_most": MARGIN, "equivalence": True},
            }[sign]  # fmt: skip
            words = {1: f"at least {MARGIN:g}", -1: f"at most -{MARGIN:g}", 0: f"within {MARGIN:g} of 0"}[sign]
            found = effect(table, model, name)
            criterion = f"{words}: what the account {says} predicts"
            made.append(judged(quantity.claim, model, quantity.effect, found, criterion, quantity.variant, **bounds))
    return made


def report(table: Any) -> Report:
    """Effects of all networks side by side, and that the arms are what they claim to be."""
    checks = []
    for model in (one for one in ACCOUNTS if (column(table, "model") == one).any()):
        far = by_arm(table, model, "sims.moved_post")
        off = float(np.abs(far["held"] / far["mixed"] - 1).max())
        checks.append(
            Check(f"{model}: held", off < 1e-3, "displacement of held over that of mixed, less 1", off, "below .001")
        )
        ret = by_arm(table, model, "sims.loss_ret_matched")
        lost = float(sum(np.isnan(one).sum() for one in ret.values()))
        checks.append(
            Check(f"{model}: matched", lost == 0, "runs whose loss_ft does not reach the level", lost, "none")
        )
    body = [
        [name, *(f"{effect(table, model, name).value:+.3g} ({'-0+'[expected(model, name) + 1]})" for model in ACCOUNTS)]
        for name in QUANTITIES
    ] if len(checks) == 2 * len(ACCOUNTS) else []  # fmt: skip
    return Report(checks, "Effects, and the sign that the account predicts", ["", *ACCOUNTS], body)


MECHANISMS = Study(
    "mechanisms", "experiments that tell accounts of protection apart, in networks that realise them (E1 to E5)", cases, judge,
    report=report, run=run,
)  # fmt: skip
