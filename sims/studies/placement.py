"""When in stage 1 the exposure should come, and whether more than one pass of it helps: the question that the paper leaves open.

placement   uniform, early, late or annealed, at equal D_post samples, before a short and before a long stage 2
repeated    lambda from 0 to 16 passes over a small pool with noisy labels, and as much of an unlimited D_post without noise

Effects are paired by seed, in loss_im, loss_ret and the loss on D_pre after stage 2. The plain model answers with its exposure law and its
order theorem (P1): the specialised mode does not care, loss_im is lowest for the latest exposure. P16 says where repetition ends.

`python -m sims placement`, one to two minutes on two cores. What came out: uniform exposure is best or tied nearly
everywhere; late and annealed exposure are worse for redundant networks.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from common.curves import by_seed, paired
from common.placement import PLACEMENTS
from common.recipe import Recipe
from common.results import column
from common.verdicts import UNPREDICTED, Verdict
from sims.cases import Case
from sims.effects import judged, largest_size, ratio
from sims.studies.networks import NETWORKS, with_seeds
from sims.study import Study
from theory.realise import realise

PLACED = ("plain", "rp", "rp-shared", "relu", "relu-corr", "relu-rp")
WINDOW = 0.25
"""Share of stage 1 that early, late and annealed exposure use: short for a contrast, and the annealed peak stays below 1."""
AT_ONCE = 1e-9
"""Where stage 3 is first observed, as a fraction of it: the losses are those after stage 2."""
LENGTHS = (0.5, 5.0)
"""Fine-tuning lengths: the shared block is partly, and almost wholly, forgotten."""
STEPS, NONLINEAR_STEPS = (4000, 1000, 600), (600, 300, 180)


class Dose(NamedTuple):
    """How much D_post a network gets, in flow time."""

    pre_time: float
    exposure: float
    """In stage 1: where uniform exposure has some of its effect but not all, so that a placement can do better or worse."""
    short: float
    """Length of a stage 2 that does not finish ..."""
    long: float
    """... and of one that does."""


DOSES: dict[str, Dose] = {
    "plain": Dose(20.0, 2.0, 2.0, 8.0),
    "rp": Dose(60.0, 3.0, 1.0, 5.0),
    "rp-shared": Dose(30.0, 0.3, 0.3, 5.0),
    "relu": Dose(40.0, 2.0, 2.0, 20.0),
    "relu-corr": Dose(40.0, 2.0, 1.0, 20.0),
    "relu-rp": Dose(40.0, 0.5, 0.5, 20.0),
}

PASSES = np.array([0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0])
POOL, NOISE = 24, 0.5
"""Unique D_post samples and standard deviation of their label noise: few and noisy enough that fitting the pool is not fitting D_post."""
REPEATED: dict[str, Dose] = {
    "plain": Dose(60.0, 1.0, 2.0, 2.0),
    "rp-shared": Dose(60.0, 0.15, 0.15, 5.0),
    "relu": Dose(60.0, 1.0, 1.0, 8.0),
    "relu-corr": Dose(60.0, 1.0, 1.0, 8.0),
}
"""Here `exposure` is one pass."""
POOL_SEEDS = 32
"""A pool of two dozen differs more from the next one than a start does."""

LAW = 0.02
"""Placement does not matter, as the exposure law says, if it moves loss_ret by at most this fraction (of the uniform one)."""
SATURATED = 0.1
"""Repetition has saturated if 16 passes change loss_ret by at most this fraction of the unmixed one beyond 4, up or down."""


def cases() -> list[Case]:
    """Placements of every network; passes over a pool and over the whole distribution."""
    made = []
    for model in PLACED:
        network, dose = NETWORKS[model], DOSES[model]
        steps = STEPS if network.linear else NONLINEAR_STEPS
        observe = (AT_ONCE, *(length / LENGTHS[-1] for length in LENGTHS))
        stages = realise(
            Recipe(exposure=1.0), {"pre_time": dose.pre_time, "post_time": dose.exposure, "step_ratio": 1.0}
        )
        for placement in PLACEMENTS:
            settings = with_seeds(network, t_post=(dose.short, dose.long)) | stages | {"t_ft": LENGTHS[-1]}
            settings |= {} if placement == "uniform" else {"window": WINDOW}
            setup = replace(network.setup, steps=steps, observe=observe, placement=placement)  # type: ignore[arg-type]
            made.append(Case(model, setup, settings, {"sims.question": "placement", "exposure": 1.0}))
    for model, dose in REPEATED.items():
        network = NETWORKS[model]._replace(seeds=POOL_SEEDS)
        for samples in (POOL, 0):
            axes = with_seeds(network, passes=PASSES)
            passes = axes.pop("passes")
            spent = {"pre_time": dose.pre_time, "post_time": dose.exposure, "step_ratio": 1.0}
            noise = {"label_noise": NOISE} if samples else {}
            settings = (
                axes
                | realise(Recipe(), spent, varied={"exposure": passes})
                | {"t_post": dose.long, "t_ft": LENGTHS[-1]}
                | noise
            )
            setup = replace(network.setup, steps=STEPS if network.linear else NONLINEAR_STEPS, samples=samples)
            columns = {"sims.question": "repeated", "exposure": passes, "problem.pool": float(samples)}
            made.append(Case(model, setup, settings, columns))
    return made


EFFECTS = {"loss_im": ("loss_im", AT_ONCE * LENGTHS[-1]), "loss_ret": ("loss_ret", LENGTHS[-1]),
           "loss_ret, short": ("loss_ret", LENGTHS[0]), "D_pre damage": ("loss_pre", AT_ONCE * LENGTHS[-1])}  # fmt: skip
"""What placement is judged by: name -> loss, and when in stage 3."""


def effect_of(table: Any, model: str, placement: str, effect: str, *, long: bool) -> tuple[Any, Any]:
    """A loss under a placement, and under uniform exposure, paired by seed: one per seed."""
    loss, time = EFFECTS[effect]
    keep = (column(table, "model") == model) & (column(table, "sims.question") == "placement")
    keep &= np.isclose(column(table, "t_ft"), time, rtol=1e-6, atol=0)
    arms = [(keep & (column(table, "placement") == name), loss) for name in (placement, "uniform")]
    given, uniform = (values[:, int(long)] for values in paired(table, "t_post", *arms)[1])  # stage 2 short, long
    return given, uniform


def repeated(table: Any, model: str, *, pool: bool, loss: str = "loss_ret") -> tuple[Any, Any]:
    """Passes, and a loss of shape (seeds, passes)."""
    keep = (column(table, "model") == model) & (column(table, "sims.question") == "repeated")
    keep &= (column(table, "problem.pool") > 0) == pool
    return by_seed(table, keep, "exposure", loss)


def judge(table: Any) -> list[Verdict]:
    """P1 for every placement of independent features, P16 for repetition; P1 says nothing of redundant ones."""
    model, question = column(table, "model"), column(table, "sims.question")
    made = []
    for name in PLACED:
        if ((model == name) & (question == "placement")).any():
            made += [_placement(table, name, long=long) for long in (False, True)]
    for name in REPEATED:
        if ((model == name) & (question == "repeated")).any():
            made.append(_repetition(table, name))
    return made


def _placement(table: Any, model: str, *, long: bool) -> Verdict:
    """Placement does not matter for what is retained (P1 where features are independent): every placement, beside uniform exposure."""
    arms = [effect_of(table, model, p, "loss_ret", long=long) for p in PLACEMENTS[1:]]
    changes = np.stack([given - uniform for given, uniform in arms], axis=1)
    uniform = arms[0][1][:, None]
    found = largest_size(changes, uniform)
    worst = PLACEMENTS[1:][found.cell % len(arms)]
    others = (effect_of(table, model, worst, name, long=long) for name in ("loss_im", "D_pre damage"))
    beside = ", ".join(
        f"{name} {(a - b).mean():+.3g}" for name, (a, b) in zip(("loss_im", "D_pre damage"), others, strict=True)
    )
    said = f"change of loss_ret by {worst}, the largest, {'long' if long else 'short'} stage 2, share of {uniform.mean():.3g}; {beside}"
    prediction = UNPREDICTED if NETWORKS[model].redundant else "P1"
    criterion = f"at most {LAW:g}: only the total exposure counts"
    return judged(prediction, model, said, found, criterion, at_most=LAW, equivalence=True)


def _repetition(table: Any, model: str) -> Verdict:
    """P16: what 16 passes over a noisy pool change beyond 4; beside it what is left to unlimited samples without noise."""
    passes, pool = repeated(table, model, pool=True)
    _, fresh = repeated(table, model, pool=False)
    four, curve = int(np.argmin(np.abs(passes - 4))), pool.mean(0)
    said = (
        f"gain of 16 passes over 4, share of the unmixed loss_ret (largest gain {curve[0] - curve.min():.3g} at lambda "
        f"{passes[curve.argmin()]:g}); pool minus unlimited {curve[-1] - fresh.mean(0)[-1]:+.3g}"
    )
    late = ratio(pool[:, four] - pool[:, -1], pool[:, 0])
    return judged(
        "P16", model, said, late, f"at most {SATURATED:g}, up or down", at_least=-SATURATED, at_most=SATURATED
    )


PLACEMENT = Study("placement", "when in stage 1 to expose, and more than one pass of it (P1, P16)", cases, judge)
