"""Dropout at the four sites that the paper names: embed, attn, resid, mlp (arXiv 2605.12705, stage-2 settings).

The paper does not say where the sites are. Here, as in GPT-2 with one site more:

    embed   the token embeddings
    attn    the attention probabilities
    resid   what a block adds to the residual stream: the outputs of the attention and of the MLP
    mlp     the gated activations inside the MLP, before its output projection

A site with p = 0 is left untouched, so that a model without dropout is the same model, bit for bit.

Whether a unit is dropped is a hash of (seed, step, row of the batch, site, unit), not the next number of a generator: how a batch is
cut into micro-batches or spread over processes, and whether activations are computed twice, then changes no mask.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from common.settings import Settings, setting

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM


@dataclass(frozen=True, kw_only=True)
class Dropout(Settings):
    """Probability of dropping at each site."""

    embed: float = setting(0.0, low=0, high=0.99)
    attn: float = setting(0.0, low=0, high=0.99)
    resid: float = setting(0.0, low=0, high=0.99)
    mlp: float = setting(0.0, low=0, high=0.99)

    @property
    def active(self) -> bool:
        """Whether any site drops."""
        return any((self.embed, self.attn, self.resid, self.mlp))


def everywhere(p: float) -> Dropout:
    """The same probability at the four sites, as in the paper."""
    return Dropout(embed=p, attn=p, resid=p, mlp=p)


class Masks:
    """What is dropped from the rows that are being computed."""

    def __init__(self) -> None:
        """No rows yet: say with `at` which ones come."""
        self._keys: Any = None

    def at(self, seed: int, step: int, first: int, count: int, device: "torch.device") -> None:
        """The next tensors hold rows first .. first + count - 1 of the whole batch of a step."""
        import torch

        told = (f"{seed}/{step}/{row}".encode() for row in range(first, first + count))
        digests = b"".join(hashlib.blake2b(one, digest_size=8).digest() for one in told)
        self._keys = torch.frombuffer(bytearray(digests), dtype=torch.int32).view(count, 2).to(device)

    def drop(self, values: "torch.Tensor", p: float, site: int) -> "torch.Tensor":
        """Values of shape (rows, ...) with a share `p` of them set to 0 and the others scaled up by 1 / (1 - p)."""
        import torch

        rows = len(self._keys)
        first, second = (self._keys[:, i, None] for i in (0, 1))
        unit = torch.arange(values.numel() // rows, dtype=torch.int32, device=values.device)
        here = (_GOLDEN * site + 2**31) % 2**32 - 2**31
        bits = _mixed(_mixed(unit[None] ^ first) ^ (second + here))
        kept = (bits >= int(p * 2**32) - 2**31).view(values.shape)
        return torch.where(kept, values * (1 / (1 - p)), 0.0)


_GOLDEN = 0x1E3779B1
_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - (1 << 32)


def _mixed(bits: "torch.Tensor") -> "torch.Tensor":
    """A permutation of the 32-bit integers under which neighbours end far apart (multiply and xor-shift; shifts without sign)."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * _FIRST
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * _SECOND
    return bits ^ ((bits >> 16) & 0xFFFF)


@contextmanager
def installed(model: "LlamaForCausalLM", dropout: Dropout, adapter: float = 0.0) -> Iterator[Masks]:
    """A block in which the model, when in training mode, drops at the four sites; yields the masks, which must be told the rows.

    Args:
        model: attention probabilities are dropped by `kernels.two_products`, which a site attn > 0 makes it use.
        dropout: of the four sites.
        adapter: of what enters low-rank adapters, where the model has any.
    """
    from lm_experiments.kernels import NAME

    masks = Masks()
    handles: list[torch.utils.hooks.RemovableHandle] = []
    sites = iter(range(1 << 20))

    def on_output(module: "torch.nn.Module", p: float) -> None:
        drop = partial(masks.drop, p=p, site=next(sites))
        handles.append(module.register_forward_hook(lambda m, _, output: drop(output) if m.training else None))

    def on_input(module: "torch.nn.Module", p: float) -> None:
        drop = partial(masks.drop, p=p, site=next(sites))
        handles.append(module.register_forward_pre_hook(lambda m, inputs: (drop(inputs[0]),) if m.training else None))

    usual = model.config._attn_implementation
    if dropout.embed:
        on_output(model.model.embed_tokens, dropout.embed)
    for layer in model.model.layers:
        if dropout.attn:
            model.config._attn_implementation = NAME
            attention: Any = layer.self_attn
            attention.attention_dropout, attention.drop = dropout.attn, partial(masks.drop, site=next(sites))
        if dropout.resid:
            on_output(layer.self_attn.o_proj, dropout.resid)
            on_output(layer.mlp.down_proj, dropout.resid)
        if dropout.mlp:
            on_input(layer.mlp.down_proj, dropout.mlp)
    if adapter:
        for name, module in model.named_modules():
            if name.endswith("lora_A.default"):
                on_input(module, adapter)
    try:
        yield masks
    finally:
        model.config._attn_implementation = usual
        for handle in handles:
            handle.remove()
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.0
