"""Carrying out studies: plan all cells, train what is not there yet, make the table, and say what came out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import results
from common.console import Output
from common.settings import WrongUse, canonical
from lm_experiments import launch
from lm_experiments.pipeline import EXTRA, Pipeline, StoreFactory
from lm_experiments.stages import Node
from lm_experiments.studies.settings import Study

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What became of a study."""

    table: "pa.Table | None"
    """The rows of the pipelines that are complete; None if there is none."""
    remarks: dict[str, Any]
    """Seconds, tokens, failures, how stage 2 ended: plain data."""
    failed: tuple[str, ...]
    """Pipelines that are not complete, each with the reason and the folder."""


def conduct(studies: Sequence[Study], runs: Path, workers: int, out: Output) -> dict[str, StudyResult]:
    """Carry out studies together, so that what they share is trained once; by name of the study, in order.

    Raises:
        WrongUse: settings that cannot be carried out; nothing was trained then.
        ledger.Disagreement: the stages of a pipeline did not see what its recipe says.
    """
    openers = dict.fromkeys(
        StoreFactory(corpora=study.tokenizer_corpora, vocabulary=study.vocabulary) for study in studies
    )
    if len(openers) > 1:
        raise WrongUse("Studies with different tokenizers cannot be run together. Run one after the other.")
    opener = next(iter(openers))
    stores = opener()
    pipelines = [Pipeline(cell, stores) for study in studies for cell in study.cells()]
    titles: dict[str, str] = {}
    users: dict[str, list[Pipeline]] = {}
    for pipeline in pipelines:
        for i, node in enumerate(pipeline.nodes.values(), start=1):
            stage = f"lr_ft {pipeline.cell.rate:g}: stage 3" if node.kind == "ft" else f"stage {i}"
            titles.setdefault(node.hash, f"{pipeline.study.name}: {pipeline.cell.title}, {stage}")
            users.setdefault(node.hash, []).append(pipeline)

    def check(node: Node, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        for pipeline in users[node.hash]:
            pipeline.check(outcomes)

    runs.mkdir(parents=True, exist_ok=True)
    launched = launch.run([pipeline.last for pipeline in pipelines], runs, opener, workers, out, titles, check)
    found: dict[str, StudyResult] = {}
    for name in dict.fromkeys(study.name for study in studies):
        mine = [pipeline for pipeline in pipelines if pipeline.study.name == name]
        found[name] = _conducted(name, [study for study in studies if study.name == name], mine, launched, workers)
    return found


def _conducted(
    name: str, studies: Sequence[Study], pipelines: Sequence[Pipeline], launched: launch.GraphResult, workers: int
) -> StudyResult:
    rows = [pipeline.row(launched.outcomes) for pipeline in pipelines if pipeline.done(launched.outcomes)]
    columns = {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
    nodes = {node.hash: node for pipeline in pipelines for node in pipeline.nodes.values()}
    trained = [launched.outcomes[key] for key in nodes if key in launched.outcomes]
    failed = tuple(_reason(pipeline, launched) for pipeline in pipelines if not pipeline.done(launched.outcomes))
    remarks = {
        "study": name,
        "about": studies[0].about,
        "code_version": results.code_version(),
        "rows": len(rows),
        "failed": list(failed),
        "stages": dict(Counter(nodes[key].kind for key in nodes if key in launched.outcomes)),
        "tokens_trained": sum(int(one["tokens"]) for one in trained),
        "stage_seconds": math.fsum(float(one["seconds"]) for one in trained),
        "wall_seconds": launched.seconds,
        "workers": workers,
        "stage_2": _endings(pipelines, launched),
        "settings": [canonical(study) for study in studies],
    }
    return StudyResult(table=results.table(columns, EXTRA) if rows else None, remarks=remarks, failed=failed)


def _endings(pipelines: Sequence[Pipeline], launched: launch.GraphResult) -> dict[str, Any]:
    """How stage 2 ended where early stopping was asked for; a stage that took all its steps is not converged."""
    nodes = {
        pipeline.nodes["post"].hash: pipeline for pipeline in pipelines
        if "post" in pipeline.nodes and pipeline.nodes["post"].stop_on
    }  # fmt: skip
    ended = {key: launched.outcomes[key] for key in nodes if key in launched.outcomes}
    capped = [nodes[key].cell.title for key, outcome in ended.items() if not outcome["stopped_early"]]
    return {"with_early_stopping": len(ended), "stopped_early": len(ended) - len(capped), "step_cap_only": capped}


def _reason(pipeline: Pipeline, launched: launch.GraphResult) -> str:
    for node in pipeline.nodes.values():
        if (failure := launched.failures.get(node.hash)) is not None:
            return f"{pipeline.cell.title}, lr_ft {pipeline.cell.rate:g}: {failure.message} ({failure.folder})"
    return f"{pipeline.cell.title}, lr_ft {pipeline.cell.rate:g}: not carried out"


def document(conducted: StudyResult, command: str) -> dict[str, Any]:
    """What stands beside the table: the command and the remarks; verdicts are made of the table, `python -m lm_experiments verdicts`."""
    return {"command": command, **conducted.remarks}
