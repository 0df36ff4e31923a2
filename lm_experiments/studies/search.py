"""What was tried to find the nano regime of `fig3.py`, kept so that anybody can see it, and run it again.

    stage 2 of 3a   batch 8 16 32   lr 5e-4 1e-3 2e-3   D_post 32k 64k 96k        stage 1 and stage 3 as in the trial
    the same        replay .1 .25 .5 in stage 2         D_post 32k, and 64k with .25
    stage 2 of 3b   batch 2 4 8     lr 3e-3 6e-3        one pass, chosen at lambda = 0

The rule for 3a: early stopping fires, the general text stays as far below ln V as it then can, and a pipeline costs little more than
its stage 1. The two pull against each other: at this size loss_im and the loss on the general text lie on one curve, whatever the
batch and the learning rate, so a stage 2 that converges costs general text. A larger D_post converges later and costs more;
a smaller one gives exposure less to teach. Replay is what resolves it: a tenth of D_pre in stage 2 leaves loss_im as it was and the general
text within .4 nats of where stage 1 left it. The rule for 3b: loss_im at lambda = 0 is near what one pass can give; in batches
of 8 it has too few steps, and then every recipe that moves D_post into stage 1 looks good. Only the seeds below took part.
"""

from dataclasses import replace
from typing import Any

from lm_experiments.studies.fig3 import FIG3
from lm_experiments.studies.settings import SEARCH_SEEDS, Stage, Study

_BOTH = (0.0, 1.0)

TRIAL = Study(
    name="search-nano",
    about="what was tried to find the nano regime",
    variant="trial",
    scale="nano",
    stage1=Stage(tokens=1_200_000, batch=8, lr=3e-3, warmup=50),
    stage2=Stage(tokens=800_000, batch=8, lr=1e-3, warmup=20, eval_every=50, patience=3),
    stage3=Stage(tokens=80_000, batch=8, lr=1e-4, warmup=10),
    tokens_post=(98_304,),
    exposures=(0.0, 1.0),
    seeds=(SEARCH_SEEDS,),
    lr_ft=(1e-4, 3e-4),
)


def _stage2(variant: str, size: int, exposures: tuple[float, ...] = (0.0,), **changes: Any) -> Study:
    return replace(
        TRIAL, variant=variant, tokens_post=(size,), exposures=exposures, stage2=replace(TRIAL.stage2, **changes)
    )


def _chosen(name: str, seeds: tuple[int, ...], exposures: tuple[float, ...]) -> Study:
    final = FIG3[name, "nano"]
    return replace(
        final, name=TRIAL.name, variant=f"chosen {name}", seeds=seeds, exposures=exposures, lr_ft=TRIAL.lr_ft
    )


def _replayed(share: float, size: int) -> Study:
    final = _chosen("fig3a-replay", (SEARCH_SEEDS,), _BOTH)
    return replace(final, variant=f"replay {share:g}", tokens_post=(size,), recipe=replace(final.recipe, replay=share))


def _one_pass(variant: str, **changes: Any) -> Study:
    final = _chosen("fig3b", (SEARCH_SEEDS,), (0.0,))
    return replace(final, variant=variant, tokens_post=(65_536,), stage2=replace(final.stage2, **changes))


_WIDE: dict[str, Any] = {"batch": 32, "tokens": 1_600_000, "eval_every": 16}
_LONG: dict[str, Any] = _WIDE | {"tokens": 2_400_000}
SEARCH = (
    TRIAL,
    _stage2("batch 32, 32k", 32_768, _BOTH, **_WIDE),
    _stage2("batch 32, 64k", 65_536, _BOTH, **_WIDE),
    _stage2("lr 2e-3, 64k", 65_536, **_LONG, lr=2e-3),
    _stage2("lr 2e-3, 96k", 98_304, **_LONG, lr=2e-3),
    _stage2("lr 1e-3, long, 64k", 65_536, **_LONG),
    _stage2("batch 8, 64k", 65_536, tokens=1_200_000, eval_every=32),
    _stage2("batch 16, 64k", 65_536, batch=16, tokens=1_600_000, eval_every=24),
    _stage2("batch 8, lr 5e-4, 64k", 65_536, tokens=1_200_000, eval_every=32, lr=5e-4),
    _chosen("fig3a", (SEARCH_SEEDS, SEARCH_SEEDS + 1), _BOTH),
    *(_replayed(share, 32_768) for share in (0.1, 0.25, 0.5)),
    _replayed(0.25, 65_536),
    replace(_one_pass("one pass, batch 8", batch=8), tokens_post=(32_768, 65_536), exposures=(0.0, 0.5, 1.0)),
    _one_pass("one pass, batch 8, lr 6e-3", batch=8, lr=6e-3),
    _one_pass("one pass, batch 4, lr 6e-3", batch=4, lr=6e-3),
    _one_pass("one pass, batch 2, lr 6e-3", lr=6e-3),
    _chosen("fig3b", (SEARCH_SEEDS,), (0.0, 0.5, 1.0)),
)
