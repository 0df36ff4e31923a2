"""What the frontier study says about P5, P12 and P15; all criteria were fixed before it ran."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

from common.curves import whole_seeds
from common.frontier import box_shares
from common.results import column
from common.seeds import Interval, interval, mean_interval
from sims.verdict import UNPREDICTED, Verdict, around, within
from theory.stages import predict

INTERVENTIONS = ("replay", "dropout", "decay")
PLAIN = ("plain", "plain-random", "relu")
"""Models whose modes are served by one pathway each: what P5 calls plain, with its assumptions kept or dropped."""
REDUNDANT = ("rp", "rp-shared", "relu-rp")
"""Models in which two pathways can serve one output; a unit serves one of them in the first, and may serve both in the others."""

NOTABLE = 0.05
"""A change of loss_ret counts from this share of the unmixed loss_ret on: the price of an intervention that a developer would notice."""
MULTIPLIES = 0.05
"""Replay and exposure multiply if together they gain this share of the unmixed loss_ret more than the sum of both alone."""
SHIFT = 0.05
"""The shift of loss_ret follows the formula, and loss_ft is nearly equal, within this share of the formula."""
WIDER = 0.01
"""A frontier has moved if it dominates this share more of the box that holds all points of the model."""
RANK_GAP = 0.1
"""The gap in loss_im at low rank follows (2k - r) beta^2 within this share; at r = 2k it is closed below this share of beta^2."""


COLUMNS = (
    "model", "method", "seed", "alpha", "rank", "t_pre", "t_post", "t_ft",
    "loss_im", "loss_ret", "loss_ft", "sims.k", "problem.beta", "problem.init_scale",
)  # fmt: skip
Columns: TypeAlias = Mapping[str, Any]
"""The columns that the verdicts are made of, of the seeds that have every run of their model."""
VARIANT = {"plain-random": ("plain", "random start")}
"""Models of the table that the verdicts name by another model and what differs."""


def comparable(known: Columns) -> Columns:
    """Without the seeds of which a run of their model is missing, so that all sweeps of a model have the same ones."""
    keep = np.zeros(len(known["seed"]), dtype=bool)
    for model in set(known["model"]):
        here = known["model"] == model
        keep[here] = whole_seeds(known["seed"][here])
    return {name: values[keep] for name, values in known.items()}


def named(model: str) -> tuple[str, str]:
    """The model and variant by which the verdicts name a model of the table."""
    return VARIANT.get(model, (model, ""))


def sweep(known: Columns, model: str, method: str, loss: str) -> Any:
    """A loss of one sweep, of shape (seeds, t_post, t_ft), all in rising order."""
    keep = (known["model"] == model) & (known["method"] == method)
    value, *axes = (known[name][keep] for name in (loss, "t_ft", "t_post", "seed"))
    sizes = [len(np.unique(axis)) for axis in reversed(axes)]
    return value[np.lexsort(axes)].reshape(sizes)


def of_means(statistic: Callable[[Any], Any], values: Any) -> Interval:
    """A statistic of means over seeds, with its interval.

    Args:
        statistic: from means with a leading axis of replicates to one number each.
        values: the seeds lead. Replicates of a whole sweep would not fit into memory, so they are made as weighted means.
    """
    seeds = len(values)
    flat = values.reshape(seeds, -1)

    def replicate(drawn: Any) -> Any:
        weights = (drawn[..., None] == np.arange(seeds)).mean(axis=1)
        return statistic((weights @ flat).reshape(-1, *values.shape[1:]))

    return interval(replicate, np.arange(seeds, dtype=float))


def judge(table: Any) -> list[Verdict]:
    """P5 in every model, P12 and P15 in the plain ones, and whether mixing moves the frontier."""
    known = comparable({name: column(table, name) for name in COLUMNS})
    models = dict.fromkeys(known["model"])
    plain = [name for name in PLAIN if name in models]
    made = [v for name in plain for v in never_lower(known, name)]
    made += [v for name in REDUNDANT if name in models for v in pathways(known, name)]
    made += [v for name in ("plain", "plain-random") if name in models for v in low_rank(known, name)]
    made += [v for name in plain for v in shift(known, name)]
    return made + [wider(known, name) for name in models]


def never_lower(known: Columns, model: str) -> list[Verdict]:
    """P5: nowhere in the sweep does an intervention lower loss_ret by a notable share of the mean unmixed loss_ret."""
    base = np.stack([sweep(known, model, recipe, "loss_ret") for recipe in ("unmixed", "mixed")], axis=1)
    made = []
    for name in INTERVENTIONS:
        changed = np.stack([sweep(known, model, f"{recipe}+{name}", "loss_ret") for recipe in ("unmixed", "mixed")], 1)

        def largest(means: Any) -> Any:
            before, after = means[:, 0], means[:, 1]
            return (before - after).max(axis=(1, 2, 3)) / before[:, 0].mean(axis=(1, 2))

        fall = of_means(largest, np.stack([base, changed], axis=1))
        effect = f"largest fall of loss_ret by {name}, share of the mean unmixed loss_ret"
        shown, variant = named(model)
        made.append(within("P5", shown, effect, fall, f"at most {NOTABLE:g}", variant, at_most=NOTABLE))
    return made


def pathways(known: Columns, model: str) -> list[Verdict]:
    """P5 at the longest stages 2 and 3: replay helps and multiplies with exposure; dropout helps only separate units."""
    names = ("unmixed", "mixed", "unmixed+replay", "mixed+replay", "mixed+dropout")
    ends = np.stack([sweep(known, model, name, "loss_ret")[:, -1, -1] for name in names], axis=1)

    def share(numerator: Callable[..., Any]) -> Interval:
        return of_means(lambda means: numerator(*means.T) / means[:, 0], ends)

    helped = share(lambda u, m, ur, mr, md: np.maximum(u - ur, m - mr))
    joint = share(lambda u, m, ur, mr, md: (u - mr) - (u - m) - (u - ur))
    dropped = share(lambda u, m, ur, mr, md: m - md)
    separate, unit = model == "rp", "over the unmixed loss_ret"
    effects = (
        f"fall of loss_ret by replay, mixed or unmixed, the larger, {unit}",
        f"replay with exposure beyond the sum of both alone, {unit}",
        f"fall of loss_ret by dropout, mixed, {unit}",
    )
    made = [
        within("P5", model, effect, found, f"at least {level:g}", at_least=level)
        for effect, found, level in zip(effects, (helped, joint), (NOTABLE, MULTIPLIES), strict=False)
    ]
    if separate:
        return [*made, within("P5", model, effects[2], dropped, f"at least {NOTABLE:g}", at_least=NOTABLE)]
    return [*made, within("P5", model, effects[2], dropped, f"at most {NOTABLE:g}", at_most=NOTABLE)]


def low_rank(known: Columns, model: str) -> list[Verdict]:
    """P12: the gap in loss_im between unmixed and mixed, over (2k - r) beta^2 below rank 2k, over beta^2 at 2k."""
    chosen = (known["model"] == model) & np.char.startswith(known["method"].astype(str), "converged")
    loss, rank, alpha, seed, pairs, beta = (
        known[name][chosen] for name in ("loss_im", "rank", "alpha", "seed", "sims.k", "problem.beta")
    )
    made = []
    for r in np.unique(rank):
        of_seed = [
            (loss[here & (alpha == 0)] - loss[here & (alpha > 0)])[0]
            for number in np.unique(seed)
            for here in [(rank == r) & (seed == number)]
        ]
        left = 2 * pairs[0] - r
        gap = of_means(lambda means: means[:, 0], np.array(of_seed)[:, None] / (max(left, 1) * beta[0] ** 2))
        unit = "beta^2" if left in (0, 1) else f"{left:g} beta^2"
        effect = f"rank {r:g}, k = {pairs[0]:g}: unmixed minus mixed loss_im over {unit}"
        shown, variant = named(model)
        made.append(around("P12", shown, effect, gap, 1.0 if left > 0 else 0.0, RANK_GAP, variant))
    return made


def shift(known: Columns, model: str) -> list[Verdict]:
    """P15 after the longest stage 2, over all t_ft: loss_ret shifts by the formula, loss_ft not at all.

    From an aligned start the formula is evaluated, as the closed loss_im, unmixed minus mixed, with a converged inconsistent block; where
    initial strengths are not known it is the measured shift of loss_im, which it equals.
    """
    losses = [
        sweep(known, model, "unmixed", loss)[:, -1] - sweep(known, model, "mixed", loss)[:, -1]
        for loss in ("loss_ret", "loss_ft", "loss_im")
    ]
    exact = formula(known) if model == "plain" else None
    what = "the formula" if exact is not None else "the shift of loss_im"

    def largest(means: Any, index: int, expected: int) -> Any:
        scale = exact if exact is not None else means[:, 2, :1]
        return np.abs(means[:, index] - expected * scale).max(axis=1) / np.abs(scale).reshape(-1)

    values = np.stack(losses, axis=1)
    followed = of_means(lambda means: largest(means, 0, 1), values)
    equal = of_means(lambda means: largest(means, 1, 0), values)
    effects = (
        f"largest deviation of the shift of loss_ret from {what}, share of it",
        f"largest difference in loss_ft, share of {what}",
    )
    shown, variant = named(model)
    return [
        within("P15", shown, effect, found, f"at most {SHIFT:g}", variant, at_most=SHIFT)
        for effect, found in zip(effects, (followed, equal), strict=True)
    ]


def formula(known: Columns) -> float:
    """`k [(beta - b2u)^2 - (beta - b2m)^2]` of the plain sweep at its longest stage 2."""
    keep = (known["model"] == "plain") & np.isin(known["method"], ("unmixed", "mixed"))
    stored = ("alpha", "t_pre", "t_post", "problem.beta", "problem.init_scale")
    settings = {name.removeprefix("problem."): known[name][keep] for name in stored}
    longest = settings["t_post"].max()
    pair = {name: np.array([values[0], values[0]]) for name, values in settings.items()}
    pair |= {"alpha": np.array([0.0, settings["alpha"].max()]), "t_post": np.array([longest, longest])}
    k = int(known["sims.k"][keep][0])
    specialised = predict(pair | {"n": 2 * k, "k": k, "sigma_pre": 0.0, "sigma_post": 0.0, "sigma_ft": 0.0}).loss_im
    return float(specialised[0] - specialised[1])


def wider(known: Columns, model: str) -> Verdict:
    """What mixing adds to the hypervolume in (loss_ft, loss_ret), as a share of the box that holds all sweeps; no prediction names it."""
    methods = list(dict.fromkeys(known["method"][known["model"] == model]))
    swept = [method for method in methods if not method.startswith("converged")]
    points = [
        np.stack([sweep(known, model, method, loss) for loss in ("loss_ft", "loss_ret")], axis=-1) for method in swept
    ]
    seeds = len(points[0])
    shares = box_shares([sweeps.reshape(-1, 2) for of_method in points for sweeps in of_method])
    of_recipe = dict(zip(swept, np.reshape(shares, (-1, seeds)), strict=True))
    gain = mean_interval(of_recipe["mixed"] - of_recipe["unmixed"])
    effect = "hypervolume in (loss_ft, loss_ret) gained by mixing, share of the box"
    shown, variant = named(model)
    return within(UNPREDICTED, shown, effect, gain, f"at least {WIDER:g}", variant, at_least=WIDER)
