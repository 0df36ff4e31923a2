"""The recipe: what an upstream developer chooses. Every engine of the toolkit takes it.

lambda = 0   unmixed:  D_pre | D_post | D_ft
lambda > 0   mixed:    D_pre + lambda of D_post | D_post | D_ft        "early exposure"
"""

from dataclasses import dataclass
from typing import Literal

from theory.settings import Settings, WrongUse, setting


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

    def __post_init__(self) -> None:
        """Check ranges and names. Raises `WrongUse`."""
        super().__post_init__()
        for name, choices in (("mixing", ("add", "replace")), ("split", ("independent", "compute-matched"))):
            value = getattr(self, name)
            if value not in choices:
                raise WrongUse(f"{name} = {value!r} is not known. Choose one of {', '.join(choices)}.")
        if self.split == "compute-matched" and self.exposure > 1:
            raise WrongUse(
                f"exposure = {self.exposure:g} with split = compute-matched leaves stage 2 a negative share of D_post. "
                "Choose an exposure of at most 1, or split = independent."
            )
