"""One model over one process, DDP or FSDP2: everything that training needs of accelerate.

How many processes there are is decided by how the program was started (`accelerate launch`, torchrun, or plainly), and `shard` whether
they replicate the model or share it. Weights and moments are gathered whole before they are written, into the memory of the first
process's host, so a checkpoint does not depend on the number of processes, nor on how they share the model.

    layer 0 | layer 1 | ... | embedding, last norm and head     the units, gathered one at a time: `_no_split_modules` of transformers

accelerate (1.15, `AcceleratorState.__init__`) passes over its FSDP plugin, without a word, unless the processes have accelerators, and
hands out DDP. Its sharding itself runs on CPUs with gloo as well, and so it is told here that it shards; so a GPU and the tests take
the same lines. In the place of autocast it has the plugin's mixed precision, which would round weights, norms and the reduced gradients
to bfloat16 too; ours stay in float32 (`precision`), and the forward pass is under autocast as it is in DDP.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
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
from lm_experiments import checkpoints, compiled, compilers, decoder
from lm_experiments.loss import LossOf
from lm_experiments.stage_settings import StageSettings, refuse_absent

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_WHOLE = StateDictOptions(full_state_dict=True, strict=False)
_GATHERED = StateDictOptions(full_state_dict=True, cpu_offload=True, strict=False)
"""Tensor by tensor into host memory, of the first process alone; the others get nothing."""
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
        # an earlier stage of this process may have had another precision, or been sharded
        AcceleratorState._reset_state(reset_partial_state=True)
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
        module = LossOf(model, settings.compile == "yes")
        self.compiled_at = self._compiled_at(model, settings)
        if settings.compile == "yes" and self.compiled_at is None:
            model.model.compile()
        if settings.shard and self.count > 1:
            self._shard(module, settings)
        self.module, prepared = self.accelerator.prepare(module, optimizer_of(module, settings))
        self.optimizer: torch.optim.AdamW = (
            prepared.optimizer
        )  # accelerate's would look for a package on the disk at every step
        self._parameters = list(self.module.parameters())
        if settings.rank:
            self.refuse_sharded("rank", settings.rank)

    def _compiled_at(self, model: "LlamaForCausalLM", settings: StageSettings) -> compiled.Shapes | None:
        """What `compiled` takes at a time, where that and not transformers' decoder is to be compiled."""
        here = self.device.type == "cpu" and settings.precision == "fp32" and settings.length <= decoder.LONGEST
        parameters = sum(parameter.numel() for parameter in model.parameters())
        operations = 6.0 * parameters * settings.max_steps * settings.batch * settings.length
        if not (here and compilers.wanted(settings.compile, operations) and decoder.suits(model)):
            return None
        rows = settings.micro_batch or settings.batch // self.count
        return compiled.Shapes((rows, settings.length), (settings.eval_batch, settings.length))

    def _shard(self, module: torch.nn.Module, settings: StageSettings) -> None:
        """Let accelerate shard what it prepares, whatever device it is on."""
        state: Any = self.accelerator.state
        state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",  # the layers that `LossOf` names
        )
        if settings.precision == "bf16":
            module.forward = torch.autocast(self.device.type, torch.bfloat16)(module.forward)

    def refuse_sharded(self, name: str, value: float) -> None:
        """Raise `WrongUse` where the weights are spread over the processes, and the setting needs them whole."""
        if any(isinstance(parameter, DTensor) for parameter in self._parameters):
            raise WrongUse(
                f"{name} = {value:g} needs whole weights in every process, and FSDP shards them. Leave out --shard, or start one process."
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
        norm: torch.Tensor = self.accelerator.clip_grad_norm_(self._parameters, largest)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def mean(self, values: Float[torch.Tensor, "..."]) -> torch.Tensor:
        """The mean over the processes."""
        found: torch.Tensor = self.accelerator.reduce(values, "mean") if self.count > 1 else values
        return found

    def agreed(self, mine: bool) -> bool:
        """The first process's answer, for all."""
        return bool(self.first(mine))

    def first(self, mine: float) -> float:
        """The first process's number, for all."""
        if self.count == 1:
            return mine
        return float(self.accelerator.gather(torch.tensor([mine], dtype=torch.float64, device=self.device))[0])

    def alone(self, work: Callable[[], None]) -> None:
        """Let the first process do it while the others wait."""
        if self.main:
            work()
        self.accelerator.wait_for_everyone()

    def track(self, values: Mapping[str, float], step: int) -> None:
        """Send to TensorBoard, trackio or wandb what was asked for."""
        if self._tracked:
            self.accelerator.log(dict(values), step=step)

    def weights_like(self) -> dict[str, torch.Tensor]:
        """Names, dtypes and whole shapes of the weights, on the meta device; a tied matrix once, adapters alone where they are trained."""
        frozen = {name for name, parameter in self.model.named_parameters() if not parameter.requires_grad}
        return {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, device="meta")
            for name, tensor in checkpoints.weights(self.model).items()
            if name not in frozen
        }

    def moments_like(self) -> dict[str, torch.Tensor]:
        """Names, dtypes and shapes that the moments will have, on the meta device."""
        scalar = torch.empty((), device="meta")
        return {
            f"{name}.{moment}": scalar if moment == "step" else tensor
            for name, tensor in self.weights_like().items()
            for moment in _MOMENTS
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """The whole weights on the first process's host, by the names of `weights_like`, to be read at once; nothing in other processes."""
        whole: dict[str, Any] = get_model_state_dict(self.module, options=_GATHERED)
        return {name: whole[f"model.{name}"] for name in self.weights_like() if whole}

    def copied_weights(self) -> dict[str, torch.Tensor]:
        """The same, that stay as they are while training goes on."""
        return self._copied(self.weights())

    def copied_moments(self) -> dict[str, torch.Tensor]:
        """The whole state of AdamW, likewise: `<parameter>.exp_avg`, `.exp_avg_sq` and `.step`."""
        held: Any = get_optimizer_state_dict(self.module, self.optimizer, options=_GATHERED)
        return self._copied(
            {
                f"{name.removeprefix('model.')}.{moment}": tensor
                for name, moments in held.get("state", {}).items()
                for moment, tensor in moments.items()
            }
        )

    def _copied(self, held: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Of tensors that were gathered from an accelerator the host's are copies already."""
        return {name: tensor.clone() if self.device.type == "cpu" else tensor for name, tensor in held.items()}

    def restore(self, weights: Mapping[str, torch.Tensor], moments: Mapping[str, torch.Tensor] | None = None) -> None:
        """Put whole weights, and moments where given, in place."""
        named: dict[str, Any] = {f"model.{name}": tensor for name, tensor in weights.items()}
        set_model_state_dict(self.module, named, options=_WHOLE)
        if moments is not None:
            held: Any = get_optimizer_state_dict(self.module, self.optimizer, options=StateDictOptions(strict=False))
            held["state"] = {
                f"model.{name}": {moment: moments[f"{name}.{moment}"] for moment in _MOMENTS} for name in weights
            }
            set_optimizer_state_dict(self.module, self.optimizer, held, options=_WHOLE)
