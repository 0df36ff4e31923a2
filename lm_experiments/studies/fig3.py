"""The lambda studies of Figure 3 on music -> chemistry: stage 2 until it stops by itself (3a), and compute-matched (3b).

    3a  stage 1   ████████████████  + lambda of D_post      fixed D_pre, so lambda costs tokens
        stage 2   ░░░░░░░░|                                 many passes over D_post; the stopping set says when
        stage 3   ▒▒                                        three learning rates from the same weights

    3b  stage 1   ████████████████  + lambda of D_post
        stage 2   ░░░░                                      the remaining (1 - lambda), one pass in all, every step taken
        stage 3   ▒▒

Stage 1 is the same in both, so its models are trained once. The nano regime comes from `search.py`, which says what was
tried and by which rule it was chosen; seeds 0 to 4 took no part in that. D_post is 2.7 and 5.5 % of D_pre (in the paper 0.3 to 3.4 %).

As in the paper, stage 2 is D_post alone, and at nano scale that nearly erases the general text. The variants named -replay keep it:
a quarter of their stage 2 is D_pre. The micro studies, one size and the ends of lambda, have the nano regime unsearched.
"""

from dataclasses import replace

from common.recipe import Recipe
from lm_experiments.studies.settings import Stage, Study

REPLAY = 0.25

_NANO = Study(
    name="fig3a",
    about="Figure 3a: loss_im and loss_ret against lambda, stage 2 stopped early",
    scale="nano",
    stage1=Stage(tokens=1_200_000, batch=8, lr=3e-3, warmup=50),
    stage2=Stage(tokens=1_600_000, batch=16, lr=1e-3, warmup=20, eval_every=24, patience=3),
    stage3=Stage(tokens=80_000, batch=8, lr=1e-4, warmup=10),
    tokens_post=(32_768, 65_536),
    lr_ft=(1e-4, 3e-4, 1e-3),
)


def matched(study: Study) -> Study:
    """The compute-matched counterpart: one pass over D_post in all, in small batches, so that stage 2 has steps enough."""
    return replace(
        study,
        name="fig3b",
        about="Figure 3b: the same with one pass over D_post, split between stages 1 and 2",
        recipe=Recipe(split="compute-matched"),
        stage2=replace(study.stage2, batch=2, lr=3e-3, warmup=4, eval_every=0, patience=0),
    )


def replayed(study: Study) -> Study:
    """The same with general text in stage 2; its cap leaves room for as much of D_post as before."""
    return replace(
        study,
        name=f"{study.name}-replay",
        about=f"{study.about}; a quarter of stage 2 is D_pre",
        recipe=replace(study.recipe, replay=REPLAY),
        stage2=replace(study.stage2, tokens=2_400_000),
    )


_MICRO = replace(_NANO, scale="micro", tokens_post=(32_768,), exposures=(0.0, 1.0), seeds=(0, 1, 2))

FIG3 = {
    (made.name, made.scale): made
    for study in (_NANO, _MICRO)
    for half in (study, matched(study))
    for made in (half, replayed(half))
}
