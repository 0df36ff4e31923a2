"""A model, a store and a stage that train in a fraction of a second."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lm_experiments import models
from lm_experiments.evaluation import EvalSet
from lm_experiments.training import Outcome, StageSettings, train

SHAPE = models.ModelSettings(
    hidden=16, layers=2, heads=2, kv_heads=1, mlp=24, vocabulary=64, context=16, init_std=0.2, tied=True
)
LENGTH = 16


class Text:
    """A store of a random walk over the vocabulary: the next token is one of few, so that there is something to learn."""

    def __init__(self, seed: int, size: int = 20_000) -> None:
        steps = np.random.default_rng(seed).choice([1, 2, 5], size)
        self.tokens = np.cumsum(steps) % SHAPE.vocabulary

    def windows(self, length: int) -> int:
        return (len(self.tokens) - 1) // length

    def window(self, index: int, length: int) -> Any:
        return self.tokens[index * length : (index + 1) * length + 1].astype(np.int64)


@dataclass
class Plain:
    """Windows one after the other."""

    rows: int = 4
    steps: int = 1_000
    text: Text = field(default_factory=lambda: Text(0))

    def batch(self, step: int) -> Any:
        total = self.text.windows(LENGTH)
        return np.stack([self.text.window((step * self.rows + i) % total, LENGTH) for i in range(self.rows)])


def settings(**changes: Any) -> StageSettings:
    """A short stage."""
    usual: dict[str, Any] = {
        "lr": 1e-2, "min_lr": 1e-3, "warmup_steps": 3, "max_steps": 24, "batch": 4, "length": LENGTH, "log_every": 5,
        "checkpoint_steps": 4,
    }  # fmt: skip
    return StageSettings(**{**usual, **changes})


def heldout() -> dict[str, EvalSet]:
    """Two small evaluation sets."""
    return {name: EvalSet(store=Text(seed), windows=7, length=LENGTH) for name, seed in (("stop", 1), ("report", 2))}


def run(folder: Path, batches: Any = None, *, model: Any = None, stop_on: str | None = None, **changes: Any) -> Outcome:
    """Train the tiny model."""
    return train(
        models.build(SHAPE, 0) if model is None else model,
        batches or Plain(),
        settings(**changes),
        heldout(),
        folder,
        stop_on=stop_on,
        report=lambda _: None,
    )


def lines(folder: Path) -> list[dict[str, Any]]:
    """The log of a stage."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def windows(rows: int = 3, seed: int = 0) -> Any:
    """Random sequences, one token longer than the model reads."""
    import torch

    return torch.randint(0, SHAPE.vocabulary, (rows, LENGTH + 1), generator=torch.Generator().manual_seed(seed))
