"""Beyond the paper: when in stage 1 the exposure comes, at fixed total exposure; and the same question in marin's coordinates.

    uniform  ▂▂▂▂▂▂▂▂     early  ████____     late  ____████     anneal  ____▁▃▅█          of stage 1, one pass over D_post in all
    allocation            one pass over D_post split between stages 1 and 2, with replay of D_pre in stage 2

marin (`experiments/two_stage`) describes two stages by the allocation of the rare data to stage 2, the replay of common data in it, and the
duration of stage 2 as a fraction of all steps; two of them imply the third. Rows hold them beside ours: lm.allocation, replay, lm.duration.

`python -m lm_experiments run placement`; `plan placement` says the cost. Not run: there is no table of it.
"""

from typing import NamedTuple

from lm_experiments.studies.fig3 import ONE_PASS
from lm_experiments.studies.paper import LR_FT, MUSIC, PAPER_135M, SEED, crossed
from lm_experiments.studies.settings import Arm, Axis, Study

_HALF = {"recipe.exposure": 1.0}


class Coordinates(NamedTuple):
    """Two stages as marin describes them."""

    allocation: float
    """Share of all D_post tokens that stage 2 gets."""
    replay: float
    """Share of stage 2 that is D_pre."""
    duration: float
    """Stage 2 as a share of stages 1 and 2."""


def coordinates(pre: float, exposed: float, post: float, replay: float) -> Coordinates:
    """Where a pipeline lies in marin's coordinates.

    Args:
        pre: tokens of stage 1.
        exposed: those of D_post among them, or of a decoy in its place.
        post: tokens of stage 2.
        replay: share of D_pre in them.
    """
    rare = (1 - replay) * post
    return Coordinates(rare / (rare + exposed), replay, post / (pre + post))


PLACEMENT = Study(
    name="placement",
    about="beyond the paper: when in stage 1 the exposure comes, and one pass split between the stages",
    base=PAPER_135M,
    axes=(SEED, LR_FT),
    arms=crossed(
        MUSIC[:1],
        (
            Arm("none", {"recipe.exposure": 0.0}),
            Arm("uniform", _HALF),
            Arm(
                "placed",
                _HALF,
                (Axis("recipe.window", (0.5, 0.25, 0.1)), Axis("recipe.placement", ("early", "late", "anneal"))),
            ),
            Arm(
                "allocation",
                {"recipe.split": "compute-matched", **ONE_PASS},
                (Axis("recipe.exposure", (0.0, 0.25, 0.5, 0.75)), Axis("recipe.replay", (0.0, 0.25, 0.5))),
            ),
        ),
    ),
)
