"""Whether a stage is compiled: what was asked for, how long the stage is, and what is installed."""

import shutil
from typing import Literal

CompileUse = Literal["auto", "yes", "no"]
ENOUGH = 5e10
"""Operations of a stage, six a parameter and token, from which on it is compiled on a CPU unasked: one or two seconds of a core. That is
sooner than compiling takes, but a study has many stages of the same shape, and PyTorch keeps the program for the next study."""


def compiler() -> str:
    """The path of this machine's C++ compiler; empty without one."""
    return next((found for name in ("g++", "clang++", "c++") if (found := shutil.which(name))), "")


def wanted(use: CompileUse, operations: float) -> bool:
    """Whether a stage of so many operations is compiled on a CPU."""
    return use == "yes" or (use == "auto" and operations >= ENOUGH and bool(compiler()))
