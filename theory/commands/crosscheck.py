"""`python -m theory crosscheck`: what theory and laws say of a lambda study, and what the study says of them."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output, seconds_since
from common.gates import together


@dataclass(frozen=True, kw_only=True)
class Crosscheck(Command):
    """Check a lambda study against theory and laws: effect and gates, predictions out of sample, verdicts, excluded models, oddities.

    TABLE is a results table of `python -m lm_experiments`, a CSV with columns exposure, loss_im, loss_ret (and optionally tokens_post,
    loss_ft, seed, split, lr_ft, loss_post_after_pre, method), or the word published for the points of the paper. Losses are nats per
    token, tokens_post the size of D_post in tokens, exposure a share of one pass over it: above 1 it is repeated, above 8 refused. With
    --out the verdict table and crosscheck.parquet (points and predicted curves) are written; draw them with
    `python -m figures make crosscheck --tables FOLDER`. Each verdict says whether its testbed met its gates.
    """

    table: Positional[tuple[str, ...]]
    """One or more tables of one study (such as its two splits), or: published."""
    tokens_post: float | None = None
    """Size of D_post in tokens, where the table does not say."""
    split: Literal["independent", "compute-matched"] | None = None
    """What stage 2 sees of D_post, where the table does not say; independent, if absent."""
    vocabulary: int | None = None
    """Size of the tokenizer, for the gates of a table of language models [default: what the table says, else 1,024]."""
    parameters: int | None = None
    """Of the model, for gate V6."""
    out: Path | None = None
    """Folder for crosscheck_verdicts.parquet and crosscheck.parquet; none writes nothing."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Check, print one screen, write if asked to."""
        began = time.perf_counter()
        from common.gates import standing
        from theory.crosscheck.effect import effects, gates_of
        from theory.crosscheck.judge import ELSEWHERE, excluded, verdicts
        from theory.crosscheck.oddities import oddities, published_oddities
        from theory.crosscheck.outside import held_out, transferred
        from theory.crosscheck.reading import PUBLISHED, read_studies

        study = read_studies(self.table, tokens_post=self.tokens_post, split=self.split)
        found, gates = effects(study), gates_of(study, self.vocabulary, self.parameters)
        predictions = held_out(study)
        if self.table != (PUBLISHED,):
            predictions += transferred(study)
        judged = verdicts(study, found, {testbed: standing(made) for testbed, made in gates.items()})
        against = excluded(study, found, predictions)
        odd = oddities(study) + (published_oddities() if self.table == (PUBLISHED,) else [])
        out.table(
            f"1. Measured in {study.source}, largest lambda minus smallest, nats [95 % Student]",
            ("curve", "runs", "loss_im", "loss_ret", "forgetting at start", "its change", "best lambda", "depth of loss_ret"),
            [
                [one.curve.name, _runs(one.curve), str(one.im), str(one.ret), str(one.forgetting), str(one.forgetting_change),
                 f"{one.best:g}", str(one.depth)]
                for one in found
            ],
        )  # fmt: skip
        for testbed, made in gates.items():
            out.show(f"Gates of {testbed}:" if len(gates) > 1 else "Gates:")
            for gate in made:
                value = "" if gate.worst is None else f"{gate.worst:.3g}"
                out.show(f"  {gate.name} {gate.passed}: {gate.statement} {value} ({gate.needed})")
            if any(gate.passed == "failed" for gate in made):
                out.show("  A gate fails: what follows describes this testbed, and is no evidence about exposure.")
        if not gates:
            out.show(
                "gates: none can be held against this table (they need a table of `python -m lm_experiments run`)."
            )
        _show_predictions(predictions, out)
        _show_verdicts(judged, out)
        out.show("Not spoken to: " + "; ".join(f"{name} needs {what}" for name, what in ELSEWHERE.items()) + ".")
        if against:
            out.table(
                "4. Against models",
                ("model", "excluded", "why"),
                [[one.model, "yes" if one.excluded else "no", one.reason] for one in against],
            )
        else:
            out.show("4. Against models: nothing; that takes seeds, or several curves of known size.")
        out.show("5. Odd: " + ("; ".join(odd) if odd else "nothing") + ".")
        if study.missing:
            out.show("Missing, and what it would add: " + "; ".join(study.missing) + ".")
        document: dict[str, Any] = {
            "source": study.source,
            "effects": [{"curve": one.curve.name, "im": one.im, "ret": one.ret, "forgetting": one.forgetting,
                         "forgetting_change": one.forgetting_change, "best": one.best, "depth": one.depth} for one in found],
            "gates": gates, "predictions": predictions, "verdicts": judged, "excluded": against, "oddities": odd, "missing": study.missing,
            "seconds": seconds_since(began),
        }  # fmt: skip
        if self.out is not None:
            document["written"] = self._write(study, judged)
            out.show(f"Wrote {' and '.join(str(path) for path in document['written'])}; draw with "
                     f"`python -m figures make crosscheck --tables {self.out}`.")  # fmt: skip
        return document

    def _write(self, study: Any, judged: Any) -> list[Path]:
        from common import recipe, results, verdict_table
        from common.settings import config_hash
        from theory.crosscheck.report import curve_columns

        folder = Path(self.out) if self.out is not None else Path()
        columns, extra = curve_columns(study)
        fixed = {"engine": "theory", "study": "crosscheck", "pipeline": "as given", "source": study.source,
                 "config_hash": config_hash(self.table), "code_version": results.code_version()}  # fmt: skip
        origin = {"study": "crosscheck", "code_version": results.code_version(),
                  "command": f"python -m theory crosscheck {' '.join(self.table)}"}  # fmt: skip
        written = [
            verdict_table.write(
                [replace(verdict, **origin) for verdict in judged], folder / "crosscheck_verdicts.parquet"
            )
        ]
        off = {name: value for name, value in recipe.OFF.items() if name not in columns}
        written.append(results.write(results.table(off | fixed | columns, extra), folder / "crosscheck.parquet"))
        return written


def _runs(curve: Any) -> str:
    return f"{len(curve.ret)} seeds" if curve.seeded else "1 run"


RATES = {"S measured": "phi", "S": "lost"}
"""Where a prediction has the rate at which what only stage 2 learned is lost."""


def _show_predictions(predictions: Sequence[Any], out: Output) -> None:
    """A row for every kind of prediction, a column for every model: its error."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in predictions:
        rows.setdefault((one.what, one.how), {})[one.model] = one
    for how in dict.fromkeys(key[1] for key in rows):
        here = {key[0]: row for key, row in rows.items() if key[1] == how}
        models = list(dict.fromkeys(model for row in here.values() for model in row))
        shares = {
            name: key
            for name, key in RATES.items()
            if any(name in row and key in row[name].values for row in here.values())
        }
        rate = next(iter(shares), None)
        out.table(
            f"2. Predicted out of sample, {how}: rms in nats",
            ("runs", *models, *(["share lost, S"] if rate else [])),
            [
                [what or "all", *("-" if model not in row or row[model].error is None else f"{row[model].error:.4f}" for model in models),
                 *([f"{row[rate].values[shares[rate]]:.3f}" if rate in row else "-"] if rate else [])]
                for what, row in here.items()
            ],
        )  # fmt: skip


def _show_verdicts(judged: Sequence[Any], out: Output) -> None:
    """A row a claim: how its verdicts fall, and the curve that decides most."""
    rows = []
    for claim in dict.fromkeys(one.claim for one in judged):
        mine = [one for one in judged if one.claim == claim]
        counts = Counter(one.status for one in mine)
        shown = min(
            mine, key=lambda one: (one.status in ("undecided", "not testable here"), one.p is None, one.p or 0.0)
        )
        rows.append(
            [
                claim,
                ", ".join(f"{count} {status}" for status, count in counts.items()),
                shown.where,
                shown.effect,
                _interval(shown),
                together(one.gates for one in mine),
            ]
        )
    heads = ("claim", "curves", "for example", "effect", "value", "gates")
    wide = len(heads) if any(one.gates for one in judged) else len(heads) - 1
    out.table(
        "3. Verdicts (a single run per point decides nothing)",
        heads[:wide],
        [row[:wide] for row in rows],
    )


def _interval(verdict: Any) -> str:
    if verdict.value is None:
        return str(verdict.criterion)
    ends = "" if verdict.low is None or verdict.high is None else f" [{verdict.low:+.3f}, {verdict.high:+.3f}]"
    return f"{verdict.value:+.3f}{ends}"
