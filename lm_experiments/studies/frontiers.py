"""Figures 2, 4, 6 and 7, placement and mitigation in the regime of `controlled`, which meets the gates: two pipelines, few settings.

    study                   methods                                         stage 2                    stage 3
    fig2-controlled         unmixed, mixed                                  rate x batch, 2 x 2        three rates
    fig4-controlled         unmixed, mixed, mixed + dropout, + replay       two rates                  three rates
    fig6-controlled         unmixed, mixed, unmixed + dropout, + replay     two rates                  three rates
    fig7-controlled         full and LoRA, unmixed and mixed                two rates each             three rates
    placement-controlled    none, uniform, early, late, anneal              one                        three rates
    mitigation-controlled   eleven, unmixed and mixed                       one                        two rates, or damage

Every method has the same number of points, so that its hypervolume owes nothing to their number. Both pipelines (chemistry,
engineering; placement and mitigation have the first alone) start from the same weights after stage 2, and all studies and `deciding` share
stage 1 where they agree in it: one command that names several trains it once. LoRA has four times the rates of full fine-tuning, as
adapters of rank 8 at the same rate hardly learn; neither rates nor strengths were searched for an effect. Seeds 40 to 42: three, below
what a headline needs; the intervals say so.

`python -m lm_experiments run fig2-controlled fig4-controlled fig6-controlled fig7-controlled`; `plan fig2-controlled` says the cost:
half an hour to 50 minutes each in two one-thread processes beside other work, where what they share is counted in each (wall_seconds
in paper/results/lm/nano/*-controlled.json). What is asked of the tables, and by which criterion, stands in `verdicts/frontiers.py`,
written before there were any.

What came out: by rule nothing, of three seeds. By their intervals mixing moves the frontier in (loss_ret, loss_pre), under LoRA in
(loss_ft, loss_ret) too; dropout in stage 2 moves that one more, with mixing and without; full fine-tuning is ahead of LoRA; no
time of the exposure in stage 1 differs from another; and whoever fine-tunes has the stronger means (LOG.md, 2026-11-29).
"""

from typing import Any

from lm_experiments.studies.controlled import BASE, FINE_TUNED
from lm_experiments.studies.deciding import ENDS, L2, RATES, RHO
from lm_experiments.studies.settings import Arm, Axis, Study

SEEDS = (40, 41, 42)
CHEMISTRY = FINE_TUNED[:1]
LR_POST = Axis("stage2.lr", (5e-4, 1e-3))
_SEED = Axis("seed", SEEDS)
_MIXED = Axis("recipe.exposure", (1.0,))
_UNMIXED = Axis("recipe.exposure", (0.0,))
DROPOUT, REPLAY, RANK = 0.05, 0.05, 8


def _study(
    name: str,
    about: str,
    variants: tuple[Arm, ...],
    *axes: Axis,
    rates: Axis = RATES,
    fine_tuned: tuple[str, ...] = FINE_TUNED,
) -> Study:
    arms = tuple(
        Arm(f"{variant.name}, {ft}", {"ft": ft, **variant.changes}, variant.axes)
        for ft in fine_tuned
        for variant in variants
    )
    return Study(
        name=f"{name}-controlled", about=f"{about}, in a regime that meets the gates", base=BASE,
        axes=(_SEED, ENDS, *axes, rates), arms=arms,
    )  # fmt: skip


def _helped(at: Axis) -> tuple[Arm, ...]:
    """Stage 2 as it is, mixed and unmixed; with dropout and with replay at one of the two."""
    return (
        Arm("plain"),
        Arm("dropout", {"recipe.dropout": DROPOUT}, (at,)),
        Arm("replay", {"recipe.replay": REPLAY}, (at,)),
    )


FIG2 = _study("fig2", "Figure 2: mixed and unmixed frontiers", (Arm("plain"),), Axis("stage2.batch", (16, 32)), LR_POST)
FIG4 = _study("fig4", "Figure 4: dropout and replay on top of mixing", _helped(_MIXED), LR_POST)
FIG6 = _study("fig6", "Figure 6: dropout and replay without mixing", _helped(_UNMIXED), LR_POST)
FIG7 = _study(
    "fig7",
    "Figure 7: full fine-tuning and LoRA in stage 2",
    (Arm("full"), Arm("LoRA", {"recipe.rank": RANK}, (Axis("stage2.lr", tuple(4 * lr for lr in LR_POST.values)),))),
    LR_POST,
)
PLACEMENT = _study(
    "placement",
    "when in stage 1 the exposure comes",
    (
        Arm("uniform"),
        Arm("placed", {"recipe.window": 0.25}, (_MIXED, Axis("recipe.placement", ("early", "late", "anneal")))),
    ),
    fine_tuned=CHEMISTRY,
)
_ONE_RATE = {"stage3.lr": 3e-4}


def _over(name: str, **recipe: Any) -> Arm:
    return Arm(name, {f"recipe.{key}": value for key, value in recipe.items()})


MITIGATION = _study(
    "mitigation",
    "what else keeps a capability, mixed and unmixed",
    (
        Arm("none"),
        _over("L2 to start in stage 2", l2_to_start=L2[0]),
        _over("SAM in stage 2", sam=RHO),
        _over("EWC in stage 2", ewc=1e4),
        _over("replay of D_post in stage 3", replay_ft=0.1),
        _over("replay of D_pre in stage 3", replay_ft=0.1, replay_ft_from="pre"),
        _over("L2 to start in stage 3", l2_to_start_ft=1e-2),
        _over("EWC in stage 3", ewc_ft=1e4),
        _over("LoRA in stage 3", rank_ft=RANK),
        Arm("noise", _ONE_RATE, (Axis("recipe.noise_ft", (0.03, 0.1)),)),
        Arm("rounding", _ONE_RATE, (Axis("recipe.bits_ft", (8, 4)),)),
    ),
    rates=Axis("stage3.lr", (3e-4, 1e-3)),
    fine_tuned=CHEMISTRY,
)
FRONTIERS = (FIG2, FIG4, FIG6, FIG7, PLACEMENT, MITIGATION)
