"""What a probe looks at: the models that a pipeline left, and its held-out text.

A loss on D_post is measured as the pipeline measured it, on the same windows, so that it is the loss_im and loss_ret of the results
table; where many are compared with one another alone, on some of these windows. Gradients and activations are those of all tokens of
windows of the same reporting split, evenly spread.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from common.settings import WrongUse
from lm_experiments.checkpoints import load_model
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.kernels import fast
from lm_experiments.loss import LossOf
from lm_experiments.pipeline import Pipeline
from lm_experiments.plan import Kind
from lm_experiments.stages import folder_of

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

KINDS: tuple[Kind, ...] = ("pre", "post", "ft")
WINDOWS = 64
"""Windows of a corpus that gradients and second moments are means over."""
QUICK = 128
"""Windows of D_post on which changes of weights are compared."""
AT_A_TIME = 16
"""Windows of one backward pass: decides nothing but rounding."""


class Subject:
    """A pipeline whose stages are done, opened for measurements."""

    def __init__(self, pipeline: Pipeline, root: Path, stores: Callable[[str], Any]) -> None:
        """Args: pipeline: done, models included; root: folder of the runs; stores: opens a store by name."""
        self.pipeline, self.root, self.stores = pipeline, root, stores
        self.nodes = pipeline.nodes
        if "post" not in self.nodes:
            raise WrongUse(
                f"{pipeline.cell.title} has no stage 2: all of D_post is in stage 1. Probe pipelines that have one, with --arms."
            )

    def model(self, kind: Kind) -> "LlamaForCausalLM":
        """The model that a stage left, read anew: the caller may change it."""
        shape = self.nodes["pre"].model
        assert shape is not None
        return load_model(folder_of(self.nodes[kind], self.root), shape)

    def text(self, kind: Kind, windows: int = WINDOWS) -> EvalSet:
        """Windows of a corpus that no stage trains on, all of their tokens."""
        key = self.pipeline.keys[KINDS.index(kind)]
        store, length = self.stores(f"{key}/report"), self.pipeline.settings.length
        return EvalSet(store=store, windows=min(windows, store.windows(length)), length=length)

    def reported(self, kind: Kind) -> str:
        """The name of the set on which a loss of the results table is measured."""
        return self.pipeline.reports(self.pipeline.keys[KINDS.index(kind)])[0]

    def loss(self, model: "LlamaForCausalLM") -> float:
        """Its loss on D_post, nats per token, as in the results table."""
        return self._loss(model, self._measured)

    def quick_loss(self, model: "LlamaForCausalLM") -> float:
        """The same on fewer windows, where only differences between weights are asked for and there are many of them."""
        return self._loss(model, min(self._measured or QUICK, QUICK))

    @property
    def _measured(self) -> int:
        """Windows on which the pipeline measures its loss on D_post; 0 is all."""
        return dict(self.nodes["post"].measured)[self.reported("post")]

    def _loss(self, model: "LlamaForCausalLM", windows: int) -> float:
        node, name = self.nodes["post"], self.reported("post")
        store, length = self.stores(name), node.plan.length
        held = store.windows(length)
        on = EvalSet(store=store, windows=min(windows or held, held), length=length)
        return evaluate(model, {name: on}, node.settings.eval_batch)[name]

    def gradient(self, model: "LlamaForCausalLM", kind: Kind) -> dict[str, torch.Tensor]:
        """The gradient of a corpus's mean loss, one tensor per trained parameter; `.grad` is left as it was."""
        return gradient(model, self.text(kind))


def gradient(model: "LlamaForCausalLM", on: EvalSet) -> dict[str, torch.Tensor]:
    """The gradient of the mean loss on some windows, one tensor per parameter.

    Args:
        model: a bare model without dropout.
        on: the windows.
    """
    named = dict(model.named_parameters())
    found = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    training = model.training
    loss: Any = LossOf(model)
    loss.eval()
    loss.training = True  # the mean loss, of a model that drops nothing
    with fast(model):
        for first in range(0, on.windows, AT_A_TIME):
            count = min(AT_A_TIME, on.windows - first)
            parts = torch.autograd.grad(loss(on.rows(first, count)), list(named.values()))
            for total, part in zip(found.values(), parts, strict=True):
                total.add_(part, alpha=count / on.windows)
    model.train(training)
    return found
