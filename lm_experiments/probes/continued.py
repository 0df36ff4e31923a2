"""A stage trained once more from other weights: the settings, data plan and evaluation of a node, in a folder that is thrown away."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lm_experiments import stages
from lm_experiments.probes.subject import Subject

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

RELEARNED = (6, 12, 24, 48)
"""Steps after which relearning is looked at."""


def fine_tuned(subject: Subject, model: "LlamaForCausalLM") -> dict[str, float]:
    """Losses after the pipeline's own stage 3 from this model, which is changed: loss_ret and loss_ft as in the results table."""
    from lm_experiments.training import train

    node = subject.nodes["ft"]
    opened, sets, prior = stages.inputs(node, subject.stores, model)
    wanted = {"ret": subject.reported("post"), "ft": subject.reported("ft")}
    measured = {name: sets[name] for name in wanted.values()}
    with tempfile.TemporaryDirectory() as folder:
        outcome = train(
            model, node.plan.open(opened), node.settings, measured, Path(folder), stop_on=None, report=lambda _: None,
            prior=prior,
        )  # fmt: skip
    return {name: outcome.losses[text] for name, text in wanted.items()}


def relearned(subject: Subject) -> dict[str, float | None]:
    """D_post loss after 0, 6, 12, 24 and 48 steps of stage 2 from the weights after stage 3; None beyond the steps that stage 2 has.

    The batches are those with which stage 2 began, its optimiser begins anew, and its rate stays at the peak after the warm-up: in 48 steps
    its own cosine has hardly begun to fall. Nothing pulls to the start, and nothing stops it.
    """
    from lm_experiments.training import train

    node, model = subject.nodes["post"], subject.model("ft")
    before = subject.loss(model)
    opened, sets, _ = stages.inputs(node, subject.stores, model)
    steps = min(RELEARNED[-1], node.plan.steps)
    settings = replace(
        node.settings, max_steps=steps, warmup_steps=min(node.settings.warmup_steps, steps), min_lr=node.settings.lr,
        eval_every=RELEARNED[0], patience=0, keep_best=False, ewc=0.0, ewc_on="", l2_to_start=0.0,
    )  # fmt: skip
    name = subject.reported("post")
    with tempfile.TemporaryDirectory() as folder:
        train(
            model, node.plan.open(opened), settings, {name: sets[name]}, Path(folder), stop_on=name,
            report=lambda _: None,
        )  # fmt: skip
        lines = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").read_text().splitlines()]
    seen = {line["step"]: line[f"eval/{name}"] for line in lines if f"eval/{name}" in line}
    return {"relearned_0": before, **{f"relearned_{step}": seen.get(step) for step in RELEARNED}}
