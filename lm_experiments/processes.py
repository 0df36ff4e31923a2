"""One model over one process, DDP or FSDP: everything that training needs of accelerate.

Which of them it is, accelerate decides from how the program was started (`accelerate launch`, torchrun, or plainly). Weights and
moments are gathered whole before they are written, so a checkpoint does not depend on the number of processes.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor

from common.arrays import Float, Int
from common.settings import WrongUse
from lm_experiments.cross_entropy import LossOf
from lm_experiments.stage_settings import StageSettings, refuse_absent

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_WHOLE = StateDictOptions(full_state_dict=True, strict=False)
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def optimizer_of(module: torch.nn.Module, settings: StageSettings) -> torch.optim.AdamW:
    """AdamW; matrices, the embeddings among them, decay, and the gains of the norms do not."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.lr, betas=settings.betas, fused=True)


class DistributedModel:
    """A model with its loss and its optimiser, prepared by accelerate."""

    def __init__(self, model: "LlamaForCausalLM", settings: StageSettings, folder: Path) -> None:
        """Args: model: as built; settings: of the stage; folder: where TensorBoard writes."""
        refuse_absent(settings.trackers)
        AcceleratorState._reset_state()  # an earlier stage of this process may have had another precision
        self.accelerator = Accelerator(
            mixed_precision="bf16" if settings.precision == "bf16" else "no",
            log_with=list(settings.trackers) or None,
            project_dir=folder,
        )
        self.count, self.rank = self.accelerator.num_processes, self.accelerator.process_index
        self.main, self.device = self.accelerator.is_main_process, self.accelerator.device
        if settings.batch % self.count:
            raise WrongUse(f"batch = {settings.batch} cannot be shared by {self.count} processes. Choose a multiple.")
        self._micro, self._tracked = settings.micro_batch, bool(settings.trackers)
        self.model: Any = model
        self._checkpointed = settings.activation_checkpointing
        if settings.trackers:
            named = {tracker: {"name": folder.name} for tracker in ("wandb", "trackio") if tracker in settings.trackers}
            self.accelerator.init_trackers("early-exposure", init_kwargs=named)
        if settings.activation_checkpointing:
            model.activation_checkpointing_enable()
        model.train()
        module = LossOf(model, settings.compile)
        if settings.compile:
            model.model.compile()
        self.module, self.optimizer = self.accelerator.prepare(module, optimizer_of(module, settings))
        if settings.rank:
            self.refuse_sharded("rank", settings.rank)

    def refuse_sharded(self, name: str, value: float) -> None:
        """Raise `WrongUse` where the weights are spread over the processes, and the setting needs them whole."""
        if any(isinstance(parameter, DTensor) for parameter in self.module.parameters()):
            raise WrongUse(
                f"{name} = {value:g} needs whole weights in every process, and FSDP shards them. Start one process, or DDP."
            )

    def close(self) -> None:
        """Leave the model as it was given: no compilation, no activation checkpointing."""
        self.model.model._compiled_call_impl = None
        if self._checkpointed:
            self.model.activation_checkpointing_disable()
        self.model.eval()
        if self._tracked:
            self.accelerator.end_training()

    def cut(self, windows: Int[torch.Tensor, "rows positions"]) -> list[torch.Tensor]:
        """This process's windows of a step in micro-batches."""
        return list(torch.split(windows, self._micro or len(windows)))

    def accumulating(self, more: bool) -> AbstractContextManager[Any]:
        """A block whose gradients are not exchanged yet, if more micro-batches follow."""
        return self.accelerator.no_sync(self.module) if more and self.count > 1 else nullcontext()

    def clip(self, largest: float) -> torch.Tensor:
        """Scale the gradient to a norm of at most `largest`; returns its norm before."""
        norm: torch.Tensor = self.accelerator.clip_grad_norm_(self.module.parameters(), largest)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def mean(self, values: Float[torch.Tensor, "..."]) -> torch.Tensor:
        """The mean over the processes."""
        found: torch.Tensor = self.accelerator.reduce(values, "mean") if self.count > 1 else values
        return found

    def agreed(self, mine: bool) -> bool:
        """The first process's answer, for all."""
        if self.count == 1:
            return mine
        answers = self.accelerator.gather(torch.tensor([mine], device=self.device))
        return bool(answers[0])

    def alone(self, work: Callable[[], None]) -> None:
        """Let the first process do it while the others wait."""
        if self.main:
            work()
        self.accelerator.wait_for_everyone()

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Send to TensorBoard, trackio or wandb what was asked for."""
        if self._tracked:
            self.accelerator.log(dict(values), step=step)

    def weights(self) -> dict[str, torch.Tensor]:
        """The whole weights by the names of transformers, a tied matrix once; while adapters are trained, theirs alone."""
        whole: dict[str, Any] = get_model_state_dict(self.module, options=_WHOLE)
        held: dict[str, torch.Tensor] = {name.removeprefix("model."): tensor for name, tensor in whole.items()}
        if self.model.config.tie_word_embeddings:
            held.pop("lm_head.weight", None)
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        return {name: tensor for name, tensor in held.items() if name not in frozen}

    def moments(self) -> dict[str, torch.Tensor]:
        """The whole state of AdamW: `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`."""
        held: Any = get_optimizer_state_dict(self.module, self.optimizer.optimizer, options=_WHOLE)
        return {
            f"{name.removeprefix('model.')}.{moment}": tensor
            for name, moments in held["state"].items()
            for moment, tensor in moments.items()
        }

    def moments_like(self) -> dict[str, torch.Tensor]:
        """Names, dtypes and shapes that `moments` will have, on the meta device."""
        scalar = torch.empty((), device="meta")
        return {
            f"{name}.{moment}": scalar if moment == "step" else tensor.to("meta")
            for name, tensor in self.weights().items()
            for moment in _MOMENTS
        }

    def restore(self, weights: Mapping[str, torch.Tensor], moments: Mapping[str, torch.Tensor] | None = None) -> None:
        """Put whole weights, and moments where given, in place."""
        named: dict[str, Any] = {f"model.{name}": tensor for name, tensor in weights.items()}
        set_model_state_dict(self.module, named, options=_WHOLE)
        if moments is not None:
            optimizer = self.optimizer.optimizer
            held: Any = get_optimizer_state_dict(self.module, optimizer, options=_WHOLE)
            held["state"] = {
                f"model.{name}": {moment: moments[f"{name}.{moment}"] for moment in _MOMENTS} for name in weights
            }
            set_optimizer_state_dict(self.module, optimizer, held, options=_WHOLE)
