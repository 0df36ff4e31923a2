"""Pictures: every figure is a function from results tables to a matplotlib figure, and never trains or solves anything.

from figures import picture
picture("alpha_curves", table)                  # a results table, or a pandas data frame with its columns
picture("phase_alpha", table, ax=ax)            # into matplotlib axes, where the table makes one panel
"""

from typing import TYPE_CHECKING

from common.lazy import public

if TYPE_CHECKING:
    from figures.make import GROUPS as GROUPS
    from figures.make import PICTURES as PICTURES
    from figures.make import draw as draw
    from figures.make import picture as picture

__all__, __getattr__, __dir__ = public(__name__, {"figures.make": ("GROUPS", "PICTURES", "draw", "picture")})
