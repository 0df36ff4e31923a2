"""Low-rank adapters (LoRA, through peft) for a stage: attached before it, merged into the weights after it.

    y = W x + (alpha / r) B A x        r = 64, alpha = 128 in arXiv 2605.12705, App. A.6

Adapted are "projection, MLP, and head" of the paper's Table 9, which here are the attention's output projection, the three matrices of
the MLP, and the head; queries, keys and values stay as they are. Where head and embedding are one matrix, its adapter is seen at both
ends, as full fine-tuning of such a matrix is: it then merges into one matrix again. The dropout of adapters acts on
what enters `A`, except in a tied matrix, where peft drops nothing.
"""

import warnings
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

NAME = "default"
"""What peft calls the only adapter."""
TARGETS = ("o_proj", "gate_proj", "up_proj", "down_proj")


class Adapters:
    """The adapters of a model, which they change in place."""

    def __init__(self, model: "LlamaForCausalLM", rank: int, scale: float, seed: int) -> None:
        """Attach them; the model computes what it did before, and only they have gradients.

        Args:
            model: a bare model.
            rank: r.
            scale: alpha / r.
            seed: of the initial `A`.
        """
        from peft import LoraConfig, LoraModel

        head = "embed_tokens" if model.config.tie_word_embeddings else "lm_head"
        chosen = LoraConfig(r=rank, lora_alpha=scale * rank, target_modules=[*TARGETS, head])  # type: ignore[arg-type]
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`")  # `head` gives both ends the same
            torch.default_generator.manual_seed(seed)
            self._tuner: Any = LoraModel(model, {NAME: chosen}, NAME)
        self._model = model

    def remove(self, *, merge: bool) -> None:
        """Leave a plain model again, all of it trainable, with the adapters merged into its weights or without what they learned."""
        if self._tuner is not None:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Model with `tie_word_embeddings=True`")  # one matrix, adapted once
                self._tuner.merge_and_unload() if merge else self._tuner.unload()
            self._tuner = None
            self._model.requires_grad_(True)


def head(model: "LlamaForCausalLM", hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is multiplied to logits, `hidden @ weight.T`: (tokens, width) and (vocabulary, width).

    An adapter makes both wider by its rank, so that the logits are those of `W + (alpha / r) B A` without that sum being made.
    """
    end: Any = model.lm_head
    start: Any = model.model.embed_tokens
    if hasattr(end, "lora_A"):
        low = end.lora_A[NAME](hidden)
        scale, high, weight = end.scaling[NAME], end.lora_B[NAME].weight, end.base_layer.weight
    elif hasattr(start, "lora_embedding_A") and end.weight is start.base_layer.weight:
        low = hidden @ start.lora_embedding_B[NAME].to(hidden.dtype)
        scale, high, weight = start.scaling[NAME], start.lora_embedding_A[NAME].t(), end.weight
    else:
        return hidden, end.weight
    return torch.cat([hidden, low.to(hidden.dtype) * scale], 1), torch.cat([weight, high], 1)
