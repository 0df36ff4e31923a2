"""Figure 3, both halves, in the regime of `controlled`, which meets the gates: loss_im and loss_ret along lambda, one stage-2 optimiser.

    arm        half               lambda             stage 2
    real       independent        0 .25 .5 1         stopped by itself
    shuffled   independent        0 1                stopped by itself: the decoy at the end
    matched    compute-matched    0 .25 .5           one pass over what stage 1 has not had

Each with chemistry and with engineering as D_ft, from the same weights after stage 2. lambda 0 and 1 are pipelines of `deciding`, whose
outcomes had been seen when this was written; .25, .5 and the other half had not been trained. So the ends decide nothing anew. Of the
rest is asked what the verdicts ask of any lambda study: whether loss_ret falls where loss_im does not (C1), whether an interior lambda is
best (C2). Seeds 40 to 44: five, the least that may decide.

`python -m lm_experiments run fig3-controlled`; `plan fig3-controlled` says the cost: 72 minutes of two one-thread processes, most of it
shared with `deciding` (wall_seconds in paper/results/lm/nano/fig3-controlled.json). What came out: as in the paper loss_im hardly moves
and loss_ret falls along lambda, most at the highest stage-3 rate, and the shuffled decoy does the same where chemistry follows; in
the other half no lambda is best. All undecided.
"""

from lm_experiments.studies.controlled import BASE, FINE_TUNED, ONE_PASS
from lm_experiments.studies.deciding import ENDS, RATES, SEEDS
from lm_experiments.studies.settings import Arm, Axis, Study

_ARMS = (
    Arm("real", {}, (Axis("recipe.exposure", (0.0, 0.25, 0.5, 1.0)),)),
    Arm("shuffled", {"recipe.exposed": "shuffled"}),
    Arm("matched", ONE_PASS, (Axis("recipe.exposure", (0.0, 0.25, 0.5)),)),
)
FIG3_CONTROLLED = Study(
    name="fig3-controlled",
    about="Figure 3: both halves along lambda, in a regime that meets the gates",
    base=BASE,
    axes=(Axis("seed", SEEDS), ENDS, RATES),
    arms=tuple(Arm(f"{arm.name}, {ft}", {"ft": ft, **arm.changes}, arm.axes) for ft in FINE_TUNED for arm in _ARMS),
)
