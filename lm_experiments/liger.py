"""Fused RMSNorm, rotary positions and SwiGLU of the package liger-kernel, where it is installed and the model computes on CUDA.

Its kernels are written in Triton and run on no CPU. It changes a model and transformers' module of Llama in place; both are left as
they were when the block ends, so that other models of this process, on a CPU perhaps, are not touched. The head stays ours.
"""

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from common.settings import WrongUse

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

LigerUse = Literal["auto", "yes", "no"]
_OF_MODULE = ("apply_rotary_pos_emb", "LlamaRMSNorm", "LlamaMLP")
_OF_INSTANCE = ("forward", "extra_repr", "_get_name")


def installed() -> bool:
    """Whether the package is there."""
    return importlib.util.find_spec("liger_kernel") is not None


def refuse_absent_liger(use: LigerUse) -> None:
    """Raise `WrongUse` where it is asked for and not installed."""
    if use == "yes" and not installed():
        raise WrongUse(
            "liger = yes needs the package liger-kernel, which is not installed. Run `pip install liger-kernel` on a machine with CUDA, or "
            "give liger = auto, which does without."
        )


@contextmanager
def applied(model: "LlamaForCausalLM", use: LigerUse, device: str) -> Iterator[bool]:
    """A block in which the model uses the fused kernels, if it can; yields whether it does.

    Args:
        model: where it will compute.
        use: auto: where they are there and the device is CUDA; yes: or else refuse; no.
        device: type of the model's device.

    Raises:
        WrongUse: asked for and not possible.
    """
    refuse_absent_liger(use)
    if use == "yes" and device != "cuda":
        raise WrongUse(
            f"liger = yes needs CUDA, and the model is on {device}. Give liger = auto, which does without there."
        )
    if use == "no" or device != "cuda" or not installed():
        yield False
        return
    from liger_kernel.transformers import apply_liger_kernel_to_llama
    from transformers.models.llama import modeling_llama

    module: Any = modeling_llama
    usual = {name: getattr(module, name) for name in _OF_MODULE}
    apply_liger_kernel_to_llama(
        rope=True, rms_norm=True, swiglu=True, cross_entropy=False, fused_linear_cross_entropy=False, model=model
    )
    try:
        yield True
    finally:
        for name, value in usual.items():
            setattr(module, name, value)
        for part in model.modules():
            for name in _OF_INSTANCE:
                vars(part).pop(name, None)
