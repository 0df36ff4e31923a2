"""Figure 7: post-training by low-rank adapters beside full fine-tuning, mixed and unmixed (Table 9).

r 64, alpha 128 (twice the rank), on the attention's output projection, the MLP and the head; merged before stage 3.
Dropout of the adapters has the values of full fine-tuning's.

`python -m lm_experiments run fig7`; `plan fig7` says the cost. Not run: there is no table of it.
"""

from lm_experiments.studies.paper import BATCH_POST, EXPOSURE, LR_FT, LR_POST, MUSIC, PAPER_135M, SEED, crossed, sharing
from lm_experiments.studies.settings import Arm, Axis, Study

RANK = 64
FIG7 = Study(
    name="fig7",
    about="Figure 7: full fine-tuning and LoRA in stage 2, mixed and unmixed",
    base=sharing(PAPER_135M, MUSIC),
    axes=(SEED, EXPOSURE, BATCH_POST, LR_POST, LR_FT),
    arms=crossed(
        MUSIC, (Arm("full"), Arm("LoRA", {"recipe.rank": RANK}, (Axis("recipe.dropout", (0.0, 0.02, 0.05)),)))
    ),
)
