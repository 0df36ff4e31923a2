"""Which account of protection is right: experiments E2 to E5 on the models of a study such as `deciding`.

Written down before any model of `deciding` was trained (seeds 40 to 44). M is the model exposed at the largest lambda, U the unexposed
one of the same seed; "matched" is loss_ret at matched loss_ft, over the stage-3 rates. Every statistic is paired by seed, Student 95 %; the
same statistic with the shuffled decoy in the place of M stands beside it (variant "shuffled").

    E2   primary     matched M minus U held by L2 at M's displacement in stage 2; below 0 supports. U's curve is interpolated, by seed,
                     in lm.moved_post over its L2 weights (0 among them), and taken at its nearest end beyond them
         secondary   M minus extra, M minus slow, M minus each L2 weight; the same of forgetting, loss_ret minus loss_im
    E3   primary     rise of the D_post loss under noise of .03 of each matrix's root mean square (5 draws): M minus U; below 0 supports
         secondary   noise .1; rise after a step of length 1 up D_ft's gradient; second differences of the D_post loss along both;
                     matched (SAM M - SAM U) - (M - U), above 0: the gains of SAM and exposure do not add
    E4   primary     share of the energy of D_ft's gradient that falls into the input directions of every linear layer that D_post uses
                     most relative to D_pre (an eighth of the generalised eigenvectors of their second moments), at theta_post: M minus
                     U; below 0 supports
         secondary   the same after stage 3, at each rate; the same by coordinates whose Fisher information on D_post is largest relative to
                     D_pre's (an eighth); U's weights after stage 2 plus theta_pre^M - theta_pre^U, against U, matched, below 0;
                     M's minus it, against M, above 0
    E5   primary     log of (loss after 24 steps of stage 2's optimiser on D_post, from theta_ret at the middle rate, minus loss_im) over
                     the same before these steps: M minus U; below 0 supports
         secondary   after 6, 12, 48 steps
         shown       barrier of the D_post loss on the straight line from theta_pre to theta_post and from there to theta_ret; linear CKA of
                     the last hidden layer between the three, on D_post

    account         E2        E3        E4        E5
    S               below 0   0         below 0   0
    pathways        below 0   0         below 0   below 0
    plain           0         0         0         0
    flatness        below 0   below 0   0         0
    displacement    0         0         0         0

Added when the probes were written, before any of their numbers was seen:

    "up D_ft's gradient"     taken to be the step that fine-tuning takes, down D_ft's loss; the probes hold the other sign too
    "matched"                over the range of loss_ft that all models of a statistic reach: of E2's primary M, U and U at every L2
                             weight; of SAM's all four
    E2, L2 weights           M minus each is of those above 0
    E4, linear layers        those of the blocks; the head, which is the embeddings' matrix, is left out. D_pre's moments are damped by .001
                             of their mean, text is held out (`probes/subspaces.py`)
    E4, Fisher               after stage 2 is judged; after stage 3 it is measured
    E5                       not testable where a loss is not above loss_im in some seed: it has no logarithm, and no seed is dropped
    SAM                      has no shuffled decoy
    a 0 of the table         is judged by nothing: no margin was stated, so that "undecided" is all that can be said for it
"""

from dataclasses import replace
from typing import Any

from common.mechanisms import REAL, Models, Statistic, of_probes, of_runs
from common.seeds import mean_interval
from common.verdicts import Verdict, data_hash, within
from lm_experiments.verdicts.testbeds import standings

ARMS = {"real", "shuffled", "anchored"}
"""Arms that a results table has which these experiments are about."""
PROBE = "probe."


def are_probes(table: Any) -> bool:
    """Whether a results table is one of probes."""
    return any(name.startswith(PROBE) for name in table.column_names)


def asks(table: Any) -> bool:
    """Whether a results table is of a study such as `deciding`."""
    return "lm.variant" in table.column_names and set(table["lm.variant"].unique().to_pylist()) >= ARMS


def mechanisms(table: Any) -> list[Verdict]:
    """E2 and what of E3 is about SAM, from a results table of such a study; E3 to E5 from a table of its probes."""
    found = of_probes if are_probes(table) else of_runs
    row = table.slice(0, 1).to_pylist()[0]
    dose = Models(table).exposed(REAL)[1]
    gates = standings(table).get((row["scale"], row["pipeline"]), "")
    stamp = {"engine": row["engine"], "study": row["study"], "data": data_hash(table), "gates": gates}
    return [
        _judged(one, row["scale"], f"{row['pipeline']}, lambda {dose:g}: {one.name}", stamp) for one in found(table)
    ]


def _judged(one: Statistic, model: str, where: str, stamp: dict[str, Any]) -> Verdict:
    shown = "" if one.of == REAL else one.of
    bound = {"at_most": 0.0} if one.sign < 0 else {"at_least": 0.0}
    made = within(
        one.claim, model, one.effect, mean_interval(one.values), "below 0" if one.sign < 0 else "above 0", statistic=one.name,
        where=where, **bound, **stamp,
    )  # fmt: skip
    return replace(made, variant=shown, primary=one.primary and not shown)
