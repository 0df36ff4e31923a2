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
a quarter of their stage 2 is D_pre. The micro studies, one size and the ends of lambda, have the nano regime unsearched. The mini ones have
it by rule: ten times the tokens in every stage and in D_post (the most that `music` holds), four times the windows per step (about the
square root of ten), and peak rates that fall as one over the width, a fifth of the nano's.

At 135m stands what the paper did, with its three sizes of D_post and one stage-3 rate; `unstated.py` says what it does not say.

`python -m lm_experiments run fig3a fig3b`; `plan fig3a fig3b` says the cost. At nano 86 and 55 minutes of one-thread training, with
replay 96 and 50, at micro 25 and 20 (stage_seconds in paper/results/lm/*/fig3*.json); processes share it. What came out: large
effects of exposure in 3a and an interior lambda in 3b, withdrawn as evidence, because the testbed fails its gates (`python -m
lm_experiments gates paper/results/lm/nano/fig3a.parquet`; LOG.md, 2026-11-23 and 2026-11-24). Not run: mini and 135m.
"""

from dataclasses import replace

from common import dotted
from lm_experiments.studies.paper import PAPER_135M, SEED
from lm_experiments.studies.settings import CORPORA, Axis, PipelineSettings, Stage, Study
from lm_experiments.studies.unstated import chosen

REPLAY = 0.25
SEEDS = (0, 1, 2, 3, 4)
EXPOSURES = (0.0, 0.25, 0.5, 0.75, 1.0)

NANO = PipelineSettings(
    scale="nano",
    tokenizer_corpora=CORPORA,
    draw="prefix",
    stage1=Stage(tokens=1_200_000, batch=8, lr=3e-3, warmup=50),
    stage2=Stage(tokens=1_600_000, batch=16, lr=1e-3, warmup=20, eval_every=24, patience=3),
    stage3=Stage(tokens=80_000, batch=8, lr=1e-4, warmup=10),
    tokens_post=32_768,
)
"""A nano pipeline of 3a. Its tokenizer has seen D_post and D_ft too, and D_post is the same for every seed: so it was measured."""

_3A = Study(
    name="fig3a",
    about="Figure 3a: loss_im and loss_ret against lambda, stage 2 stopped early",
    base=NANO,
    axes=(
        Axis("tokens_post", (32_768, 65_536)),
        Axis("seed", SEEDS),
        Axis("recipe.exposure", EXPOSURES),
        Axis("stage3.lr", (1e-4, 3e-4, 1e-3)),
    ),
)


def matched(study: Study) -> Study:
    """The compute-matched counterpart: one pass over D_post in all, in small batches, so that stage 2 has steps enough."""
    one_pass = {"batch": 2, "lr": 3e-3, "warmup": 4, "eval_every": 0, "patience": 0}
    changed = study.changed(
        {"recipe.split": "compute-matched", **{f"stage2.{name}": value for name, value in one_pass.items()}}
    )
    about = "Figure 3b: the same with one pass over D_post, split between stages 1 and 2"
    return replace(changed, name="fig3b", about=about)


def replayed(study: Study) -> Study:
    """The same with general text in stage 2; its cap leaves room for as much of D_post as before."""
    changed = study.changed({"recipe.replay": REPLAY, "stage2.tokens": 2_400_000})
    return replace(changed, name=f"{study.name}-replay", about=f"{study.about}; a quarter of stage 2 is D_pre")


_MICRO = _3A.changed({"scale": "micro"}).over(
    Axis("tokens_post", (32_768,)), Axis("seed", (0, 1, 2)), Axis("recipe.exposure", (0.0, 1.0))
)

_STAGES = ("stage1", "stage2", "stage3")
MINI: dict[str, float] = {
    "tokens_post": 10,
    **{f"{stage}.tokens": 10 for stage in _STAGES},
    **{f"{stage}.{name}": 4 for stage in _STAGES for name in ("batch", "warmup")},
    **{f"{stage}.lr": 1 / 5 for stage in _STAGES},
}
"""Setting -> factor between nano and mini."""


def enlarged(study: Study) -> Study:
    """A nano study at mini scale, by the rule above."""

    def times(name: str, value: float) -> float:
        return float(f"{MINI[name] * value:.6g}")

    axes = [axis for axis in study.axes if axis.field in MINI]
    fixed = {name: times(name, dotted.value_of(study.base, name)) for name in MINI}
    changed = replace(
        study, base=dotted.changed(study.base, {"scale": "mini", "tokenizer_corpora": (), "draw": "seeded", **fixed})
    )
    return changed.over(*(Axis(name, tuple(times(name, value) for value in values)) for name, values in axes))


ONE_PASS = {**chosen("fig3b-stage-2"), "stage2.eval_every": 0, "stage2.patience": 0}
"""Stage 2 of a compute-matched pipeline at 135m."""
_SIZES = Axis("tokens_post", chosen("nesting")["tokens_post"])
_PAPER_3A = Study(
    name="fig3a",
    about=_3A.about,
    base=dotted.changed(PAPER_135M, chosen("fig3-stage-2")),
    axes=(_SIZES, SEED, Axis("recipe.exposure", EXPOSURES)),
)
_PAPER_3B = replace(_PAPER_3A, name="fig3b", about=matched(_3A).about, base=dotted.changed(
    _PAPER_3A.base, {"recipe.split": "compute-matched", **ONE_PASS}
))  # fmt: skip

_MADE = [made for study in (_3A, _MICRO) for half in (study, matched(study)) for made in (half, replayed(half))]
FIG3 = {
    (made.name, made.base.scale): made
    for made in (
        *_MADE,
        *(enlarged(study) for study in _MADE if study.base.scale == "nano"),
        _PAPER_3A,
        _PAPER_3B,
    )
}
"""The studies by name and scale."""
