"""Which matrix products and which attention a CPU uses for float32: the same numbers, sooner.

PyTorch gives float32 products to MKL, which on AMD processors uses half of the vector width. oneDNN, also part of PyTorch, uses
all of it, but is only asked when bfloat16 would be acceptable inside the product. Where the processor has no bfloat16 tiles
oneDNN computes in float32 even then, and so the permission costs nothing; whether that is so is tried out before it is given.
PyTorch's attention for CPUs makes very small products, at which oneDNN is slow. Short sequences get theirs in two products.
A model that is nothing but the decoder is computed by `decoder`, forward and backward. Memory that is freed is kept for the next
step: glibc would give large tensors back to the system after each operation, and every page of the next one is then cleared first.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from lm_experiments import compiled, decoder
from lm_experiments.liger import LigerUse, applied

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

NAME = "two_products"
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of mallopt(3)."""


@contextmanager
def fast(
    model: "LlamaForCausalLM", liger: LigerUse = "no", compiled_at: compiled.Shapes | None = None
) -> Iterator[bool]:
    """A block in which a model on a CPU computes as fast as its processor allows in float32; yields whether its products changed.

    The model must be where it will compute: one that moves to an accelerator afterwards would keep the attention of a CPU. On CUDA it
    keeps transformers' (`sdpa`, which is flash attention in bf16), and gets the kernels of liger-kernel where `liger` says so. Batches
    of the shapes `compiled_at` are computed by compiled programs.
    """
    with fast_products() as changed:
        usual = model.config._attn_implementation
        if model.device.type == "cpu":
            keep_freed_memory()
            if changed:
                model.config._attn_implementation = NAME
        try:
            with decoder.by_hand(model), compiled.at(model, compiled_at), applied(model, liger, model.device.type):
                yield changed
        finally:
            model.config._attn_implementation = usual


@cache
def keep_freed_memory() -> None:
    """Let this process keep up to half a gigabyte that it has freed, where the C library is glibc; tensors over 32 MB still go back."""
    setting = getattr(ctypes.CDLL(None), "mallopt", None)
    if setting is not None:
        setting(_MMAP_THRESHOLD, 32 << 20)
        setting(_TRIM_THRESHOLD, 512 << 20)


@contextmanager
def fast_products() -> Iterator[bool]:
    """A block in which float32 products on a CPU go through oneDNN, if it keeps float32 precision here; yields whether it does."""
    onednn: Any = torch.backends.mkldnn
    if not onednn.is_available():
        yield False
        return
    matmul = onednn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    kept = keeps_float32()
    if not kept:
        matmul.fp32_precision = before
    try:
        yield kept
    finally:
        matmul.fp32_precision = before


def keeps_float32() -> bool:
    """Whether products of float32 matrices are computed with float32 precision: bfloat16 cannot tell 1 + 2^-12 from 1."""
    factor = torch.full((64, 64), 1 + 2.0**-12)
    wanted = float(factor[0].double() @ factor[0].double())
    several, none = factor[None], torch.zeros(1, 64, 64)
    products = (factor @ factor, factor @ factor.t(), factor.t() @ factor, torch.bmm(several, several))
    return all(
        float((product - wanted).abs().max()) < 64 * 2.0**-18
        for product in (*products, torch.baddbmm(none, several, several))
    )


def two_products(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float = 1.0,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention, `softmax(q k^T scaling + mask) v`, as transformers calls it.

    Args:
        module: the attention layer.
        query: (rows, heads, tokens, width).
        key: (rows, kv heads, tokens, width), `value` alike; the heads of a group are stacked along the tokens, not copied.
        attention_mask: none, unless somebody else than training calls; then PyTorch's attention is used.
        dropout: of the probabilities; the layer then has a `drop` (see `dropout.installed`), at any length.
        scaling: of the scores.
        rest: passed on.
    """
    rows, heads, tokens, width = query.shape
    if (tokens > decoder.LONGEST and not dropout) or attention_mask is not None or key.shape[2] != tokens:
        found: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **rest
        )
        return found
    groups = key.shape[1]
    stacked = query.reshape(rows * groups, -1, width)
    keys, values = (kept.reshape(rows * groups, tokens, width) for kept in (key, value))
    future = torch.full((tokens, tokens), -torch.inf, dtype=query.dtype, device=query.device).triu(1)
    scores = torch.baddbmm(future.repeat(heads // groups, 1)[None], stacked, keys.transpose(1, 2), alpha=scaling)
    shares = scores.softmax(-1)
    if dropout:
        shares = module.drop(shares.view(rows, -1), dropout).view(shares.shape)
    mixed = torch.bmm(shares, values).view(rows, heads, tokens, width)
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, two_products)
AttentionMaskInterface.register(NAME, sdpa_mask)
