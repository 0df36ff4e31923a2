"""The recipe: what an upstream developer chooses. Every engine of the toolkit takes it.

lambda = 0   unmixed:  D_pre | D_post | D_ft
lambda > 0   mixed:    D_pre + lambda of D_post | D_post | D_ft        "early exposure"

               stage 1: exposure, mixing, placement, window
               stage 2: split, replay, dropout, rank
"""

from dataclasses import dataclass
from typing import Literal

from common.placement import PLACEMENTS, Placement
from common.settings import Settings, WrongUse, check_choice, check_rank, setting


@dataclass(frozen=True, kw_only=True)
class Recipe(Settings):
    """How a capability is acquired before somebody else fine-tunes the model."""

    exposure: float = setting(0.0, low=0)
    """lambda: fraction of one pass over D_post seen during pretraining; above 1 it is repeated."""
    mixing: Literal["add", "replace"] = "add"
    """Whether the exposure is added to the D_pre budget or replaces part of it."""
    split: Literal["independent", "compute-matched"] = "independent"
    """Whether stage 2 is set by itself, or gets the remaining (1 - lambda) of one pass over D_post."""
    replay: float = setting(0.0, low=0, high=1)
    """Fraction of stage 2 drawn from D_pre."""
    placement: Placement = "uniform"
    """When in stage 1 the exposure happens: spread evenly, in the first or last window, or ramped up in the last."""
    window: float = setting(0.5, low=0, high=1, open_low=True)
    """Fraction of stage 1 that early, late and anneal use."""
    dropout: float = setting(0.0, low=0, high=0.99)
    """Dropout probability in stage 2."""
    rank: int | None = None
    """Rank of a low-rank stage 2; None trains all weights."""

    def __post_init__(self) -> None:
        """Check ranges and names. Raises `WrongUse`."""
        super().__post_init__()
        check_choice("mixing", self.mixing, ("add", "replace"))
        check_choice("split", self.split, ("independent", "compute-matched"))
        check_choice("placement", self.placement, PLACEMENTS)
        check_rank(self.rank)
        if self.split == "compute-matched" and self.exposure > 1:
            raise WrongUse(
                f"exposure = {self.exposure:g} with split = compute-matched leaves stage 2 a negative share of D_post. "
                "Choose an exposure of at most 1, or split = independent."
            )
