"""Low-rank post-training: stage 2 trains an additive adapter, `theta = theta_1 + B A`, with theta_1 frozen and B = 0 at first.

A mode of the adapter is an unbalanced mode with target `d_i = s_i - a1_i`, w1 = 0 and w2 = zeta: it has no saddle at 0, so a
feature that pretraining never showed starts to grow at once (`theory.two_layer.unbalanced`, exact). The r rows of A start
along the r modes whose fit lowers the loss most, `c_i d_i^2`; a long stage then ends at the best rank-r fit, which is also
where a generic start ends: `loss_im -> sum over the modes left out of c_i d_i^2`.

Stage 3 trains everything that stage 2 has left, old weights and adapter together. The two are one wider two-layer network,
`[W1 B] [W2; A]`, with two hidden units for an adapted mode. All units share the clock `d tau = 2 c (s - a) dt`, under which
`(w1 + w2)^2` grows by e^(2 tau) and `(w1 - w2)^2` shrinks as much, so their sums over the units do too: the pair is again one
unbalanced mode, of strength `a1 + b` and imbalance `kappa^2 = sum (w1 + w2)^2 sum (w1 - w2)^2`. Exact, nothing is re-factorised.

Source: the question is arXiv 2605.12705 Sec. 4 (LoRA); the solutions are ours.
"""

from typing import NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, namespace
from theory.factors import squares
from theory.two_layer import Drive, State, unbalanced


class Part(NamedTuple):
    """Some modes of every row, all in the same state."""

    multiplicity: Number
    """How many modes of the row."""
    state: State
    imbalance: Number
    """kappa = w1^2 - w2^2; the plain number 0 selects the balanced solution."""


def adapted_modes(
    state: State, drive: Drive, rank: Number, count: Float[Array, "modes ..."]
) -> Float[Array, "modes ..."]:
    """How many modes of each row get one of the r directions of the adapter: the largest `(g - c a)^2/c` first.

    Args:
        state: at the start of stage 2.
        drive: mixture of stage 2.
        rank: r.
        count: how many modes a row stands for.
    """
    xp = namespace(*state, *drive, rank, count)
    force = drive.growth - drive.variance * state.strength
    seen = drive.variance > 0
    gain = xp.where(seen, force**2 / xp.where(seen, drive.variance, 1.0), 0.0)
    gain, count, rank = xp.broadcast_arrays(gain, count, rank)
    order = xp.argsort(-gain, axis=0)
    sizes = xp.take_along_axis(count, order, axis=0)
    room = xp.take_along_axis(rank, order, axis=0) - (xp.cumsum(sizes, axis=0) - sizes)
    taken = xp.minimum(xp.maximum(room, 0.0), sizes)
    return xp.take_along_axis(taken, xp.argsort(order, axis=0), axis=0)


def adapt(state: State, drive: Drive, time: Number, *, scale: Number, imbalance: Number) -> tuple[State, Array]:
    """State and effective imbalance of a mode with adapter after stage 2.

    Args:
        state: strength a1 and shortfall of the frozen weights.
        drive: mixture of stage 2, without weight decay.
        time: flow time, >= 0.
        scale: zeta, initial scale of A.
        imbalance: kappa of the frozen weights.

    Returns:
        Strength a1 + b and its shortfall; kappa of the wider network, >= 0. Shortfalls are accurate to machine epsilon.
    """
    xp = namespace(*state, *drive, time, scale, imbalance)
    none = 0.0 * xp.asarray(state.strength, dtype=float)
    residual = Drive(drive.variance, drive.growth - drive.variance * state.strength, drive.pull)
    kappa = xp.asarray(scale, dtype=float) ** 2
    adapter = unbalanced(State(none, state.shortfall), residual, time, kappa)
    up, down = (
        x + y for x, y in zip(squares(state.strength, imbalance), squares(adapter.strength, kappa), strict=True)
    )
    return State(state.strength + adapter.strength, adapter.shortfall), xp.sqrt(up * down)


def mean_strength(parts: list[Part], count: Number) -> Array:
    """Strength of a row: the mean over its modes, where an adapter has left some of them out."""
    if len(parts) == 1:
        return parts[0].state.strength
    xp = namespace(count, *(part.state.strength for part in parts))
    total = xp.where(np.asarray(count) > 0 if xp is np else count > 0, count, 1.0)
    return sum(part.multiplicity * part.state.strength for part in parts) / total
