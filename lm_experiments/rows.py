"""The row of a pipeline in the results table: its settings, its four losses, and what else was measured on the way."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from common import results
from lm_experiments import rarity
from lm_experiments.studies.placement import coordinates
from lm_experiments.studies.settings import COLUMNS

if TYPE_CHECKING:
    from lm_experiments.pipeline import Pipeline

_COUNTED: dict[Any, Any] = {}
"""Frequencies of tokens, by store, which the pipelines of a process share."""


def row(pipeline: "Pipeline", outcomes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Columns of the results table.

    Args:
        pipeline: whose stages are done.
        outcomes: fields of `training.Outcome` by the hash of the stage.
    """
    chosen, recipe, nodes = pipeline.settings, pipeline.settings.recipe, pipeline.nodes
    of = {kind: outcomes[node.hash] for kind, node in nodes.items()}
    middle = of.get("post", of["pre"])
    pre, post, ft = (pipeline.reports(name)[0] for name in pipeline.keys)
    stage2, begun = of.get("post"), nodes["pre"].start
    shown = sum(part.count for part in nodes["pre"].plan.parts[1:]) * chosen.length
    own = nodes["pre"].settings.trains
    at = coordinates(of["pre"]["tokens"], shown, stage2["tokens"] if stage2 else 0, recipe.replay)
    rare: Mapping[str, float | None] = rarity.gate_columns(
        pipeline.corpora, pipeline.stores, chosen.length, _COUNTED, chosen.measured_as == "answers"
    )
    if not own:  # nobody here knows what the model of others was shown
        rare = {name: None if name.startswith("lm.rare") else value for name, value in rare.items()}
    named = {"lm.init_from": f"{chosen.columns['lm.init_from']}~{begun.fingerprint[:4]}"} if begun else {}
    return {
        "engine": "lm", "study": pipeline.cell.study.name, "model": "llama", "scale": chosen.scale, "pipeline": chosen.pipeline,
        "method": "mixed" if recipe.exposure else "unmixed", **recipe.columns,
        "tokens_pre": nodes["pre"].plan.steps * chosen.stage1.batch * chosen.length if own else None,
        "tokens_post": pipeline.corpora["post"].windows * chosen.length,
        "tokens_ft": of["ft"]["tokens"],
        "lr_pre": chosen.stage1.lr if own else None, "lr_post": chosen.stage2.lr, "lr_ft": chosen.stage3.lr, "seed": chosen.seed,
        "loss_im": middle["losses"][post], "loss_ret": of["ft"]["losses"][post], "loss_ft": of["ft"]["losses"][ft],
        "loss_pre": of["ft"]["losses"][pre], "wall_seconds": sum(one["seconds"] for one in of.values()),
        "config_hash": nodes["ft"].hash, "code_version": results.code_version(),
        "lm.variant": pipeline.cell.arm, **chosen.columns, **named,
        "lm.loss_post_after_pre": of["pre"]["losses"][post], "lm.loss_pre_after_pre": of["pre"]["losses"][pre],
        "lm.loss_ft_after_pre": of["pre"]["losses"][ft], "lm.loss_pre_after_post": middle["losses"][pre],
        "lm.loss_ft_after_post": middle["losses"][ft],
        "lm.exposed_tokens": shown, "lm.allocation": at.allocation, "lm.duration": at.duration if own else None,
        "lm.tokens_seen_post": stage2["tokens"] if stage2 else 0, "lm.steps_post": stage2["steps"] if stage2 else 0,
        "lm.best_step_post": stage2["best_step"] if stage2 else 0,
        "lm.stopped_early": int(stage2["stopped_early"]) if stage2 else 0,
        **rare,
        **{f"lm.recall_{name}": losses.get(f"{pipeline.keys[1]}/report#recall") for name, losses in (
            ("after_pre", of["pre"]["losses"]), ("im", middle["losses"]), ("ret", of["ft"]["losses"])
        )},
        "lm.losses": json.dumps({kind: one["losses"] for kind, one in of.items()}),
        "lm.seconds_pre": of["pre"]["seconds"], "lm.seconds_post": stage2["seconds"] if stage2 else 0.0,
        "lm.moved_pre": of["pre"].get("displacement"), "lm.moved_post": stage2.get("displacement") if stage2 else 0.0,
        "lm.moved_ft": of["ft"].get("displacement"), "lm.seconds_ft": of["ft"]["seconds"], "lm.stage1": nodes["pre"].hash,
    }  # fmt: skip


EXTRA = {
    "lm.variant": "text", **COLUMNS, "lm.loss_post_after_pre": "real", "lm.loss_pre_after_pre": "real", "lm.loss_ft_after_pre": "real",
    "lm.loss_pre_after_post": "real", "lm.loss_ft_after_post": "real", "lm.exposed_tokens": "whole",
    "lm.allocation": "real", "lm.duration": "real",
    "lm.tokens_seen_post": "whole", "lm.steps_post": "whole", "lm.best_step_post": "whole", "lm.stopped_early": "whole",
    "lm.seconds_pre": "real", "lm.seconds_post": "real", "lm.seconds_ft": "real", "lm.stage1": "text", "lm.losses": "text",
    **rarity.COLUMNS, **dict.fromkeys(("lm.recall_after_pre", "lm.recall_im", "lm.recall_ret"), "real"),
    "lm.moved_pre": "real", "lm.moved_post": "real", "lm.moved_ft": "real",
}  # fmt: skip
"""The columns of the language models' own: settings, then what was measured; allocation and duration as in `placement.coordinates`;
stage 2 stopped early (1), or took all its steps (0); moved_* is the distance between the weights before and after a stage; recall_* the
share of D_post's answers that are the model's first choice, null where all tokens are measured; losses all that was measured, as JSON."""
