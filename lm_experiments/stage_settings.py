"""What a stage of training is told (`StageSettings`, `Batches`), what it tells while it runs (`Progress`) and when it ends (`Outcome`)."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, get_args, runtime_checkable

import numpy as np

from common.arrays import Int
from common.settings import Settings, WrongUse, check_rank, setting
from lm_experiments.compilers import CompileUse
from lm_experiments.damage import Damage
from lm_experiments.dropout import Dropout
from lm_experiments.liger import LigerUse
from lm_experiments.schedules import warn_if_rising

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

    from lm_experiments.evaluation import EvalSet


TrackerName = Literal["tensorboard", "wandb", "trackio", "mlflow", "aim", "comet_ml", "clearml", "dvclive", "swanlab"]
"""What accelerate can send a log to, each the name of its package."""


@runtime_checkable
class Batches(Protocol):
    """Where the data comes from: a pure function of the step."""

    steps: int

    def batch(self, step: int) -> Int[np.ndarray, "batch positions"]:
        """The windows of a step, over all processes."""


@dataclass(frozen=True, kw_only=True)
class Execution(Settings):
    """How a stage is carried out: decides nothing about the result, up to rounding, and so is not hashed.

    Dropout masks belong to (seed, step, row of the batch), whatever the micro-batch, and a compiled model computes the same.
    """

    micro_batch: int = setting(0, low=0, science=False)
    """Windows that a process takes at a time, to save memory: a step adds up the gradients; 0 takes all at once."""
    eval_batch: int = setting(16, low=1, science=False)
    """Windows at a time where losses are only measured."""
    compile: CompileUse = setting("auto", science=False)
    """Compile the model with torch.compile, which begins later and is faster: auto (on a CPU with a C++ compiler, where the stage is
    long enough), yes, no."""
    liger: LigerUse = setting("auto", science=False)
    """Fused kernels of the package liger-kernel, on CUDA: auto where they are there, yes or else refuse, no."""
    activation_checkpointing: bool = setting(False, science=False)
    """Compute activations a second time in the place of keeping them: slower, and much less memory."""
    shard: bool = setting(False, science=False)
    """Share weights, gradients and moments among the processes of a stage (FSDP2, layer by layer), so that larger models fit."""
    log_every: int = setting(10, low=1, science=False)
    """Steps between two lines of metrics.jsonl, the log that every stage keeps in its folder."""
    checkpoint_steps: int = setting(0, low=0, science=False)
    """Steps between checkpoints; 0 leaves it to the clock."""
    checkpoint_seconds: float = setting(60.0, low=0, science=False)
    """Seconds between checkpoints at least; more where they would take over 2 % of the time from training."""
    trackers: tuple[TrackerName, ...] = field(default=(), metadata={"science": False})
    """Where else the lines of metrics.jsonl go, through accelerate: packages that you have installed."""


def refuse_absent(trackers: tuple[TrackerName, ...]) -> None:
    """Raise `WrongUse` for a tracker whose package is not installed."""
    for tracker in trackers:
        if importlib.util.find_spec(tracker) is None:
            there = [name for name in get_args(TrackerName) if importlib.util.find_spec(name) is not None]
            raise WrongUse(
                f"trackers = {tracker} is not installed. Run `pip install {tracker}`, or leave it out: installed are "
                f"{', '.join(there) or 'none'}, and metrics.jsonl in the folder of every stage is always written."
            )


@dataclass(frozen=True, kw_only=True)
class StageSettings(Execution):
    """How a stage is trained. What does not decide the result, up to rounding, is not hashed."""

    lr: float = setting(low=0, open_low=True)
    min_lr: float = setting(low=0)
    warmup_steps: int = setting(0, low=0)
    max_steps: int = setting(low=1)
    batch: int = setting(low=1)
    """Windows a step, over all processes."""
    length: int = setting(low=1)
    """Predicted tokens per window."""
    weight_decay: float = setting(0.1, low=0)
    """Of matrices, embeddings included; the gains of the norms do not decay."""
    betas: tuple[float, float] = (0.9, 0.95)
    clip: float = setting(1.0, low=0)
    """Largest norm of the gradient; 0 does not clip."""
    dropout: Dropout = field(default_factory=Dropout)
    eval_every: int = setting(0, low=0)
    """Steps between evaluations; 0 evaluates at the end only."""
    patience: int = setting(0, low=0)
    """Evaluations in a row without a new best after which the stage stops; 0 trains all steps."""
    explode: float = setting(3.0, low=0, open_low=True)
    """Diverged: a loss of so many nats above both the stage's first loss and that of guessing uniformly (ln V)."""
    keep_best: bool = True
    """Whether the stage ends with the weights of the best evaluation; if not, evaluations are only logged."""
    rank: int | None = None
    """Of low-rank adapters, which are trained in the place of the weights and merged at the end; None trains the weights."""
    rank_scale: float = setting(2.0, low=0, open_low=True)
    """alpha / r of the adapters."""
    rank_dropout: float = setting(0.0, low=0, high=0.99)
    """Of what enters an adapter."""
    l2_to_start: float = setting(0.0, low=0)
    """Weight of |theta - theta at the start of the stage|^2 in the loss."""
    ewc: float = setting(0.0, low=0)
    """Weight of the same, each weight counting by half its Fisher information: see `pulls`."""
    ewc_on: str = ""
    """The store on which the Fisher information is measured."""
    ewc_windows: int = setting(128, low=1)
    """Windows of it."""
    sam: float = setting(0.0, low=0)
    """rho of sharpness-aware minimisation: the gradient is taken at a distance of rho uphill; 0 does not."""
    damage: Damage = field(default_factory=Damage)
    """What is done to the weights in the place of training."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: matrix products in bfloat16, weights and moments in float32."""
    seed: int = setting(0, low=0)
    """Of dropout, adapters and noise."""
    trains: bool = True
    """Whether it trains at all; if not, the model that it begins with is measured and kept as it is."""

    @property
    def untrained(self) -> bool:
        """Whether no step is taken: the model is only measured, or damaged."""
        return self.damage.active or not self.trains

    def __post_init__(self) -> None:
        """Check ranges, and what must fit together. Raises `WrongUse`; warns where the cosine rises."""
        super().__post_init__()
        if self.warmup_steps > self.max_steps:
            raise WrongUse(f"warmup_steps = {self.warmup_steps} exceeds max_steps = {self.max_steps}. Choose fewer.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise WrongUse(f"betas = {self.betas} are outside [0, 1). Choose e.g. 0.9 and 0.95.")
        if self.patience and not self.eval_every:
            raise WrongUse(
                f"patience = {self.patience} counts evaluations, and eval_every = 0 makes none. Set eval_every."
            )
        if self.patience and not self.keep_best:
            raise WrongUse(
                f"patience = {self.patience} waits for a new best, and keep_best = False keeps none. Set patience = 0."
            )
        check_rank(self.rank)
        for name in ("l2_to_start", "ewc"):
            if self.rank is not None and getattr(self, name):
                raise WrongUse(
                    f"{name} = {getattr(self, name):g} pulls weights that rank = {self.rank} does not train. Choose one of the two."
                )
        if bool(self.ewc) != bool(self.ewc_on):
            raise WrongUse(
                f"ewc = {self.ewc:g} with ewc_on = {self.ewc_on!r}: give both the weight and the store of the Fisher information, or none."
            )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What is reported while a stage runs."""

    step: int
    steps: int
    loss: float
    """Mean training loss since the last report, nats per token."""
    tokens_per_second: float
    eta_seconds: float
    """Until `steps`; early stopping may end sooner."""
    evaluation: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a stage ended."""

    steps: int
    tokens: int
    best_step: int
    """The step whose weights the stage ends with."""
    stopped_early: bool
    losses: dict[str, float]
    """Of the final weights, on every evaluation set, nats per token."""
    seconds: float
    """Wall time, interruptions not counted."""
    displacement: float | None = None
    """|theta at the end - theta at the start|, over all weights; None in stages of before it was measured."""


def refuse_misfits(
    model: "LlamaForCausalLM",
    batches: Batches,
    settings: StageSettings,
    evaluation: Mapping[str, "EvalSet"],
    stop_on: str | None,
    prior: "EvalSet | None",
) -> None:
    """Raise `WrongUse` where model, data and settings do not fit; warn where the cosine rises."""
    if settings.length > model.config.max_position_embeddings:
        raise WrongUse(
            f"length = {settings.length} exceeds the model's context of {model.config.max_position_embeddings}. Choose a shorter one."
        )
    if batches.steps < settings.max_steps:
        raise WrongUse(
            f"max_steps = {settings.max_steps}, but the data plan has {batches.steps} steps. Choose at most that."
        )
    if stop_on is not None and (stop_on not in evaluation or not settings.eval_every):
        raise WrongUse(
            f"stop_on = {stop_on} is not evaluated. Give an evaluation set of that name, and eval_every > 0."
        )
    if settings.patience and stop_on is None:
        raise WrongUse(f"patience = {settings.patience} needs a loss to watch. Name an evaluation set in stop_on.")
    if settings.ewc and prior is None:
        raise WrongUse(
            f"ewc = {settings.ewc:g} needs text to measure the Fisher information on. Give windows of {settings.ewc_on}."
        )
    warn_if_rising(settings.lr, settings.min_lr)
