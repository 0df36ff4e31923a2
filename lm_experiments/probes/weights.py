"""A model's weights as a vector: differences of models, points between them, and what a step changes until it is taken back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from lm_experiments.checkpoints import weights

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

Weights = Mapping[str, torch.Tensor]
"""Tensors by name, a tied matrix once."""


def copied(model: "LlamaForCausalLM") -> dict[str, torch.Tensor]:
    """Its weights, which later changes of the model leave alone."""
    return {name: tensor.detach().clone() for name, tensor in weights(model).items()}


@torch.no_grad()
def put(model: "LlamaForCausalLM", values: Weights) -> None:
    """Give a model these weights, in place."""
    for name, tensor in weights(model).items():
        tensor.copy_(values[name])


def between(one: Weights, other: Weights, share: float) -> dict[str, torch.Tensor]:
    """The point (1 - share) one + share other on the line through two models."""
    return {name: torch.lerp(tensor, other[name], share) for name, tensor in one.items()}


def plus(one: Weights, *, add: Weights, subtract: Weights) -> dict[str, torch.Tensor]:
    """one + (add - subtract): where both are the same, `one` to the bit."""
    return {name: tensor + (add[name] - subtract[name]) for name, tensor in one.items()}


@contextmanager
def restored(model: "LlamaForCausalLM") -> Iterator[dict[str, torch.Tensor]]:
    """A block that may change a model, which afterwards is what it was, to the bit; yields its weights at the beginning."""
    start = copied(model)
    try:
        yield start
    finally:
        put(model, start)
