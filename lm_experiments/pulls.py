"""Penalties that hold a stage near the weights it starts from, as gradients: L2, and elastic weight consolidation (EWC).

    L2     lambda |theta - theta_0|^2                  gradient 2 lambda (theta - theta_0)
    EWC    lambda/2 sum_i F_i (theta_i - theta_0i)^2   gradient lambda F (theta - theta_0)

F is the diagonal empirical Fisher information at theta_0 on text of an earlier stage: the mean over windows of the squared gradient of a
window's loss, nats per token (Kirkpatrick et al. 2017, arXiv 1612.00796). It is computed when the stage begins or goes on, from weights
that it is given again, so there is no state to save.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lm_experiments.loss import LossOf

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

    from lm_experiments.evaluation import EvalSet
    from lm_experiments.processes import DistributedModel
    from lm_experiments.stage_settings import StageSettings


class Pull:
    """The gradient of the penalties, at any weights."""

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], l2: float, ewc: float, fisher: Sequence[torch.Tensor]
    ) -> None:
        """Args: parameters: at theta_0; l2, ewc: lambda of each; fisher: F, one tensor per parameter, empty where ewc = 0."""
        self._parameters = list(parameters)
        self._start = [parameter.detach().clone() for parameter in parameters]
        self._l2, self._ewc, self._fisher = l2, ewc, list(fisher)

    @torch.no_grad()
    def add(self) -> None:
        """Add it to the gradients."""
        for i, (parameter, start) in enumerate(zip(self._parameters, self._start, strict=True)):
            assert parameter.grad is not None
            moved = parameter - start
            if self._l2:
                parameter.grad.add_(moved, alpha=2 * self._l2)
            if self._ewc:
                parameter.grad.addcmul_(moved, self._fisher[i], value=self._ewc)


def made(distributed: "DistributedModel", settings: "StageSettings", prior: "EvalSet | None") -> Pull | None:
    """What holds a stage near its start, made there; None where nothing does. Raises `WrongUse` for EWC with sharded weights."""
    if not (settings.l2_to_start or settings.ewc):
        return None
    weights: list[torch.Tensor] = []
    if settings.ewc:
        assert prior is not None
        distributed.refuse_sharded("ewc", settings.ewc)
        weights = fisher(distributed.model, prior)
    return Pull(list(distributed.module.parameters()), settings.l2_to_start, settings.ewc, weights)


def fisher(model: "LlamaForCausalLM", on: "EvalSet") -> list[torch.Tensor]:
    """The diagonal of the empirical Fisher information, one tensor per parameter; gradients and mode are left as they were.

    Args:
        model: a bare model, whole on its device; dropout must be off.
        on: the windows.
    """
    parameters = list(model.parameters())
    device, training = parameters[0].device, model.training
    found = [torch.zeros_like(parameter) for parameter in parameters]
    loss: torch.nn.Module = LossOf(model)
    loss.eval()
    loss.training = True  # the mean loss, of a model that drops nothing
    for index in range(on.windows):
        gradients = torch.autograd.grad(loss(on.rows(index, 1).to(device)), parameters)
        for total, gradient in zip(found, gradients, strict=True):
            total.addcmul_(gradient, gradient, value=1 / on.windows)
    model.train(training)
    return found
