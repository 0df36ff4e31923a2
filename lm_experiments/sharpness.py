"""Sharpness-aware minimisation (SAM): the gradient of a step is taken a distance rho uphill of the weights.

    g(theta) -> theta + rho g/|g| -> the gradient there moves theta        Foret et al. 2021, arXiv 2010.01412

The distance is that of all trained weights together. Both gradients are of the same windows under the same dropout, and every step
costs two.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def uphill(parameters: Sequence[torch.nn.Parameter], norm: torch.Tensor, rho: float) -> Iterator[None]:
    """A block in which the weights are moved by rho along their gradients, and after which they are what they were, bit for bit.

    Args:
        parameters: with their gradients.
        norm: of all the gradients together.
        rho: how far.
    """
    moved = [parameter for parameter in parameters if parameter.grad is not None]
    kept = [parameter.detach().clone() for parameter in moved]
    with torch.no_grad():
        for parameter in moved:
            assert parameter.grad is not None
            parameter.add_(parameter.grad * (rho / norm.clamp_min(1e-12)))
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, before in zip(moved, kept, strict=True):
                parameter.copy_(before)
