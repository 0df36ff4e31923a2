"""The experiments that decide between accounts of protection (E2 to E5), in the regime of `controlled`, fresh seeds.

    arm        lambda    what it is for
    real       0 1       the effect
    shuffled   0 1       its decoy: the tokens of D_post in another order
    extra      0         nine passes of stage 2, its schedule run to the end (early stopping takes about eight): more of D_post
    slow       0         a quarter of the rate, twice the cap: the care taken in stage 2
    anchored   0         L2 to theta_pre at two weights, between which the displacement of the mixed model lies
    SAM        0 1       sharpness-aware steps in stage 2, with and without exposure: do the gains add?

The statements E2 to E5, what each account says of them and their endpoints stand in `common/claims.py` and `verdicts/mechanisms.py`; they
were written before any of these seeds was trained. The weights of L2 were chosen from stored displacements of `controlled` (mixed 14.4,
unmixed 15.5), rho and the other settings without a trial. Not run when this was written.

`python -m lm_experiments run deciding`; `plan deciding` says the cost, 1.1 hours in two one-thread processes beside other work
(wall_seconds in paper/results/lm/nano/deciding.json). Then `python -m lm_experiments probe deciding` measures the models, 36 minutes of one
core. What came out: all gates pass; E2, E3 and E4 undecided in their primary endpoints, E5 supported in its primary one and in none beside
it; no account is established or excluded (LOG.md, 2026-11-29).
"""

from lm_experiments.studies.controlled import BASE, NONE
from lm_experiments.studies.settings import Arm, Axis, Study

SEEDS = (40, 41, 42, 43, 44)
ENDS = Axis("recipe.exposure", (0.0, 1.0))
RATES = Axis("stage3.lr", (1e-4, 3e-4, 1e-3))
PASSES = 9
L2 = (1e-3, 3e-3)
RHO = 0.05

DECIDING = Study(
    name="deciding",
    about="exposure beside what could explain it: displacement, care, flatness, where the gradient falls",
    base=BASE,
    axes=(Axis("seed", SEEDS), ENDS, RATES),
    arms=(
        Arm("real", {}),
        Arm("shuffled", {"recipe.exposed": "shuffled"}),
        Arm(
            "extra", {"stage2.tokens": PASSES * BASE.tokens_post, "stage2.eval_every": 0, "stage2.patience": 0}, (NONE,)
        ),
        Arm("slow", {"stage2.lr": 2.5e-4, "stage2.tokens": 8_000_000}, (NONE,)),
        Arm("anchored", {}, (NONE, Axis("recipe.l2_to_start", L2))),
        Arm("SAM", {"recipe.sam": RHO}),
    ),
)
