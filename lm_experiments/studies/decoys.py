"""Controls of a claim about exposure, at equal tokens and the same seeds: what the effect of D_post in stage 1 is not.

    none                     lambda = 0
    real                     D_post
    shuffled                 its tokens shuffled within windows                   unigrams, embeddings
    bigram                   text with its bigrams                                local statistics
    sibling                  other text of its corpus                             the domain, not the text
    pre, ft                  more D_pre; D_ft                                     more steps; more diversity
    replace                  D_post in the place of D_pre                         the length of stage 1
    extra                    lambda = 0, and a pass more in stage 2               the dose
    slow                     lambda = 0, twice the cap and half the rate          the care taken in stage 2
    anchored                 lambda = 0, L2 to the start of stage 2               the distance moved; choose the weight by lm.moved_post

The effect of exposure is what is left over the strongest of them. Another corpus of D_post's domain is a control too, where there is one:
`--other CORPUS --recipe.exposed other --arms "music>chemistry, real"`.

`python -m lm_experiments run decoys`; `plan decoys` says the cost. Not run: there is no table of it. What was asked of decoys so
far is in `controlled`.
"""

from lm_experiments.studies.doses import TWO
from lm_experiments.studies.mitigation import L2
from lm_experiments.studies.paper import LR_FT, PAPER_135M, SEED, crossed
from lm_experiments.studies.settings import Arm, Axis, Study

_NONE = {"recipe.exposure": 0.0}
_ONE = {"recipe.exposure": 1.0}
VARIANTS = (
    Arm("none", _NONE),
    Arm("real", _ONE),
    *(Arm(decoy, {**_ONE, "recipe.exposed": decoy}) for decoy in ("shuffled", "bigram", "sibling", "pre", "ft")),
    Arm("replace", {**_ONE, "recipe.mixing": "replace"}),
    Arm("extra", {**_NONE, "recipe.extra": 1.0}),
    Arm("slow", {**_NONE, "stage2.lr": 2.5e-4, "stage2.tokens": 4_000_000_000}),
    Arm("anchored", _NONE, (Axis("recipe.l2_to_start", L2),)),
)
DECOYS = Study(
    name="decoys",
    about="controls: exposure to what is not D_post, and longer, slower or anchored post-training without exposure",
    base=PAPER_135M,
    axes=(SEED, LR_FT),
    arms=crossed(TWO, VARIANTS),
)
