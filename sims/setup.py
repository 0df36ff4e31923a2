"""What is simulated: the part that is compiled (`Setup`), and the numbers that differ from run to run.

    problem     blocks: invariant, inconsistent and specialised modes, as in `theory.features.Blocks`
                pathways: one output, two correlated features, as in `theory.pathways.Pathways`
                redundant: an output per mode, and for each a feature of D_post's own and a shared one, as in `theory.laws.mechanism`
    network     linear of any depth and width, or one hidden layer of ReLU or tanh units
    training    gradient descent, momentum or Adam; on the distribution, on fresh batches, or on a finite sample of D_post

Flow times stay the currency: a stage of time t in N steps has learning rate t/N, so that one run can be laid beside the closed
form, and refining N is refining the discretisation. (Adam's steps do not depend on the size of the gradient; there t/N is
simply its learning rate.)
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Literal

from tyro.conf import Suppress

from common.placement import PLACEMENTS, Piece, check_pieces
from common.recipe import Adapted, Anchored, Dropped, Placed, Windowed
from common.settings import Settings, WrongUse, check_choice, check_rank, ranges, setting
from sims.vectors import Rows, check_vectors
from theory.features import Blocks, check_block_sizes
from theory.laws.mechanism import RedundantFeatures
from theory.pathways import Pathways
from theory.stages import Schedule

LANES = 16
"""Runs per block, side by side; see `sims.lanes`."""
PROBLEMS = ("blocks", "pathways", "redundant")
ACTIVATIONS = ("linear", "relu", "tanh")
INITS = ("aligned", "identity", "random")
VECTORS = ("random", "identity")
OPTIMISERS = ("gd", "momentum", "adam")


MOST_STEPS = 100_000_000
"""Steps of a stage at most: of the smallest network, hours."""


@dataclass(frozen=True, kw_only=True)
class Setup(Adapted, Placed):
    """What all runs of a batch share; changing any of it compiles anew.

    `rank` is that of an additive adapter of a linear network's product; in a nonlinear network one of each weight matrix
    (LoRA; at most that matrix's own rank), merged after stage 2.

    Example:
        >>> Setup(width=24, init="random").shapes
        ((24, 6), (6, 24))
        >>> Setup(widht=24)
        Traceback (most recent call last):
        common.settings.WrongUse: 'widht' is no setting of Setup. Did you mean width?
    """

    problem: Literal["blocks", "pathways", "redundant"] = "blocks"
    """Which family of tasks."""
    n: int = setting(6, low=1, high=256)
    """Modes: input and output dimension of `blocks` (`pathways` has 2 inputs and 1 output, `redundant` 2n inputs and n outputs)."""
    k: int = setting(1, low=0)
    """Inconsistent modes, and as many specialised ones."""
    width: int = setting(6, low=1, high=4096)
    """Hidden units of every hidden layer."""
    depth: int = setting(2, low=2, high=16)
    """Layers of weights."""
    activation: Literal["linear", "relu", "tanh"] = "linear"
    """Nonlinearity of the hidden layer, in the student and, on the features, in the teacher."""
    vectors: Literal["random", "identity"] = "random"
    """Singular vectors of the tasks of `blocks`: drawn with the seed, or the coordinate axes (diagonal tasks)."""
    given_vectors: Annotated[tuple[Rows, ...], Suppress] = ()
    """(U, V) of one's own instead, made by `sims.vectors.as_rows`; the same for every seed."""
    init: Literal["aligned", "identity", "random"] = "aligned"
    """aligned: singular vectors of the task and a random hidden basis; identity: scaled unit matrices, as in C.8, aligned only where
    U = V (e.g. with vectors = identity); random: Gaussian weights of standard deviation init_scale."""
    basis: Literal["random", "unit", "equal"] = "random"
    """Where an aligned start puts the modes in the hidden layer: random directions, a unit each, or all units equally (Hadamard)."""
    units: Literal["connected", "separate"] = "connected"
    """separate: every hidden unit sees one input only (a diagonal first layer), the redundant pathways of their own."""
    optimiser: Literal["gd", "momentum", "adam"] = "gd"
    """Gradient descent is stochastic where `batch` is set. Momentum 0.9, Adam (0.9, 0.999)."""
    steps: tuple[int, int, int] = (800, 800, 800)
    """Steps of the three stages."""
    batch: int = setting(0, low=0)
    """Fresh examples per step; 0 trains on the whole distribution (or sample) at once."""
    samples: int = setting(0, low=0)
    """Unique D_post examples, drawn once and used in stages 1 and 2; 0 is unlimited."""
    population: int = setting(256, low=8)
    """Examples that stand for a whole distribution where no closed form does: in nonlinear networks."""
    dropout_masks: Literal["off", "expected", "sampled"] = "off"
    """Dropout not at all, as the expected loss (linear, depth 2), or with a mask of the hidden units drawn every step."""
    early_stopping: bool = False
    """Whether stage 2 watches loss_im and stops at `stop_at`."""
    pieces: tuple[tuple[float, float], ...] = ()
    """Stage 1 as (fraction, alpha) pieces, instead of `alpha` and `placement`: any alpha(t)."""
    observe: tuple[float, ...] = (1.0,)
    """Fractions of the flow time of stage 3 at which the losses are taken; the steps are shared out evenly between them."""
    record: int = setting(0, low=0, high=1000)
    """Points of a trajectory recorded in stages 1 and 2 each; stage 3 is recorded where it is observed. 0 records nothing."""

    def __post_init__(self) -> None:
        """Check ranges, names and combinations. Raises `WrongUse`."""
        super().__post_init__()
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_rank(self.rank)
        check_block_sizes(self.n, self.k)
        if self.pieces:
            check_pieces([Piece(*piece) for piece in self.pieces])
        if any(later <= earlier for earlier, later in zip((0.0, *self.observe), self.observe, strict=False)) or (
            not self.observe or self.observe[-1] != 1.0
        ):
            raise WrongUse(f"observe = {self.observe} must rise from above 0 to 1, the end of stage 3.")
        whole = [isinstance(count, int) and not isinstance(count, bool) and count > 0 for count in self.steps]
        if whole != [True] * 3:
            raise WrongUse(f"steps = {self.steps} are not the steps of three stages. Give three whole numbers from 1.")
        if max(self.steps) > MOST_STEPS:
            raise WrongUse(f"steps = {self.steps} would take weeks. Give each stage at most {MOST_STEPS:,}.")
        parts = (self.record or 1, self.record or 1, len(self.observe))
        for name, steps, part in zip(("first", "second", "third"), self.steps, parts, strict=True):
            if steps < part:
                raise WrongUse(
                    f"steps = {self.steps}: the {name} stage needs at least {part}, one for each observation."
                )
        self._refuse_impossible()
        check_vectors(self.problem, self.n, self.vectors, self.given_vectors)

    def _refuse_impossible(self) -> None:
        linear, shallow = self.activation == "linear", self.depth == 2
        uneven = self.basis == "equal" and self.width & (self.width - 1) != 0
        narrow = self.init == "aligned" and self.width < self.modes
        expected = self.dropout_masks == "expected" and not (linear and shallow)
        joining = self.rank is not None and not linear and self.units == "separate"
        dropping = self.rank is not None and self.dropout_masks == "expected"
        separate = self.units == "separate" and not shallow
        wrong = {
            "depth": (not linear and not shallow, "a nonlinear network has one hidden layer", "Set depth to 2"),
            "init": (not linear and self.init != "random", "a nonlinear network starts at random", "Use random"),
            "rank": (joining, "adapted separate units would see every input", "Leave it out, or connect the units"),
            "dropout_masks": (
                expected or dropping,
                "the expected loss is known for linear networks of depth 2 without an adapter",
                "Use sampled",
            ),
            "basis": (uneven, f"width = {self.width} has no Hadamard basis here", "Use a power of two as width"),
            "units": (separate, "separate units need a single hidden layer", "Set depth to 2"),
            "width": (narrow, f"{self.modes} aligned modes need a unit each", f"Use at least {self.modes}"),
        }
        for name, (is_wrong, reason, remedy) in wrong.items():
            if is_wrong:
                raise WrongUse(f"{name} = {getattr(self, name)} is not possible here: {reason}. {remedy}.")
        if self.rank is not None and self.rank > (most := max(map(min, self.adapted))):
            raise WrongUse(f"rank = {self.rank} is more than the network's own, {most}. Use at most {most}.")
        if self.units == "separate" and self.width != self.inputs:
            raise WrongUse(f"width = {self.width}: separate units need one for each of the {self.inputs} inputs.")

    @cached_property
    def kernel(self) -> "Setup":
        """The setup without what the compiled steps do not depend on, so that setups differing in it share them."""
        return replace(
            self, steps=(1, 1, 1), observe=(1.0,), record=0, pieces=(), placement="uniform", samples=0, early_stopping=False,
            init="random", basis="random", k=0, vectors="random", given_vectors=(),
        )  # fmt: skip

    @cached_property
    def start(self) -> "Setup":
        """The setup without what data and initial weights do not depend on, once the tasks are there."""
        return replace(
            self, steps=(1, 1, 1), observe=(1.0,), record=0, early_stopping=False, dropout_masks="off", vectors="random",
            given_vectors=(),
        )  # fmt: skip

    @cached_property
    def tasks(self) -> "Setup":
        """The setup with only what the tasks depend on, beside their singular vectors."""
        return Setup(problem=self.problem, n=self.n, k=self.k, init="random")

    @property
    def inputs(self) -> int:
        """Input dimension."""
        return {"blocks": self.n, "pathways": 2, "redundant": 2 * self.n}[self.problem]

    @property
    def outputs(self) -> int:
        """Output dimension."""
        return 1 if self.problem == "pathways" else self.n

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of W_1 to W_L."""
        sizes = [self.inputs, *[self.width] * (self.depth - 1), self.outputs]
        return tuple((rows, columns) for columns, rows in pairwise(sizes))

    @property
    def adapted(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of what adapters are added to: the product of a linear network, each matrix of a nonlinear one."""
        return ((self.outputs, self.inputs),) if self.activation == "linear" else self.shapes

    @property
    def modes(self) -> int:
        """Modes that an aligned start has."""
        return 2 if self.units == "separate" else min(self.inputs, self.outputs)


_CHOICES = {
    "problem": PROBLEMS,
    "activation": ACTIVATIONS,
    "vectors": VECTORS,
    "init": INITS,
    "basis": ("random", "unit", "equal"),
    "units": ("connected", "separate"),
    "optimiser": OPTIMISERS,
    "dropout_masks": ("off", "expected", "sampled"),
    "placement": PLACEMENTS,
}


@dataclass(frozen=True, kw_only=True)
class Relaxations(Anchored, Dropped, Windowed):
    """Where a run leaves the assumptions of the closed form, and the interventions that theory and simulation share."""

    seed: int = setting(0, low=0, high=2**32 - 1)
    """Decides singular vectors, hidden basis, random weights, samples, batches and masks of the run."""
    rotation: float = setting(0.0, low=0)
    """Misalignment: the outputs of every task are turned by exp(rotation K_t), K_t random, skew and of norm about 1."""
    label_noise: float = setting(0.0, low=0)
    """Standard deviation of the noise on the labels of sampled examples; losses are reported without it."""
    correlation: float = setting(0.0, low=-1, high=1)
    """Correlation under D_post of the inputs of inconsistent mode i and specialised mode i."""
    dropout_ft: float = setting(0.0, low=0, high=0.99)
    """Probability with which a hidden unit is dropped in stage 3, with `dropout_masks`."""
    adapter_scale: float = setting(0.1, low=0, open_low=True)
    """Scale of an adapter's input factor at its start."""
    stop_at: float = setting(0.0, low=0)
    """Loss_im at which stage 2 stops, with `early_stopping`."""


SHAPES = ("n", "k", "depth")
"""Fields of `Blocks` that decide shapes and so belong to `Setup`."""

_FAMILIES: dict[str, type[Settings]] = {"blocks": Blocks, "pathways": Pathways, "redundant": RedundantFeatures}


def defaults(problem: str) -> dict[str, Any]:
    """Every setting that may differ from run to run, with its default."""
    family = asdict(_FAMILIES[problem]())
    merged = asdict(Relaxations()) | asdict(Schedule()) | {"imbalance": 0.0} | family
    return {name: value for name, value in merged.items() if name not in SHAPES}


def bounds(problem: str) -> dict[str, Mapping[str, Any]]:
    """The admissible range of every such setting."""
    merged = ranges(Relaxations) | ranges(Schedule) | ranges(Blocks) | ranges(_FAMILIES[problem])
    return {name: merged[name] for name in defaults(problem)}


SETUP_FIELDS = tuple(field.name for field in fields(Setup))
"""Names that `Setup` takes."""
