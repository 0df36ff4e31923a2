"""The question of `few-facts` at larger models: the same text, tokens and doses at twice and 27 times the parameters, beside its 0.08M.

    scale    parameters   tokens of stage 1 per parameter   rates (x width of pico / width)   seeds
    pico     0.08M        22                                stage 1: 4e-3                     20 to 27 (`few-facts`)
    pico2    0.17M        10                                3e-3                              70 to 74
    pico27   2.07M        0.8                               1e-3                              70 to 72: descriptive

All rates follow one rule, one over the width; nothing was searched at the larger sizes, and whether they meet the gates is for the tables
to say. Tokens are the same, so that tokens per parameter fall: a larger model sees the same text, not more. The
one decoy is the stronger of pico's two, shuffled. Endpoint: D1, as in `few-facts`.

`python -m lm_experiments run few-facts --scale pico2`, and pico27; `plan few-facts --scale pico2` says the cost.
"""

from dataclasses import replace

from common import dotted
from lm_experiments.models import PRESETS
from lm_experiments.studies.facts import FEW_BASE, FEW_DOSES, FEW_FACTS
from lm_experiments.studies.settings import Arm, Axis, Study

SEEDS = {"pico2": (70, 71, 72, 73, 74), "pico27": (70, 71, 72)}
RATES = (1e-4, 2e-4, 3e-4)


def few_facts_at(scale: str) -> Study:
    """The study at a larger preset, every rate scaled by one over the width."""
    wider = PRESETS["pico"].hidden / PRESETS[scale].hidden
    rates = {
        f"{name}.lr": float(f"{wider * stage.lr:.3g}")
        for name, stage in (("stage1", FEW_BASE.stage1), ("stage2", FEW_BASE.stage2))
    }
    base = dotted.changed(FEW_BASE, {"scale": scale, **rates})
    return replace(
        FEW_FACTS,
        base=base,
        axes=(
            Axis("seed", SEEDS[scale]),
            Axis("recipe.exposure", FEW_DOSES),
            Axis("stage3.lr", tuple(float(f"{wider * lr:.3g}") for lr in RATES)),
        ),
        arms=(Arm("real", {}), Arm("shuffled", {"recipe.exposed": "shuffled"})),
    )


LADDER = tuple(few_facts_at(scale) for scale in SEEDS)
