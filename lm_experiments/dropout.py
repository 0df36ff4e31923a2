"""Dropout at the four sites that the paper names: embed, attn, resid, mlp (arXiv 2605.12705, stage-2 settings).

The paper does not say where the sites are. Here, as in GPT-2 with one site more:

    embed   the token embeddings
    attn    the attention probabilities
    resid   what a block adds to the residual stream: the outputs of the attention and of the MLP
    mlp     the gated activations inside the MLP, before its output projection

A site with p = 0 is left untouched, so that a model without dropout is the same model, bit for bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@contextmanager
def installed(model: "LlamaForCausalLM", dropout: Dropout) -> Iterator[None]:
    """A block in which the model, when in training mode, drops at the four sites."""
    from torch.nn.functional import dropout as drop

    def on_output(p: float) -> Any:
        return lambda module, _, output: drop(output, p, module.training)

    def on_input(p: float) -> Any:
        return lambda module, inputs: (drop(inputs[0], p, module.training),)

    handles: list[torch.utils.hooks.RemovableHandle] = []
    if dropout.embed:
        handles.append(model.model.embed_tokens.register_forward_hook(on_output(dropout.embed)))
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = dropout.attn
        if dropout.resid:
            for module in (layer.self_attn.o_proj, layer.mlp.down_proj):
                handles.append(module.register_forward_hook(on_output(dropout.resid)))
        if dropout.mlp:
            handles.append(layer.mlp.down_proj.register_forward_pre_hook(on_input(dropout.mlp)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.0
