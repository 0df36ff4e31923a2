"""Training on an accelerator, measured by one command: `python -m benchmarks.accelerator`.

    tokens/s    steps of the 135M and the 1B model at sequence 1,024 in bf16, compiled, the first steps left out
    MFU         tokens/s x (6 N + 12 L d T) / peak, N parameters, L layers of width d, T tokens a sequence
    loss        20 steps of the 135M model on few tokens, beside the same on the CPU in float32

The peak is that of dense bf16 products as the maker states it, of devices that are listed here; an unknown one is refused, because a
share of a guessed peak says nothing. No number of this page has been measured by us yet: we had no accelerator.
"""

import math
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.training import Noise
from common.console import Output
from common.settings import WrongUse

LENGTH = 1024
PEAKS = {
    r"\bH100 PCIe\b": 756e12,
    r"\bH100 NVL\b": 835e12,
    r"\bH100\b": 989e12,
    r"\bH200\b": 989e12,
    r"\bA100\b": 312e12,
    r"\bL40S\b": 362e12,
    r"\bL4\b": 121e12,
    r"\bA10\b": 125e12,
    r"\bB200\b": 2250e12,
}
"""Name -> dense bf16 operations per second, from the data sheets; the first that is found in a device's name counts."""
BATCHES: Mapping[str, int] = {"135m": 64, "1b": 16}
"""Windows per step."""
STEPS, WARM = 30, 10
COMPARED = 20
"""Steps whose loss is compared with the CPU's."""


def peak(name: str) -> float:
    """Operations per second of a device. Raises `WrongUse` where it is not listed."""
    for pattern, found in PEAKS.items():
        if re.search(pattern, name):
            return found
    raise WrongUse(
        f"The device {name!r} has no known peak, and a share of a guessed one says nothing. Add it to PEAKS in {Path(__file__).name} "
        "from its data sheet."
    )


def utilisation(tokens_per_second: float, scale: str, length: int, peak: float) -> float:
    """The share of a device's peak that training uses (MFU)."""
    from lm_experiments import models
    from lm_experiments.commands.plan import flops_per_token

    return tokens_per_second * flops_per_token(models.PRESETS[scale], length) / peak


def measured(
    most: float,
    batches: Mapping[str, int],
    *,
    length: int = LENGTH,
    steps: int = STEPS,
    warm: int = WARM,
    **settings: Any,
) -> list[tuple[str, str, str]]:
    """Rows of (scale, tokens per second without the first steps, MFU at a peak of `most`), wherever accelerate trains."""
    rows = []
    for scale, batch in batches.items():
        _, rates = losses(scale, batch, length, steps, **settings)
        kept = rates[warm:]
        rate = len(kept) / math.fsum(1 / each for each in kept)
        rows.append((scale, f"{rate:,.0f}", f"{utilisation(rate, scale, length, most):.1%}"))
    return rows


def losses(scale: str, batch: int, length: int, steps: int, **settings: Any) -> tuple[list[float], list[float]]:
    """Loss and tokens per second of every step, where accelerate puts it."""
    from lm_experiments import models
    from lm_experiments.training import StageSettings, train

    data = Noise(models.PRESETS[scale].vocabulary, batch=batch, length=length)
    chosen = StageSettings(
        lr=1e-3,
        min_lr=1e-4,
        warmup_steps=min(5, steps),
        max_steps=steps,
        batch=batch,
        length=length,
        log_every=1,
        **settings,
    )
    found: tuple[list[float], list[float]] = ([], [])
    with tempfile.TemporaryDirectory() as folder:

        def report(progress: Any) -> None:
            found[0].append(progress.loss)
            found[1].append(progress.tokens_per_second)

        train(models.build(models.PRESETS[scale], 0), data, chosen, {}, Path(folder), stop_on=None, report=report)
    return found


def difference(scale: str = "135m", batch: int = 2, length: int = 128, steps: int = COMPARED) -> float:
    """Largest difference between the losses of some steps on the accelerator in bf16 and on the CPU in float32, nats."""
    import os
    from unittest.mock import patch

    from accelerate.state import PartialState

    here, _ = losses(scale, batch, length, steps, precision="bf16")
    PartialState._reset_state()
    with patch.dict(os.environ, {"ACCELERATE_USE_CPU": "1"}):
        there, _ = losses(scale, batch, length, steps)
    PartialState._reset_state()
    return max(abs(a - b) for a, b in zip(here, there, strict=True))


def main() -> None:
    """Measure and print. Raises `WrongUse` without a known accelerator."""
    import torch

    if not torch.cuda.is_available():
        raise WrongUse("There is no accelerator here. `python -m benchmarks training` measures the CPU.")
    name, out = torch.cuda.get_device_name(), Output(as_json=False)
    rows = measured(peak(name), BATCHES, precision="bf16", compile="yes")
    out.table(f"{name}, sequence {LENGTH:,}, bf16", ("", "tokens/s", "MFU"), rows)
    out.show(f"Loss of {COMPARED} steps, bf16 here against float32 on the CPU: {difference():.4f} nats apart at most.")


if __name__ == "__main__":
    import sys

    try:
        main()
    except WrongUse as error:
        sys.exit(f"error: {error}")
