"""Which choice that the paper leaves open changes a verdict: `few-facts` as it is, and with one choice at a time made otherwise.

    arm         chosen                                      as it is
    as it is
    replaced    exposure takes the place of D_pre           added to it
    untied      input embedding and output head are two     one matrix
    first       D_post is the first text, the same for all  drawn anew by every seed
    constant    stage 3 at a constant rate after warm-up    a cosine to a tenth of it

Each with real exposure and with the shuffled decoy, at lambda 0 and 2, with stage 1, the draws and the three stage-3 rates of `few-facts`,
whose regime was chosen with seed 1000. Sizes are no axis here: whether a smaller D_post is a part of a larger cannot matter for one size,
so that what stands for it is which text makes up D_post.

Named before the run, for every choice, at matched loss_ft: the raw effect of exposure and what is left of it over the decoy (D1), each
under that choice minus as it is, paired by seed. The choice does not matter where the interval lies within a tenth of the forgetting as it
is, and matters where it lies beyond (`verdicts/sensitivity.py`). Statuses side by side would not say so: one may be just within and one
just beyond its limit. Seeds 60 to 64: five, which may decide.

`python -m lm_experiments run few-sensitivity --scale pico`; `plan few-sensitivity --scale pico` says the cost: 60 models after stage 2,
where few-facts has 32 (constant shares them with the arm as it is), half an hour of two one-thread processes (wall_seconds in
paper/results/lm/pico/few-sensitivity.json). What came out: undecided for every choice; five seeds see no less than three
tenths of a nat. The untied model fails gates V3 and V6: unexposed, it does not learn the bindings in the steps that it has.
"""

from dataclasses import replace
from typing import Any

from lm_experiments.studies.facts import FEW_DOSES, FEW_FACTS
from lm_experiments.studies.settings import Arm, Axis

SEEDS = (60, 61, 62, 63, 64)
AS_IT_IS = "as it is"
CHOICES: dict[str, dict[str, Any]] = {
    AS_IT_IS: {},
    "replaced": {"recipe.mixing": "replace"},
    "untied": {"scale": "pico-untied"},
    "first": {"draw": "prefix"},
    "constant": {"stage3.floor": 1.0},
}
EXPOSED: dict[str, dict[str, Any]] = {"real": {}, "shuffled": {"recipe.exposed": "shuffled"}}
FEW_SENSITIVITY = replace(
    FEW_FACTS,
    name="few-sensitivity",
    about="few-facts with one choice that the paper leaves open made otherwise: which of them changes a verdict?",
    axes=(Axis("seed", SEEDS), Axis("recipe.exposure", FEW_DOSES), *FEW_FACTS.axes[2:]),
    arms=tuple(
        Arm(f"{exposed}, {name}", {**decoy, **changes})
        for name, changes in CHOICES.items()
        for exposed, decoy in EXPOSED.items()
    ),
)
