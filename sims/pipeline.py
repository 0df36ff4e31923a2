"""The three stages of a block of runs, from tasks and fresh weights to the four losses.

stage 1   (1 - alpha) D_pre + alpha D_post
stage 2   (1 - replay) D_post + replay D_pre      -> loss_im
stage 3   D_ft                                    -> loss_ret, loss_ft, loss_pre, wherever it is observed
"""

import functools
import threading
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from common.arrays import Array, Float
from common.placement import Piece, placed
from sims.bounds import adapter_bound, step_bounds
from sims.data import (
    Data,
    Evaluation,
    Fresh,
    draw,
    evaluation,
    fold,
    linear_target,
    measure,
    population,
    sample_moments,
)
from sims.lanes import multiply, per_lane
from sims.networks import Weights, initial, merged, product, start_adapter, start_adapters
from sims.objectives import Mixture, Objective, anchor
from sims.setup import Setup
from sims.tasks import Problem, problems
from sims.training import Stage, begin, train
from sims.trajectories import Snapshot, edges, snapshot

T = TypeVar("T")

TIMES = ("t_pre", "t_post", "t_ft")
"""The flow time of each stage."""
ONE_AT_A_TIME = threading.Lock()
"""For programs with decompositions: they hand work to XLA's pool of threads, and two at once can wait for one another for ever."""


class Block(NamedTuple):
    """What a block of runs starts from."""

    problem: Problem
    weights: Weights
    evaluation: Evaluation
    stages: tuple[Stage, Stage, Stage]
    """The pull of stage 2 is to the initial weights until it begins; the others have none."""
    bounds: Float[Array, "3 lanes"]
    """The learning rate above which each stage cannot converge."""
    adapter_keys: Array
    """One random key a lane."""


class Outcome(NamedTuple):
    """What a block of runs gives; the lanes are last."""

    losses: Float[Array, "observations 4 lanes"]
    """loss_im, loss_ret, loss_ft, loss_pre at every observation of stage 3."""
    rates: Float[Array, "3 lanes"]
    """The learning rate of each stage (the largest, where it varies)."""
    bounds: Float[Array, "3 lanes"]
    """The learning rate above which each stage cannot converge."""
    trajectory: Snapshot | None
    """Recorded points of all stages in order, leading axis; None where nothing is recorded."""


@functools.partial(jax.jit, static_argnames=("setup",))
def prepare(
    setup: Setup,
    values: Mapping[str, Float[Array, " lanes"]],
    problem: Problem,
    rates: Sequence[Float[Array, " lanes"]],
) -> Block:
    """Weights and data of a block; the seeds decide everything random in them."""
    keys = jax.vmap(jax.random.key)(values["seed"].astype(jnp.uint32))
    lanes_first = jax.tree.map(lambda array: jnp.moveaxis(array, -1, 0), problem)
    weights: Weights = per_lane(functools.partial(initial, setup))(values, lanes_first, fold(keys, 1))
    on = evaluation(setup, problem, fold(keys, 2))
    pre, post, ft = _all_data(setup, values, problem, keys)
    nothing, start = jnp.zeros_like(rates[0]), anchor(setup, weights)
    always = jnp.ones_like(nothing)[None]
    ends, weight = _stage_one(setup, values)
    kinds = (
        (Mixture(pre, post, ends, weight), "decay_pre", nothing, nothing),
        (
            Mixture(pre, post, always, 1 - values["replay"][None]),
            "decay_post",
            values["dropout"],
            values["l2_to_start"],
        ),
        (Mixture(ft, ft, always, nothing[None]), "decay_ft", values["dropout_ft"], nothing),
    )
    first, second, third = (
        Stage(Objective(mixture, values[decay], dropout, pull, start), rate, fold(keys, 8 + i), values["stop_at"], on)
        for i, (rate, (mixture, decay, dropout, pull)) in enumerate(zip(rates, kinds, strict=True))
    )
    bounds = step_bounds(setup, problem, values, (pre, post, ft), weight)
    return Block(problem, weights, on, (first, second, third), bounds, fold(keys, 6))


def _all_data(setup: Setup, values: Mapping[str, Array], problem: Problem, keys: Array) -> tuple[Data, Data, Data]:
    """What D_pre, D_post and D_ft are trained on; labels are noisy only where they are drawn."""
    noise = values["label_noise"] if setup.batch else jnp.zeros_like(values["label_noise"])
    pre, post, ft = (
        _data(setup, Fresh(task, problem.features, noise), fold(keys, 3 + index), samples=0)
        for index, task in enumerate(problem.tasks)
    )
    if setup.samples:
        source = Fresh(problem.tasks[1], problem.features, values["label_noise"])
        post = _data(setup, source, fold(keys, 4), samples=setup.samples)
    return pre, post, ft


def _data(setup: Setup, source: Fresh, keys: Array, *, samples: int) -> Data:
    if samples:
        pool = draw(setup, source, keys, samples)
        return sample_moments(pool) if setup.activation == "linear" and not setup.batch else pool
    if setup.batch:
        return source
    if setup.activation == "linear":
        return population(source.task, source.features)
    return draw(setup, source, keys, setup.population)


@functools.partial(jax.jit, static_argnames=("setup",))
def adapted(
    setup: Setup, values: Mapping[str, Array], problem: Problem, weights: Weights, keys: Array
) -> tuple[Weights, Float[Array, " lanes"]]:
    """The weights with the adapters of stage 2 at their start, and the learning rate above which that cannot converge."""
    if setup.activation != "linear":
        adapters = per_lane(functools.partial(start_adapters, setup))(values, keys)
        return Weights(weights.layers, adapters), jnp.full(keys.shape[0], jnp.inf)
    task = problem.tasks[1]
    residual = multiply(linear_target(task, problem.features) - product(setup, weights), task.factor)
    turned = [jnp.moveaxis(array, -1, 0) for array in (residual, task.factor)]
    adapter = per_lane(functools.partial(start_adapter, setup))(values, *turned, keys)
    return Weights(weights.layers, adapter), adapter_bound(setup, residual, task.factor)


def run_block(setup: Setup, values: Mapping[str, Float[np.ndarray, " lanes"]]) -> Outcome:
    """All three stages of a block. Source: arXiv 2605.12705 Sec. 5, with its assumptions as settings."""
    rates = [values[name] / steps for name, steps in zip(TIMES, setup.steps, strict=True)]
    with ONE_AT_A_TIME:
        block = _ended(prepare(setup.start, values, problems(setup, values), rates))
    kernel, weights = setup.kernel, block.weights
    points: list[Snapshot] = []
    for index, stage in enumerate(block.stages[:2]):
        total, second = setup.steps[index], index == 1
        if second and setup.rank is not None:
            with ONE_AT_A_TIME:
                weights, bound = _ended(adapted(setup.start, values, block.problem, weights, block.adapter_keys))
            block = block._replace(bounds=np.stack([block.bounds[0], bound, block.bounds[2]]))
        if second:
            stage = stage._replace(objective=stage.objective._replace(start=anchor(kernel, weights)))
        progress = begin(kernel, weights)
        for first, last in pairwise(edges(total, setup.record or 1)):
            if setup.record:
                points.append(snapshot(kernel, block.problem, block.evaluation, stage, progress.weights, first, total))
            progress = train(
                kernel, stage, progress, first, last, total,
                adapting=second and setup.rank is not None, stopping=second and setup.early_stopping,
            )  # fmt: skip
        weights = progress.weights
    if setup.rank is not None and setup.activation != "linear":
        weights = merged(kernel, weights)
    return _fine_tune(setup, block, rates, weights, points)


def _ended(made: T) -> T:
    return cast(T, jax.block_until_ready(made))  # type: ignore[no-untyped-call]


def _fine_tune(setup: Setup, block: Block, rates: list[Array], weights: Weights, points: list[Snapshot]) -> Outcome:
    """Stage 3, and the losses wherever it is observed; every part between observations takes equally many steps."""
    total, kernel, stage = setup.steps[2], setup.kernel, block.stages[2]
    rows, largest = [measure(kernel, block.evaluation, weights)], 0.0

    def look(step: int) -> None:
        if setup.record:
            points.append(snapshot(kernel, block.problem, block.evaluation, stage, progress.weights, step, total))

    progress = begin(kernel, weights)
    look(0)
    for (since, until), (first, last) in zip(
        pairwise((0.0, *setup.observe)), pairwise(edges(total, len(setup.observe))), strict=True
    ):
        share = (until - since) * total / (last - first)
        largest = max(largest, share)
        part = stage._replace(rate=share * rates[2])
        progress = train(kernel, part, progress, first, last, total, adapting=False, stopping=False)
        look(last)
        rows.append(measure(kernel, block.evaluation, progress.weights))
    after, measured = np.asarray(rows[0]), np.stack([np.asarray(row) for row in rows[1:]])
    losses = np.stack([np.broadcast_to(after[1], measured[:, 1].shape), *(measured[:, i] for i in (1, 2, 0))], axis=1)
    recorded = jax.tree.map(lambda *parts: np.stack(parts), *points) if setup.record else None
    return Outcome(losses, np.stack([rates[0], rates[1], rates[2] * largest]), np.asarray(block.bounds), recorded)


def _stage_one(setup: Setup, values: Mapping[str, Array]) -> tuple[Array, Array]:
    """Where the pieces of stage 1 end, and their weights of D_post, each of shape (pieces, lanes)."""
    given = [Piece(fraction, alpha) for fraction, alpha in setup.pieces]
    pieces = given or placed(setup.placement, values["alpha"], values["window"])
    lanes = jnp.shape(values["alpha"])
    fractions, weights = (
        jnp.stack([jnp.broadcast_to(jnp.asarray(part), lanes) for part in column])
        for column in zip(*pieces, strict=True)
    )
    return jnp.cumsum(fractions, axis=0), weights
