"""The smallest study: all three stages in seconds, down the same path as the large ones. Its losses mean nothing.

stage 1  general 20k (+ lambda of 8k music)   ████████▂
stage 2  music, one pass or two               ██
stage 3  chemistry 8k                         █

`python -m lm_experiments run smoke`; `plan smoke` says the cost: 19 CPU seconds, start-up included (`time`). What came out: nothing
is asked.
"""

from lm_experiments.studies.settings import SEARCH_SEEDS, Axis, PipelineSettings, Stage, Study

SMOKE = Study(
    name="smoke",
    about="all three stages in seconds, to see that everything works; the losses mean nothing",
    base=PipelineSettings(
        scale="nano",
        stage1=Stage(tokens=20_480, batch=8, lr=3e-3, warmup=5),
        stage2=Stage(tokens=16_384, batch=8, lr=1e-3, warmup=2, eval_every=4, patience=2),
        stage3=Stage(tokens=8_192, batch=8, lr=3e-4, warmup=2),
        tokens_post=8_192,
        seed=SEARCH_SEEDS,
        stop_windows=16,
        report_windows=16,
    ),
    axes=(Axis("recipe.exposure", (0.0, 1.0)),),
)
