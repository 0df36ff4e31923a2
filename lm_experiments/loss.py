"""A language model that returns its loss, computed by whoever computes it soonest.

training    `compiled`, where a stage asks for it and the model is plain
            else the hidden states by `decoder`, or by transformers where the model is not plain, and their loss by `cross_entropy`
measuring   the same two, without gradients
"""

from typing import TYPE_CHECKING

import torch

from common.arrays import Int
from lm_experiments import compiled, decoder
from lm_experiments.adapters import head
from lm_experiments.cross_entropy import mean_loss, token_hits, token_losses

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


class LossOf(torch.nn.Module):
    """What is trained, measured, compiled and distributed.

    Called with windows of `length + 1` token ids: in training mode the mean loss, a scalar to differentiate; else the
    summed loss of every window in float64, of all labels or of those that are counted.
    """

    def __init__(self, model: "LlamaForCausalLM", compiled: bool = False) -> None:
        """Args: model: a decoder with a linear head; compiled: whether the head's softmax is compiled, on an accelerator."""
        super().__init__()
        self.model, self._compiled = model, compiled
        self._no_split_modules = model._no_split_modules  # what accelerate asks for the units of sharding

    def forward(
        self,
        windows: Int[torch.Tensor, "rows positions"],
        counted: Int[torch.Tensor, " ids"] | None = None,
        hits: bool = False,
    ) -> torch.Tensor:
        """The mean (scalar, float32) in training mode, the sums (rows, float64) otherwise.

        Args:
            windows: token ids.
            counted: labels that count; None for all. Only when measuring.
            hits: count right first choices in the place of nats.
        """
        if self.training and (loss := compiled.mean_loss(self.model, windows)) is not None:
            return loss
        found = None if self.training or hits else compiled.token_losses(self.model, windows)
        if found is None:
            hidden, weight = head(self.model, self._hidden_states(windows[:, :-1]))
            labels = windows[:, 1:].flatten()
            if self.training:
                return mean_loss(hidden, weight, labels, self._compiled)
            found = (token_hits if hits else token_losses)(hidden, weight, labels)
        found = found.double()
        if counted is not None:
            found = found * torch.isin(windows[:, 1:].flatten(), counted)
        return found.view(len(windows), -1).sum(1)

    def _hidden_states(self, ids: Int[torch.Tensor, "rows positions"]) -> torch.Tensor:
        if decoder.chosen(self.model, ids.shape[1]):
            hidden = decoder.hidden_states(self.model, ids)
        else:
            hidden = self.model.model(input_ids=ids, use_cache=False).last_hidden_state.flatten(0, 1)
        if torch.is_autocast_enabled(hidden.device.type):
            hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
        return hidden
