"""The windows of a step on their way to the device: every process reads its own rows, an accelerator those of the next step beforehand.

step         n                n + 1
a thread     reads n + 1      reads n + 2         from the stores into pinned memory
the device   trains on n      trains on n + 1     copied without waiting
"""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch

from common.arrays import Int
from common.settings import WrongUse
from lm_experiments.stage_settings import Batches, StageSettings

if TYPE_CHECKING:
    from lm_experiments.processes import DistributedModel


class Feed:
    """What one process reads; a context, at whose end nothing is read any more."""

    def __init__(
        self, batches: Batches, settings: StageSettings, distributed: "DistributedModel", *, ahead: bool | None = None
    ) -> None:
        """Args: batches: the data; settings: of the stage; distributed: this process; ahead: whether the next step is read beforehand."""
        self._batches, self._settings = batches, settings
        self._count, self._rank, self._device = distributed.count, distributed.rank, distributed.device
        ahead = self._device.type != "cpu" if ahead is None else ahead
        self._thread = ThreadPoolExecutor(1) if ahead else None
        self._next: tuple[int, Future[torch.Tensor]] | None = None

    def __enter__(self) -> "Feed":
        """Itself."""
        return self

    def __exit__(self, *_: Any) -> None:
        """Wait for what is being read, and forget it."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def windows(self, step: int) -> Int[torch.Tensor, "rows positions"]:
        """This process's windows of a step, on its device. Raises `WrongUse` where they are not as the settings say."""
        if self._thread is None:
            return self._read(step).to(self._device)
        found = self._next[1].result() if self._next and self._next[0] == step else self._read(step)
        if step + 1 < self._settings.max_steps:
            self._next = step + 1, self._thread.submit(self._read, step + 1)
        return found.to(self._device, non_blocking=True)

    def _read(self, step: int) -> torch.Tensor:
        batch = self._settings.batch
        own = batch // self._count
        rows = getattr(self._batches, "rows", None)
        if callable(rows) and self._count > 1:
            found = torch.from_numpy(rows(step, self._rank * own, own))
            held = len(found) * self._count
        else:
            found = torch.from_numpy(self._batches.batch(step))
            held = len(found)
            found = found[self._rank * own : (self._rank + 1) * own]
        if (held, found.shape[1]) != (batch, self._settings.length + 1):
            raise WrongUse(
                f"batch = {batch} and length = {self._settings.length} do not describe the data, whose step {step} has {held} windows of "
                f"{found.shape[1] - 1} tokens. Take them from the data plan."
            )
        return found.pin_memory() if self._device.type == "cuda" else found
