"""Tokens per second of the training loop beside others, at the shapes of the studies: same model, batch, data, optimiser and precision.

    ours                 lm_experiments.training.train, with its log, its schedule and the finished model written
    ours, compiled       the same as long stages are trained where there is a C++ compiler, the time for compiling left out
    Trainer              transformers.Trainer
    plain loop           transformers' Llama, full logits, fused AdamW, clipping, nothing else (in the manner of nanoGPT)
    LitGPT               its GPT with this shape in the same plain loop, where the package is installed

All take turns in one run, each in a process of its own, ours with the environment of a worker: it keeps the memory that it frees, in large
pages, which would help the others. A study has two cells at a time, so every loop is also run as two one-thread processes at once, whose
rates add up. The peak is that of a large float32 product; oneDNN's is what the processor can do, MKL's what PyTorch uses by default.
"""

import contextlib
import io
import math
import multiprocessing
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lm_experiments.local import Place, environment, variables

BATCH, LENGTH, ROUNDS = 8, 128, 3
STEPS = {"nano": 40, "micro": 8}
LR = 1e-3


class Noise:
    """Random windows, made beforehand, so that no loop pays for data."""

    steps = 10_000

    def __init__(self, vocabulary: int, batch: int = BATCH, length: int = LENGTH) -> None:
        self.windows = np.random.default_rng(0).integers(0, vocabulary, (64, batch, length + 1))

    def batch(self, step: int) -> Any:
        return self.windows[step % len(self.windows)]


def ours(shape: str, data: Noise, compiled: bool = False) -> Callable[[int], None]:
    """The loop of this project."""
    from lm_experiments import models
    from lm_experiments.training import StageSettings, train

    model = models.build(models.PRESETS[shape], 0)

    def run(steps: int) -> None:
        settings = StageSettings(
            lr=LR, min_lr=LR / 10, max_steps=steps, batch=BATCH, length=LENGTH, compile="yes" if compiled else "no"
        )
        with tempfile.TemporaryDirectory() as folder:
            train(model, data, settings, {}, Path(folder), stop_on=None, report=lambda _: None)

    return run


def trainer(shape: str, data: Noise) -> Callable[[int], None]:
    """transformers.Trainer."""
    import torch
    from transformers import Trainer, TrainingArguments

    from lm_experiments import models

    model = models.build(models.PRESETS[shape], 0)
    rows = [
        {"input_ids": torch.from_numpy(row[:-1]), "labels": torch.from_numpy(row[:-1])}
        for row in data.windows.reshape(-1, LENGTH + 1)
    ]

    def run(steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            arguments = TrainingArguments(
                output_dir=folder, max_steps=steps, per_device_train_batch_size=BATCH, learning_rate=LR, use_cpu=True,
                lr_scheduler_type="cosine", adam_beta1=0.9, adam_beta2=0.95, weight_decay=0.1, max_grad_norm=1.0,
                optim="adamw_torch_fused", logging_steps=10, save_strategy="no", report_to=[], disable_tqdm=True,
                dataloader_num_workers=0,
            )  # fmt: skip
            Trainer(model=model, args=arguments, train_dataset=rows).train()

    return run


def loop(model: Any, logits: Callable[[Any], Any], data: Noise) -> Callable[[int], None]:
    """A plain loop."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.95), weight_decay=0.1, fused=True)

    def run(steps: int) -> None:
        model.train()
        for step in range(steps):
            windows = torch.from_numpy(data.batch(step))
            found = logits(windows[:, :-1])
            loss = torch.nn.functional.cross_entropy(found.flatten(0, 1), windows[:, 1:].flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for group in optimizer.param_groups:
                group["lr"] = LR * (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.step()
            optimizer.zero_grad()

    return run


def plain(shape: str, data: Noise) -> Callable[[int], None]:
    """transformers' Llama in a plain loop."""
    from lm_experiments import models

    model = models.build(models.PRESETS[shape], 0)
    return loop(model, lambda inputs: model(input_ids=inputs, use_cache=False).logits, data)


def litgpt(shape: str, data: Noise) -> Callable[[int], None]:
    """LitGPT's GPT in the same loop. Raises `ImportError` where it is not installed, or not completely."""
    from litgpt.config import Config
    from litgpt.model import GPT

    from lm_experiments import models

    s = models.PRESETS[shape]
    config = Config(
        block_size=s.context, vocab_size=s.vocabulary, padded_vocab_size=s.vocabulary, n_layer=s.layers, n_head=s.heads,
        n_query_groups=s.kv_heads, n_embd=s.hidden, intermediate_size=s.mlp, mlp_class_name="LLaMAMLP", bias=False,
        norm_class_name="RMSNorm", norm_eps=s.norm_eps, rotary_percentage=1.0, parallel_residual=False, rope_base=int(s.rope_theta),
    )  # fmt: skip
    model = GPT(config)
    model.lm_head.weight = model.transformer.wte.weight
    return loop(model, model, data)


def evaluation(shape: str, data: Noise) -> Callable[[int], None]:
    """The plain loop's losses without gradients, as many tokens per step."""
    import torch

    from lm_experiments import models

    model = models.build(models.PRESETS[shape], 0).eval()

    def run(steps: int) -> None:
        with torch.inference_mode():
            for step in range(steps):
                windows = torch.from_numpy(data.batch(step))
                found = model(input_ids=windows[:, :-1], use_cache=False).logits
                torch.nn.functional.cross_entropy(found.flatten(0, 1), windows[:, 1:].flatten())

    return run


LOOPS: dict[str, Callable[[str, Noise], Callable[[int], None]]] = {
    "ours": ours,
    "ours, compiled": partial(ours, compiled=True),
    "Trainer": trainer,
    "plain loop": plain,
    "LitGPT": litgpt,
}
EVALUATION = {"evaluation": evaluation}


def peak() -> float:
    """GF/s of a large float32 product on this process's threads."""
    import torch

    one = torch.ones(1024, 1024)
    return 2 * 1024**3 / min(_timed(lambda: one @ one) for _ in range(20)) / 1e9


def _timed(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def work(shape: str, threads: int, names: Sequence[str], mine: str, barrier: Any, results: Any) -> None:
    """The process of one loop, which waits while others have their turn: what one does to its process gives no other an advantage."""
    import torch
    import transformers

    from lm_experiments import models
    from lm_experiments.kernels import fast_products

    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    run, best, peaks = None, math.inf, {"MKL": 0.0, "oneDNN": 0.0}
    with contextlib.suppress(ImportError):
        run = (LOOPS | EVALUATION)[mine](shape, Noise(models.PRESETS[shape].vocabulary))
        run(5)
    for _ in range(ROUNDS):
        for name in names:
            barrier.wait()
            if run is not None and name == mine:
                best = min(best, _timed(lambda: run(STEPS[shape])))
        barrier.wait()
        if mine == names[0]:
            peaks["MKL"] = max(peaks["MKL"], peak())
            with fast_products():
                peaks["oneDNN"] = max(peaks["oneDNN"], peak())
    results.put(({} if run is None else {mine: STEPS[shape] * BATCH * LENGTH / best}, peaks))


def together(
    shape: str, processes: int, threads: int, names: Sequence[str] = tuple(LOOPS)
) -> tuple[dict[str, float], dict[str, float]]:
    """Summed tokens per second of every loop, and summed peaks in GF/s, over processes that run at once."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes * len(names)), context.Queue()
    started = []
    for mine in names:
        worker = environment(Place(cores=(), gpu=None, threads=threads))
        with variables(worker if mine.startswith("ours") else {"OMP_NUM_THREADS": str(threads)}):
            for _ in range(processes):
                started.append(context.Process(target=work, args=(shape, threads, names, mine, barrier, results)))
                started[-1].start()
    rates, peaks = Counter[str](), Counter[str]()
    for _ in started:
        found = results.get(timeout=1800)
        rates.update(found[0])
        peaks.update(found[1])
    for process in started:
        process.join()
    return {name: rates[name] for name in names if name in rates}, dict(peaks)


def operations(shape: str) -> float:
    """GF a token, forward and backward: six a parameter, and twelve a layer, hidden unit and position for attention."""
    from lm_experiments import models

    s = models.PRESETS[shape]
    return (6 * models.parameter_count(s) + 12 * s.layers * s.hidden * LENGTH) / 1e9


def measure(shape: str) -> list[tuple[str, float, float, float]]:
    """Rows of (what, tokens per second, ratio to the fastest of the others run any way, share of oneDNN's float32 peak)."""
    rows = []
    for processes, threads in ((2, 1), (1, 2)):
        rates, peaks = together(shape, processes, threads)
        how = f"{processes} x {threads} thread" + "s" * (threads > 1)
        rows += [(name, how, rate, rate * operations(shape) / peaks["oneDNN"]) for name, rate in rates.items()]
        print(f"{shape}, {how}: peak {peaks['MKL']:.0f} GF/s with MKL, {peaks['oneDNN']:.0f} with oneDNN")
    rival = max(rate for name, _, rate, _ in rows if not name.startswith("ours"))
    return [(f"{name}, {how}", rate, rate / rival, share) for name, how, rate, share in rows]
