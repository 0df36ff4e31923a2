"""What the frontier study says about P5, P12, P15 and Theorem 5.3."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from common.curves import whole_seeds
from common.frontier import box_shares
from common.results import column
from common.sweeps import WIDER
from common.verdicts import UNPREDICTED, Verdict
from sims.effects import judged, largest, largest_size, mean, ratio
from theory.stages import predict

INTERVENTIONS = ("replay", "dropout", "decay")
PLAIN = ("plain", "plain-random", "relu")
"""Models whose modes are served by one pathway each: what P5 calls plain, with its assumptions kept or dropped."""
REDUNDANT = ("rp", "rp-shared", "relu-rp")
"""Models in which two pathways can serve one output; a unit serves one of them in the first, and may serve both in the others."""

LOWERS = 0.01
"""An intervention does not lower loss_ret if it does so nowhere by more than this share of the mean unmixed loss_ret."""
HELPS = 0.05
"""It helps from this share on: what a developer would notice."""
MULTIPLIES = 0.05
"""Replay and exposure multiply if together they gain this share of the unmixed loss_ret more than the sum of both alone."""
SHIFT = 0.05
"""The shift of loss_ret follows the formula, and loss_ft is nearly equal, within this share of the formula."""
FORGETS = 0.01
"""The mixed model forgets no more than the unmixed one if it does so nowhere by more than this share of the mean unmixed loss_ret."""
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


def judge(table: Any) -> list[Verdict]:
    """P5 and T3 in every model, P12 and P15 in the plain ones, and whether mixing moves the frontier."""
    known = comparable({name: column(table, name) for name in COLUMNS})
    models = dict.fromkeys(known["model"])
    plain = [name for name in PLAIN if name in models]
    made = [v for name in plain for v in never_lower(known, name)]
    made += [v for name in REDUNDANT if name in models for v in pathways(known, name)]
    made += [v for name in ("plain", "plain-random") if name in models for v in low_rank(known, name)]
    made += [v for name in plain for v in shift(known, name)]
    made += [forgets_less(known, name) for name in models]
    return made + [wider(known, name) for name in models]


def never_lower(known: Columns, model: str) -> list[Verdict]:
    """P5: nowhere in the sweep does an intervention lower loss_ret."""
    base = {recipe: sweep(known, model, recipe, "loss_ret") for recipe in ("unmixed", "mixed")}
    unmixed = base["unmixed"].mean((1, 2))[:, None]
    made = []
    for name in INTERVENTIONS:
        falls = [before - sweep(known, model, f"{recipe}+{name}", "loss_ret") for recipe, before in base.items()]
        fall = largest(np.stack(falls, axis=1).reshape(len(unmixed), -1), unmixed)
        effect = f"largest fall of loss_ret by {name}, share of the mean unmixed loss_ret"
        shown, variant = named(model)
        made.append(
            judged(
                "P5", shown, effect, fall, f"nowhere more than {LOWERS:g}", variant, at_most=LOWERS, equivalence=True
            )
        )
    return made


def forgets_less(known: Columns, model: str) -> Verdict:
    """T3 over all lengths of stages 2 and 3: nowhere does the mixed model forget more, `loss_ret - loss_im`, than the unmixed one."""
    forgotten = {
        name: sweep(known, model, name, "loss_ret") - sweep(known, model, name, "loss_im")
        for name in ("unmixed", "mixed")
    }
    unmixed = sweep(known, model, "unmixed", "loss_ret").mean((1, 2))[:, None]
    excess = largest((forgotten["mixed"] - forgotten["unmixed"]).reshape(len(unmixed), -1), unmixed)
    effect = "largest excess of the mixed model's forgetting, share of the mean unmixed loss_ret"
    shown, variant = named(model)
    return judged("T3", shown, effect, excess, f"at no t_post and t_ft more than {FORGETS:g}", variant, at_most=FORGETS)


def pathways(known: Columns, model: str) -> list[Verdict]:
    """P5 at the longest stages 2 and 3: replay helps and multiplies with exposure; dropout helps only separate units."""
    names = ("unmixed", "mixed", "unmixed+replay", "mixed+replay", "mixed+dropout")
    u, m, ur, mr, md = (sweep(known, model, name, "loss_ret")[:, -1, -1] for name in names)
    helped = largest(np.stack([u - ur, m - mr], axis=1), u[:, None])
    joint, dropped = ratio((u - mr) - (u - m) - (u - ur), u), ratio(m - md, u)
    unit = "over the unmixed loss_ret"
    made = [
        judged("P5", model, f"fall of loss_ret by replay, mixed or unmixed, the larger, {unit}", helped, f"at least {HELPS:g}",
               at_least=HELPS),
        judged("P5", model, f"replay with exposure beyond the sum of both alone, {unit}", joint, f"at least {MULTIPLIES:g}",
               at_least=MULTIPLIES),
    ]  # fmt: skip
    effect = f"fall of loss_ret by dropout, mixed, {unit}"
    if model == "rp":
        return [*made, judged("P5", model, effect, dropped, f"at least {HELPS:g}", at_least=HELPS)]
    return [*made, judged("P5", model, effect, dropped, f"at most {LOWERS:g}", at_most=LOWERS)]


def low_rank(known: Columns, model: str) -> list[Verdict]:
    """P12: the gap in loss_im between unmixed and mixed, over (2k - r) beta^2 below rank 2k, over beta^2 at 2k."""
    chosen = (known["model"] == model) & np.char.startswith(known["method"].astype(str), "converged")
    loss, rank, alpha, seed, pairs, beta = (
        known[name][chosen] for name in ("loss_im", "rank", "alpha", "seed", "sims.k", "problem.beta")
    )
    made = []
    for r in np.unique(rank):
        arms = (loss[(rank == r) & arm][np.argsort(seed[(rank == r) & arm])] for arm in (alpha == 0, alpha > 0))
        left, (unmixed, mixed) = 2 * pairs[0] - r, arms
        unit = "beta^2" if left in (0, 1) else f"{left:g} beta^2"
        effect = f"rank {r:g}, k = {pairs[0]:g}: unmixed minus mixed loss_im over {unit}"
        gap, centre = mean((unmixed - mixed) / (max(left, 1) * beta[0] ** 2)), 1.0 if left > 0 else 0.0
        shown, variant = named(model)
        made.append(judged("P12", shown, effect, gap, f"within {RANK_GAP:g} of {centre:g}", variant,
                           at_least=centre - RANK_GAP, at_most=centre + RANK_GAP))  # fmt: skip
    return made


def shift(known: Columns, model: str) -> list[Verdict]:
    """P15 after the longest stage 2, over all t_ft: loss_ret shifts by the formula, loss_ft not at all.

    From an aligned start the formula is evaluated, as the closed loss_im, unmixed minus mixed, with a converged inconsistent block; where
    initial strengths are not known it is the measured shift of loss_im, which it equals.
    """
    retained, fine_tuned, immediate = (
        sweep(known, model, "unmixed", loss)[:, -1] - sweep(known, model, "mixed", loss)[:, -1]
        for loss in ("loss_ret", "loss_ft", "loss_im")
    )
    exact = np.full((1, 1), formula(known)) if model == "plain" else None
    scale, what = (immediate[:, :1], "the shift of loss_im") if exact is None else (exact, "the formula")
    effects = {
        f"largest deviation of the shift of loss_ret from {what}, share of it": retained - scale,
        f"largest difference in loss_ft, share of {what}": fine_tuned,
    }
    shown, variant = named(model)
    return [
        judged(
            "P15",
            shown,
            effect,
            largest_size(values, scale),
            f"at every length at most {SHIFT:g}",
            variant,
            at_most=SHIFT,
            equivalence=True,
        )
        for effect, values in effects.items()
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
    gain = mean(of_recipe["mixed"] - of_recipe["unmixed"])
    effect = "hypervolume in (loss_ft, loss_ret) gained by mixing, share of the box"
    shown, variant = named(model)
    return judged(UNPREDICTED, shown, effect, gain, f"at least {WIDER:g}", variant, at_least=WIDER)
