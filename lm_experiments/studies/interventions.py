"""Dropout and 1 % replay in stage 2: on top of mixing (Figures 4, 5; 1B: 10, 11) and without it (Figures 6; 1B: 12); dropout site by site.

    unmixed    mixed    mixed + dropout    mixed + replay          Figures 4, 5, 10, 11
    unmixed    mixed    unmixed + dropout  unmixed + replay        Figures 6, 12

Figures 5 and 11 are other views of the pipelines of 4 and 10. At 1B dropout has the three rates of Table 10, which names only two stage-2
settings besides: lambda and dropout.

`python -m lm_experiments run fig4`, and so on for fig5, fig6, fig10 to fig12 and dropout-sites; `plan fig4` says the cost. Not run:
there is no table of it.
"""

from dataclasses import replace

from lm_experiments.studies.paper import (
    BATCH_POST,
    DROPOUT,
    EXPOSURE,
    LR_FT,
    LR_POST,
    LR_POST_1B,
    MUSIC,
    PAPER_1B,
    PAPER_135M,
    REPLAY,
    SEED,
    crossed,
    sharing,
)
from lm_experiments.studies.settings import Arm, Axis, Study
from lm_experiments.studies.unstated import chosen

_BEST = Axis("stage2.lr", (1e-5, 2e-5, 5e-5))
"""Table 10: the best three rates of the 1B sweep."""
_REPLAY_DROPOUT = Axis("recipe.dropout", chosen("replay-dropout")["recipe.dropout"])


def _variants(exposure: float, dropout: tuple[Axis, ...], replay: tuple[Axis, ...]) -> tuple[Arm, ...]:
    here = {"recipe.exposure": exposure}
    return (
        Arm("", {}),
        Arm("dropout", here, dropout),
        Arm("replay", {**here, "recipe.replay": REPLAY}, replay),
    )


_135M = (SEED, EXPOSURE, BATCH_POST, LR_POST, LR_FT)
_1B = (SEED, EXPOSURE, LR_POST_1B, LR_FT)
FIG4 = Study(
    name="fig4",
    about="Figure 4: dropout and replay on top of mixing",
    base=sharing(PAPER_135M, MUSIC),
    axes=_135M,
    arms=crossed(MUSIC, _variants(1.0, (DROPOUT,), (_REPLAY_DROPOUT,))),
)
FIG5 = replace(FIG4, name="fig5", about="Figure 5: the pipelines of Figure 4, looked at in loss_pre")
FIG6 = Study(
    name="fig6",
    about="Figure 6: dropout and replay without mixing",
    base=sharing(PAPER_135M, MUSIC),
    axes=_135M,
    arms=crossed(MUSIC, _variants(0.0, (DROPOUT,), (_REPLAY_DROPOUT,))),
)
_AT_1B = ("music>instruction",)
FIG10 = Study(
    name="fig10",
    about="Figure 10: dropout and replay on top of mixing at 1B",
    base=PAPER_1B,
    axes=_1B,
    arms=crossed(_AT_1B, _variants(1.0, (DROPOUT, _BEST), ())),
)
FIG11 = replace(FIG10, name="fig11", about="Figure 11: the pipelines of Figure 10, looked at in loss_pre")
FIG12 = Study(
    name="fig12",
    about="Figure 12: dropout and replay without mixing at 1B",
    base=PAPER_1B,
    axes=_1B,
    arms=crossed(_AT_1B, _variants(0.0, (DROPOUT, _BEST), ())),
)
SITES = Study(
    name="dropout-sites",
    about="beyond the paper: dropout at its four sites together, and at each alone",
    base=PAPER_135M,
    axes=(SEED, EXPOSURE, LR_FT),
    arms=crossed(
        MUSIC[:1],
        (
            Arm("none"),
            Arm("together", {}, (DROPOUT,)),
            *(Arm(site, {}, (Axis(f"stage2.dropout.{site}", DROPOUT.values),)) for site in ("embed", "attn", "resid", "mlp")),
        ),
    ),
)  # fmt: skip
