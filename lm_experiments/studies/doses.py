"""Beyond the paper: more than one pass of exposure (`repeat`), and fine-tuning data that resemble D_post (`overlap`).

`python -m lm_experiments run repeat` and `run overlap`; `plan repeat overlap` says the cost. Not run: there is no table of it.
"""

from lm_experiments.studies.paper import EXPOSURE, LR_FT, PAPER_135M, SEED, crossed
from lm_experiments.studies.settings import Arm, Axis, Study

TWO = ("music>chemistry", "instruction>chemistry")
_LAMBDA = Axis("recipe.exposure", (0.0, 1.0, 2.0, 4.0, 8.0))
REPEAT = Study(
    name="repeat",
    about="beyond the paper: lambda up to 8, added, in the place of D_pre, and as much more D_pre",
    base=PAPER_135M,
    axes=(SEED, _LAMBDA, LR_FT),
    arms=crossed(
        TWO,
        (
            Arm("add"),
            Arm("replace", {"recipe.mixing": "replace"}),
            Arm("more D_pre", {"recipe.exposed": "pre"}, (Axis("recipe.exposure", (1.0,)),)),
        ),
    ),
)
OVERLAP = Study(
    name="overlap",
    about="beyond the paper: stage 3 that is in part text of D_post's corpus",
    base=PAPER_135M,
    axes=(SEED, EXPOSURE, Axis("recipe.overlap", (0.0, 0.01, 0.05, 0.1, 0.25)), LR_FT),
    arms=crossed(TWO),
)
