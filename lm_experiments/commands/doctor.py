"""`python -m lm_experiments doctor`: what this machine has, and what each missing thing prevents."""

import importlib.util
import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from common.console import Command, Json, Output
from lm_experiments.compilers import compiler

SCARCE = 5e9
"""Bytes of free disk below which even a small study of 135M models does not fit."""


class Found(NamedTuple):
    """One thing that was looked for."""

    what: str
    there: bool
    about: str
    prevents: str
    """What does not work without it; empty where it is there."""


@dataclass(frozen=True, kw_only=True)
class Doctor(Command):
    """Look at this machine: accelerator, bf16, compiler, disk, hub, tokenizer, Slurm, and say what each missing thing prevents.

    Example: python -m lm_experiments doctor
    """

    runs: Path = Path("out/lm/runs")
    """Folder for the trained stages: its disk is looked at."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Look, print, return."""
        found = [*_torch(), _compiler(), _disk(self.runs), _cache(), _hub(), *_packages(), _slurm()]
        rows = [[one.what, "yes" if one.there else "no", one.about, one.prevents or "-"] for one in found]
        out.table("This machine", ("what", "there", "about", "without it"), rows)
        return [one._asdict() for one in found]


def _found(what: str, there: bool, about: str, prevents: str) -> Found:
    return Found(what, there, about, "" if there else prevents)


def _torch() -> list[Found]:
    if importlib.util.find_spec("torch") is None:
        return [_found("torch", False, "not installed", "nothing can be trained: pip install 'early-exposure[lm]'")]
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    names = ", ".join(torch.cuda.get_device_name(i) for i in range(gpus)) or f"none; {os.cpu_count()} cores"
    bf16 = bool(gpus) and torch.cuda.is_bf16_supported()
    return [
        _found("torch", True, torch.__version__, ""),
        _found("accelerator", bool(gpus), names, "the scales 135m and 1b take weeks to years; nano to mini work"),
        _found(
            "bf16",
            bf16,
            "on the accelerator" if bf16 else "no accelerator that has it",
            "--precision bf16 gains no speed",
        ),
    ]


def _compiler() -> Found:
    path = compiler()
    return _found(
        "C++ compiler", bool(path), path, "--compile: torch cannot compile models, and small ones train slower"
    )


def _disk(runs: Path) -> Found:
    there = next(folder for folder in (runs.absolute(), *runs.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    return _found(
        "disk",
        free >= SCARCE,
        f"{free / 1e9:.1f} GB free at {there}",
        "studies of 135m and 1b; `plan` says what one needs",
    )


def _cache() -> Found:
    from common.settings import WrongUse
    from lm_experiments import paths

    try:
        return _found("tokenizer and store cache", True, str(paths.cache()), "")
    except WrongUse as error:
        return _found(
            "tokenizer and store cache", False, str(error), "no tokenizer can be trained and no corpus packed"
        )


def _hub() -> Found:
    prevents = "c4 and other hub corpora, hub tokenizers and models; embedded corpora that are not cached yet"
    if os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return _found("Hugging Face hub", False, "HF_HUB_OFFLINE is set", prevents)
    address = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    try:
        with socket.create_connection((address.hostname or "", address.port or 443), timeout=2):
            return _found("Hugging Face hub", True, address.geturl(), "")
    except OSError as error:
        return _found("Hugging Face hub", False, f"{address.geturl()}: {error}", prevents)


def _packages() -> list[Found]:
    uses = {"tokenizers": "no tokenizer: nothing can be packed", "peft": "recipe.rank: low-rank stages", "submitit": "--executor slurm",
            "tensorboard": "trackers tensorboard", "liger_kernel": "fused RMSNorm, rotary positions and SwiGLU on CUDA"}  # fmt: skip
    return [
        _found(
            name, there, "installed" if there else "not installed", f"{prevents}: pip install {name.replace('_', '-')}"
        )
        for name, prevents in uses.items()
        for there in [importlib.util.find_spec(name) is not None]
    ]


def _slurm() -> Found:
    prevents = "--executor slurm; --executor local works"
    if shutil.which("sbatch") is None:
        return _found("Slurm", False, "sbatch is not on the PATH", prevents)
    try:
        told = subprocess.run(["sinfo", "-h", "-o", "%P %D"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _found("Slurm", False, f"sinfo: {error}", prevents)
    return _found("Slurm", told.returncode == 0, " ".join((told.stdout or told.stderr).split())[:120], prevents)
