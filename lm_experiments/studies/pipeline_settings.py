"""What one pipeline is (`PipelineSettings`): corpora, model, stages, recipe, seed, each a column of the results table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from common import dotted
from common.recipe import Recipe
from common.settings import Settings, WrongUse, meant, setting
from lm_experiments.corpora import label
from lm_experiments.dropout import Dropout
from lm_experiments.models import PRESETS, ModelSettings
from lm_experiments.plan import Kind

CORPORA = ("general", "music", "chemistry")
MOST = 10**14
"""Tokens of a stage or a D_post, at most: several times all public text there is."""


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
    """Further corpora on which every stage is measured: with all D_ft of a study here, pipelines of one D_post share stages 1 and 2; with
    every D_post too, all share a stage 1 of D_pre alone."""
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
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products in bfloat16, weights and moments in float32, as in the paper; another result, so it is hashed."""
    init_from: str = ""
    """A Hugging Face causal LM to begin with, weights in safetensors: a folder, or a hub name with @REVISION; empty for fresh ones."""
    begin_at: Literal["stage1", "stage2"] = "stage1"
    """Where init_from enters: stage1 pretrains it further; stage2 takes it as pretrained, so that no stage 1 is run."""
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
        """Check ranges, that D_post holds anything, and what can be asked of a model of others. Raises `WrongUse`."""
        super().__post_init__()
        self._refuse_stage1()
        if self.tokens_post < self.post_unit:
            raise WrongUse(
                f"tokens_post = {self.tokens_post:,} is too small: a D_post is at least one batch or window of {self.post_unit:,} tokens."
            )

    def _refuse_stage1(self) -> None:
        """Raise `WrongUse` where stage 1 is to be left out, and something is asked of it."""
        if self.begin_at == "stage1":
            return
        if not self.init_from:
            raise WrongUse("begin_at = stage2 needs the model to begin with. Give --init-from FOLDER, or leave it out.")
        for name in ("exposure", "sam_pre"):
            if value := getattr(self.recipe, name):
                remedy = "--exposures 0" if name == "exposure" else "--recipe.sam-pre 0"
                raise WrongUse(
                    f"recipe.{name} = {value:g} with begin_at = stage2 makes no sense: {self.init_from} was pretrained by somebody else, "
                    f"and what its stage 1 saw cannot be changed any more. Give {remedy}, or --begin-at stage1, which pretrains it further."
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
        if self.begin_at == "stage2":
            said |= {name: None for name in said if name.startswith("lm.stage1.")}
        return said | {
            "lm.init_from": Path(self.init_from).name,
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
