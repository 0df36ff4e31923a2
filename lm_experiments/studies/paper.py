"""What the studies of arXiv 2605.12705 have in common: its two model sizes, four pipelines, and lists of values (Tables 1 to 10).

    stage 1   C4 8.7B (135M) or 19.7B (1B)   ████████████████  + lambda of D_post
    stage 2   D_post, at most 2B             ░░░░|              stopped by itself: patience 3 of 100 steps
    stage 3   D_ft 200M                      ▒                  four learning rates

Numbers that the paper prints stand here; those that it does not print come from `unstated.py`.
"""

from collections.abc import Sequence
from typing import Any

from common import dotted
from lm_experiments.models import PRESETS
from lm_experiments.studies.settings import Arm, Axis, PipelineSettings, Stage
from lm_experiments.studies.unstated import chosen

PIPELINES = {
    "music>chemistry": ("musicpile", "chempile"),
    "music>instruction": ("musicpile", "flan"),
    "instruction>chemistry": ("flan", "chempile"),
    "instruction>music": ("flan", "musicpile"),
}
"""Table 1: D_post and D_ft; D_pre is C4."""
MUSIC = ("music>chemistry", "music>instruction")

LR_POST = Axis("stage2.lr", (1e-4, 2e-4, 5e-4, 1e-3, 5e-3))
"""Table 7."""
BATCH_POST = Axis("stage2.batch", (192, 480, 896))
"""Table 7."""
DROPOUT = Axis("recipe.dropout", (0.02, 0.05))
"""Tables 7 and 10, without 0."""
LR_POST_1B = Axis("stage2.lr", (1e-5, 2e-5, 5e-5, 1e-4, 2e-4))
"""Table 8."""
REPLAY = 0.01
"""Of stage 2."""
SEED = Axis("seed", (0,))
"""One, as in the paper; every stage adds its own to it (42 in stage 1, 40 afterwards)."""
EXPOSURE = Axis("recipe.exposure", chosen("lambda-mixed")["recipe.exposure"])
LR_FT = Axis("stage3.lr", chosen("stage-3-rates")["stage3.lr"])

_BLANK = PipelineSettings(
    scale="135m",
    tokenizer_corpora=("c4",),
    vocabulary=PRESETS["135m"].vocabulary,
    length=1_024,
    precision="bf16",
    stage1=Stage(tokens=8_700_000_000, batch=1, lr=1, warmup=0),
    stage2=Stage(tokens=2_000_000_000, batch=480, lr=5e-4, warmup=500, weight_decay=0.1),
    stage3=Stage(tokens=200_000_000, batch=1, lr=5e-5, warmup=0),
    tokens_post=300_000_000,
)
_SHARED = ("mixing", "stage-3-schedule", "minimum-rate", "replay-source", "sources", "measured", "tokens-post")
PAPER_135M = dotted.changed(_BLANK, chosen(*_SHARED, "model-135m", "stage-1-135m", "stopping-135m"))
"""A pipeline of Tables 3, 5 and 7, with the middle of the stage-2 lists."""
PAPER_1B = dotted.changed(
    PAPER_135M,
    {
        "scale": "1b",
        "stage1.tokens": 19_700_000_000,
        "stage1.lr": 5e-4, "stage1.min_lr": 5e-5, "stage1.warmup": 1_000, "stage1.batch": 512, "stage1.eval_every": 1_000,
        "stage1.seed": 42,
        "stage2.lr": 5e-5, "stage2.batch": 512, "stage2.warmup": 100, "stage2.eval_every": 100, "stage2.patience": 3, "stage2.seed": 40,
    },
)  # fmt: skip
"""A pipeline of Tables 2, 4, 6 and 8."""


def sharing(base: PipelineSettings, pipelines: Sequence[str]) -> PipelineSettings:
    """The same measured on every D_ft of these pipelines after every stage: those of one D_post then share stages 1 and 2."""
    return dotted.changed(base, {"measured_too": tuple(dict.fromkeys(PIPELINES[name][1] for name in pipelines))})


def crossed(pipelines: Sequence[str], variants: Sequence[Arm] = (Arm(""),)) -> tuple[Arm, ...]:
    """Every variant on every pipeline, as the arms of a study: "music>chemistry, dropout"."""
    made = []
    for pipeline in pipelines:
        post, ft = PIPELINES[pipeline]
        for variant in variants:
            changes: dict[str, Any] = {"post": post, "ft": ft, **variant.changes}
            made.append(Arm(", ".join(filter(None, (pipeline, variant.name))), changes, variant.axes))
    return tuple(made)
