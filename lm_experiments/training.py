"""One stage of training, from a model and its batches to a folder: the whole loop, in one file.

    for step:   learning rate -> micro-batches forward and backward -> pulls -> clip -> AdamW
                every log_every steps a line of metrics.jsonl;  every eval_every the stopping loss;  now and then a checkpoint (`saving`)
    then        the best weights -> adapters merged -> every loss measured -> the finished model

What a step does depends on (weights, moments, step) and on the weights that the stage began with: the order of the data and the
learning rate are functions of the step, and dropout is a hash of it. A checkpoint is therefore weights, moments and a few numbers, and
going on from one gives, on a CPU, the bits of a run that was never interrupted, whenever it was killed. Settings of the paper: spec of
arXiv 2605.12705, App. B (AdamW with betas 0.9, 0.95, clipping at 1.0, bf16 mixed). One process, DDP and FSDP run the same lines through
accelerate.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lm_experiments import checkpoints, damage, outcomes, processes, pulls, resuming
from lm_experiments.adapters import Adapters
from lm_experiments.divergence import Diverged, ceiling, diverged
from lm_experiments.dropout import Masks, installed
from lm_experiments.evaluation import EvalSet, measure
from lm_experiments.feeding import Feed
from lm_experiments.kernels import fast
from lm_experiments.resuming import State
from lm_experiments.saving import Saver
from lm_experiments.schedules import learning_rate
from lm_experiments.sharpness import uphill
from lm_experiments.stage_settings import Batches, Outcome, Progress, StageSettings, refuse_misfits

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

__all__ = ["Batches", "Diverged", "Outcome", "Progress", "StageSettings", "train"]


def train(
    model: "LlamaForCausalLM",
    batches: Batches,
    settings: StageSettings,
    evaluation: Mapping[str, EvalSet],
    folder: Path,
    *,
    stop_on: str | None,
    report: Callable[[Progress], None],
    prior: EvalSet | None = None,
) -> Outcome:
    """Train one stage in `folder`, or go on with it, and leave the finished model there and in `model`.

    Args:
        model: what the stage starts from; changed in place. An interrupted stage must be given the same one again.
        batches: the data.
        settings: the stage.
        evaluation: sets measured at the end, on the weights that the stage ends with.
        folder: of this stage alone.
        stop_on: the set whose loss is watched every `eval_every` steps: the best weights are restored, and `patience` may stop.
        report: called about every `log_every` steps.
        prior: what elastic weight consolidation measures the Fisher information on.

    Raises:
        Diverged: not finite, or exploded.
        interruption.Stopped: training was asked to end, and left a checkpoint.
        WrongUse: settings and data do not fit, or the folder holds what training cannot have written.
        OSError: the disk is full; the last checkpoint is intact.
    """
    refuse_misfits(model, batches, settings, evaluation, stop_on, prior)
    folder.mkdir(parents=True, exist_ok=True)
    start = {name: tensor.detach().to("cpu", copy=True) for name, tensor in checkpoints.weights(model).items()}
    with torch.random.fork_rng(devices=[]):
        if settings.rank and (folder / "outcome.json").exists():  # the finished weights are merged
            with (
                contextlib.closing(processes.DistributedModel(model, settings, folder)) as whole,
                fast(model, settings.liger),
            ):
                if (outcome := resuming.finished(folder, whole, settings, evaluation, start)) is not None:
                    return outcome
        adapters = Adapters(model, settings.rank, settings.rank_scale, settings.seed) if settings.rank else None
        try:
            with (
                installed(model, settings.dropout, settings.rank_dropout) as masks,
                contextlib.closing(processes.DistributedModel(model, settings, folder)) as distributed,
                fast(model, settings.liger, distributed.compiled_at),  # now that it is on its device
            ):
                if not settings.rank:
                    outcome = resuming.finished(folder, distributed, settings, evaluation, start)
                    if outcome is not None:
                        return outcome
                pull = pulls.made(distributed, settings, prior)
                state = resuming.resume(folder, distributed, settings)
                stage = _Stage(
                    distributed, state, batches, settings, evaluation, folder, stop_on, report,
                    masks=masks, start=start, adapters=adapters, pull=pull,
                )  # fmt: skip
                return stage.run()
        finally:
            if adapters is not None:
                adapters.remove(merge=False)


class _Stage:
    """The running stage: model and optimiser as accelerate prepared them, and the state."""

    def __init__(
        self,
        distributed: processes.DistributedModel,
        state: State,
        batches: Batches,
        settings: StageSettings,
        evaluation: Mapping[str, EvalSet],
        folder: Path,
        stop_on: str | None,
        report: Callable[[Progress], None],
        *,
        masks: Masks,
        start: Mapping[str, torch.Tensor],
        adapters: Adapters | None,
        pull: pulls.Pull | None,
    ) -> None:
        self.masks, self.start, self.adapters, self.pull = masks, start, adapters, pull
        self.distributed, self.state, self.settings = distributed, state, settings
        self.evaluation, self.folder, self.stop_on, self.report = evaluation, folder, stop_on, report
        self.feed, self.saver = Feed(batches, settings, distributed), Saver(distributed, state, settings, folder)
        self.pending: list[tuple[torch.Tensor, torch.Tensor]] = []  # not yet looked at, so that a GPU need not wait

    def run(self) -> Outcome:
        """The loop."""
        settings, state = self.settings, self.state
        self.began = self.told = time.perf_counter()
        stopped = False
        if settings.untrained:
            (self.folder / "metrics.jsonl").touch()
            if settings.damage.active:
                self.distributed.refuse_sharded("damage", settings.damage.noise or settings.damage.bits)
                damage.apply(self.distributed.model, settings.damage, settings.seed)
            return self._finish(stopped)
        with (self.folder / "metrics.jsonl").open("ab") as self.metrics, self.feed, self.saver:
            while state.step < settings.max_steps and not stopped:
                rate = self._step(state.step)
                state.step += 1
                last = state.step == settings.max_steps
                watch = self.stop_on is not None and (last or state.step % settings.eval_every == 0)
                if watch or last or state.step % settings.log_every == 0:
                    losses = self._watch() if watch else {}
                    stopped = bool(settings.patience) and state.evals_since_best >= settings.patience
                    self._log(rate, losses)
                if not (last or stopped) and self.saver.due():
                    self._settle()
                    self._pause()
                    self.saver.checkpoint()
            return self._finish(stopped)

    def _step(self, step: int) -> float:
        """One optimiser step; returns its learning rate."""
        settings, distributed = self.settings, self.distributed
        rate = learning_rate(
            step,
            peak=settings.lr,
            minimum=settings.min_lr,
            warmup_steps=settings.warmup_steps,
            max_steps=settings.max_steps,
        )
        for group in distributed.optimizer.param_groups:
            group["lr"] = rate
        windows = self.feed.windows(step)
        total = self._gradients(step, windows)
        if settings.sam:
            with uphill(list(distributed.module.parameters()), distributed.clip(math.inf), settings.sam):
                distributed.optimizer.zero_grad()
                self._gradients(step, windows)
        if self.pull is not None:
            self.pull.add()
        norm = distributed.clip(settings.clip or math.inf)
        distributed.optimizer.step()
        distributed.optimizer.zero_grad()
        self.pending.append((total, norm))
        return rate

    def _gradients(self, step: int, windows: torch.Tensor) -> torch.Tensor:
        """Add the gradients of a step's mean loss; returns that loss, of this process's windows."""
        settings, distributed = self.settings, self.distributed
        pieces = distributed.cut(windows)
        rows = sum(map(len, pieces))
        row = distributed.rank * rows
        total = torch.zeros((), device=distributed.device)
        for i, piece in enumerate(pieces):
            self.masks.at(settings.seed, step, row, len(piece), distributed.device)
            row += len(piece)
            weight = len(piece) / rows
            with distributed.accumulating(i + 1 < len(pieces)):
                loss = distributed.module(piece) * weight if weight < 1 else distributed.module(piece)
                loss.backward()
            total += loss.detach()
        return total

    def _settle(self) -> None:
        """Bring the losses of the last steps to the host and judge them. Raises `Diverged`."""
        state, settings = self.state, self.settings
        if self.pending:
            found = self.distributed.mean(
                torch.stack([torch.stack([loss, norm.float()]) for loss, norm in self.pending])
            )
            first = state.step - len(self.pending)
            self.pending.clear()
            for i, (loss, norm) in enumerate(found.tolist()):
                if first + i == 0:
                    state.ceiling = ceiling(loss, self.distributed.model.config.vocab_size, settings)
                if not (math.isfinite(loss) and math.isfinite(norm) and loss <= state.ceiling):
                    raise self._diverged(first + i, loss, norm)
                state.pending.append([loss, norm])

    def _diverged(self, step: int, loss: float, norm: float) -> Diverged:
        with contextlib.suppress(OSError):
            self.saver.wait()
        return diverged(step, loss, norm, self.state.ceiling, self.settings, self.folder)

    def _watch(self) -> dict[str, float]:
        """Measure the stopping loss, and keep the weights where it is the best so far. Raises `Diverged`."""
        state, watched = self.state, str(self.stop_on)
        self._settle()
        found = measure(
            self.distributed.module,
            {watched: self.evaluation[watched]},
            self.settings.eval_batch,
            self.distributed.accelerator,
        )
        if not math.isfinite(found[watched]):
            raise self._diverged(state.step - 1, found[watched], math.nan)
        if not self.settings.keep_best:
            return found
        if state.best_loss is None or found[watched] < state.best_loss:
            state.best_loss, state.best_step, state.evals_since_best = found[watched], state.step, 0
            self.saver.best()
        else:
            state.evals_since_best += 1
        return found

    def _log(self, rate: float, losses: Mapping[str, float]) -> None:
        """One line of metrics, one report."""
        self._settle()
        state, settings = self.state, self.settings
        steps, tokens = len(state.pending), settings.batch * settings.length
        loss, norm = (math.fsum(column) / steps for column in zip(*state.pending, strict=True))
        state.pending.clear()
        line = {"step": state.step, "tokens": state.step * tokens, "loss": loss, "lr": rate, "grad_norm": norm}
        line |= {f"eval/{name}": value for name, value in losses.items()}
        text = (json.dumps(line) + "\n").encode()
        if self.distributed.main:
            self.metrics.write(text)
            self.metrics.flush()
        state.metrics += len(text)
        now = time.perf_counter()
        speed = steps * tokens / (now - self.told)
        self.told = now
        self.distributed.track({**line, "tokens_per_second": speed}, state.step)
        eta = (settings.max_steps - state.step) * tokens / speed
        self.report(
            Progress(
                step=state.step,
                steps=settings.max_steps,
                loss=loss,
                tokens_per_second=speed,
                eta_seconds=eta,
                evaluation=dict(losses),
            )
        )

    def _pause(self) -> None:
        """Add the time until now to that of the stage."""
        now = time.perf_counter()
        self.state.seconds += now - self.began
        self.began = now

    def _finish(self, stopped: bool) -> Outcome:
        """Restore the best weights, measure them, and leave the finished model."""
        state, settings, distributed = self.state, self.settings, self.distributed
        distributed.alone(self.saver.wait)
        best = state.best_step or state.step
        if best != state.step:
            try:
                distributed.restore(checkpoints.read_best(self.folder, best, distributed.weights_like()))
            except checkpoints.Damaged as error:
                raise checkpoints.refuse(self.folder / f"best-{best}", str(error)) from error
        if self.adapters is not None:
            self.adapters.remove(merge=True)
        losses = measure(distributed.module, self.evaluation, settings.eval_batch, distributed.accelerator)
        if not all(map(math.isfinite, losses.values())):
            raise self._diverged(state.step - 1, math.nan, math.nan)
        self._pause()
        held = distributed.weights()
        outcome = Outcome(
            steps=state.step,
            tokens=state.step * settings.batch * settings.length,
            best_step=best,
            stopped_early=stopped,
            losses=losses,
            seconds=state.seconds,
            displacement=distributed.first(_distance(held, self.start) if distributed.main else 0.0),
        )

        def leave() -> None:
            checkpoints.save_model(self.folder, self.distributed.model, held)
            outcomes.write_outcome(self.folder, outcome)
            checkpoints.clear(self.folder)

        distributed.alone(leave)
        return outcome


def _distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Of two sets of weights, as one vector each."""
    squares = ((one[name].detach().cpu() - tensor).double().square().sum().item() for name, tensor in other.items())
    return math.sqrt(math.fsum(squares))
