"""Loss and gradients of the plain decoder as one program of torch.compile, and its losses alone as another, each for one shape of batch.

    embedded -> layers -> norm -> logits of some tokens at a time -> mean loss and the gradient of every weight, the embedding's apart
                                                                  -> the loss of every token

It computes the same as `decoder` and `cross_entropy` by hand; compiled, the small operations between two products become one pass over
memory, and nothing of a step is left to Python and autograd. The first time that a machine sees a shape, compiling takes a quarter of a
minute; PyTorch keeps the programs, and a new process has them in three seconds. `python -m benchmarks training` says what it gains.
The embedding stays outside: compiled, several threads would add up its gradient in any order.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.nn import functional as F

from lm_experiments import decoder
from lm_experiments.cross_entropy import ROWS, exponentials, slopes

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

_PROGRAMS = 64
"""Shapes that a process may compile; PyTorch would stop, without a word, at eight."""


class Shapes(NamedTuple):
    """(rows, tokens) of the batches that are for the programs."""

    training: tuple[int, int]
    measuring: tuple[int, int]


class Constants(NamedTuple):
    """What a program is given beside weights and tokens."""

    shape: decoder.Shape
    cos: torch.Tensor
    """Of rotary positions, (tokens of a row, heads of queries and keys, half their width), scaled."""
    sin: torch.Tensor
    future: torch.Tensor
    """-inf where a key comes after its query, (tokens x heads of a group, tokens)."""


class Gradients(NamedTuple):
    """What the program of training returns."""

    loss: torch.Tensor
    embedded: torch.Tensor
    head: torch.Tensor
    weights: tuple[torch.Tensor, ...]


@contextmanager
def at(model: "LlamaForCausalLM", shapes: Shapes | None) -> Iterator[None]:
    """A block in which batches of these shapes are computed by the programs, if the model is plain; None for none.

    The weights are to stay the same tensors meanwhile, whatever is in them.
    """
    found: Any = model
    before = getattr(model, "compiled_at", None)
    plain = decoder.suits(model) and type(model.lm_head) is torch.nn.Linear
    wanted = shapes._asdict() if shapes and plain else {}
    found.compiled_at = {use: _prepared(model, *shape) for use, shape in wanted.items()}
    try:
        yield
    finally:
        found.compiled_at = before


def _prepared(model: "LlamaForCausalLM", rows: int, tokens: int) -> tuple[Constants, list[torch.Tensor]]:
    """The constants, and the weights of head, embedding, layers and last norm."""
    shape, turn, weights = decoder.parts(model, rows, tokens)
    future = torch.full((tokens, tokens), -torch.inf).triu(1).repeat_interleave(shape.heads // shape.groups, 0)
    constants = Constants(shape, turn.real.contiguous(), turn.imag.contiguous(), future)
    return constants, [model.lm_head.weight, *weights]


def mean_loss(model: "LlamaForCausalLM", windows: torch.Tensor) -> torch.Tensor | None:
    """The mean loss, to be differentiated; None where these windows are not for the program, or, with a warning, where compiling fails.

    Args:
        model: in a block of `at`.
        windows: token ids (rows, tokens + 1).
    """
    if (given := _given(model, windows, "training")) is None or not torch.is_grad_enabled():
        return None
    constants, weights = given
    apply: Callable[..., torch.Tensor] = _MeanLoss.apply
    return _tried(model, lambda: apply(windows, constants, *weights))


def token_losses(model: "LlamaForCausalLM", windows: torch.Tensor) -> torch.Tensor | None:
    """The loss of every token (rows x tokens) in nats, without a gradient; None as in `mean_loss`."""
    if (given := _given(model, windows, "measuring")) is None:
        return None
    constants, (head, embedding, *weights) = given
    with torch.no_grad():
        embedded, labels = F.embedding(windows[:, :-1].flatten(), embedding), windows[:, 1:].flatten()
        return _tried(model, lambda: _program(_losses)(embedded, head, labels, constants, *weights))


def _given(model: "LlamaForCausalLM", windows: torch.Tensor, use: str) -> tuple[Constants, list[torch.Tensor]] | None:
    """What was prepared, if windows of this shape are for the program of this use."""
    found: tuple[Constants, list[torch.Tensor]] | None = (getattr(model, "compiled_at", None) or {}).get(use)
    if found is None or windows.shape != (found[0].shape.rows, found[0].shape.tokens + 1):
        return None
    return found


def _tried(model: Any, call: Callable[[], torch.Tensor]) -> torch.Tensor | None:
    try:
        return call()
    except (torch._dynamo.exc.TorchDynamoException, OSError) as error:
        first = str(error).strip().partition("\n")[0][:300]
        warnings.warn(f"torch.compile failed ({first}), so that the stage goes on without it, slower.", stacklevel=2)
        model.compiled_at = {}
        return None


@cache
def _program(function: Callable[..., Any]) -> Callable[..., Any]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _PROGRAMS)
    return torch.compile(function, dynamic=False, fullgraph=True, options={"cpp_wrapper": True})


class _MeanLoss(torch.autograd.Function):
    """Mean loss of all tokens, as a function of all weights; its gradients are computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        windows: torch.Tensor,
        constants: Constants,
        head: torch.Tensor,
        embedding: torch.Tensor,
        *weights: torch.Tensor,
    ) -> torch.Tensor:
        ids, labels = windows[:, :-1], windows[:, 1:].flatten()
        embedded = F.embedding(ids.flatten(), embedding)
        found: Gradients = _program(_gradients)(embedded, head, labels, constants, *weights)
        of_embedding = torch.ops.aten.embedding_dense_backward(
            found.embedded.view(*ids.shape, -1), ids, len(embedding), -1, False
        )
        ctx.found = [found.head, of_embedding, *found.weights]
        return found.loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
        found, ctx.found = ctx.found, None  # autograd keeps what nobody else holds, and would copy the rest
        if upstream[0] != 1:
            torch._foreach_mul_(found, upstream[0])
        return None, None, *found


def _gradients(
    embedded: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    constants: Constants,
    *weights: torch.Tensor,
) -> Gradients:
    """Of training.

    Args:
        embedded: (tokens, width).
        head: (vocabulary, width).
        labels: (tokens).
        constants: of this shape of batch.
        weights: of the layers and the last norm.
    """
    vjp: Any = torch.func.vjp  # whose type leaves open how many there are
    states, back = vjp(lambda x, given: _states(x, constants, given), embedded, weights)
    loss, of_states, of_head = _loss_and_slopes(states, head, labels)
    of_embedded, of_weights = back(of_states)
    return Gradients(loss, of_embedded, of_head, of_weights)


def _losses(
    embedded: torch.Tensor,
    head: torch.Tensor,
    labels: torch.Tensor,
    constants: Constants,
    *weights: torch.Tensor,
) -> torch.Tensor:
    """Of measuring; arguments as in `_gradients`."""
    states = _states(embedded, constants, weights)
    pieces = (slice(first, first + ROWS) for first in range(0, len(labels), ROWS))
    return torch.cat([exponentials(states[piece] @ head.t(), labels[piece])[0] for piece in pieces])


def _loss_and_slopes(
    states: torch.Tensor, head: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean loss, and its gradients by the states and the head."""
    count = len(labels)
    loss, of_head, of_states = torch.zeros(()), torch.zeros_like(head), []
    for first in range(0, count, ROWS):
        here = slice(first, first + ROWS)
        total, of_logits = slopes(states[here] @ head.t(), labels[here], count)
        loss = loss + total
        of_states.append(of_logits @ head)
        of_head = of_head + of_logits.t() @ states[here]
    return loss / count, torch.cat(of_states), of_head


def _states(x: torch.Tensor, constants: Constants, weights: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """What the head reads, of embedded tokens."""
    shape, cos, sin, future = constants
    for gain, q, k, v, out, second, gate, up, down in decoder.layers(weights):
        read = _normed(x, gain, shape.eps) @ torch.cat([q, k, v]).t()
        read = read.view(shape.rows, shape.tokens, -1, shape.width)
        one, other = read[:, :, : shape.turned].chunk(2, -1)
        both = torch.cat([one * cos - other * sin, other * cos + one * sin], -1)
        queries, keys = (shape.grouped(part) for part in (both[:, :, : shape.heads], both[:, :, shape.heads :]))
        shares = torch.softmax(queries @ keys.transpose(1, 2) + future, -1)
        x = x + shape.flat(shares @ shape.grouped(read[:, :, shape.turned :])) @ out.t()
        opened, filled = (_normed(x, second, shape.eps) @ torch.cat([gate, up]).t()).chunk(2, 1)
        x = x + (F.silu(opened) * filled) @ down.t()
    return _normed(x, weights[-1], shape.eps)


def _normed(x: torch.Tensor, gain: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + eps) * gain
