"""A study at another size, by stated rules: paper scale -> nano -> smoke, through every value of base, arms and axes.

    tokens of all stages and of D_post     x tokens of stage 1, nano / paper         to whole stage-1 batches, one at least
    windows per step                       / 64 (512 -> 8)
    learning rates, minima included        x 6  (stage-1 peaks: 5e-4 -> 3e-3)
    steps (warm-up, evaluations)           x steps of stage 1, nano / paper
    ranks                                  x width, nano / paper
    corpora                                c4, musicpile, chempile, flan -> general, music, chemistry, instruction
    cap of stage 2                         four times as many passes (a small model needs more to stop by itself)
    everything else                        as it is

Stage 1 of nano is 4M tokens, 20 per parameter, and its tokenizer is trained on D_pre alone (gates V1 and V6 of a testbed); seeds 0 to 4,
each of which draws all stages. A smoke study is the same path in seconds: of every axis the first value, of lambda and sizes the ends.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from common import dotted
from lm_experiments.models import PRESETS
from lm_experiments.studies.settings import SEARCH_SEEDS, Arm, Axis, PipelineSettings, Study

CORPORA = {"c4": "general", "musicpile": "music", "chempile": "chemistry", "flan": "instruction"}
"""Corpus of the paper -> the embedded one of its kind."""
ROLES = ("pre", "post", "ft", "other", "measured_too", "tokenizer_corpora")
"""Settings that name corpora."""
NANO_TOKENS, NANO_BATCH, NANO_LENGTH = 4_000_000, 8, 128
SEEDS = (0, 1, 2, 3, 4)
_UNIT = NANO_BATCH * NANO_LENGTH


def mapped(study: Study, change: Callable[[str, Any], Any]) -> Study:
    """A study with every value changed, wherever it stands: `change(setting, value)`; values of an axis that become equal become one."""
    base = dotted.changed(study.base, {name: change(name, dotted.value_of(study.base, name)) for name in _SETTINGS})

    def of(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        return tuple(Axis(name, tuple(dict.fromkeys(change(name, value) for value in values))) for name, values in axes)

    arms = tuple(
        arm._replace(changes={name: change(name, value) for name, value in arm.changes.items()}, axes=of(arm.axes))
        for arm in study.arms
    )
    return replace(study, base=base, axes=of(study.axes), arms=arms)


_SETTINGS = tuple(dotted.leaves(PipelineSettings))


def corpora_of(study: Study) -> tuple[str, ...]:
    """The corpora that a study names."""
    found: dict[str, None] = {}

    def note(name: str, value: Any) -> Any:
        if name in ROLES:
            found.update(dict.fromkeys(value if isinstance(value, tuple) else (value,)))
        return value

    mapped(study, note)
    return tuple(name for name in found if name)


def on_corpora(study: Study, corpora: Mapping[str, str]) -> Study:
    """A study on other corpora, by the names that it has for them."""

    def change(name: str, value: Any) -> Any:
        if name not in ROLES:
            return value
        if isinstance(value, tuple):
            return tuple(corpora.get(one, one) for one in value)
        return corpora.get(value, value)

    return mapped(study, change)


def in_roles(study: Study, roles: Mapping[str, str]) -> Study:
    """A study whose D_pre, D_post or D_ft (`pre`, `post`, `ft`) are these corpora, also where its arms have others.

    A corpus that goes is replaced in the tokenizer's corpora and in `measured_too` as well. Arms that were apart only by it become one,
    and what all names of several arms have in common, as the name of that corpus, goes.
    """
    old = {
        one: new
        for role, new in roles.items()
        for one in (
            dotted.value_of(study.base, role),
            *(arm.changes[role] for arm in study.arms if role in arm.changes),
        )
    }
    several = {
        name: tuple(dict.fromkeys(old.get(one, one) for one in dotted.value_of(study.base, name)))
        for name in ("measured_too", "tokenizer_corpora")
    }
    arms: dict[Any, Arm] = {}
    for arm in study.arms:
        changes = {name: value for name, value in arm.changes.items() if name not in roles}
        arms.setdefault((tuple(changes.items()), arm.axes), arm._replace(changes=changes))
    if any(role in arm.changes for arm in study.arms for role in roles):
        names = [arm.name.split(", ") for arm in arms.values()]
        common = {part for part in names[0] if all(part in name for name in names)}
        left = [", ".join(part for part in name if part not in common) for name in names]
    else:
        left = [arm.name for arm in arms.values()]
    renamed = tuple(arm._replace(name=name) for arm, name in zip(arms.values(), left, strict=True))
    return replace(study, arms=renamed).changed({**roles, **several})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What a setting becomes at another size."""

    tokens: float
    steps: float
    width: float
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Settings that are the same whatever they were."""

    def __call__(self, name: str, value: Any) -> Any:
        """The value of a setting at this size."""
        last = name.rpartition(".")[2]
        if name in self.fixed:
            return self.fixed[name]
        if value is None or isinstance(value, str | tuple | bool):
            return value
        if last in ("tokens", "tokens_post"):
            cap = 4 if name == "stage2.tokens" else 1
            return _UNIT * max(1, round(cap * self.tokens * value / _UNIT))
        if last == "batch":
            return max(1, int(value / 64 + 0.5))
        if last in ("lr", "min_lr"):
            return float(f"{6 * value:.6g}")
        if last in ("warmup", "eval_every") and value:
            return max(1, round(self.steps * value))
        if last in ("rank", "rank_ft"):
            return max(1, round(self.width * value))
        return value


def nano(study: Study) -> Study:
    """A study of paper scale at nano scale, by the rules above."""
    base = study.base
    steps = base.stage1.tokens / (base.stage1.batch * base.length)
    fixed = {
        "scale": "nano", "length": NANO_LENGTH, "vocabulary": PRESETS["nano"].vocabulary, "stop_windows": 128, "report_windows": 256,
        "tokenizer": "", "max_tokens": 0, "stage1.seed": 0, "stage2.seed": 0, "stage3.seed": 0, "precision": "fp32",
    }  # fmt: skip
    rule = Rule(
        tokens=NANO_TOKENS / base.stage1.tokens,
        steps=NANO_TOKENS / _UNIT / steps,
        width=PRESETS["nano"].hidden / PRESETS[base.scale].hidden,
        fixed=fixed,
    )
    return on_corpora(mapped(study, rule), CORPORA).over(Axis("seed", SEEDS))


ENDS = ("recipe.exposure", "tokens_post")
"""Axes of which a smoke study keeps both ends."""


def smoke(study: Study) -> Study:
    """A study of nano scale in seconds; its losses mean nothing."""
    fixed = {
        "scale": "smoke", "stop_windows": 4, "report_windows": 4,
        "stage1.tokens": 16_384, "stage1.batch": 16, "stage1.lr": 3e-3, "stage1.warmup": 1,
        "stage2.tokens": 4_096, "stage2.batch": 4, "stage2.warmup": 1,
        "stage3.tokens": 2_048, "stage3.batch": 8, "stage3.warmup": 1,
    }  # fmt: skip

    def change(name: str, value: Any) -> Any:
        if name in ("stage1.eval_every", "stage2.eval_every"):
            return 4 if value else 0
        if name == "tokens_post":
            return 2_048 if value == largest else 1_024
        if name in ("recipe.rank", "recipe.rank_ft"):
            return value and 2
        return fixed.get(name, value)

    largest = max(study.values("tokens_post"))
    cut = replace(study, axes=_cut(study.axes), arms=tuple(arm._replace(axes=_cut(arm.axes)) for arm in study.arms))
    return mapped(cut, change).over(Axis("seed", (SEARCH_SEEDS,)))


def _cut(axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
    return tuple(
        Axis(name, values[:1] if name not in ENDS else tuple(dict.fromkeys((values[0], values[-1]))))
        for name, values in axes
    )
