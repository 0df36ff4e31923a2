"""`python -m sims verdicts`: the table of all predictions and what the studies found."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import verdicts
from common.console import Command, Json, Output
from common.files import write_json
from sims.findings import Summary, gather
from sims.studies import STUDIES
from sims.verdict import PREDICTIONS, UNPREDICTED


@dataclass(frozen=True, kw_only=True)
class Verdicts(Command):
    """Read what every study found and make the table of the predictions P1 to P16."""

    results: Path = Path("paper/results/sims")
    """Folder with the studies' results; verdicts.json and verdicts.parquet are written into it."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Gather, write and print."""
        summaries, absent = gather(self.results, STUDIES)
        rows = table(summaries)
        document = {
            "predictions": [prediction(name, rows) for name in PREDICTIONS],
            "studies": [summary._asdict() | {"verdicts": len(summary.verdicts)} for summary in summaries],
            "without_result": absent,
        }
        path = verdicts.write(rows, self.results / "verdicts.parquet")
        write_json(path.with_suffix(".json"), document)
        show(document, rows, out)
        out.show(f"Wrote {path} and {path.with_suffix('.json')}.")
        return document


def table(summaries: Sequence[Summary]) -> list[dict[str, Any]]:
    """Every verdict as a row of `common.verdicts`, by prediction and model, and a row for every prediction without any."""
    made: list[dict[str, Any]] = []
    for name, statement in [*PREDICTIONS.items(), (UNPREDICTED, "a finding that no prediction is about")]:
        found = [
            verdict._asdict()
            | {"statement": statement, "study": summary.study, "command": summary.command}
            | {"code_version": summary.code_version}
            for summary in summaries
            for verdict in summary.verdicts
            if verdict.prediction == name
        ]
        kinds = list(dict.fromkeys((row["model"], row["variant"]) for row in found))
        models = list(dict.fromkeys(model for model, _ in kinds))
        made += sorted(found, key=lambda row: (models.index(row["model"]), kinds.index((row["model"], row["variant"]))))
        if not found and name in PREDICTIONS:
            remark = "no study with a result here judges it"
            made.append({"prediction": name, "statement": statement, "finding": "missing", "criterion": remark})
    return made


def prediction(name: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """All about one prediction: how it stands, in all and in every model and variant, and every verdict, contradictory ones too."""
    own = [row for row in rows if row["prediction"] == name]
    models = dict.fromkeys(named(row) for row in own if row.get("model"))
    shown = [{key: value for key, value in row.items() if key not in ("prediction", "statement")} for row in own]
    return {
        "prediction": name,
        "statement": PREDICTIONS[name],
        "standing": standing([row["finding"] for row in own]),
        "models": {model: standing([row["finding"] for row in own if named(row) == model]) for model in models},
        "verdicts": [row for row in shown if row["finding"] != "missing"],
    }


def named(row: dict[str, Any]) -> str:
    """A model with its variant, as text."""
    variant = row.get("variant")
    return f"{row.get('model') or ''} ({variant})" if variant else row.get("model") or ""


def standing(findings: Sequence[str]) -> str:
    """What several findings come to: divided where some support and some refute; what could not be tested does not count against others."""
    decided = {finding for finding in findings if finding in ("supported", "refuted")}
    if len(decided) == 2:
        return "divided"
    return decided.pop() if decided else findings[0]


def show(document: dict[str, Any], rows: Sequence[dict[str, Any]], out: Output) -> None:
    """Print a line a verdict, then a line a prediction, then what is missing."""
    from rich.markup import escape

    keys = ("prediction", "model", "finding", "effect", "criterion", "study")
    cells = [[row.get(key) or "" for key in keys] for row in rows]
    cells = [[line[0], named(row), line[2], number(row), *line[3:]] for line, row in zip(cells, rows, strict=True)]
    heads = ("", "model", "finding", "value [95 % interval]", "effect", "criterion", "study")
    out.table("Verdicts", heads, [[escape(cell) for cell in line] for line in cells])
    lines = [
        [entry["prediction"], entry["standing"], ", ".join(f"{m}: {s}" for m, s in entry["models"].items())]
        for entry in document["predictions"]
    ]
    out.table("Predictions", ("", "standing", "in the models"), [[escape(cell) for cell in line] for line in lines])
    if document["without_result"]:
        out.show(f"Studies without a result here: {', '.join(document['without_result'])}.")
    if len(versions := {entry["code_version"] for entry in document["studies"]}) > 1:
        out.show(f"The studies were made by {len(versions)} versions of the code.")


def number(row: dict[str, Any]) -> str:
    """Value and interval."""
    if row.get("value") is None or row["finding"] == "not testable here":
        return ""
    return f"{row['value']:.3g}" + ("" if row.get("low") is None else f" [{row['low']:.3g}, {row['high']:.3g}]")
