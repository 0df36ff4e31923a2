"""Held-out loss in nats per token: over a fixed set of windows, every token counting the same, or every answer (`store.Answers`).

The sum is taken in float64 over windows in their order, so it depends neither on how many windows are put in a batch nor on how
many processes share the work, except for the last bits of the float32 products (other batch shapes, other kernels).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch

from common.arrays import Int
from common.settings import WrongUse
from lm_experiments.kernels import fast
from lm_experiments.loss import LossOf

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import LlamaForCausalLM


@runtime_checkable
class Windows(Protocol):
    """What an evaluation needs of a token store."""

    def windows(self, length: int) -> int:
        """How many windows of `length` tokens there are."""

    def window(self, index: int, length: int) -> Int[np.ndarray, "positions"]:
        """One window and the token after it."""


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """A fixed set of windows, spread evenly over a store."""

    store: Windows
    windows: int
    length: int

    def __post_init__(self) -> None:
        """Raises `WrongUse` where the store does not hold as many windows."""
        held = self.store.windows(self.length)
        if not 1 <= self.windows <= held:
            raise WrongUse(
                f"windows = {self.windows} of {self.length} tokens cannot be taken from a store of {held}. Choose 1 to {held}."
            )

    def rows(self, first: int, count: int) -> Int[torch.Tensor, "count positions"]:
        """Windows first .. first + count - 1 of the set; beyond its end the first window stands in."""
        held = self.store.windows(self.length)
        numbers = (i if i < self.windows else 0 for i in range(first, first + count))
        return torch.from_numpy(np.stack([self.store.window(i * held // self.windows, self.length) for i in numbers]))


def evaluate(model: "LlamaForCausalLM", sets: Mapping[str, EvalSet], batch: int) -> dict[str, float]:
    """Mean cross-entropy of a model on every named set, nats per token.

    Args:
        model: a bare model, on any device.
        sets: what to measure on.
        batch: windows at a time.
    """
    with fast(model):
        return measure(LossOf(model), sets, batch, None)


@torch.no_grad()
def measure(
    module: torch.nn.Module, sets: Mapping[str, EvalSet], batch: int, accelerator: "Accelerator | None"
) -> dict[str, float]:
    """The same for a `LossOf` that may be spread over the processes of `accelerator`; every process gets every loss."""
    training = module.training
    module.eval()
    found = {name: _mean(module, chosen, batch, accelerator) for name, chosen in sets.items()}
    module.train(training)
    return found


def _mean(module: Any, chosen: EvalSet, batch: int, accelerator: "Accelerator | None") -> float:
    processes, rank = (accelerator.num_processes, accelerator.process_index) if accelerator else (1, 0)
    device = next(module.parameters()).device
    ids = getattr(chosen.store, "counted", None)
    counted = [] if ids is None else [torch.from_numpy(ids).to(device), chosen.store.kind == "recall"]  # type: ignore[attr-defined]
    share = -(-chosen.windows // processes)  # equal for all, as collectives inside the model have to be met by all
    sums = torch.cat(
        [
            module(chosen.rows(rank * share + first, min(batch, share - first)).to(device), *counted)
            for first in range(0, share, batch)
        ]
    )
    if accelerator and processes > 1:
        sums = accelerator.gather(sums)
    count = chosen.windows * chosen.length
    if ids is not None:
        count = int(np.isin(chosen.rows(0, chosen.windows)[:, 1:].numpy(), ids).sum())
    return float(sums[: chosen.windows].sum()) / count if count else math.nan
