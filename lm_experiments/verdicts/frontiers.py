"""C3 to C6 on frontiers, and what placement and mitigation change: written down before any table of `studies/frontiers.py` existed.

A number is the hypervolume of a method's points minus that of another, by seed, as a share of the box of `common.sweeps`: reference
point and normalisation are the same for all methods and seeds of a pipeline. Student 95 % over seeds; with fewer than `FEWEST` nothing is
decided. Methods with unequal numbers of points are not compared: the verdict says so.

    study     claim  primary, all of it in every pipeline, (loss_ft, loss_ret)
    fig2      C3     mixed minus unmixed at least .01
              C4     the same in (loss_ret, loss_pre)
    fig4      C5     mixed + dropout minus mixed, mixed + replay minus mixed, each at least .01: further on top of mixing
    fig6      C5     mixed minus unmixed + dropout, mixed minus unmixed + replay, each at least 0: less than mixing when alone
    fig7      C6     LoRA, mixed minus unmixed at least .01; full minus LoRA, mixed and unmixed, each at least 0

    secondary   each part in each pipeline, C5 and C6 in (loss_ret, loss_pre) too, and what dropout and replay gain alone

placement and mitigation are of no claim (`-`): loss_ret at matched loss_ft (over the stage-3 rates, by seed, over the range that all
curves which are compared reach), each below 0:

    placement    early, late and anneal, and uniform, each minus no exposure; the first three minus uniform
    mitigation   each variant minus none, unmixed and mixed; mixed minus unmixed under each variant: does exposure add to it? Of
                 damage, which has no loss_ft to match, the last alone, at each strength

C7 needs 1B parameters.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Float
from common.gates import together
from common.seeds import mean_interval
from common.sweeps import VIEWS, WIDER, Sweeps, sweeps
from common.variants import STUDIES, contrasts, curves, is_damage
from common.verdicts import UNPREDICTED, Verdict, all_of, data_hash, untestable, within
from lm_experiments.verdicts.testbeds import standings

RETAINED, KEPT = VIEWS


class Question(NamedTuple):
    """What one method is to gain over another."""

    claim: str
    more: str
    less: str
    at_least: float
    view: tuple[str, str] = RETAINED
    primary: bool = True

    @property
    def words(self) -> str:
        """The difference, and the losses in which it is taken."""
        return f"{self.more} minus {self.less}, ({', '.join(self.view)})"


def _both_views(*asked: Question) -> tuple[Question, ...]:
    return (*asked, *(one._replace(view=KEPT, primary=False) for one in asked))


HELPS = ("dropout", "replay")
ASKED: dict[str, tuple[Question, ...]] = {
    "fig2": (Question("C3", "mixed", "unmixed", WIDER), Question("C4", "mixed", "unmixed", WIDER, KEPT)),
    "fig4": _both_views(*(Question("C5", f"mixed+{name}", "mixed", WIDER) for name in HELPS)),
    "fig6": (
        *_both_views(*(Question("C5", "mixed", f"unmixed+{name}", 0.0) for name in HELPS)),
        *(Question("C5", f"unmixed+{name}", "unmixed", WIDER, primary=False) for name in HELPS),
    ),
    "fig7": _both_views(
        Question("C6", "lora_mixed", "lora_unmixed", WIDER),
        Question("C6", "fft_mixed", "lora_mixed", 0.0),
        Question("C6", "fft_unmixed", "lora_unmixed", 0.0),
    ),
}
"""Study, without `-controlled` -> what is asked of its frontiers."""


def frontiers(table: Any) -> list[Verdict]:
    """The verdicts of a study of frontiers, of placement or of mitigation; nothing of any other table.

    Raises:
        WrongUse: two rows that nothing tells apart, or a frontier of which no seed is whole.
    """
    names = table["study"].unique().to_pylist()
    name = names[0].removesuffix("-controlled") if len(names) == 1 and names[0] else ""
    if name in ASKED:
        made = _judged(ASKED[name], sweeps(table))
    elif name in STUDIES:
        made = _at_matched(table, name)
    else:
        return []
    stood = standings(table)
    stamp = {"engine": table["engine"][0].as_py(), "study": names[0], "data": data_hash(table)}
    return [replace(one, **stamp, gates=_gates(one, stood)) for one in made]


def _gates(one: Verdict, stood: dict[tuple[str, str], str]) -> str:
    """How the testbed of a verdict stands: its own pipeline, or all of them together."""
    own = [standing for (_, pipeline), standing in stood.items() if one.where.startswith(pipeline)]
    return together(own or stood.values())


def _judged(asked: Sequence[Question], found: Sequence[Sweeps]) -> list[Verdict]:
    """Every question in every pipeline, and the primary ones of a claim at once."""
    parts: list[tuple[Question, Verdict]] = []
    for sweep in found:
        shares = {view: sweep.shares(view) for view in dict.fromkeys(question.view for question in asked)}
        parts += [(question, _part(question, sweep, shares[question.view])) for question in asked]
    made = []
    for claim in dict.fromkeys(question.claim for question in asked):
        main = [part for question, part in parts if question.primary and question.claim == claim]
        compared = [part for part in main if part.status != "not testable here"]
        if len(compared) < len(main):
            reason = next(part.criterion for part in main if part.status == "not testable here")
            made.append(untestable(claim, main[0].model, main[0].effect, reason, where="all pipelines"))
            continue
        words = "; ".join(dict.fromkeys(part.criterion for part in main))
        made.append(all_of(main, words, where=f"all {len(found)} pipelines", variant="", primary=True))
    return made + [part for _, part in parts]


def _part(question: Question, sweep: Sweeps, shares: dict[str, Float[np.ndarray, " seeds"]]) -> Verdict:
    named: dict[str, Any] = {"where": sweep.pipeline, "variant": f"{question.more} over {question.less}"}
    effect = f"hypervolume, share of the box: {question.words}"
    missing = [name for name in (question.more, question.less) if name not in sweep.points]
    if missing:
        return untestable(question.claim, sweep.scale, effect, f"no points of {' and '.join(missing)}", **named)
    if not sweep.as_many(question.more, question.less):
        counts = " and ".join(f"{sweep.points[name].shape[1]} of {name}" for name in (question.more, question.less))
        return untestable(question.claim, sweep.scale, effect, f"unequal numbers of points: {counts}", **named)
    gain = mean_interval(shares[question.more] - shares[question.less])
    said = f"{question.words}: at least {question.at_least:g} of the box"
    return within(
        question.claim, sweep.scale, effect, gain, said, at_least=question.at_least, statistic=question.words, **named
    )


def _at_matched(table: Any, study: str) -> list[Verdict]:
    row = table.slice(0, 1).to_pylist()[0]
    made = []
    for name, words, values in contrasts(curves(table), study):
        how = "" if is_damage(name) else " at matched loss_ft"
        effect = f"loss_ret{how}: {words}"
        named: dict[str, Any] = {"variant": name, "where": f"{row['pipeline']}: {words}"}
        if not len(values):
            reason = "no seed in which the ranges of loss_ft overlap, or a single stage-3 rate"
            made.append(untestable(UNPREDICTED, row["scale"], effect, reason, **named))
        else:
            measured = mean_interval(values)
            made.append(
                within(UNPREDICTED, row["scale"], effect, measured, "below 0", at_most=0.0, statistic=words, **named)
            )
    return made
