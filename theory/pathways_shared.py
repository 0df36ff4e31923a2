"""The redundant-pathway model with both pathways in one hidden direction: a fully connected two-layer network.

`theta = w1^T W2` with w1 in R^m and the columns of W2 in R^m; gradient flow on a stage's loss, half whose gradient in theta is
(G_a, G_b), reads

    dw1/dt = -2 (G_a wa + G_b wb)        dwa/dt = -2 G_a w1        dwb/dt = -2 G_b w1

and conserves the m x m matrix `w1 w1^T - wa wa^T - wb wb^T`. If w1, wa and wb start along one hidden direction they stay
along it, exactly, and three numbers are left; from a small random start they grow along one direction, and the rest stays
as small as it began, so the reduction is exact up to the initial scale. With equal layers the conserved
`w1^2 - wa^2 - wb^2` is 0, and two numbers are left, the size v and the angle phi of theta = v (cos phi, sin phi):

    d ln v/dt = -4 (cos phi G_a + sin phi G_b + mu)        dphi/dt = 2 (sin phi G_a - cos phi G_b)

There is no saddle at b = 0: b learns from the weight w1 that a has grown, so it needs no seed, and early exposure E = alpha t_pre
after convergence on D_pre gives `b ~ 2 g sigma_pre E` at first, g = sigma_post + beta - sigma_pre, without a threshold. The start is
phi = 0, v = init_scale^2: nothing of the specialised pathway. In stage 3 wb is conserved and (w1, wa) is one unbalanced mode,
`w1^2 - wa^2 = wb^2`: closed form. Fine-tuning therefore lowers b too, by lowering w1.

Dropout acts on one hidden unit here. A direction spread equally over m units feels `gamma/m` instead, exactly. An uneven
direction does not stay one under dropout, which moves the pathways apart over the units; that is left out, and it reverses the
sign: one unit retains less for dropout, a small random network a little more (measured in the tests with full matrices).
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Number, is_jax, namespace
from common.losses import Losses
from theory.pathways import (
    PathwaySolution,
    Strengths,
    complete,
    fine_tuning_pull,
    pathway_losses,
    post_training_pull,
    pretraining_pull,
)
from theory.pathways_flow import SHARED, Pull, flow
from theory.two_layer import decay_factor, log_sum


class Polar(NamedTuple):
    """Size v and angle phi of theta = (a, b), as the integrator takes them: ln v and tan(phi/2)."""

    log_size: Number
    half_tangent: Number


def strengths(state: Polar) -> Strengths:
    """`a = v cos phi`, `b = v sin phi`."""
    xp = namespace(*state)
    size, y = xp.exp(state.log_size), state.half_tangent
    return Strengths(size * (2 / (1 + y * y) - 1), size * (2 * y / (1 + y * y)))


def shared_stage(start: Polar, pull: Pull, time: Number) -> Polar:
    """One stage of the two coordinates, integrated; the conserved `w1^2 - wa^2 - wb^2 = 0` is built in."""
    return Polar(*flow(SHARED, start.log_size, start.half_tangent, pull, time))


def fine_tuned(start: Polar, sigma_ft: Number, time: Number) -> Polar:
    """Stage 3 in closed form: `kappa = wb^2` is conserved and `Q = (w1 + wa)^2` obeys the Riccati equation of an unbalanced mode.

    With y = tan(phi/2): `Q = 4 v/(1 + y^2)^2` and `y^2 = kappa/Q`, so that the new Q gives both coordinates. Q is kept as a
    logarithm: decay may have taken v below every float. `theory.two_layer.unbalanced` has the solution.
    """
    xp = namespace(*start, sigma_ft, time)
    y = xp.asarray(start.half_tangent, dtype=float)
    log_q = start.log_size - 2 * xp.log1p(y * y) + np.log(4.0)
    kappa = y * y * xp.exp(log_q)
    root2 = 4 * sigma_ft * sigma_ft + kappa * kappa
    positive = root2 > 0
    root = xp.where(positive, xp.sqrt(xp.where(positive, root2, 1.0)), 0.0)
    safe = xp.where(positive, root, 1.0)
    p = 1 + 2 * sigma_ft / safe
    q = xp.where(positive, kappa * kappa / (safe * (safe + 2 * sigma_ft)), 1.0)
    x = 2 * root * xp.asarray(time, dtype=float)
    phi = decay_factor(-x)[1]
    fed = 2 * time * phi
    above = xp.log(p + q * xp.exp(-x) + kappa * y * y * fed)
    gained = above - log_sum((log_q, fed), (-x, p), (0.0, q))
    after = y * xp.exp(-gained / 2)
    return Polar(log_q + gained + 2 * xp.log1p(after * after) - np.log(4.0), after)


def solve_shared(values: Mapping[str, Any]) -> PathwaySolution:
    """Strengths and losses with one hidden direction for both pathways.

    Args:
        values: as for `theory.pathways.solve_separate`; the same settings.

    Returns:
        Four `Strengths` and `Losses` of the full broadcast shape; each stage is solved only along the axes it depends on.
        Strengths are good to 1e-10 of the size of theta. Raises `WrongUse` for a name or value that does not exist.
    """
    v, shape = complete(values)
    xp = namespace(*v.values())
    start = Polar(2 * xp.log(xp.asarray(v["init_scale"], dtype=float)), 0.0)
    first = shared_stage(start, pretraining_pull(v), v["t_pre"])
    theta1 = strengths(first)
    second = shared_stage(first, post_training_pull(v, theta1, shared=True), v["t_post"])
    theta2 = strengths(second)
    if _without_decay(v["decay_ft"]):
        third = fine_tuned(second, v["sigma_ft"], v["t_ft"])
    else:
        third = shared_stage(second, fine_tuning_pull(v), v["t_ft"])
    theta3 = strengths(third)
    return PathwaySolution((strengths(start), theta1, theta2, theta3), pathway_losses(v, theta2, theta3, shape))


def _without_decay(decay: Array) -> bool:
    return not is_jax(decay) and not np.any(decay)


def predict_shared(values: Mapping[str, Any]) -> Losses:
    """The four losses with one hidden direction for both pathways; see `solve_shared`."""
    return solve_shared(values).losses
