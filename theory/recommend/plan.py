"""What is to be trained: sizes of D_post and D_pre, and how stage 2 spends D_post."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from common.arrays import Array, Float
from common.settings import Settings, WrongUse, setting
from theory.fitting.laws import MILLION
from theory.fitting.points import SPLITS, Points
from theory.laws.forms import Seen

PUBLISHED_PRE = 9e9
"""Tokens of D_pre behind the published Figure 3: 64 per parameter of the 135M model."""


@dataclass(frozen=True, kw_only=True)
class Plan(Settings):
    """A training that lacks only its exposure."""

    tokens_post: float = setting(low=0, open_low=True)
    """Size of D_post, tokens."""
    tokens_pre: float = setting(PUBLISHED_PRE, low=0, open_low=True)
    """Size of D_pre, tokens."""
    split: Literal["independent", "compute-matched"] = "independent"
    """independent: stage 2 sees all of D_post whatever the exposure; compute-matched: what stage 1 took of the budget is gone."""
    passes: float | None = setting(None, low=0)
    """Passes of an independent stage 2; None for early stopping. Worth no more than early stopping makes of them."""
    budget: float | None = setting(None, low=0, open_low=True)
    """Tokens of D_post that both stages together may see where they are compute-matched; None for one pass."""

    def __post_init__(self) -> None:
        """Raises `WrongUse` where an option would be ignored."""
        super().__post_init__()
        for name, split in (("passes", SPLITS[0]), ("budget", SPLITS[1])):
            if getattr(self, name) is not None and self.split != split:
                raise WrongUse(
                    f"{name} = {getattr(self, name):g} says nothing about a study that is {self.split}. Set split to {split}."
                )

    @property
    def usual(self) -> bool:
        """Whether stage 2 is spent as in the published study, which the linear models are fitted to."""
        return self.passes is None and self.budget is None

    @property
    def most(self) -> float:
        """The largest exposure there can be, at most 1."""
        return 1.0 if self.budget is None else min(1.0, self.budget / self.tokens_post)

    def points(self, exposure: Float[np.ndarray, "rows"]) -> Points:
        """The same as rows of a study without losses."""
        count = len(exposure)
        matched = np.full(count, SPLITS.index(self.split))
        return Points(np.asarray(exposure), np.full(count, float(self.tokens_post)), matched, np.zeros((count, 2)))

    def seen(self, v: dict[str, Any], exposure: Float[Array, "rows"]) -> Seen:
        """What the stages would see of D_post, in millions of stage-1 tokens, for draws of a law's parameters of shape (draws, 1).

        The passes of stage 2 are worth as many single ones, and at most as many as early stopping is worth in the fit.
        """
        size = self.tokens_post / MILLION
        exposed = exposure * size
        stopped = np.maximum(v["passes"], 1.0)
        if self.split == SPLITS[1]:
            total = (self.budget or self.tokens_post) / MILLION
            passes = np.minimum(np.maximum(total - exposed, 0.0) / size, stopped)
            repeated = float(total > size)
        else:
            passes = v["passes"] if self.passes is None else np.minimum(self.passes, stopped)
            repeated = float(self.passes is None or self.passes > 1)
        return Seen(exposed, v["post_worth"] * passes * size, size, repeated)
