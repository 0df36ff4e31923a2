"""`python -m lm_experiments plan`: what a run would cost, before anything is fetched or trained."""

import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, cast

from common.console import Output
from common.settings import setting
from lm_experiments.commands.run import Run
from lm_experiments.models import ModelSettings, parameter_count

if TYPE_CHECKING:
    from lm_experiments.stages import Node

PEAKS = {
    "a100": {"bf16": 312e12, "fp32": 19.5e12},
    "h100": {"bf16": 989e12, "fp32": 67e12},
    "h200": {"bf16": 989e12, "fp32": 67e12},
    "l40s": {"bf16": 362e12, "fp32": 91.6e12},
    "rtx4090": {"bf16": 165e12, "fp32": 82.6e12},
}
"""Dense operations per second at a precision, as their maker states them; fp32 is IEEE float32, as products are made here, not TF32."""
LARGE = 50_000_000
"""Parameters from which on an accelerator is meant where none is named."""
FLOAT = 4
"""Bytes of a number: weights and moments are kept in float32."""


class _Unread:
    """A store that nobody has built: as large as is asked for."""

    fingerprint = "planned"

    def windows(self, length: int) -> int:
        """More than any stage reads."""
        return 1 << 27

    def window(self, index: int, length: int) -> Any:
        """Nobody reads it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Plan(Run):
    """Say what `run` with the same options would do: stages, what they share, tokens, operations, hours, disk.

    Nothing is fetched, built or trained. Corpora are taken to be as large as is asked for, and early stopping not to stop, so that
    the cost is an upper bound. Hours count training alone, at the stated share of the peak: of an accelerator's at each stage's
    precision, as its maker states it, of this machine's cores as a matrix product in single precision measures it now.
    Example: python -m lm_experiments plan fig3a --scale micro --accelerator a100
    """

    accelerator: Literal["cpu", "a100", "h100", "h200", "l40s", "rtx4090"] | None = None
    """What the hours are for: one of them, or cpu, --workers cores of this machine [default: h100 at 135m and 1b, cpu below]."""
    mfu: float = setting(0.4, low=0, high=1, open_low=True)
    """Share of its peak that training achieves."""

    def run(self, out: Output) -> Any:
        """Plan, print, return the numbers."""
        from lm_experiments import initial
        from lm_experiments.pipeline import Pipeline

        studies = self.studies()
        cells = [cell for study in studies for cell in study.cells()]
        begun = lru_cache(None)(initial.planned)
        nodes: dict[str, Node] = {}
        alone: dict[str, int] = {}
        rows: dict[str, dict[str, Any]] = {}
        totals = {
            "stages": 0,
            "unshared_stages": 0,
            "tokens": 0,
            "unshared_tokens": 0,
            "flops": 0.0,
            "bytes": 0,
            "hours": 0.0,
        }
        for cell in cells:
            for node in Pipeline(cell, cast(Any, lambda _: _Unread()), start=begun).nodes.values():
                nodes[node.hash] = node
                alone[node.hash] = alone.get(node.hash, 0) + 1
        largest = max(parameter_count(model) for node in nodes.values() if (model := node.lineage[0].model) is not None)
        accelerator = self.accelerator or ("h100" if largest >= LARGE else "cpu")
        cores = 0.0 if accelerator in PEAKS else core_flops() * self.processes
        for name, node in nodes.items():
            model = node.lineage[0].model
            assert model is not None
            tokens = 0 if node.settings.untrained else node.plan.steps * node.plan.batch * node.plan.length
            weights, flops = parameter_count(model), flops_per_token(model, node.plan.length) * tokens
            added = {
                "stages": 1, "unshared_stages": alone[name], "tokens": tokens, "unshared_tokens": tokens * alone[name],
                "flops": flops, "bytes": weights * FLOAT,
                "hours": flops / ((cores or PEAKS[accelerator][node.settings.precision]) * self.mfu) / 3600,
            }  # fmt: skip
            row = rows.setdefault(f"stage {('pre', 'post', 'ft').index(node.kind) + 1}", dict.fromkeys(totals, 0))
            for key, value in added.items():
                row[key] += value
                totals[key] += value
        peak = totals["bytes"] + self.processes * largest * FLOAT * (
            2 * 3 + 1
        )  # two checkpoints and the best weights of each
        saved = 1 - totals["tokens"] / totals["unshared_tokens"]
        shown = [
            [name, row["stages"], row["unshared_stages"], f"{row['tokens']:.4g}", f"{row['flops']:.3g}", f"{row['hours']:.3g}",
             f"{row['bytes'] / 1e9:.3g}"]
            for name, row in [*sorted(rows.items()), ("together", totals)]
        ]  # fmt: skip
        on = f"one {accelerator}" if accelerator in PEAKS else f"{self.processes} cores"
        heads = ["", "stages", "without sharing", "tokens", "FLOPs", f"hours on {on}", "GB of models"]
        named = " and ".join(f"{study.name} at {study.base.scale}" for study in studies)
        out.table(f"{named}: {len(cells)} pipelines", heads, shown)
        self.save(studies, out)
        out.show(
            f"Sharing saves {saved:.0%} of the tokens. Disk: up to {peak / 1e9:.3g} GB while it runs; `prune` frees most of it."
        )
        return {"pipelines": len(cells), "parameters": largest, "by_stage": rows, "together": totals, "saved": saved,
                "peak_bytes": peak, "accelerator": accelerator, "mfu": self.mfu}  # fmt: skip


def core_flops() -> float:
    """Single-precision operations per second of processor time: the best of five products of matrices in a process of one thread."""
    from lm_experiments.local import THREADS

    measure = (
        "import time, numpy; one = numpy.ones((768, 768), 'f'); t = time.process_time\n"
        "def once():\n began = t(); one @ one; return t() - began\n"
        "print(min(once() for _ in range(5)))"
    )
    said = subprocess.run([sys.executable, "-c", measure], env={**os.environ, **dict.fromkeys(THREADS, "1")}, capture_output=True,
                          check=True)  # fmt: skip
    return 2 * 768**3 / max(float(said.stdout), 1e-6)


def flops_per_token(model: ModelSettings, length: int) -> float:
    """Forward and backward: 6 N + 12 L d T (Chowdhery et al. 2022, App. B), with L layers of width d and T tokens of context."""
    return 6.0 * parameter_count(model) + 12.0 * model.layers * model.hidden * length
