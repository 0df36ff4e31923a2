"""The decoder on a CPU in float32, forward and backward by hand: transformers' numbers up to rounding, with fewer passes over memory.

    x            tokens x width, the residual stream, which every product adds to in place
    n = x / rms  the gain of a norm is multiplied into the matrix behind it, W diag(g): small, where the tokens are many
    q k v        one product; rotated and scaled on the way to the layout of attention
    attention    softmax(q k^T) v for some queries at a time, which see the keys up to their own
    mlp          W_down (silu(W_gate n) * W_up n)

Autograd keeps what each small operation read and adds up what each use of it sends back; here every gradient is made once, where it is
needed. `compiled` computes the same faster, where there is a compiler. Where a model is not plainly this (adapters, dropout, sharded,
another device or precision) transformers computes it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from common.arrays import Float, Int

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

LONGEST = 512
"""Tokens of a sequence whose attention probabilities are kept whole."""
QUERIES = 64
"""Tokens whose attention is computed at a time; the keys after them are left out."""
_PER_LAYER = 9


def suits(model: "LlamaForCausalLM") -> bool:
    """Whether this model's hidden states are computed here as transformers would: nothing is attached, wrapped or elsewhere."""
    from transformers.models.llama import modeling_llama as llama

    plain = {
        llama.LlamaModel, llama.LlamaDecoderLayer, llama.LlamaAttention, llama.LlamaMLP, llama.LlamaRMSNorm, llama.LlamaRotaryEmbedding,
        torch.nn.ModuleList, torch.nn.Linear, torch.nn.Embedding,
    }  # fmt: skip
    inner: Any = model.model
    modules = list(inner.modules())
    activations = {id(layer.mlp.act_fn) for layer in inner.layers}
    return (
        model.config.hidden_act == "silu"
        and all(type(module) in plain or id(module) in activations for module in modules)
        and all(getattr(module, "bias", None) is None for module in modules)
        and not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
        and not any(getattr(module, "gradient_checkpointing", False) for module in modules)
        and all(module._compiled_call_impl is None for module in modules)
        and all(type(p) is torch.nn.Parameter and p.dtype == torch.float32 and p.is_cpu for p in inner.parameters())
        and all(layer.self_attn.attention_dropout == 0 for layer in inner.layers)
        and inner.rotary_emb.rope_type == "default"
        and inner.embed_tokens.padding_idx is None
    )


@contextmanager
def by_hand(model: "LlamaForCausalLM") -> Iterator[bool]:
    """A block in which a model that `suits` is computed here by whoever asks `chosen`; yields whether this one is."""
    found: Any = model
    before = getattr(model, "by_hand", False)
    found.by_hand = suits(model)
    try:
        yield found.by_hand
    finally:
        found.by_hand = before


def chosen(model: "LlamaForCausalLM", tokens: int) -> bool:
    """Whether rows of so many tokens are computed here now."""
    return getattr(model, "by_hand", False) and tokens <= LONGEST and not torch.is_autocast_enabled("cpu")


def hidden_states(
    model: "LlamaForCausalLM", ids: Int[torch.Tensor, "rows positions"]
) -> Float[torch.Tensor, "tokens width"]:
    """What the head reads, of every token of every row, to be differentiated where gradients are enabled.

    Args:
        model: one that `suits`.
        ids: token ids, at most `LONGEST` a row.
    """
    rows, tokens = ids.shape
    shape, turn, weights = parts(model, rows, tokens)
    if torch.is_grad_enabled():
        apply: Callable[..., torch.Tensor] = _Decoder.apply
        return apply(ids, shape, turn, *weights)
    return _forward(ids, shape, turn, weights, None)


def parts(model: "LlamaForCausalLM", rows: int, tokens: int) -> tuple["Shape", torch.Tensor, list[torch.Tensor]]:
    """What is computed of a model that `suits`, for so many rows of so many tokens.

    Returns:
        The shape; the turns of rotary positions, complex, (tokens, heads of queries and keys, half their width), those of the queries
        scaled; the weights of the embedding, of every layer (see `layers`) and of the last norm.
    """
    inner: Any = model.model
    first = inner.layers[0]
    heads = model.config.num_attention_heads
    width = len(first.self_attn.q_proj.weight) // heads
    groups = len(first.self_attn.k_proj.weight) // width
    shape = Shape(rows, tokens, heads, groups, width, first.input_layernorm.variance_epsilon)
    angles = torch.outer(torch.arange(tokens).float(), inner.rotary_emb.inv_freq)[:, None]
    scale = torch.ones(heads + groups, 1)
    scale[:heads] = first.self_attn.scaling
    turn = torch.polar(inner.rotary_emb.attention_scaling * scale, angles)
    weights = [inner.embed_tokens.weight]
    for layer in inner.layers:
        attention, mlp = layer.self_attn, layer.mlp
        weights += [layer.input_layernorm.weight, attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight,
                    attention.o_proj.weight, layer.post_attention_layernorm.weight, mlp.gate_proj.weight, mlp.up_proj.weight,
                    mlp.down_proj.weight]  # fmt: skip
    weights.append(inner.norm.weight)
    return shape, turn, weights


def layers(weights: Sequence[torch.Tensor]) -> list[Sequence[torch.Tensor]]:
    """Gain, W_q, W_k, W_v, W_out, second gain, W_gate, W_up and W_down of every layer, of weights between embedding and last norm."""
    return [weights[at : at + _PER_LAYER] for at in range(0, len(weights) - 1, _PER_LAYER)]


class Shape(NamedTuple):
    rows: int
    tokens: int
    heads: int
    groups: int
    width: int
    """Of a head."""
    eps: float

    @property
    def turned(self) -> int:
        """Heads of queries and keys."""
        return self.heads + self.groups

    def order(self) -> torch.Tensor:
        """Rows of W_q, W_k and W_v, so that the two numbers which a rotary position turns together lie side by side, a complex number.

        Queries and keys change alike, which no product of the two can see.
        """
        pairs = torch.arange(self.turned * self.width).view(self.turned, 2, -1).transpose(1, 2)
        return torch.cat(
            [pairs.flatten(), torch.arange(self.turned * self.width, (self.turned + self.groups) * self.width)]
        )

    def turn(self, values: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        """The (rows, tokens, turned, width) of queries and keys, times complex numbers (tokens, turned, width / 2)."""
        pairs = torch.view_as_complex(values.view(*values.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * by).flatten(-2)

    def grouped(self, values: torch.Tensor) -> torch.Tensor:
        """(rows, tokens, heads, width) as (rows x groups, tokens x heads of a group, width), a view where there is one group."""
        apart = values.view(self.rows, self.tokens, self.groups, -1, self.width).transpose(1, 2)
        return apart.reshape(self.rows * self.groups, -1, self.width)

    def flat(self, values: torch.Tensor) -> torch.Tensor:
        """And back, as (rows x tokens, heads x width)."""
        apart = values.view(self.rows, self.groups, self.tokens, -1, self.width)
        return apart.transpose(1, 2).reshape(self.rows * self.tokens, -1)


def _normed(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """x over its root mean square, and one over that."""
    inverse = torch.linalg.vector_norm(x, dim=1, keepdim=True).square_().div_(x.shape[1]).add_(eps).rsqrt_()
    return x * inverse, inverse


def _add_through_norm(total: torch.Tensor, gradient: torch.Tensor, normed: torch.Tensor, inverse: torch.Tensor) -> None:
    """Add to the gradient of x what the gradient of `x / rms` sends back; that one is used up."""
    along = (gradient * normed).mean(1, keepdim=True)
    total.addcmul_(gradient.addcmul_(normed, along, value=-1), inverse)


def _forward(
    ids: torch.Tensor, shape: Shape, turn: torch.Tensor, weights: Sequence[torch.Tensor], kept: list[Any] | None
) -> torch.Tensor:
    """The hidden states; what the way back needs is appended to `kept`, where there is one."""
    order = shape.order()
    x = weights[0][ids.flatten()]
    future = torch.full((shape.tokens, shape.tokens), -torch.inf).triu(1)
    future = future.repeat_interleave(shape.heads // shape.groups, 0)  # rows are (token, head of the group)
    for gain, q, k, v, out, second, gate, up, down in layers(weights[1:]):
        normed, inverse = _normed(x, shape.eps)
        read = (normed @ (torch.cat([q, k, v])[order] * gain).t()).view(shape.rows, shape.tokens, -1, shape.width)
        both = shape.turn(read[:, :, : shape.turned], turn)
        queries, keys = (shape.grouped(part) for part in (both[:, :, : shape.heads], both[:, :, shape.heads :]))
        values = shape.grouped(read[:, :, shape.turned :])
        mixed, shares = _attend(queries, keys, values, future, kept is not None)
        mixed = shape.flat(mixed)
        x.addmm_(mixed, out.t())
        again, slope = _normed(x, shape.eps)
        opened, filled = again @ (gate * second).t(), again @ (up * second).t()
        active = torch.nn.functional.silu(opened)
        inside = active * filled
        x.addmm_(inside, down.t())
        if kept is not None:
            kept.append(
                (normed, inverse, queries, keys, values, shares, mixed, again, slope, opened, filled, active, inside)
            )
    normed, inverse = _normed(x, shape.eps)
    if kept is not None:
        kept.append((normed, inverse))
    return normed * weights[-1]


def _blocks(tokens: int) -> list[tuple[int, int]]:
    return [(first, min(first + QUERIES, tokens)) for first in range(0, tokens, QUERIES)]


def _attend(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, future: torch.Tensor, keep: bool
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """softmax(q k^T + mask) v, and the probabilities of every block of queries."""
    tokens = keys.shape[1]
    each = queries.shape[1] // tokens
    found, shares = [], []
    for first, last in _blocks(tokens):
        here = slice(first * each, last * each)
        scores = torch.baddbmm(future[None, here, :last], queries[:, here], keys[:, :last].transpose(1, 2))
        part = scores.softmax(-1)
        found.append(torch.bmm(part, values[:, :last]))
        if keep:
            shares.append(part)
    return torch.cat(found, 1) if len(found) > 1 else found[0], shares


def _attend_back(
    gradient: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, shares: list[torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of queries, keys and values."""
    tokens = keys.shape[1]
    each = queries.shape[1] // tokens
    of_queries = torch.empty_like(queries)
    of_keys, of_values = torch.zeros_like(keys), torch.zeros_like(values)
    for (first, last), part in zip(_blocks(tokens), shares, strict=True):
        here = slice(first * each, last * each)
        mine = gradient[:, here]
        of_values[:, :last] += torch.bmm(part.transpose(1, 2), mine)
        slopes = torch._softmax_backward_data(torch.bmm(mine, values[:, :last].transpose(1, 2)), part, -1, part.dtype)
        of_queries[:, here] = torch.bmm(slopes, keys[:, :last])
        of_keys[:, :last] += torch.bmm(slopes.transpose(1, 2), queries[:, here])
    return of_queries, of_keys, of_values


class _Decoder(torch.autograd.Function):
    """Hidden states of token ids, as a function of all weights."""

    @staticmethod
    def forward(ctx: Any, ids: torch.Tensor, shape: Shape, turn: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
        ctx.ids, ctx.shape, ctx.turn, ctx.kept = ids, shape, turn, []
        ctx.save_for_backward(*weights)
        return _forward(ids, shape, turn, weights, ctx.kept)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *upstream: torch.Tensor) -> Any:
        weights, shape, kept = ctx.saved_tensors, ctx.shape, ctx.kept
        order, back = shape.order(), ctx.turn.conj().resolve_conj()
        found: list[torch.Tensor] = []  # from the last weight to the first
        normed, inverse = kept.pop()
        found.append((upstream[0] * normed).sum(0))
        total = torch.zeros_like(normed)
        _add_through_norm(total, upstream[0] * weights[-1], normed, inverse)
        for gain, q, k, v, out, second, gate, up, down in reversed(layers(weights[1:])):
            normed, inverse, queries, keys, values, shares, mixed, again, slope, opened, filled, active, inside = (
                kept.pop()
            )
            of_down = total.t() @ inside
            of_inside = total @ down
            of_filled = active.mul_(of_inside)
            of_opened = torch.ops.aten.silu_backward(of_inside.mul_(filled), opened)
            of_up, of_gate = of_filled.t() @ again, of_opened.t() @ again
            of_second = (of_up * up).sum(0) + (of_gate * gate).sum(0)
            of_again = (of_opened @ (gate * second)).addmm_(of_filled, up * second)
            _add_through_norm(total, of_again, again, slope)
            of_out = total.t() @ mixed
            of_mixed = shape.grouped((total @ out).view(shape.rows, shape.tokens, shape.heads, shape.width))
            of_queries, of_keys, of_values = _attend_back(of_mixed, queries, keys, values, shares)
            of_both = shape.turn(torch.cat([_heads(shape, part) for part in (of_queries, of_keys)], 2), back)
            of_read = torch.cat([of_both, _heads(shape, of_values)], 2).view(len(total), -1)
            of_joined, joined = of_read.t() @ normed, torch.cat([q, k, v])[order]
            _add_through_norm(total, of_read @ (joined * gain), normed, inverse)
            of_rows = torch.empty_like(joined)
            of_rows[order] = of_joined * gain
            of_q, of_k, of_v = torch.split(of_rows, [len(q), len(k), len(v)])
            found += [
                of_down,
                of_up * second,
                of_gate * second,
                of_second,
                of_out,
                of_v,
                of_k,
                of_q,
                (of_joined * joined).sum(0),
            ]
        embedded = torch.ops.aten.embedding_dense_backward(
            total.view(*ctx.ids.shape, -1), ctx.ids, len(weights[0]), -1, False
        )
        return None, None, None, embedded, *reversed(found)


def _heads(shape: Shape, values: torch.Tensor) -> torch.Tensor:
    """(rows x groups, tokens x heads of a group, width) as (rows, tokens, heads, width)."""
    return shape.flat(values).view(shape.rows, shape.tokens, -1, shape.width)
