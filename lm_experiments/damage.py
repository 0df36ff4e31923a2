"""Damage in the place of fine-tuning: what of a capability survives a change of the weights that no data has chosen.

    noise      theta + sigma s epsilon, epsilon standard normal       s = the matrix's own root mean square (relative), or 1 (absolute)
    rounding   every row of a matrix to the nearest of 2^bits - 1 levels, symmetric about 0, the largest entry at the end

Both act on matrices, the embeddings among them; the gains of the norms stay. arXiv 2605.02105 perturbs with sigma from .009 to .1 and
rounds to few bits. Whether its sigma is relative we could not establish, so that is a setting; relative is the default, because it means
the same at every width.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from common.settings import Settings, WrongUse, check_choice, setting

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM


@dataclass(frozen=True, kw_only=True)
class Damage(Settings):
    """What is done to the weights, noise first."""

    noise: float = setting(0.0, low=0)
    """sigma; 0 adds none."""
    scale: Literal["relative", "absolute"] = "relative"
    """Whether sigma is a fraction of each matrix's root mean square."""
    bits: int = setting(0, low=0, high=16)
    """Of rounding; 0 does not round."""

    def __post_init__(self) -> None:
        """Check ranges. Raises `WrongUse`."""
        super().__post_init__()
        check_choice("scale", self.scale, ("relative", "absolute"))
        if self.bits == 1:
            raise WrongUse("bits = 1 leaves rounding no level but 0. Choose at least 2, or 0 for none.")

    @property
    def active(self) -> bool:
        """Whether anything is done."""
        return bool(self.noise or self.bits)


def apply(model: "LlamaForCausalLM", damage: Damage, seed: int) -> None:
    """Damage a model in place.

    Args:
        model: a bare model; its noise is drawn on the CPU, so that it does not depend on the device.
        damage: what to do.
        seed: of the noise; every matrix has its own, by its name.
    """
    import torch

    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            continue
        weight = parameter.detach()
        if damage.noise:
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
            noise = torch.randn(weight.shape, generator=generator).to(weight)
            unit = weight.square().mean().sqrt() if damage.scale == "relative" else 1.0
            weight.add_(damage.noise * unit * noise)
        if damage.bits:
            step = weight.abs().amax(1, keepdim=True) / (2 ** (damage.bits - 1) - 1)
            weight.copy_((weight / step.clamp_min(torch.finfo(weight.dtype).tiny)).round() * step)
