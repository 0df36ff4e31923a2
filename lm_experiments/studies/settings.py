"""A study as one frozen settings object: corpora, model, stages, and the axes whose product it runs."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from common.recipe import Recipe
from common.settings import Settings, WrongUse, setting

CORPORA = ("general", "music", "chemistry")
SEARCH_SEEDS = 1000
"""Seeds from here on are for searching a regime; results come from smaller ones, which no search has used."""


@dataclass(frozen=True, kw_only=True)
class Stage(Settings):
    """How a stage trains, apart from its data: AdamW under a linear warm-up and a cosine down to `floor` times the peak."""

    tokens: int = setting(low=1)
    """Tokens of stage 1 without the exposure, at most of stage 2, of stage 3; to the next whole batch."""
    batch: int = setting(low=1)
    """Windows a step."""
    lr: float = setting(low=0, open_low=True)
    """Peak learning rate; stage 3 has those of `Study.lr_ft`."""
    floor: float = setting(0.1, low=0)
    warmup: int = setting(low=0)
    """Steps."""
    weight_decay: float = setting(0.1, low=0)
    eval_every: int = setting(0, low=0)
    """Steps between two looks at the stopping set; 0 is none."""
    patience: int = setting(0, low=0)
    """Looks without a new best after which the stage stops; 0 trains all steps and keeps the last weights."""


@dataclass(frozen=True, kw_only=True)
class Study(Settings):
    """What a study runs: every size of D_post x seed x lambda x stage-3 learning rate."""

    name: str
    about: str
    scale: str
    """A preset of `lm_experiments.models`."""
    pre: str = CORPORA[0]
    post: str = CORPORA[1]
    ft: str = CORPORA[2]
    tokenizer_corpora: tuple[str, ...] = CORPORA
    """What its tokenizer is trained on."""
    vocabulary: int = setting(1024, low=1)
    length: int = setting(128, low=1)
    stage1: Stage
    stage2: Stage
    stage3: Stage
    recipe: Recipe = field(default_factory=Recipe)
    """All of the recipe but lambda."""
    tokens_post: tuple[int, ...]
    """Tokens of D_post; to whole stage-2 batches."""
    exposures: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    lr_ft: tuple[float, ...]
    """Peak learning rates of stage 3."""
    stop_windows: int = setting(128, low=0)
    """Windows of the stopping set; 0 is all."""
    report_windows: int = setting(256, low=0)
    """Windows of every reporting set; 0 is all."""
    variant: str = ""
    """What tells it from the other members of a search."""

    def __post_init__(self) -> None:
        """Check ranges, and that every axis has values. Raises `WrongUse`."""
        super().__post_init__()
        for name in ("tokens_post", "exposures", "seeds", "lr_ft"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise WrongUse(
                    f"--{name} {' '.join(map(str, values)) or '(none)'}: give at least one value, and each only once."
                )
        if min(self.seeds) < 0 or min(self.tokens_post) < self.post_window or min(self.lr_ft) <= 0:
            raise WrongUse(
                f"seeds must be 0 or more, learning rates above 0, and a D_post at least one batch of {self.post_window:,} tokens."
            )

    @property
    def post_window(self) -> int:
        """Tokens of a stage-2 batch, the unit of D_post."""
        return self.stage2.batch * self.length

    @property
    def pipeline(self) -> str:
        """As the results table names it."""
        return f"{self.pre}>{self.post}>{self.ft}"

    def cells(self) -> Iterator["Cell"]:
        """Every pipeline of the study; those that share stages follow each other."""
        for size in self.tokens_post:
            for seed in self.seeds:
                for exposure in self.exposures:
                    for rate in self.lr_ft:
                        yield Cell(self, replace(self.recipe, exposure=exposure), size, seed, rate)

    def narrowed(self, **axes: Any) -> "Study":
        """The same with other values on some axes; None keeps what is there. Raises `WrongUse`."""
        return replace(self, **{name: values for name, values in axes.items() if values is not None})


class Cell(NamedTuple):
    """One pipeline of a study."""

    study: Study
    recipe: Recipe
    size: int
    seed: int
    rate: float

    @property
    def title(self) -> str:
        """What to call it in progress lines."""
        which = f"{self.study.variant} " if self.study.variant else ""
        return f"{which}λ {self.recipe.exposure:g}, D_post {self.size:,}, seed {self.seed}"
