"""A clean question at 0.08M parameters: D_post binds names to values, of which nothing else hints (`corpora/facts.py`).

    facts        real       lambda 0 1 4   the bindings of D_post
                 permuted   lambda 0 4     the same sentences with other values: every word, every neighbour, the wrong bindings
                 shuffled   lambda 0 4     its tokens shuffled within windows
    provenance   half       lambda 0 4     the bindings of half of the names (facts:a): is the other half protected too?

Losses are nats per answer, ln 8 = 2.08 for one who knows nothing; `lm.losses` has recall and halves as well. A quarter of stage 2 is D_pre:
without, it forgets all that stage 1 had learned (gate V4). One pass of exposure leaves recall at chance, four do not. That was seen with
seeds 1000 and 1001, in which rates, replay and dose were chosen; the studies draw 10 to 17. Primary endpoint, named before the run: D1,
loss_ret at matched loss_ft, lambda 4, real minus the stronger of permuted and shuffled.

`python -m lm_experiments run facts provenance --scale pico`; `plan facts --scale pico` says the cost. Real, permuted and half at lambda 0
and 4 took .7 hours in two one-thread processes (wall_seconds in paper/results/lm/pico/facts.json and provenance.json). What came out
(`python -m lm_experiments verdicts paper/results/lm/pico/facts.parquet`): D1 and E1 undecided; the testbed fails gates V3 and V5.

    few-facts         real                        lambda 0 .1 .5 1 2    the same question of 32 names, with rumours in D_pre
                      permuted, shuffled          lambda 0 .5 2
    few-facts-halves  half                        lambda 0 2            as provenance

`python -m lm_experiments run few-facts few-facts-halves --scale pico`; `plan few-facts --scale pico` says the cost, 1.1 hours of one core
(wall_seconds beside the tables). What came out: all gates pass; D1 and E1 undecided, exposure protects nothing that can be told.

The second testbed. A binding comes four times as often, so that stage 1 learns those of D_pre for certain; rumours keep a model that
knows none of D_post's from being sure of wrong ones (gate V2, and a stage 2 that starts from guessing and learns); the stage-3 rates leave
some of what stage 2 taught. At lambda 2 recall after stage 1 was .66 and at lambda 0 chance. All that was chosen with seed 1000; the
studies draw 20 to 27. Lambda .1, .5 and 1 were added after the ends had been seen: they show the way between them, and decide nothing
that the ends did not. Named before the run: D1, loss_ret at matched loss_ft, lambda 2, real minus the stronger of permuted and shuffled;
E1 as in `verdicts/provenance.py`.
"""

from dataclasses import replace

from common.recipe import Recipe
from lm_experiments.studies.settings import Arm, Axis, PipelineSettings, Stage, Study

SEEDS = (10, 11, 12, 13, 14, 15, 16, 17)
DOSES = (0.0, 4.0)
BASE = PipelineSettings(
    scale="pico",
    pre="facts:pre",
    post="facts:post",
    ft="facts:ft",
    other="facts:permuted",
    measured_too=("facts:a", "facts:b"),
    measured_as="answers",
    length=64,
    stage1=Stage(tokens=1_600_000, batch=32, lr=4e-3, warmup=50),
    stage2=Stage(tokens=2_600_000, batch=16, lr=1e-3, warmup=20, eval_every=48, patience=5),
    stage3=Stage(tokens=40_000, batch=8, lr=1e-3, warmup=5),
    tokens_post=65_536,
    recipe=Recipe(replay=0.25),
)
FACTS = Study(
    name="facts",
    about="made sentences whose bindings are the capability: exposure beside its decoys, and by halves",
    base=BASE,
    axes=(Axis("seed", SEEDS), Axis("recipe.exposure", DOSES), Axis("stage3.lr", (3e-4, 1e-3, 3e-3))),
    arms=(
        Arm("real", {}, (Axis("recipe.exposure", (0.0, 1.0, 4.0)),)),
        Arm("permuted", {"recipe.exposed": "other"}),
        Arm("shuffled", {"recipe.exposed": "shuffled"}),
    ),
)
PROVENANCE = replace(
    FACTS,
    name="provenance",
    about="exposure to half of D_post's bindings: is only that half protected?",
    arms=(Arm("half", {"recipe.exposed": "other", "other": "facts:a"}),),
)

FEW_SEEDS = (20, 21, 22, 23, 24, 25, 26, 27)
FEW_DOSES = (0.0, 2.0)
FEW_BETWEEN = Axis("recipe.exposure", (0.0, 0.1, 0.5, 1.0, 2.0))
FEW_BASE = replace(
    BASE,
    pre="facts:pre?rumours=0.05&names=32",
    post="facts:post?names=32",
    ft="facts:ft?names=32",
    other="facts:permuted?names=32",
    measured_too=("facts:a?names=32", "facts:b?names=32"),
    tokenizer_corpora=("facts:pre",),  # of 32 names alone there are not 523 pieces to merge
    stage1=Stage(tokens=1_700_000, batch=16, lr=4e-3, warmup=50),
    stage2=Stage(tokens=2_600_000, batch=16, lr=1e-3, warmup=20, eval_every=24, patience=8),
    tokens_post=16_384,
)
FEW_FACTS = replace(
    FACTS,
    name="few-facts",
    about="made sentences of few names, with rumours in D_pre: exposure beside its decoys",
    base=FEW_BASE,
    axes=(Axis("seed", FEW_SEEDS), Axis("recipe.exposure", FEW_DOSES), Axis("stage3.lr", (1e-4, 2e-4, 3e-4))),
    arms=(Arm("real", {}, (FEW_BETWEEN,)), *FACTS.arms[1:]),
)
FEW_HALVES = replace(
    FEW_FACTS,
    name="few-facts-halves",
    about="exposure to half of the bindings of few names: is only that half protected?",
    arms=(Arm("half", {"recipe.exposed": "other", "other": "facts:a?names=32"}),),
)
