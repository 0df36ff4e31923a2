"""What a running stage keeps, written while it goes on: checkpoints, now and then, and the best weights.

    training    step  step | copy | step  step  step  step | copy | step ...     stands still for the copy into host memory
    a thread                      | write  checksum  rename|      | write ...     writes the copy and publishes it

One write at a time: the next checkpoint, or the end of the stage, waits for it. What is written is the copy, so a stage that goes on from
it has the bits of one that was never interrupted; a kill in the middle leaves the checkpoint before. An error in the thread, a full disk
say, is raised in training as soon as it is seen. Only the first process writes, and no thread meets the other processes.
"""

import contextlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_experiments import checkpoints, interruption, resuming
from lm_experiments.safe_files import Tensors

if TYPE_CHECKING:
    from lm_experiments.processes import DistributedModel
    from lm_experiments.stage_settings import StageSettings

LARGEST_SHARE = 0.02
"""Of the time, that checkpoints may take from training: after one that took 3 s the next is due in 150 s at the earliest."""


class Saver:
    """When a checkpoint is due, and its writing; a context, at whose end all is written."""

    def __init__(
        self, distributed: "DistributedModel", state: resuming.State, settings: "StageSettings", folder: Path
    ) -> None:
        """Args: distributed, state: what is kept; settings: of the stage; folder: of the stage."""
        self._distributed, self._state, self._settings, self._folder = distributed, state, settings, folder
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._job: Future[float] | None = None
        self._saved = time.perf_counter()
        self._stood, self._worked = (
            0.0,
            0.0,
        )  # seconds that the last checkpoint took from training: at once, and behind it
        self._asked = False

    def __enter__(self) -> "Saver":
        """Itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Wait for what is being written. Raises `OSError` where that fails, unless something else has failed already."""
        with self._thread, contextlib.suppress(*([] if kind is None else [OSError])):
            self.wait()

    def due(self) -> bool:
        """Whether a checkpoint is to be written after this step. Raises `OSError` where the last write failed."""
        settings, step = self._settings, self._state.step
        if self._job is not None and self._job.done():
            self.wait()
        if self._distributed.count == 1 or step % settings.log_every == 0:  # asking the others costs time
            self._asked = self._distributed.agreed(interruption.requested())
        if self._asked:
            return True
        if settings.checkpoint_steps:
            return step % settings.checkpoint_steps == 0
        if self._distributed.count > 1 and step % settings.log_every:
            return False
        wanted = max(settings.checkpoint_seconds, (self._stood + self._worked) / LARGEST_SHARE)
        return self._distributed.agreed(time.perf_counter() - self._saved >= wanted)

    def checkpoint(self) -> None:
        """Copy weights, moments and state, and have them written.

        Raises:
            OSError: the write before failed.
            interruption.Stopped: training was asked to end; this one is written.
        """
        began = time.perf_counter()
        self.wait()
        told = asdict(self._state)
        held = {"model": self._distributed.copied_weights(), "optimizer": self._distributed.copied_moments()}
        self._start(lambda: self._write(told, held))
        self._saved = time.perf_counter()
        self._stood = self._saved - began
        if self._asked:
            self.wait()
            self._distributed.accelerator.wait_for_everyone()  # none leaves before it is written
            raise interruption.Stopped(f"stopped as asked, after step {self._state.step} of {self._settings.max_steps}")

    def best(self) -> None:
        """Copy the weights, and have them written as the best so far. Raises `OSError` where the write before failed."""
        self.wait()
        step, held = self._state.step, self._distributed.copied_weights()
        self._start(lambda: checkpoints.save_best(self._folder, step, held))

    def wait(self) -> None:
        """Until nothing is being written. Raises `OSError` where the last write failed."""
        job, self._job = self._job, None
        if job is not None:
            self._worked = job.result()

    def _start(self, work: Callable[[], None]) -> None:
        if self._distributed.main:
            self._job = self._thread.submit(self._timed, work)

    def _timed(self, work: Callable[[], None]) -> float:
        """Do it; the processor time that it takes from a model that is trained on the same processor."""
        began = time.thread_time()
        work()
        return time.thread_time() - began if self._distributed.device.type == "cpu" else 0.0

    def _write(self, told: dict[str, Any], held: Mapping[str, Tensors]) -> None:
        told["metrics_sha256"] = resuming.log_sha256(self._folder, told["metrics"])
        checkpoints.save(self._folder, told["step"], held, told)
