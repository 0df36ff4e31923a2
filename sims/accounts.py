"""Networks that realise the accounts of protection, as two halves of one kind, and the arms that tell the accounts apart.

    plain       independent modes, 16 units, small random start                    plain: what is protected is visible in loss_im
    rp          redundant pathways, a unit each, stage 1 ends at their threshold    pathways
    rp-shared   redundant pathways, 16 connected units, small random start          pathways
    redundant   redundant features, a large output layer, D_post rare               S, as its law Slin

Every problem stands twice, with inputs and outputs of its own: half A and half B of D_post. They share the hidden layer where units are
connected. The arms, of which those with the same seed start from the same weights:

    unmixed    stage 1 on D_pre                   half      stage 1 on D_pre and half A of D_post
    mixed      stage 1 on D_pre and D_post        held      unmixed, stage 2 held to its start so that |theta_post - theta_pre| is mixed's
    grafted    unmixed after stage 2, plus what exposure changed in stage 1: the weights of mixed minus those of unmixed
    pruned     mixed after stage 2, minus that

Stages 2 and 3 are D_post (both halves) and D_ft; afterwards D_post once more. Two layers, full-batch gradient descent on moments, seeds
leading: so small that numpy is done before a compiler would have begun; `tests/sims/test_mechanisms.py` lays it beside `sims.simulate`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Float
from sims.setup import Setup
from theory.features import TASKS
from theory.laws.mechanism import targets

ARMS = ("unmixed", "mixed", "half", "held", "grafted", "pruned")
WEAKEST, STRONGEST = 1e-3, 10.0
"""Weights of the pull to the start of stage 2 between which it is looked for; at the largest, descent is still stable here."""
TRIES = 9
"""Of that weight; the displacement is then off by less than a thousandth."""
LOOKS = 40
"""Into stage 3, at equal ratios of steps."""


class Task(NamedTuple):
    """What is asked, and of which inputs."""

    target: Float[np.ndarray, "outputs inputs"]
    """A."""
    factor: Float[np.ndarray, "inputs latents"]
    """F, of the input covariance F F'; latents of the halves alternate."""

    @property
    def moments(self) -> tuple[Array, Array]:
        """C = F F' and M = A C."""
        second = self.factor @ self.factor.T
        return second, self.target @ second

    def of_half(self, half: int) -> "Task":
        """The same where the inputs of the other half are silent."""
        return Task(self.target, self.factor * (np.arange(self.factor.shape[1]) % 2 == half))

    def leaking(self, own: Array, leak: float) -> "Task":
        """The same where further features have a variance, too."""
        return Task(self.target, np.concatenate([self.factor, leak**0.5 * np.diag(own)], axis=1))


class Problem(NamedTuple):
    """D_pre, D_post and D_ft of both halves."""

    pre: Task
    post: Task
    ft: Task
    own: Float[np.ndarray, " inputs"]
    """1 for the features that only D_post uses, 0 for the others."""


class Weights(NamedTuple):
    """The two layers, seeds leading: theta = outer inner."""

    inner: Float[np.ndarray, "seeds width inputs"]
    outer: Float[np.ndarray, "seeds outputs width"]

    @property
    def theta(self) -> Array:
        """What the network computes."""
        return self.outer @ self.inner

    def add(self, other: "Weights", scale: Any = 1.0) -> "Weights":
        """Weights moved along others; one scale for all, or one a seed."""
        spread = np.asarray(scale)[..., None, None]
        return Weights(self.inner + spread * other.inner, self.outer + spread * other.outer)


class Arm(NamedTuple):
    """One arm along the stages."""

    pre: Weights
    post: Weights
    path: list[Weights]
    """Through stage 3, from its start to its end."""
    back: Weights
    """After D_post once more."""
    pull: Float[np.ndarray, " seeds"]
    """Weight of the pull to the start of stage 2."""


def problem(setup: Setup, values: Mapping[str, Any]) -> Problem:
    """The tasks of `sims.tasks`, twice, along the coordinate axes.

    Args:
        setup: the family and size of one half.
        values: its settings, one number each.
    """
    if setup.problem == "pathways":
        chi = values["correlation"]
        post = Task(
            np.array([[values["sigma_post"], values["beta"]]]), np.array([[1.0, 0.0], [chi, (1 - chi**2) ** 0.5]])
        )
        pre, ft = (Task(np.array([[values[name], 0.0]]), np.diag([1.0, 0.0])) for name in ("sigma_pre", "sigma_ft"))
        own = np.array([0.0, 1.0])
    elif setup.problem == "redundant":
        n, none = setup.n, np.zeros((setup.n, setup.n))
        rates, wanted = targets(values, n)
        shared = np.sqrt(values["overlap"] / (1 - values["overlap"]) * rates)
        features = np.concatenate([np.diag(np.sqrt(rates)), np.diag(shared)])
        post = Task(np.concatenate([np.diag(np.sqrt(wanted / rates)), none], axis=1), features)
        held = np.concatenate([none, values["hold"] ** 0.5 * np.eye(n)])
        pre = ft = Task(np.zeros((n, 2 * n)), held)
        own = np.repeat([1.0, 0.0], n)
    else:
        sizes = np.repeat(np.arange(3), [setup.n - 2 * setup.k, setup.k, setup.k])
        beta = {"pre": 0.0, "post": values["beta"], "ft": values["beta_ft"]}
        seen = {"pre": 0.0, "post": 1.0, "ft": values["leakage"] ** 0.5}
        pre, post, ft = (
            Task(
                np.diag(np.array([values["sigma_inv"], values[f"sigma_{name}"], beta[name]])[sizes]),
                np.diag(np.array([1.0, 1.0, seen[name]])[sizes]),
            )
            for name in TASKS
        )
        own = (sizes == 2).astype(float)
    first, second, third = (Task(*(np.kron(part, np.eye(2)) for part in task)) for task in (pre, post, ft))
    return Problem(first, second, third, np.repeat(own, 2))


def there(setup: Setup) -> tuple[Float[np.ndarray, "width inputs"], Float[np.ndarray, "outputs width"]]:
    """1 where a network has a weight: everywhere; a separate unit sees one input and serves the outputs of its own half."""
    if setup.units == "connected":
        return np.ones((setup.width, setup.inputs)), np.ones((setup.outputs, setup.width))
    same = np.equal.outer(np.arange(setup.outputs) % 2, np.arange(setup.width) % 2)
    return np.eye(setup.width), same.astype(float)


def start(setup: Setup, values: Mapping[str, Any], seeds: Sequence[int]) -> Weights:
    """The weights before stage 1, as `sims.networks.initial` has them, an aligned hidden basis being the coordinate axes."""
    scale, masks = values["init_scale"], there(setup)
    if setup.units == "separate":
        layers = [np.repeat(scale * mask[None], len(seeds), 0) for mask in masks]
    elif setup.init == "random":
        draws = [np.random.default_rng(seed) for seed in seeds]
        layers = [scale * np.stack([draw.standard_normal(mask.shape) for draw in draws]) for mask in masks]
    else:
        kappa = values["imbalance"]
        square = (kappa**2 + 4 * scale**4) ** 0.5
        outer = ((square + kappa) / 2) ** 0.5
        sizes = (scale**2 / outer, outer)
        layers = [
            np.repeat(size * np.eye(*mask.shape)[None], len(seeds), 0) for size, mask in zip(sizes, masks, strict=True)
        ]
    return Weights(*layers)


def gradient(setup: Setup, weights: Weights, moments: tuple[Array, Array]) -> Weights:
    """Of `<theta C - 2 M, theta>`, 0 where there is no weight."""
    second, cross = moments
    residual = 2 * (weights.theta @ second - cross)
    inner, outer = there(setup)
    return Weights(weights.outer.swapaxes(1, 2) @ residual * inner, residual @ weights.inner.swapaxes(1, 2) * outer)


def descend(
    setup: Setup,
    weights: Weights,
    moments: tuple[Array, Array],
    time: float,
    steps: int,
    pull: Any = 0.0,
    edges: Sequence[int] = (),
) -> list[Weights]:
    """Gradient descent for a flow time; the weights after the steps named, and at the end.

    Args:
        setup: the network.
        weights: where it starts.
        moments: C and M of what it descends.
        time: flow time.
        steps: how many.
        pull: weight of `|theta - theta_0|^2`, one for all or one a seed: so much more of C, on which theta_0 is asked for.
        edges: in rising order.
    """
    spread = np.asarray(pull, dtype=float)[..., None, None]
    second, cross = moments
    held = second + spread * np.eye(len(second)), cross + spread * weights.theta
    kept = []
    for step in range(1, steps + 1):
        weights = weights.add(gradient(setup, weights, held), -time / steps)
        if step in edges:
            kept.append(weights)
    return [*kept, weights]


def moved(since: Weights, until: Weights) -> Float[np.ndarray, " seeds"]:
    """`|theta - theta_0|`."""
    made: Float[np.ndarray, " seeds"] = np.sqrt(((until.theta - since.theta) ** 2).sum((1, 2)))
    return made


def pull_to(
    setup: Setup, weights: Weights, moments: tuple[Array, Array], time: float, steps: int, distance: Array
) -> Array:
    """Weight of the pull to its start with which stage 2 moves theta by a distance; 0 where it does not move that far by itself."""

    def off(logs: Array) -> Array:
        return np.log(moved(weights, descend(setup, weights, moments, time, steps, np.exp(logs))[-1]) / distance)

    # false position in the logarithm of the weight, where an end that stays counts half (Illinois)
    low, high = np.full_like(distance, np.log(WEAKEST)), np.full_like(distance, np.log(STRONGEST))
    at_low, at_high = off(low), off(high)
    free = at_low <= 0
    for _ in range(TRIES):
        gap = at_high - at_low
        part = np.where(gap != 0, at_high / np.where(gap != 0, gap, 1.0), 0.0)
        found = np.clip(
            high - part * (high - low), np.log(WEAKEST), np.log(STRONGEST)
        )  # nothing lies between where it is free
        here = off(found)
        same = here * at_high > 0
        low, at_low = np.where(same, low, high), np.where(same, at_low / 2, at_high)
        high, at_high = found, here
    return np.where(free, 0.0, np.exp(high))


def train(setup: Setup, on: Problem, values: Mapping[str, Any], begun: Weights, back: float) -> dict[str, Arm]:
    """All arms.

    Args:
        setup: the network.
        on: the tasks.
        values: with alpha, t_pre, t_post and t_ft.
        begun: the weights before stage 1.
        back: flow time of D_post after stage 3.
    """
    first, second, third = setup.steps
    pre, post, ft = on.pre.moments, on.post.moments, on.ft.moments
    edges = {round(third ** (i / LOOKS)) for i in range(LOOKS)}
    made: dict[str, Arm] = {}

    def finish(name: str, before: Weights, after: Weights, pull: Any = 0.0) -> None:
        path = [after, *descend(setup, after, ft, values["t_ft"], third, edges=sorted(edges - {third}))]
        again = descend(setup, path[-1], post, back, third)[-1]
        made[name] = Arm(before, after, path, again, np.broadcast_to(pull, len(after.inner)))

    for name, exposed in (("unmixed", pre), ("mixed", post), ("half", on.post.of_half(0).moments)):
        mixture = tuple(
            a + values["alpha"] * (b - a) if name != "unmixed" else a for a, b in zip(pre, exposed, strict=True)
        )
        before = descend(setup, begun, (mixture[0], mixture[1]), values["t_pre"], first)[-1]
        finish(name, before, descend(setup, before, post, values["t_post"], second)[-1])
    mixed, unmixed = made["mixed"], made["unmixed"]
    stage = (setup, unmixed.pre, post, values["t_post"], second)
    pull = pull_to(*stage, moved(mixed.pre, mixed.post))
    finish("held", unmixed.pre, descend(*stage, pull)[-1], pull)
    finish("grafted", unmixed.pre, unmixed.post.add(mixed.pre).add(unmixed.pre, -1))
    finish("pruned", mixed.pre, mixed.post.add(mixed.pre, -1).add(unmixed.pre))
    return made
