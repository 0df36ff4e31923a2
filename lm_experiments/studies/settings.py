"""A study as frozen settings: what one pipeline is (`PipelineSettings`), and the arms and axes whose product is run (`Study`).

base                    corpora, model, stages, recipe, seed: everything that one pipeline needs
arms                    named variants of the base: mixed, mixed + replay, a decoy, the members of a search
  x axes                any setting by its dotted name, with its values: seed, recipe.exposure, stage2.lr, tokens_post, ...
  = cells               resolved settings, one for every pipeline and row of the table
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

from common import dotted
from common.recipe import Recipe
from common.settings import Settings, WrongUse, meant, setting
from lm_experiments.corpora import label
from lm_experiments.dropout import Dropout
from lm_experiments.models import PRESETS, ModelSettings
from lm_experiments.plan import Kind

CORPORA = ("general", "music", "chemistry")
SEARCH_SEEDS = 1000
"""Seeds from here on are for searching a regime; results come from smaller ones, which no search has used."""
MOST = 10**14
"""Tokens of a stage or a D_post, at most: several times all public text there is."""
SHORT = {"recipe.exposure": "λ", "tokens_post": "D_post", "stage3.lr": "lr_ft"}
"""What titles call a setting."""


@dataclass(frozen=True, kw_only=True)
class Stage(Settings):
    """How a stage trains, apart from its data: AdamW under a linear warm-up and a cosine down to `floor` times the peak."""

    tokens: int = setting(low=1, high=MOST)
    """Tokens of stage 1 without the exposure, at most of stage 2, of stage 3; to the next whole batch."""
    batch: int = setting(low=1)
    """Windows per step."""
    lr: float = setting(low=0, open_low=True)
    """Peak learning rate."""
    floor: float = setting(0.1, low=0)
    """Lowest learning rate, as a fraction of the peak."""
    warmup: int = setting(low=0)
    """Steps of the linear warm-up."""
    weight_decay: float = setting(0.1, low=0)
    """Of matrices, embeddings included."""
    eval_every: int = setting(0, low=0)
    """Steps between two looks at the stopping set of its own data; 0 is none."""
    patience: int = setting(0, low=0)
    """Looks without a new best after which an independent stage 2 stops with the best weights; 0 trains all steps and keeps the last."""
    min_lr: float | None = setting(None, low=0)
    """Lowest learning rate itself, in the place of `floor`."""
    seed: int = setting(0, low=0)
    """Added to the seed of the pipeline: of this stage's order, dropout and, in stage 1, initial weights."""
    dropout: Dropout = field(default_factory=Dropout)
    """Of single sites, in the place of the recipe's."""


@dataclass(frozen=True, kw_only=True)
class PipelineSettings(Settings):
    """All that decides one pipeline."""

    scale: str
    """Size of the model: a preset of `lm_experiments.models`."""
    pre: str = CORPORA[0]
    """Corpus of pretraining, D_pre."""
    post: str = CORPORA[1]
    """Corpus of post-training, D_post."""
    ft: str = CORPORA[2]
    """Corpus of fine-tuning, D_ft."""
    other: str = ""
    """Another corpus of D_post's domain, for stage 1 where the recipe says exposed = other."""
    measured_too: tuple[str, ...] = ()
    """Further corpora on which every stage is measured: with all D_ft of a study here, its pipelines share stages 1 and 2."""
    tokenizer: str = ""
    """A Hugging Face tokenizer: a folder, or a name on the hub with @REVISION; empty for a BPE trained for the study."""
    tokenizer_corpora: tuple[str, ...] = ()
    """Corpora that the BPE is trained on; none for D_pre alone, as a pretrained model's tokenizer knows nothing of later data."""
    vocabulary: int = setting(0, low=0)
    """Ids of the BPE; 0 for those of the model."""
    max_tokens: int = setting(0, low=0)
    """Tokens packed of each corpus for training, at most; 0 for all. A corpus on the hub needs a limit."""
    measured_as: Literal["tokens", "answers"] = "tokens"
    """Which labels count in losses that are measured: all, or the words that a corpus marks as answers. Training counts all."""
    draw: Literal["seeded", "prefix"] = "seeded"
    """Which windows of a corpus make up D_pre, D_post and D_ft: drawn at random by the seed, or its first ones."""
    length: int = setting(128, low=1)
    """Tokens of a window."""
    stage1: Stage
    stage2: Stage
    stage3: Stage
    recipe: Recipe = field(default_factory=Recipe)
    tokens_post: int = setting(low=1, high=MOST)
    """Tokens of D_post: to whole windows, and to whole stage-2 batches where one pass is split between the stages."""
    seed: int = setting(0, low=0)
    """Of the initial weights and of every order."""
    stop_windows: int = setting(128, low=0)
    """Windows of the stopping set; 0 is all."""
    report_windows: int = setting(256, low=0)
    """Windows of every reporting set; 0 is all."""

    def __post_init__(self) -> None:
        """Check ranges, and that D_post holds anything. Raises `WrongUse`."""
        super().__post_init__()
        if self.tokens_post < self.post_unit:
            raise WrongUse(
                f"tokens_post = {self.tokens_post:,} is too small: a D_post is at least one batch or window of {self.post_unit:,} tokens."
            )

    @property
    def post_unit(self) -> int:
        """Tokens in whole numbers of which D_post comes: a window, or a stage-2 batch where one pass is split between the stages."""
        return self.length * (self.stage2.batch if self.recipe.split == "compute-matched" else 1)

    @property
    def stages(self) -> dict[Kind, Stage]:
        """How every stage trains, by the name of its data."""
        return {"pre": self.stage1, "post": self.stage2, "ft": self.stage3}

    @property
    def pipeline(self) -> str:
        """As the results table names it: no paths."""
        return ">".join(label(name) for name in (self.pre, self.post, self.ft))

    @property
    def texts(self) -> tuple[str, ...]:
        """The corpora that a pipeline reads."""
        return (self.pre, self.post, self.ft, *([self.other] if self.other else []), *self.measured_too)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """Corpora that the BPE is trained on."""
        return self.tokenizer_corpora or (self.pre,)

    @property
    def model(self) -> ModelSettings:
        """The shape of the model. Raises `WrongUse` where there is none of that scale, or it cannot take the windows or the BPE's ids."""
        if self.scale not in PRESETS:
            raise WrongUse(f"scale = {self.scale!r} is not known. {meant(self.scale, PRESETS)}")
        found = PRESETS[self.scale]
        if self.length > found.context:
            raise WrongUse(
                f"length = {self.length} exceeds the context of {self.scale}, {found.context} tokens. Choose a shorter one"
                f"{_scales(lambda other: other.context >= self.length)}."
            )
        if not self.tokenizer and self.vocabulary not in (0, found.vocabulary):
            self.refuse_vocabulary(self.vocabulary)
        return found

    def refuse_vocabulary(self, size: int) -> None:
        """Raise `WrongUse` for a tokenizer of another size than the model's, naming the scales that fit."""
        wanted = PRESETS[self.scale].vocabulary
        raise WrongUse(
            f"The tokenizer has {size:,} ids and the model {self.scale} has {wanted:,}. Choose a tokenizer of {wanted:,}"
            f"{_scales(lambda other: other.vocabulary == size)}."
        )

    @property
    def columns(self) -> dict[str, Any]:
        """What a row says of the settings that are no columns of the schema."""
        said = {name: _cell(dotted.value_of(self, name.removeprefix("lm."))) for name in COLUMNS}
        trained = "" if self.tokenizer else "+".join(label(name) for name in self.trained_on)
        return said | {
            "lm.tokenizer": Path(self.tokenizer).name,
            "lm.tokenizer_corpora": trained,
            "lm.vocabulary": PRESETS[self.scale].vocabulary,
        }


def _scales(fits: Callable[[ModelSettings], bool]) -> str:
    names = [name for name, shape in PRESETS.items() if fits(shape)]
    return f", or --scale {' or '.join(names)}" if names else ""


def _cell(value: Any) -> Any:
    return "+".join(map(str, value)) if isinstance(value, tuple) else int(value) if isinstance(value, bool) else value


IN_SCHEMA = ("scale", "pre", "post", "ft", "tokens_post", "seed", "stage1.lr", "stage2.lr", "stage3.lr")
"""Settings that the schema of the results table has a column for; the fields of the recipe are columns too."""
COLUMNS: dict[str, str] = {
    f"lm.{name}": {bool: "whole", int: "whole", float: "real"}.get(dotted.plain_type(leaf.type), "text")
    for name, leaf in dotted.leaves(PipelineSettings).items()
    if name not in IN_SCHEMA and not name.startswith("recipe.")
}
"""Every other setting of a pipeline is a column `lm.` + its dotted name, such as lm.stage2.batch, of this kind."""


class Axis(NamedTuple):
    """A setting, by its dotted name, and the values that it takes."""

    field: str
    values: tuple[Any, ...]


class Arm(NamedTuple):
    """A variant of the base; the values that it sets itself take the place of the study's axis over the same setting."""

    name: str
    changes: Mapping[str, Any] = {}
    """Dotted name -> value."""
    axes: tuple[Axis, ...] = ()
    """Axes of its own."""


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """What a study runs: every arm x the product of the axes."""

    name: str
    about: str
    base: PipelineSettings
    axes: tuple[Axis, ...] = ()
    """The first one varies slowest."""
    arms: tuple[Arm, ...] = (Arm(""),)

    def __post_init__(self) -> None:
        """Check that arms and axes name settings, and that every axis has values. Raises `WrongUse`."""
        super().__post_init__()
        names = [arm.name for arm in self.arms]
        if not names or len(set(names)) != len(names):
            raise WrongUse(f"The arms of {self.name} are {names or 'none'}: give at least one, each with its own name.")
        for axes in (self.axes, *(arm.axes for arm in self.arms)):
            if len({axis.field for axis in axes}) != len(axes):
                raise WrongUse(f"{self.name} has two axes over one setting. Put their values into one.")
            for axis in axes:
                dotted.known(PipelineSettings, axis.field)
                if not axis.values or len(set(axis.values)) != len(axis.values):
                    raise WrongUse(
                        f"{axis.field} takes the values {' '.join(map(str, axis.values)) or '(none)'}: at least one, and each once."
                    )
        for arm in self.arms:
            dotted.changed(self.base, arm.changes)

    def cells(self) -> Iterator["Cell"]:
        """Every pipeline of the study, arm by arm. Raises `WrongUse` where settings do not go together."""
        for arm in self.arms:
            axes = self._axes(arm)
            for values in product(*(axis.values for axis in axes)):
                point = dict(zip((axis.field for axis in axes), values, strict=True))
                yield Cell(self, arm.name, dotted.changed(self.base, {**arm.changes, **point}), point)

    @property
    def size(self) -> int:
        """Pipelines of the study; nothing is resolved."""
        return sum(prod(len(axis.values) for axis in self._axes(arm)) for arm in self.arms)

    def _axes(self, arm: Arm) -> list[Axis]:
        """The axes of an arm: the study's, or its own over the same setting, then what it has besides."""
        own = {axis.field: axis for axis in arm.axes}
        axes = [own.pop(axis.field, axis) for axis in self.axes if axis.field not in arm.changes]
        return [*axes, *own.values()]

    def over(self, *axes: Axis) -> "Study":
        """The same with other values on some axes, those of its arms included; an axis that it lacks is added, varying fastest.

        Raises `WrongUse` where an arm fixes that setting.
        """
        axes = tuple(axis._replace(values=self._fitting(axis)) for axis in axes)
        new = {axis.field: axis for axis in axes}
        self._refuse_fixed(new)
        arms = tuple(arm._replace(axes=tuple(axis for axis in arm.axes if axis.field not in new)) for arm in self.arms)
        kept = tuple(new.pop(axis.field, axis) for axis in self.axes)
        return replace(self, axes=(*kept, *new.values()), arms=arms)

    def changed(self, changes: Mapping[str, Any]) -> "Study":
        """The same with another base, by dotted names; an axis over a setting that is named here goes away.

        Raises `WrongUse` where an arm fixes that setting.
        """
        self._refuse_fixed(changes)

        def left(axes: Sequence[Axis]) -> tuple[Axis, ...]:
            return tuple(axis for axis in axes if axis.field not in changes)

        arms = tuple(arm._replace(axes=left(arm.axes)) for arm in self.arms)
        return replace(self, base=dotted.changed(self.base, changes), axes=left(self.axes), arms=arms)

    def chosen(self, names: Sequence[str]) -> "Study":
        """Only some of its arms, in its order. Raises `WrongUse` where there is none of that name."""
        known = [arm.name for arm in self.arms]
        for name in names:
            if name not in known:
                raise WrongUse(f"{self.name} has no arm {name!r}. {meant(name, known)}")
        return replace(self, arms=tuple(arm for arm in self.arms if arm.name in names))

    def values(self, name: str) -> tuple[Any, ...]:
        """The values that a setting takes: those of its axis, or the one of the base."""
        found = next((axis.values for axis in self.axes if axis.field == name), None)
        return (dotted.value_of(self.base, name),) if found is None else found

    def _fitting(self, axis: Axis) -> tuple[Any, ...]:
        kind = dotted.known(PipelineSettings, axis.field).type
        return tuple(dotted.fitting(axis.field, value, kind) for value in axis.values)

    def _refuse_fixed(self, names: Mapping[str, Any]) -> None:
        for arm in self.arms:
            for name in names:
                if name in arm.changes:
                    raise WrongUse(
                        f"{name} is {arm.changes[name]} in the arm {arm.name!r} of {self.name}, which is what makes it that arm. Leave it "
                        "out, or choose other arms."
                    )


class Cell(NamedTuple):
    """One pipeline of a study, resolved."""

    study: Study
    arm: str
    settings: PipelineSettings
    point: Mapping[str, Any]
    """Where on the axes it lies."""

    @property
    def title(self) -> str:
        """What to call it in progress lines: its arm and where it lies on the axes."""
        return self.titled(4)

    def titled(self, stage: int) -> str:
        """The same without the settings of stages from `stage` on, which stages before it do not know."""
        known = [name for name in self.point if not any(name.startswith(f"stage{later}.") for later in range(stage, 4))]
        parts = [f"{SHORT.get(name, name)} {_spelled(self.point[name])}" for name in known]
        return " ".join(filter(None, (self.arm, ", ".join(parts)))) or "its pipeline"


def _spelled(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
