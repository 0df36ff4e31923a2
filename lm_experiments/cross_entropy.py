"""Cross-entropy of next tokens without the logits of all tokens at once.

The head and the softmax are done for a few hundred tokens at a time. Where a gradient will be wanted, it is made on the
way, while the probabilities of the chunk are at hand (`p - onehot` times the weights): nothing is computed twice, and neither
the logits (tokens x vocabulary) nor their gradient ever exist as a whole. Value and gradient are those of
`torch.nn.functional.cross_entropy` in float32.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from common.arrays import Float, Int

ROWS = 512
"""Tokens at a time on a CPU: fewer fit a nearer cache, but each product costs some time of its own."""

DEVICE_ROWS = 4096
"""Tokens at a time on an accelerator, where small products leave it idle."""


def rows_at_a_time(device: torch.device) -> int:
    """How many tokens' logits exist at once."""
    return ROWS if device.type == "cpu" else DEVICE_ROWS


def exponentials(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Turn float32 logits into probabilities times their row's sum; return each row's loss, and the sums (rows, 1)."""
    logits -= logits.amax(1, keepdim=True)
    gold = logits.gather(1, labels[:, None])
    sums = logits.exp_().sum(1, keepdim=True)
    return (sums.log() - gold)[:, 0], sums


def slopes(logits: torch.Tensor, labels: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss, and the gradient of the mean loss of `count` tokens with respect to these tokens' logits, in their precision."""
    found = logits.float()
    losses, sums = exponentials(found, labels)
    found *= 1 / (sums * count)
    found.scatter_add_(1, labels[:, None], found.new_full((len(found), 1), -1 / count))
    return losses.sum(), found.to(logits.dtype)


@cache
def compiled_slopes() -> Callable[[torch.Tensor, torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]:
    """The same, its passes over the logits made few by torch.compile."""
    return torch.compile(slopes, dynamic=False)


class _MeanLoss(torch.autograd.Function):
    """Mean loss of all tokens, its gradients computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, slopes: Any
    ) -> torch.Tensor:
        count = len(labels)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32)
        head = weight.to(hidden.dtype)
        for first in range(0, count, rows_at_a_time(hidden.device)):
            here = slice(first, first + rows_at_a_time(hidden.device))
            loss, slope = slopes(hidden[here] @ head.t(), labels[here], count)
            total += loss
            torch.mm(slope, head, out=hidden_gradient[here])
            if slope.dtype == torch.float32:
                weight_gradient.addmm_(slope.t(), hidden[here])
            else:
                weight_gradient += slope.t() @ hidden[here]
        ctx.save_for_backward(hidden_gradient, weight_gradient)
        return total / count

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        return hidden_gradient * upstream[0].to(hidden_gradient.dtype), weight_gradient * upstream[0], None, None


def mean_loss(
    hidden: Float[torch.Tensor, "tokens width"],
    weight: Float[torch.Tensor, "vocabulary width"],
    labels: Int[torch.Tensor, " tokens"],
    compiled: bool = False,
) -> Float[torch.Tensor, ""]:
    """Mean cross-entropy in nats per token, to be differentiated.

    Args:
        hidden: last hidden states, float32 or bfloat16; the products are made in this precision, the softmax in float32.
        weight: output head.
        labels: the next tokens.
        compiled: whether the softmax and its gradient are compiled, on an accelerator; a CPU has them in its cache.
    """
    apply: Callable[..., Float[torch.Tensor, ""]] = _MeanLoss.apply
    return apply(hidden, weight, labels, compiled_slopes() if compiled and not hidden.is_cpu else slopes)


def token_losses(
    hidden: Float[torch.Tensor, "tokens width"],
    weight: Float[torch.Tensor, "vocabulary width"],
    labels: Int[torch.Tensor, " tokens"],
) -> Float[torch.Tensor, " tokens"]:
    """Cross-entropy of every token in nats, float32, without a gradient."""
    return _of_logits(lambda logits, label: exponentials(logits, label)[0], hidden, weight, labels)


def token_hits(
    hidden: Float[torch.Tensor, "tokens width"],
    weight: Float[torch.Tensor, "vocabulary width"],
    labels: Int[torch.Tensor, " tokens"],
) -> Float[torch.Tensor, " tokens"]:
    """1 where the label is the most probable token, else 0."""
    return _of_logits(lambda logits, label: (logits.argmax(1) == label).float(), hidden, weight, labels)


@torch.no_grad()
def _of_logits(
    found: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    head, rows = weight.to(hidden.dtype), rows_at_a_time(hidden.device)
    parts = (slice(first, first + rows) for first in range(0, len(labels), rows))
    return torch.cat([found((hidden[part] @ head.t()).float(), labels[part]) for part in parts])
