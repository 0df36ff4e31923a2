"""What `run` and `results` print of a study: means, gates, how stage 2 ended, what failed."""

from typing import Any

from common.console import Output, plain
from common.settings import WrongUse


def losses(table: Any, out: Output) -> None:
    """Means over seeds, a row per curve point; settings in which rows of one differ, as in a sweep, are columns and part it."""
    from lm_experiments.verdicts.groups import KEY, TOLD

    rows, usual = table.to_pylist(), ("lm.variant", "split", "tokens_post", "lr_ft", "exposure")
    first = {tuple(row[key] for key in usual): row for row in rows}
    others = [name for name in dict.fromkeys((*KEY, *TOLD)) if name in table.column_names and name not in usual]
    apart = {name for row in rows for name in others if row[name] != first[tuple(row[key] for key in usual)][name]}
    keys = (*usual, *(name for name in others if name in apart))
    names = ["loss_im", "loss_ret", "loss_ft", "loss_pre"]
    names += [name for name in ("lm.recall_after_pre", "lm.recall_im", "lm.recall_ret") if table[name].null_count == 0]
    grouped: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault(tuple(row[key] for key in keys), []).append(row)
    shown = [
        [
            *key,
            *(sum(row[loss] for row in alike) / len(alike) for loss in names),
            sum(row["lm.stopped_early"] for row in alike),
            len(alike),
        ]
        for key, alike in grouped.items()
    ]
    out.table("Means over seeds", (*keys, *names, "stopped early", "seeds"), shown)


def gates(table: Any, out: Output) -> None:
    """What the gates say of the unexposed models, a line per testbed; nothing where there are none."""
    from common import gates as valid
    from lm_experiments import models

    for scale, pipeline, rows in valid.testbeds(table):
        shape = models.PRESETS[scale]
        try:
            made = valid.gates(rows, shape.vocabulary, models.parameter_count(shape))
        except WrongUse as error:
            out.show(f"Gates: {error}")
            continue
        words = [f"{gate.name} {gate.passed}" for gate in made if gate.passed != "not in the table"]
        failed = [gate.name for gate in made if gate.passed == "failed"]
        out.show(
            f"Gates of {scale}, {pipeline}: {', '.join(words)}. "
            + ("It may claim nothing about exposure." if failed else "None failed that the table can say.")
            + " `python -m lm_experiments gates TABLE` says what they are."
        )


def endings(told: dict[str, Any], out: Output) -> None:
    """How stage 2 ended."""
    if told["with_early_stopping"]:
        out.show(f"Stage 2 stopped early in {told['stopped_early']} of {told['with_early_stopping']} stages.")
    if capped := told["step_cap_only"]:
        out.show(f"NOT CONVERGED: only the step cap ended stage 2 in {len(capped)} of them: {'; '.join(capped)}.")


def fail(documents: Any, failed: list[str], as_json: bool) -> None:
    """Name what is not complete, and end with exit code 1."""
    import json
    import sys

    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    print(f"error: {len(failed)} pipelines are not complete; the others are in the table.", file=sys.stderr)
    if as_json:
        print(json.dumps(plain(documents), allow_nan=False))
    raise SystemExit(1)
