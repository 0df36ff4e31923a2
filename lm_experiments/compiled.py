"""The decoder in plain operations, which torch.compile fuses for one shape of batch: on a CPU a little faster than `decoder` by hand.

By 6 to 13 % at the shapes of `python -m benchmarks training`; compiling transformers' own decoder instead made it slower than leaving it
alone. The first time that a machine sees a shape, compiling takes half a minute; PyTorch keeps the programs, and a new process has them
in three seconds.
The embedding stays outside: compiled, several threads would add up its gradient in any order.
"""

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from lm_experiments.decoder import Shape

_PROGRAMS = 64
"""Shapes that a process may compile; PyTorch would stop, without a word, at eight."""


@cache
def _program() -> Callable[..., torch.Tensor]:
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, _PROGRAMS)
    return torch.compile(_states, dynamic=False, fullgraph=True)


def states(
    embedded: torch.Tensor, shape: "Shape", turn: torch.Tensor, weights: Sequence[torch.Tensor], per_layer: int
) -> torch.Tensor | None:
    """The hidden states (tokens, width), to be differentiated; None, with a warning, where the compiler fails.

    Args:
        embedded: (tokens, width).
        shape: of the batch and the heads.
        turn: complex, (tokens of a row, heads of queries and keys, half their width).
        weights: of the layers and the last norm, in the order of `decoder`.
        per_layer: how many a layer has.
    """
    try:
        return _program()(embedded, shape, turn.real.contiguous(), turn.imag.contiguous(), per_layer, *weights)
    except (torch._dynamo.exc.TorchDynamoException, OSError) as error:
        first = str(error).strip().partition("\n")[0][:300]
        warnings.warn(f"torch.compile failed ({first}), so that the stage goes on without it, slower.", stacklevel=2)
        return None


def _states(
    x: torch.Tensor, shape: "Shape", cos: torch.Tensor, sin: torch.Tensor, per_layer: int, *weights: torch.Tensor
) -> torch.Tensor:
    future = torch.full((shape.tokens, shape.tokens), -torch.inf, dtype=x.dtype).triu(1)
    future = future.repeat_interleave(shape.heads // shape.groups, 0)
    for at in range(0, len(weights) - 1, per_layer):
        gain, q, k, v, out, second, gate, up, down = weights[at : at + per_layer]
        read = _normed(x, gain, shape.eps) @ torch.cat([q, k, v]).t()
        read = read.view(shape.rows, shape.tokens, -1, shape.width)
        one, other = read[:, :, : shape.turned].chunk(2, -1)
        both = torch.cat([one * cos - other * sin, other * cos + one * sin], -1)
        queries, keys = (shape.grouped(part) for part in (both[:, :, : shape.heads], both[:, :, shape.heads :]))
        shares = torch.softmax(queries @ keys.transpose(1, 2) + future, -1)
        x = x + shape.flat(shares @ shape.grouped(read[:, :, shape.turned :])) @ out.t()
        again = _normed(x, second, shape.eps)
        x = x + (torch.nn.functional.silu(again @ gate.t()) * (again @ up.t())) @ down.t()
    return _normed(x, weights[-1], shape.eps)


def _normed(x: torch.Tensor, gain: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.square().mean(1, keepdim=True) + eps) * gain
