"""The probes of a study carried out, and their table: the results table of its pipelines, with a column `probe.*` for every measurement.

A measurement is kept as a small file as soon as it is made, under the name of what it was made of (the hash of a stage, or of two), so that
an interrupted command goes on, and pipelines that share a model share what was measured of it. What is a model's after stage 2 stands in
the rows of all its stage-3 rates, as loss_im does. The columns of a transplant stand in the row of the exposed model.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from common import results
from common.console import Output, seconds_since
from common.parts import read_note, write_note
from common.settings import WrongUse, config_hash
from lm_experiments.pipeline import Pipeline
from lm_experiments.rows import EXTRA
from lm_experiments.stages import finished, told
from lm_experiments.studies.settings import Study
from lm_experiments.verified import Verified

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = 1
"""Raised whenever a probe would measure something else, so that what was kept is not taken for it."""
PROBES = ("noise", "direction", "subspaces", "transplant", "relearning", "connectivity")
SHOWN = 5
"""Pipelines that are left out and named on the screen."""
ALONE = ("SAM",)
"""Arms of which only `noise` is measured, unless arms are named."""
REALS = (
    "noise_03", "noise_bend_03", "noise_10", "noise_bend_10", "step_along", "step_against", "step_bend", "gradient_ft",
    "share_im", "fisher_share_im", "share_ret", "fisher_share_ret", "given_im", "given_ret", "given_ft", "taken_im",
    "taken_ret", "taken_ft", *(f"relearned_{step}" for step in (0, 6, 12, 24, 48)),
    "barrier_pre_post", "barrier_post_ft", "cka_pre_post", "cka_post_ft", "cka_pre_ft",
)  # fmt: skip
TEXTS = ("path_pre_post", "path_post_ft")
COLUMNS = {f"probe.{name}": "real" for name in REALS} | {f"probe.{name}": "text" for name in TEXTS}
"""The columns that a table of probes has besides those of its study."""


class Part(NamedTuple):
    """One measurement, and the rows that it belongs to."""

    probe: str
    measure: Callable[[], Mapping[str, Any]]
    rows: list[int]


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What came of the probes of a study."""

    table: "pa.Table"
    remarks: dict[str, Any]


def probed(
    study: Study, pipelines: Sequence[Pipeline], runs: Path, kept: Path, stores: Callable[[str], Any], out: Output,
    *, only: Sequence[str] = PROBES, alone: Sequence[str] = ALONE,
) -> Probed:  # fmt: skip
    """Measure what is not measured yet, and make the table of all pipelines whose stages are there.

    Args:
        study: for the middle of its stage-3 rates.
        pipelines: of that study.
        runs: folder of the trained stages.
        kept: folder of the measurements.
        stores: opens a store by name.
        out: where progress goes.
        only: which probes to carry out; what was measured before is in the table all the same.
        alone: arms of which only `noise` is measured.

    Raises:
        WrongUse: no pipeline is complete, or a model is damaged.
    """
    from lm_experiments.probes.subject import Subject

    there, outcomes, missing = _there(pipelines, runs)
    if not there:
        raise WrongUse(
            f"{runs} holds no pipeline of {study.name} with all its models ({missing[0]}). Run `python -m lm_experiments run {study.name}` "
            "first, with the same --runs; models that were pruned are trained again where their folder is removed."
        )
    for line in missing[:SHOWN]:
        out.remark(f"Left out: {line}.")
    if len(missing) > SHOWN:
        out.remark(f"Left out as well: {len(missing) - SHOWN} others; the remarks beside the table name them.")
    parts = _parts(study, there, lambda pipeline: Subject(pipeline, runs, stores), alone)
    todo = {name: part for name, part in parts.items() if part.probe in only}
    kept.mkdir(parents=True, exist_ok=True)
    files = {name: kept / f"{name}.json" for name in parts}
    unmade = [name for name in todo if read_note(files[name]) is None]
    out.remark(f"{study.name}: {len(todo)} measurements, {len(todo) - len(unmade)} of them kept from before.")
    with out.progress(f"probing {study.name}", len(unmade), "measurements") as advance:
        for name in unmade:
            began = time.perf_counter()
            measured = dict(todo[name].measure())
            write_note(files[name], {"measured": measured, "seconds": seconds_since(began)})
            advance(1)
    rows = [pipeline.row(outcomes) for pipeline in there]
    seconds = 0.0
    for name, part in parts.items():
        if (note := read_note(files[name])) is not None:
            seconds += note["seconds"]
            for i in part.rows:
                rows[i] |= {f"probe.{key}": value for key, value in note["measured"].items()}
    columns = {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}
    remarks = {
        "study": study.name,
        "code_version": results.code_version(),
        "rows": len(rows),
        "left_out": missing,
        "probes": list(only),
        "measurements": len(parts),
        "reused": len(todo) - len(unmade),
        "seconds": seconds,
    }
    return Probed(table=results.table(columns, EXTRA | COLUMNS), remarks=remarks)


def _there(pipelines: Sequence[Pipeline], runs: Path) -> tuple[list[Pipeline], dict[str, Mapping[str, Any]], list[str]]:
    """Pipelines whose models are all there, the outcomes of their stages, and of the others what is missing."""
    outcomes: dict[str, Mapping[str, Any]] = {}
    known = Verified(runs)
    there, missing = [], []
    absent: set[str] = set()
    for pipeline in pipelines:
        for node in pipeline.nodes.values():
            if node.hash not in outcomes and node.hash not in absent:
                found = finished(node, runs, known, whole=True)
                if found is None:
                    absent.add(node.hash)
                else:
                    outcomes[node.hash] = told(node, runs, found)
        lacking = [node.kind for node in pipeline.nodes.values() if node.hash in absent]
        if lacking:
            missing.append(f"{pipeline.cell.title} lacks the model of {' and '.join(lacking)}")
        else:
            there.append(pipeline)
    return there, outcomes, missing


def _parts(
    study: Study, pipelines: Sequence[Pipeline], of: Callable[[Pipeline], Any], alone: Sequence[str]
) -> dict[str, Part]:
    """Every measurement under its name, seed by seed."""
    from lm_experiments.probes import connectivity, continued, noise, subspaces, transplant

    made: dict[str, Part] = {}
    rates = sorted(study.values("stage3.lr"))

    def add(probe: str, key: str, row: int, measure: Callable[..., Mapping[str, Any]], *given: Any) -> None:
        part = made.setdefault(f"{probe}-{key}-{FORMAT}", Part(probe, lambda: measure(*_opened(given, of)), []))
        part.rows.append(row)

    for i in sorted(range(len(pipelines)), key=lambda i: pipelines[i].settings.seed):
        pipeline, nodes = pipelines[i], pipelines[i].nodes
        ft, post = nodes["ft"].hash, nodes["post"].hash
        after_post = config_hash(post, pipeline.keys[2])  # the model after stage 2 with a D_ft
        add("noise", post, i, noise.noise, pipeline)
        if pipeline.cell.arm in alone:
            continue
        add("direction", after_post, i, noise.direction, pipeline)
        add("subspaces", after_post, i, subspaces.subspaces, pipeline, "post")
        add("subspaces", ft, i, subspaces.subspaces, pipeline, "ft")
        add("connectivity", post, i, connectivity.connected, pipeline, "pre", "post")
        add("connectivity", ft, i, connectivity.connected_after, pipeline)
        if pipeline.settings.stage3.lr == rates[len(rates) // 2]:
            add("relearning", ft, i, continued.relearned, pipeline)
        if (other := _unexposed(pipeline, pipelines)) is not None:
            add("transplant", config_hash(ft, other.nodes["ft"].hash), i, transplant.transplanted, pipeline, other)
    return made


def _opened(given: Sequence[Any], of: Callable[[Pipeline], Any]) -> list[Any]:
    return [of(one) if isinstance(one, Pipeline) else one for one in given]


def _unexposed(pipeline: Pipeline, pipelines: Sequence[Pipeline]) -> Pipeline | None:
    """The pipeline that differs from an exposed one in lambda alone; None for one that is not exposed, or where it is missing."""
    if not pipeline.settings.recipe.exposure:
        return None
    wanted = {**pipeline.cell.point, "recipe.exposure": 0.0}
    return next(
        (one for one in pipelines if one.cell.arm == pipeline.cell.arm and dict(one.cell.point) == wanted), None
    )
