"""Carrying out studies: plan all cells, train what is not there yet, make the table, and say what came out."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import results
from common.console import Output
from common.settings import WrongUse, canonical
from lm_experiments import initial, launch
from lm_experiments.corpora import corpus, hub, key, label
from lm_experiments.corpora.progress import reporting
from lm_experiments.pipeline import Pipeline, StoreFactory
from lm_experiments.rows import EXTRA
from lm_experiments.stage_settings import Execution
from lm_experiments.stages import Node
from lm_experiments.studies.settings import Cell, Study

if TYPE_CHECKING:
    import pyarrow as pa


STAGES = ("pre", "post", "ft")


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What became of a study."""

    table: "pa.Table | None"
    """The rows of the pipelines that are complete; None if there is none."""
    remarks: dict[str, Any]
    """Seconds, tokens, failures, how stage 2 ended: plain data."""
    failed: tuple[str, ...]
    """Pipelines that are not complete, each with the reason and the folder."""


def conduct(
    studies: Sequence[Study],
    runs: Path,
    workers: int,
    out: Output,
    *,
    verify: bool = False,
    executor: launch.Executor | None = None,
    arguments: Sequence[str] = (),
    execution: Execution | None = None,
) -> dict[str, StudyResult]:
    """Carry out studies together, so that what they share is trained once; by name of the study, in order.

    Args:
        studies: what to run.
        runs: folder for the trained stages.
        workers: processes of the local executor.
        out: where progress goes.
        verify: read the files of finished stages though they are as they were when they were last verified.
        executor: what trains the stages; by default worker processes on this machine.
        arguments: of the command, for `history` and `rerun`.
        execution: how stages are carried out, which decides nothing about the result.

    Raises:
        WrongUse: settings that cannot be carried out; nothing was trained then.
        ledger.Disagreement: the stages of a pipeline did not see what its recipe says.
    """
    opener, pipelines = planned(studies, out, execution)
    titles = {key(text): label(text) for text in opener.texts}
    users: dict[str, list[Pipeline]] = {}
    for pipeline in pipelines:
        for node in pipeline.nodes.values():
            stage = STAGES.index(node.kind) + 1
            title = f"{pipeline.cell.study.name}: {pipeline.cell.titled(stage + 1)}, stage {stage}"
            titles.setdefault(node.hash, title)
            users.setdefault(node.hash, []).append(pipeline)

    def check(node: Node, outcomes: Mapping[str, Mapping[str, Any]]) -> None:
        for pipeline in users[node.hash]:
            pipeline.check(outcomes)

    runs.mkdir(parents=True, exist_ok=True)
    launched = launch.run(
        [pipeline.last for pipeline in sharing(pipelines)], runs, opener, workers, out, titles, check, verify=verify,
        executor=executor, name="+".join(study.name for study in studies), arguments=arguments,
    )  # fmt: skip
    found: dict[str, StudyResult] = {}
    for study in studies:
        mine = [pipeline for pipeline in pipelines if pipeline.cell.study is study]
        found[study.name] = _conducted(study, mine, launched, workers)
    return found


def planned(
    studies: Sequence[Study], out: Output, execution: Execution | None = None
) -> tuple[StoreFactory, list[Pipeline]]:
    """What opens the stores of all studies, which are packed where they are not yet, and their pipelines.

    Raises `WrongUse` for settings that cannot be carried out, before anything is fetched.
    """
    cells = [cell for study in studies for cell in study.cells()]
    opener = _opener(cells)
    _check_starts(cells, out)
    with reporting(out) as report:
        stores = opener(report)
        for name in (f"{corpus(text).key}/{split}" for text in opener.texts for split in ("train", "stop", "report")):
            stores(name)
    begun = lru_cache(None)(initial.start)  # its weights are read once
    return opener, [Pipeline(cell, stores, execution, begun) for cell in cells]


def _opener(cells: Sequence[Cell]) -> StoreFactory:
    """What opens the stores of all pipelines. Whatever does not fit together is refused here, before anything is fetched or trained."""
    different: dict[StoreFactory, Cell] = {}
    for cell in cells:
        for name in (*cell.settings.texts, *cell.settings.tokenizer_corpora):
            corpus(name)
            if name.partition("@")[0] in hub.HUB and not cell.settings.max_tokens:
                raise WrongUse(
                    f"{name} is on the hub, and max_tokens = 0 would pack all of it. Give --max-tokens, the tokens of each corpus."
                )
        different.setdefault(StoreFactory.of(cell.settings), cell)
    made = {replace(one, texts=(), max_tokens=0, held_out=0) for one in different}
    limits = {(one.max_tokens, one.held_out) for one in different}
    if len(made) > 1 or len(limits) > 1:
        raise WrongUse(
            "Studies, or arms of one, with different tokenizers or limits of tokens cannot be run together. Run one after the other."
        )
    opener, cell = next(iter(different.items()))
    if cell.settings.tokenizer and (size := opener.opened().vocabulary) != cell.settings.model.vocabulary:
        cell.settings.refuse_vocabulary(size)
    return replace(opener, texts=tuple(dict.fromkeys(text for one in different for text in one.texts)))


def _check_starts(cells: Sequence[Cell], out: Output) -> None:
    """Refuse models to begin with that do not fit, before anything is packed or trained; say where that is taken on trust."""
    different = dict.fromkeys((cell.settings.init_from, cell.settings.tokenizer, cell.settings.model) for cell in cells)
    for name, tokenizer, shape in different:
        if name and not initial.check_tokenizer(name, initial.check(name, shape), tokenizer):
            out.remark(f"{name} has no tokenizer.json: that its ids mean what the tokenizer's do is taken on trust.")


def sharing(pipelines: Sequence[Pipeline]) -> list[Pipeline]:
    """The same in an order in which pipelines that share stages follow each other, so that each is complete early."""
    first: dict[str, int] = {}
    for pipeline in pipelines:
        for node in pipeline.nodes.values():
            first.setdefault(node.hash, len(first))
    return sorted(pipelines, key=lambda pipeline: [first[node.hash] for node in pipeline.nodes.values()])


def _conducted(study: Study, pipelines: Sequence[Pipeline], launched: launch.GraphResult, workers: int) -> StudyResult:
    rows = [pipeline.row(launched.outcomes) for pipeline in pipelines if pipeline.done(launched.outcomes)]
    columns = {key: [row[key] for row in rows] for key in rows[0]} if rows else {}
    nodes = {node.hash: node for pipeline in pipelines for node in pipeline.nodes.values()}
    trained = [launched.outcomes[key] for key in nodes if key in launched.outcomes]
    failed = tuple(_reason(pipeline, launched) for pipeline in pipelines if not pipeline.done(launched.outcomes))
    remarks = {
        "study": study.name,
        "about": study.about,
        "code_version": results.code_version(),
        "rows": len(rows),
        "failed": list(failed),
        "stages": dict(Counter(nodes[key].kind for key in nodes if key in launched.outcomes)),
        "tokens_trained": sum(int(one["tokens"]) for one in trained),
        "stage_seconds": math.fsum(float(one["seconds"]) for one in trained),
        "wall_seconds": _busy(trained),
        "run_seconds": launched.seconds,
        "workers": workers,
        "smaller_sets": list(dict.fromkeys(line for pipeline in pipelines for line in pipeline.smaller())),
        "stage_2": _endings(pipelines, launched),
        "settings": canonical(study),
    }
    return StudyResult(table=results.table(columns, EXTRA) if rows else None, remarks=remarks, failed=failed)


def _busy(outcomes: Sequence[Mapping[str, Any]]) -> float:
    """Seconds during which at least one of the stages was being trained, in whichever run that was."""
    spans = sorted((one["ended"] - one["seconds"], one["ended"]) for one in outcomes)
    total, until = 0.0, -math.inf
    for begin, end in spans:
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def _endings(pipelines: Sequence[Pipeline], launched: launch.GraphResult) -> dict[str, Any]:
    """How stage 2 ended where early stopping was asked for; a stage that took all its steps is not converged."""
    nodes = {
        pipeline.nodes["post"].hash: pipeline for pipeline in pipelines
        if "post" in pipeline.nodes and pipeline.nodes["post"].settings.patience
    }  # fmt: skip
    ended = {key: launched.outcomes[key] for key in nodes if key in launched.outcomes}
    capped = [nodes[key].cell.titled(3) for key, outcome in ended.items() if not outcome["stopped_early"]]
    return {"with_early_stopping": len(ended), "stopped_early": len(ended) - len(capped), "step_cap_only": capped}


def _reason(pipeline: Pipeline, launched: launch.GraphResult) -> str:
    for node in pipeline.nodes.values():
        if (failure := launched.failures.get(node.hash)) is not None:
            return f"{pipeline.cell.title}: {failure.message} ({failure.folder})"
    return f"{pipeline.cell.title}: not carried out"


def document(conducted: StudyResult, command: str) -> dict[str, Any]:
    """What stands beside the table: the command and the remarks; verdicts are made of the table, `python -m lm_experiments verdicts`."""
    return {"command": command, **conducted.remarks}
