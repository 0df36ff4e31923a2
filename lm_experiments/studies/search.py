"""What was tried to find the nano regime, kept so that anybody can see it."""

from dataclasses import replace
from typing import Any

from lm_experiments.studies.fig3 import FIG3
from lm_experiments.studies.settings import SEARCH_SEEDS, Stage, Study

TRIAL = Study(
    name="search-nano",
    about="what was tried to find the nano regime",
    variant="trial",
    scale="nano",
    stage1=Stage(tokens=1_200_000, batch=8, lr=3e-3, warmup=50),
    stage2=Stage(tokens=800_000, batch=8, lr=1e-3, warmup=20, eval_every=50, patience=3),
    stage3=Stage(tokens=80_000, batch=8, lr=1e-4, warmup=10),
    sizes=(98_304,),
    exposures=(0.0, 1.0),
    seeds=(SEARCH_SEEDS,),
    rates=(1e-4, 3e-4),
)


def _stage2(variant: str, size: int, exposures: tuple[float, ...] = (0.0,), **changes: Any) -> Study:
    return replace(TRIAL, variant=variant, sizes=(size,), exposures=exposures, stage2=replace(TRIAL.stage2, **changes))


def _chosen(name: str, seeds: tuple[int, ...], exposures: tuple[float, ...]) -> Study:
    final = FIG3[name, "nano"]
    return replace(
        final, name=TRIAL.name, variant=f"chosen {name}", seeds=seeds, exposures=exposures, rates=TRIAL.rates
    )


def _one_pass(variant: str, **changes: Any) -> Study:
    final = _chosen("fig3b", (SEARCH_SEEDS,), (0.0,))
    return replace(final, variant=variant, sizes=(65_536,), stage2=replace(final.stage2, **changes))


_BOTH = (0.0, 1.0)
_WIDE = {"batch": 32, "tokens": 1_600_000, "eval_every": 16}
_LONG = _WIDE | {"tokens": 2_400_000}
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
    replace(_one_pass("one pass, batch 8", batch=8), sizes=(32_768, 65_536), exposures=(0.0, 0.5, 1.0)),
    _one_pass("one pass, batch 8, lr 6e-3", batch=8, lr=6e-3),
    _one_pass("one pass, batch 4, lr 6e-3", batch=4, lr=6e-3),
    _one_pass("one pass, batch 2, lr 6e-3", lr=6e-3),
    _chosen("fig3b", (SEARCH_SEEDS,), (0.0, 0.5, 1.0)),
)
