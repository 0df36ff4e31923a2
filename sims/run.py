"""Many runs: settings broadcast as in `theory.predict`, cut into blocks of lanes, computed on all cores, put together again.

A block is always full (the last one is padded with copies of its last run), always compiled the same, and no operation mixes lanes: so
the result of a run depends on its settings and its seed alone, not on how the work was cut.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Bool, Float
from common.losses import LOSSES, Losses
from common.placement import placed
from common.settings import WrongUse, check_number, meant
from sims.setup import LANES, SETUP_FIELDS, Setup, bounds, defaults
from theory.api import common_shape, merged, staged

STAGES = ("t_pre", "t_post", "t_ft")
AHEAD = 4
"""Blocks per thread that are computed before they are asked for: few enough that an interrupted call ends at once."""
LARGEST = 5e8
"""Bytes of results that one call may hold (our choice: with the copy that puts blocks together, half of the 2 GB for everything)."""


class Simulation(NamedTuple):
    """What the runs gave, in the shape of the settings; with several observations of stage 3, those lead.

    Example:
        >>> made = simulate(Setup(steps=(800, 100, 100)), alpha=[0.0, 0.2])
        >>> made.converged.tolist(), made.losses.loss_ret.shape
        ([True, True], (2,))
    """

    losses: Losses
    """Of shape (*settings), or (observations, *settings). Not finite where a run diverged."""
    converged: Bool[np.ndarray, "*settings"]
    """Whether every learning rate stayed below its bound and every loss finite."""
    rates: Float[np.ndarray, "3 *settings"]
    """Learning rate of each stage."""
    bounds: Float[np.ndarray, "3 *settings"]
    """The learning rate above which each stage cannot converge: 1/(2 c s) for the largest c s with gradient descent, see
    `sims.bounds`; infinite for Adam and nonlinear networks, for which no closed bound is known."""
    trajectory: Any
    """`sims.trajectories.Snapshot` with the points leading and the settings last, or None."""

    def to_pandas(self, **settings: Any) -> Any:
        """A data frame with a row per run (and observation): further columns that broadcast, losses, converged. Raises `WrongUse`."""
        from common.frames import frame

        return frame({**settings, **self.losses._asdict(), "converged": self.converged})


def complete(setup: Setup, values: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of the runs, checked, with defaults for the missing ones. Raises `WrongUse`."""
    known = defaults(setup.problem)
    if unknown := sorted(set(values) - set(known)):
        name = unknown[0]
        where = f"It belongs to Setup({name}=...)." if name in SETUP_FIELDS else meant(name, [*known, "exposure"])
        raise WrongUse(f"{name} is no setting of a run of {setup.problem}. {where}")
    limits = bounds(setup.problem)
    for name, value in values.items():
        check_number(name, value, limits[name])
    merged = known | dict(values)
    if np.any(np.asarray(merged["seed"], dtype=float) % 1):
        raise WrongUse(f"seed = {np.ravel(merged['seed'])[0]:g} counts something: use whole numbers below 2**32.")
    refuse_unused(setup, merged)
    if not setup.pieces:
        placed(setup.placement, *(np.asarray(merged[name], dtype=float) for name in ("alpha", "window")))
    return merged


def refuse_unused(setup: Setup, values: Mapping[str, Any]) -> None:
    """Raise `WrongUse` where a setting is given that the setup would ignore."""
    needs = {
        "dropout": (setup.dropout_masks != "off", "dropout_masks = expected or sampled"),
        "dropout_ft": (setup.dropout_masks != "off", "dropout_masks = expected or sampled"),
        "stop_at": (setup.early_stopping, "early_stopping = True"),
        "label_noise": (
            bool(setup.batch or setup.samples),
            "batch or samples, because whole distributions have no noise",
        ),
        "imbalance": (setup.init == "aligned" and setup.depth == 2, "init = aligned and depth = 2"),
        "rotation": (setup.problem == "blocks", "problem = blocks"),
        "alpha": (not setup.pieces, "a stage 1 without pieces, which say alpha themselves"),
        "window": (
            not setup.pieces and setup.placement != "uniform",
            "placement = early, late or anneal, and a stage 1 without pieces",
        ),
        "adapter_scale": (setup.rank is not None, "rank"),
    }
    known = defaults(setup.problem)
    for name, (used, remedy) in needs.items():
        given = np.ravel(np.asarray(values[name], dtype=float))
        if not used and (unused := given[given != known[name]]).size:
            raise WrongUse(f"{name} = {unused[0]:g} has no effect in this setup. It needs {remedy}.")


def refuse_too_large(setup: Setup, runs: int) -> None:
    """Raise `WrongUse` where the results of all runs together would not fit into memory."""
    points = 2 * setup.record + len(setup.observe) + 1 if setup.record else 0
    numbers = 4 * len(setup.observe) + 6 + points * (5 + setup.modes)
    if 8 * numbers * runs > LARGEST:
        raise WrongUse(
            f"{runs:,} runs with record = {setup.record} and {len(setup.observe)} observations give {8 * numbers * runs / 1e9:.1f} GB, "
            f"more than {LARGEST / 1e9:.1f} GB at once. Simulate fewer runs at a time, or record and observe less."
        )


def simulate(
    setup: Setup | None = None,
    values: Mapping[str, Any] | None = None,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] | None = None,
    **settings: Any,
) -> Simulation:
    """Run the three stages for every setting.

    Args:
        setup: what all runs share; default `Setup()`.
        values: settings of the runs (`sims.setup.defaults` names them), numbers or arrays that broadcast against one another; `exposure`
            with `pre_time`, `post_time`, `step_ratio`, `mixing` and `split` in the place of `alpha` and `t_pre`, as in `theory.predict`.
        workers: threads, default one per core. The result does not depend on it.
        progress: called with the number of runs each time a block is done.
        settings: settings of the runs as keywords.

    Returns:
        Losses and the rest in the broadcast shape. Diverged runs have `converged` False; `report_diverged` says why. Raises `WrongUse`.

    Example:
        >>> from theory import predict
        >>> run = simulate(Setup(steps=(800, 100, 100)), alpha=0.2, t_ft=1.0)
        >>> bool(run.converged), bool(abs(run.losses.loss_ret - predict(alpha=0.2, t_ft=1.0).loss_ret) < 0.02)
        (True, True)
    """
    if setup is not None and not isinstance(setup, Setup):
        raise WrongUse(f"{str(setup)[:40]} is no Setup. Write simulate(Setup(...), alpha=0.2), or leave the setup out.")
    setup = setup or Setup()
    v = complete(setup, staged(merged(values, settings)))
    shape = common_shape(v)
    flat = {name: np.broadcast_to(np.asarray(value, dtype=float), shape).reshape(-1) for name, value in v.items()}
    size = int(np.prod(shape))
    if size == 0:
        raise WrongUse("There is no run to simulate: a setting is an empty array. Give each at least one value.")
    refuse_too_large(setup, size)
    parts = list(blocks(setup, flat, size, workers or os.cpu_count() or 1, progress))
    joined = _join(parts, size)
    losses = joined.losses.reshape(len(setup.observe), 4, *shape)
    losses = losses[0] if len(setup.observe) == 1 else losses.swapaxes(0, 1)
    rates, limits = (array.reshape(3, *shape) for array in (joined.rates, joined.bounds))
    trajectory = joined.trajectory
    if trajectory is not None:
        trajectory = type(trajectory)(*(array.reshape(*array.shape[:-1], *shape) for array in trajectory))
    finite = np.isfinite(joined.losses).all((0, 1)).reshape(shape)
    return Simulation(Losses(*losses), finite & (rates < limits).all(0), rates, limits, trajectory)


def blocks(
    setup: Setup, flat: Mapping[str, Array], size: int, workers: int, progress: Callable[[int], None] | None
) -> Iterator[Any]:
    """The outcomes of consecutive blocks as numpy arrays, in order, a few ahead of the consumer."""
    import jax

    from sims.pipeline import run_block

    jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]  # losses below 1e-7 are results here, not noise
    # computations in flight from several threads are reported to wait for ever (github.com/jax-ml/jax/issues/25861); those with
    # decompositions did so here even without this, see `pipeline.ONE_AT_A_TIME`
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # type: ignore[no-untyped-call]

    def run(first: int) -> Any:
        index = np.minimum(np.arange(first, first + LANES), size - 1)
        return run_block(setup, {name: array[index] for name, array in flat.items()})

    firsts = range(0, size, LANES)
    outcomes = chain(
        [run(0)], ahead(run, firsts[1:], workers)
    )  # the first alone: what it compiles the others find compiled
    for first, outcome in zip(firsts, outcomes, strict=True):
        if progress:
            progress(min(LANES, size - first))
        yield outcome


def ahead(call: Callable[[int], Any], items: Iterable[int], workers: int) -> Iterator[Any]:
    """The calls' results in order, computed on threads, `AHEAD` per thread before they are asked for."""
    pending: deque[Future[Any]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(pool.submit(call, item))
            if len(pending) > AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # interrupted, it does not wait for blocks that nobody wants


def _join(parts: list[Any], size: int) -> Any:
    import jax

    return jax.tree.map(lambda *arrays: np.concatenate(arrays, axis=-1)[..., :size], *parts)


def report_diverged(simulation: Simulation, setup: Setup) -> str | None:
    """One paragraph about the runs that did not converge, with the bound that the first one broke; None if all did.

    Example:
        >>> run = simulate(Setup(steps=(10, 10, 10)), alpha=0.2)
        >>> report_diverged(run, Setup(steps=(10, 10, 10))).split(";")[0]
        '1 of 1 runs did not converge'
    """
    bad = ~simulation.converged
    if not bad.any():
        return None
    return f"{int(bad.sum()):,} of {bad.size:,} runs did not converge; the first: {why_diverged(simulation, setup)}"


def why_diverged(simulation: Simulation, setup: Setup) -> str:
    """What the first run that did not converge broke, and what to do about it."""
    first = tuple(np.argwhere(~simulation.converged)[0])
    rates, limits = (array[(slice(None), *first)] for array in (simulation.rates, simulation.bounds))
    broken = [i for i in range(3) if rates[i] >= limits[i]]
    if not broken:
        losses = ", ".join(
            f"{name} = {float(loss[(..., *first)].reshape(-1)[-1]):g}"
            for name, loss in zip(LOSSES, simulation.losses, strict=True)
        )
        used = ", ".join(f"{rate:.3g} in {stage}" for rate, stage in zip(rates, STAGES, strict=True))
        return (
            f"{losses} with learning rates {used}. {_no_bound_broken(setup)} Use more steps than {setup.steps}, which makes "
            "learning rates smaller, or shorter stages."
        )
    stage = broken[0]
    of = ", with s what the frozen weights leave to the adapter" if stage == 1 and setup.rank is not None else ""
    needed = int(setup.steps[stage] * rates[stage] / limits[stage] * (1 + 1e-9)) + 1
    return (
        f"{STAGES[stage]} in {setup.steps[stage]} steps is a learning rate of {rates[stage]:.3g}, and {_OPTIMISERS[setup.optimiser]} "
        f"is stable only below {_formula(setup, stage)} = {limits[stage]:.3g}{of}. Use at least {needed} steps, or a shorter stage."
    )


_OPTIMISERS = {"gd": "gradient descent", "momentum": "gradient descent with momentum", "adam": "Adam"}


def _no_bound_broken(setup: Setup) -> str:
    """What is known of bounds where none was broken."""
    from sims.bounds import STABLE

    if setup.optimiser not in STABLE:
        return f"No closed bound of the learning rate is known for {_OPTIMISERS[setup.optimiser]}."
    if setup.activation != "linear":
        return f"No closed bound of the learning rate is known for {setup.activation} networks."
    return "Those are below the bounds of their stages, which hold near a solution: farther out, steps must be smaller."


def _formula(setup: Setup, stage: int) -> str:
    """The bound of `sims.bounds` in symbols; an adapter has two layers, whatever the depth of what it is added to."""
    from sims.bounds import STABLE

    depth = 2 if stage == 1 and setup.rank is not None else setup.depth
    slope = "c s" if depth == 2 else f"c s^(2 - 2/{depth})"
    return f"{STABLE[setup.optimiser]:g}/({depth} {slope})"
