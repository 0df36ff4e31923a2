"""Beyond the paper: what else keeps a capability, by whoever post-trains or fine-tunes, and damage in the place of fine-tuning.

    upstream      replay and self-generated replay in stage 2, EWC on D_pre, L2 to start, sharpness-aware steps in stage 1 or 2
    downstream    replay and self-generated replay in stage 3, EWC, L2 to start, LoRA
    damage        Gaussian noise on the weights, rounding to 8 and 4 bits: nothing is trained, so there is no stage-3 rate

EWC's weights (1e3 to 1e5) and the noise (.009 to .1) span ranges of related work
(arXiv 2605.02105, 2605.26097; not checked against their tables).

`python -m lm_experiments run mitigation`; `plan mitigation` says the cost. Not run: there is no table of it.
"""

from typing import Any

from lm_experiments.studies.doses import TWO
from lm_experiments.studies.paper import EXPOSURE, PAPER_135M, REPLAY, SEED, crossed
from lm_experiments.studies.settings import Arm, Axis, Study

EWC = (1e3, 1e4, 1e5)
L2 = (1e-4, 1e-3, 1e-2)
RHO = (0.05, 0.1)
NOISE = (0.009, 0.03, 0.1)
SHARES = (REPLAY, 0.1)
_DAMAGED = {"stage3.lr": 5e-5}


def _over(name: str, setting: str, values: tuple[Any, ...], **changes: Any) -> Arm:
    return Arm(name, {f"recipe.{key}": value for key, value in changes.items()}, (Axis(f"recipe.{setting}", values),))


VARIANTS = (
    Arm("none"),
    _over("replay in stage 2", "replay", SHARES),
    _over("self-generated replay in stage 2", "replay", SHARES[:1], replay_from="generated"),
    _over("EWC in stage 2", "ewc", EWC),
    _over("L2 to start in stage 2", "l2_to_start", L2),
    _over("SAM in stage 1", "sam_pre", RHO),
    _over("SAM in stage 2", "sam", RHO),
    _over("replay of D_post in stage 3", "replay_ft", SHARES),
    _over("replay of D_pre in stage 3", "replay_ft", SHARES[:1], replay_ft_from="pre"),
    _over("self-generated replay in stage 3", "replay_ft", SHARES[:1], replay_ft_from="generated"),
    _over("EWC in stage 3", "ewc_ft", EWC),
    _over("L2 to start in stage 3", "l2_to_start_ft", L2),
    _over("LoRA in stage 3", "rank_ft", (64,)),
    Arm("noise", _DAMAGED, (Axis("recipe.noise_ft", NOISE),)),
    Arm("rounding", _DAMAGED, (Axis("recipe.bits_ft", (8, 4)),)),
)
MITIGATION = Study(
    name="mitigation",
    about="beyond the paper: replay, EWC, L2, SAM and LoRA in stages 2 and 3, and damage to the weights, mixed and unmixed",
    base=PAPER_135M,
    axes=(SEED, EXPOSURE, Axis("stage3.lr", (5e-5, 5e-4))),
    arms=crossed(TWO, VARIANTS),
)
