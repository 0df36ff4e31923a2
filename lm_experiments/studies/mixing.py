"""Mixing frontiers: Figure 2 (135M, four pipelines), Figure 8 (1B, MusicPile) and Figure 9 (1B, FLAN).

arms   pipelines        axes   lambda 0 and 1 x stage-2 settings x stage-3 rates

`python -m lm_experiments run fig2`, fig8 and fig9 with `--scale 1b`; `plan fig2 --scale 135m` says the cost. Not run: there is no
table of it.
"""

from lm_experiments.studies.paper import (
    BATCH_POST,
    EXPOSURE,
    LR_FT,
    LR_POST,
    LR_POST_1B,
    MUSIC,
    PAPER_1B,
    PAPER_135M,
    PIPELINES,
    SEED,
    crossed,
    sharing,
)
from lm_experiments.studies.settings import Study

FIG2 = Study(
    name="fig2",
    about="Figure 2: mixed and unmixed frontiers, four pipelines, stage 2 x stage 3",
    base=sharing(PAPER_135M, tuple(PIPELINES)),
    axes=(SEED, EXPOSURE, BATCH_POST, LR_POST, LR_FT),
    arms=crossed(tuple(PIPELINES)),
)
FIG8 = Study(
    name="fig8",
    about="Figure 8: mixed and unmixed frontiers at 1B, MusicPile",
    base=sharing(PAPER_1B, MUSIC),
    axes=(SEED, EXPOSURE, LR_POST_1B, LR_FT),
    arms=crossed(MUSIC),
)
FIG9 = Study(
    name="fig9",
    about="Figure 9: mixed and unmixed frontiers at 1B, FLAN",
    base=PAPER_1B,
    axes=FIG8.axes,
    arms=crossed(("instruction>chemistry",)),
)
