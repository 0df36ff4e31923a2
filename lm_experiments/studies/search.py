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

`python -m lm_experiments run search-nano`; `plan search-nano` says the cost. 24 minutes of one-thread training, 12 in two processes
(stage_seconds and wall_seconds in paper/results/lm/nano/search-nano.json). What came out: the regime of `fig3`, by the rule above;
it fails the gates that were written afterwards (LOG.md, 2026-11-24).
"""

from typing import Any

from lm_experiments.studies.fig3 import FIG3, NANO
from lm_experiments.studies.settings import SEARCH_SEEDS, Arm, Axis, Study

_BOTH = (0.0, 1.0)
_SEEDS = (SEARCH_SEEDS, SEARCH_SEEDS + 1)
_WIDE: dict[str, Any] = {"batch": 32, "tokens": 1_600_000, "eval_every": 16}
_LONG: dict[str, Any] = _WIDE | {"tokens": 2_400_000}


def _stage2(name: str, size: int, exposures: tuple[float, ...] = (0.0,), **stage2: Any) -> Arm:
    """A trial of another stage 2 of 3a, at first with the trial's settings."""
    trial = {"tokens": 800_000, "batch": 8, "eval_every": 50} | stage2
    return _arm(name, {f"stage2.{field}": value for field, value in trial.items()}, (size,), exposures)


def _chosen(study: str, sizes: tuple[int, ...], exposures: tuple[float, ...], name: str = "", **changes: Any) -> Arm:
    """The regime that was chosen, or what was tried in its place."""
    final = FIG3[study, "nano"].base
    kept = {f"stage2.{field}": getattr(final.stage2, field) for field in vars(final.stage2)}
    recipe = {"recipe.split": final.recipe.split, "recipe.replay": final.recipe.replay}
    return _arm(name or f"chosen {study}", kept | recipe | changes, sizes, exposures)


def _arm(name: str, changes: dict[str, Any], sizes: tuple[int, ...], exposures: tuple[float, ...]) -> Arm:
    return Arm(name, changes, (_sizes(sizes), _exposures(exposures)))


def _sizes(values: tuple[int, ...]) -> Axis:
    return Axis("tokens_post", values)


def _exposures(values: tuple[float, ...]) -> Axis:
    return Axis("recipe.exposure", values)


def _one_pass(name: str, sizes: tuple[int, ...], exposures: tuple[float, ...] = (0.0,), **stage2: Any) -> Arm:
    return _chosen("fig3b", sizes, exposures, name, **{f"stage2.{field}": value for field, value in stage2.items()})


_FINAL, _SMALL, _LARGE = (32_768, 65_536), (32_768,), (65_536,)
_ARMS = (
    _stage2("trial", 98_304, _BOTH),
    _stage2("batch 32, 32k", 32_768, _BOTH, **_WIDE),
    _stage2("batch 32, 64k", 65_536, _BOTH, **_WIDE),
    _stage2("lr 2e-3, 64k", 65_536, **_LONG, lr=2e-3),
    _stage2("lr 2e-3, 96k", 98_304, **_LONG, lr=2e-3),
    _stage2("lr 1e-3, long, 64k", 65_536, **_LONG),
    _stage2("batch 8, 64k", 65_536, tokens=1_200_000, eval_every=32),
    _stage2("batch 16, 64k", 65_536, batch=16, tokens=1_600_000, eval_every=24),
    _stage2("batch 8, lr 5e-4, 64k", 65_536, tokens=1_200_000, eval_every=32, lr=5e-4),
    _chosen("fig3a", _FINAL, _BOTH)._replace(axes=(_sizes(_FINAL), Axis("seed", _SEEDS), _exposures(_BOTH))),
    _chosen("fig3a-replay", _SMALL, _BOTH, "replay 0.1", **{"recipe.replay": 0.1}),
    _chosen("fig3a-replay", _FINAL, _BOTH, "replay 0.25"),
    _chosen("fig3a-replay", _SMALL, _BOTH, "replay 0.5", **{"recipe.replay": 0.5}),
    _one_pass("one pass, batch 8", _FINAL, (0.0, 0.5, 1.0), batch=8),
    _one_pass("one pass, batch 8, lr 6e-3", _LARGE, batch=8, lr=6e-3),
    _one_pass("one pass, batch 4, lr 6e-3", _LARGE, batch=4, lr=6e-3),
    _one_pass("one pass, batch 2, lr 6e-3", _LARGE, lr=6e-3),
    _chosen("fig3b", _FINAL, (0.0, 0.5, 1.0)),
)

SEARCH = Study(
    name="search-nano",
    about="what was tried to find the nano regime",
    base=NANO,
    axes=(
        _sizes(_FINAL),
        Axis("seed", _SEEDS[:1]),
        _exposures((0.0,)),
        Axis("stage3.lr", (1e-4, 3e-4)),
    ),
    arms=_ARMS,
)
