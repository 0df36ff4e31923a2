"""The recipe: what an upstream developer chooses. Every engine of the toolkit takes it.

lambda = 0   unmixed:  D_pre | D_post | D_ft
lambda > 0   mixed:    D_pre + lambda of D_post | D_post | D_ft        "early exposure"

               stage 1: exposure, exposed, mixing, placement, window, sam_pre
               stage 2: split, extra, replay, replay_from, dropout, rank, l2_to_start, ewc, sam
               stage 3: overlap, replay_ft, replay_ft_from, rank_ft, l2_to_start_ft, ewc_ft, ewc_ft_on, noise_ft, noise_scale, bits_ft

Each intervention is declared here and nowhere else: a small dataclass with its name, range, stage and meaning, from which `Recipe`, the
options of the engines and the recipe's columns of the results table are made. Each engine has one adapter, `realise(recipe, problem)`
(`theory.realise`, `sims.realise`, `lm_experiments.realise`); what it cannot do it refuses with `cannot_realise`.

The dose of D_post, in passes over it, is the same in every engine:

                          stage 1      stage 2
    compute-matched       lambda       1 - lambda: one pass in all; replay makes the stage longer, by 1/(1 - replay)
    independent           lambda       what the stage's own length holds: a share 1 - replay of it is D_post

`extra` passes come on top of stage 2. Where stage 1 is exposed to something else in the place of D_post (a decoy), it sees as much of that,
no D_post, and stage 2 is what it is with real exposure.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np

from common.arrays import Number, is_jax
from common.placement import PLACEMENTS, Placement
from common.settings import Settings, WrongUse, check_choice, check_rank, setting


@dataclass(frozen=True, kw_only=True)
class Replayed(Settings):
    """Stage 2 sees D_pre as well; a compute-matched stage 2 becomes longer for it, because it keeps its D_post."""

    replay: float = setting(0.0, low=0, high=1, about="fraction of stage 2 drawn from D_pre")
    """Fraction of stage 2 drawn from D_pre."""


@dataclass(frozen=True, kw_only=True)
class Placed(Settings):
    """When in stage 1 the exposure happens; its dose does not change."""

    placement: Placement = setting("uniform", about="when in stage 1 the exposure happens")
    """When in stage 1 the exposure happens: spread evenly, in the first or last window, or ramped up in the last."""


@dataclass(frozen=True, kw_only=True)
class Windowed(Settings):
    """The part of stage 1 that a placement uses; the dose does not change."""

    window: float = setting(
        0.5, low=0, high=1, open_low=True, about="fraction of stage 1 that the placement uses; null if uniform"
    )
    """Fraction of stage 1 that early, late and anneal use; the total exposure stays the same."""


@dataclass(frozen=True, kw_only=True)
class Dropped(Settings):
    """Dropout in stage 2; the dose does not change."""

    dropout: float = setting(0.0, low=0, high=0.99, about="dropout probability in stage 2")
    """Probability with which a hidden unit is dropped in stage 2 (inverted scaling)."""


@dataclass(frozen=True, kw_only=True)
class Adapted(Settings):
    """A low-rank stage 2; the dose does not change."""

    rank: int | None = setting(None, about="rank of a low-rank stage 2; null is full fine-tuning")
    """Rank of an adapter that stage 2 trains instead of the weights; None trains the weights."""


@dataclass(frozen=True, kw_only=True)
class Anchored(Settings):
    """A pull towards the weights that stage 2 starts from; the dose does not change."""

    l2_to_start: float = setting(0.0, low=0, about="weight of |theta - theta at the start of stage 2|^2")
    """Weight of the penalty |theta - theta at the start of stage 2|^2."""


EXPOSED = ("post", "shuffled", "bigram", "sibling", "other", "pre", "ft")


@dataclass(frozen=True, kw_only=True)
class Exposed(Settings):
    """What stage 1 is exposed to: D_post, or a decoy in its place and of its length, which rules out an explanation."""

    exposed: Literal["post", "shuffled", "bigram", "sibling", "other", "pre", "ft"] = setting(
        "post", about="what stage 1 is exposed to: post, or a decoy of its length"
    )
    """D_post itself; its tokens shuffled within windows; text with its bigrams; other text of its corpus (sibling) or of another corpus;
    more D_pre; D_ft."""


@dataclass(frozen=True, kw_only=True)
class Extended(Settings):
    """More of D_post in stage 2: the control for what exposure adds to it."""

    extra: float = setting(0.0, low=0, about="passes over D_post that stage 2 gets on top of its own")
    """Passes over D_post that stage 2 gets on top of its own."""


@dataclass(frozen=True, kw_only=True)
class Regularised(Settings):
    """What else changes the steps of stages 1 and 2; the dose does not change."""

    replay_from: Literal["pre", "generated"] = setting("pre", about="what replay draws: D_pre, or text of the model")
    """Whether replay draws from D_pre or from what the model after stage 1 writes itself."""
    ewc: float = setting(0.0, low=0, about="weight of elastic weight consolidation on D_pre in stage 2")
    """Weight of elastic weight consolidation in stage 2, with the Fisher information of D_pre."""
    sam: float = setting(0.0, low=0, about="rho of sharpness-aware minimisation in stage 2")
    """rho of sharpness-aware minimisation in stage 2; 0 is none."""
    sam_pre: float = setting(0.0, low=0, about="rho of sharpness-aware minimisation in stage 1")
    """rho of sharpness-aware minimisation in stage 1; 0 is none."""


@dataclass(frozen=True, kw_only=True)
class Mitigated(Settings):
    """What whoever fine-tunes does against forgetting; the dose in stages 1 and 2 does not change."""

    overlap: float = setting(0.0, low=0, high=1, about="fraction of stage 3 that is other text of D_post's corpus")
    """Fraction of stage 3 that is text of D_post's corpus, none of it in D_post: how far D_ft resembles it."""
    replay_ft: float = setting(0.0, low=0, high=1, about="fraction of stage 3 that is replayed")
    """Fraction of stage 3 that is replayed."""
    replay_ft_from: Literal["post", "pre", "generated"] = setting(
        "post", about="what stage 3 replays: D_post, D_pre, or text of the model"
    )
    """Whether stage 3 replays D_post, D_pre or what the model after stage 2 writes itself."""
    rank_ft: int | None = setting(None, about="rank of a low-rank stage 3; null is full fine-tuning")
    """Rank of an adapter that stage 3 trains instead of the weights; None trains the weights."""
    l2_to_start_ft: float = setting(0.0, low=0, about="weight of |theta - theta at the start of stage 3|^2")
    """Weight of the penalty |theta - theta at the start of stage 3|^2."""
    ewc_ft: float = setting(0.0, low=0, about="weight of elastic weight consolidation in stage 3")
    """Weight of elastic weight consolidation in stage 3."""
    ewc_ft_on: Literal["post", "pre"] = setting("post", about="data of its Fisher information")
    """Whose Fisher information it uses."""


@dataclass(frozen=True, kw_only=True)
class Damaged(Settings):
    """Damage in the place of stage 3: the weights are changed, and nothing is trained."""

    noise_ft: float = setting(0.0, low=0, about="Gaussian noise on the weights in the place of stage 3; 0 is none")
    """sigma of Gaussian noise on the weights in the place of stage 3; 0 is none."""
    noise_scale: Literal["relative", "absolute"] = setting("relative", about="whether noise_ft is relative to a matrix")
    """Whether sigma is a fraction of the root mean square of each matrix."""
    bits_ft: int | None = setting(None, low=2, high=16, about="bits of rounding in the place of stage 3; null is none")
    """Bits to which the weights are rounded in the place of stage 3; None does not round."""


class Dose(NamedTuple):
    """How much of D_post each stage sees."""

    stage1: Any
    """Passes over D_post."""
    stage2: Any
    """Passes over D_post; None for an independent split, whose stage 2 is as long as it is set."""
    stage2_share: Any
    """D_post as a fraction of stage 2."""


@dataclass(frozen=True, kw_only=True)
class Recipe(
    Damaged, Mitigated, Regularised, Extended, Exposed, Anchored, Adapted, Dropped, Windowed, Placed, Replayed, Settings
):
    """How a capability is acquired before somebody else fine-tunes the model.

    Example:
        >>> Recipe(exposure=0.25, split="compute-matched").dose
        Dose(stage1=0.25, stage2=0.75, stage2_share=1.0)
        >>> Recipe(exposre=0.25)
        Traceback (most recent call last):
        common.settings.WrongUse: 'exposre' is no setting of Recipe. Did you mean exposure or exposed or extra?
    """

    exposure: float = setting(0.0, low=0, about="lambda: fraction of one pass over D_post in stage 1")
    """lambda: fraction of one pass over D_post seen during pretraining; above 1 it is repeated."""
    mixing: Literal["add", "replace"] = setting("add", about="add or replace: how the exposure enters stage 1")
    """Whether the exposure is added to the D_pre budget or replaces part of it."""
    split: Literal["independent", "compute-matched"] = setting(
        "independent", about="independent or compute-matched: what stage 2 sees of D_post"
    )
    """Whether stage 2 is set by itself, or gets the remaining (1 - lambda) of one pass over D_post."""

    def __post_init__(self) -> None:
        """Check ranges, names and that stage 2 is left its share. Raises `WrongUse`."""
        super().__post_init__()
        check_choice("mixing", self.mixing, ("add", "replace"))
        check_choice("split", self.split, ("independent", "compute-matched"))
        check_choice("placement", self.placement, PLACEMENTS)
        check_rank(self.rank)
        check_rank(self.rank_ft)
        check_choice("exposed", self.exposed, EXPOSED)
        check_choice("replay_from", self.replay_from, ("pre", "generated"))
        check_choice("replay_ft_from", self.replay_ft_from, ("post", "pre", "generated"))
        check_choice("ewc_ft_on", self.ewc_ft_on, ("post", "pre"))
        check_choice("noise_scale", self.noise_scale, ("relative", "absolute"))
        if self.split == "compute-matched":
            check_share(self.exposure, self.replay)

    @property
    def dose(self) -> Dose:
        """How much of D_post each stage sees: what every engine must give it."""
        rest = 1 - self.exposure + self.extra if self.split == "compute-matched" else None
        return Dose(self.exposure if self.exposed == "post" else 0.0, rest, 1 - self.replay)

    @property
    def columns(self) -> dict[str, Any]:
        """All recipe columns of the results table."""
        values = {name: getattr(self, name) for name in COLUMNS}
        return values | {"window": None if self.placement == "uniform" else self.window}


def check_share(exposure: Number, replay: Number) -> None:
    """Raise `WrongUse` where one pass over D_post leaves a compute-matched stage 2 a negative share, or no place for it."""
    if not is_jax(exposure) and np.any(np.asarray(exposure) > 1):
        raise WrongUse(
            f"exposure = {np.max(exposure):g} with split = compute-matched leaves stage 2 a negative share of D_post. "
            "Choose an exposure of at most 1, or split = independent."
        )
    if not is_jax(replay) and np.any(np.asarray(replay) == 1):
        raise WrongUse(
            "replay = 1 with split = compute-matched leaves stage 2 no place for its share of D_post. "
            "Choose replay below 1, or split = independent."
        )


_ORDER = ("exposure", "mixing", "split", "placement", "window", "replay", "dropout", "rank", "l2_to_start")
_TEXT = ("mixing", "split", "placement", "exposed", "replay_from", "replay_ft_from", "ewc_ft_on", "noise_scale")
_KINDS = {**dict.fromkeys(_TEXT, "text"), **dict.fromkeys(("rank", "rank_ft", "bits_ft"), "whole")}
_FIELDS = {field.name: field for field in fields(Recipe)}
COLUMNS: dict[str, tuple[str, str]] = {
    name: (_KINDS.get(name, "real"), _FIELDS[name].metadata["about"])
    for name in (*_ORDER, *(name for name in _FIELDS if name not in _ORDER))
}
"""Column of the results table -> its kind and meaning: one for each field of a recipe."""
OFF: dict[str, Any] = Recipe().columns
"""The recipe columns of a pipeline without any intervention: what a table says that is older than an intervention."""


def cannot_realise(engine: str, name: str, value: object, reason: str, remedy: str) -> WrongUse:
    """The error with which every engine refuses a part of a recipe that it cannot carry out: raise what it returns."""
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return WrongUse(f"{engine} cannot realise {name} = {shown}: {reason}. {remedy}.")
