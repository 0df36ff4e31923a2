"""Low-rank post-training of nonlinear networks: LoRA on every matrix, merged after stage 2."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sims.pipeline as pipeline
from common.settings import WrongUse
from sims import Setup, simulate
from sims.networks import adapter_shapes, forward
from sims.pipeline import TIMES
from tests.sims.test_engine import block, lane

FIELDS = {"activation": "tanh", "init": "random", "width": 8, "population": 24, "steps": (60, 50, 40)}
VALUES = {"t_pre": 3.0, "t_post": 2.0, "t_ft": 1.0, "init_scale": 0.4, "seed": 3}


@pytest.fixture
def inside(monkeypatch):
    """A function that simulates and gives the weights before stage 2, with fresh adapters, at its end, and merged."""

    def look(setup, values):
        seen, add, merge = [], pipeline.adapted, pipeline.merged

        def adapted(setup, values, problem, weights, keys):
            made = add(setup, values, problem, weights, keys)
            seen.extend([weights, made[0]])
            return made

        def merged(setup, weights):
            seen.extend([weights, merge(setup, weights)])
            return seen[-1]

        monkeypatch.setattr(pipeline, "adapted", adapted)
        monkeypatch.setattr(pipeline, "merged", merged)
        return simulate(setup, values), *seen

    return look


@pytest.mark.parametrize("more", [{}, {"batch": 4, "optimiser": "adam"}, {"dropout_masks": "sampled"}])
def test_only_adapters_move_in_stage_two_and_they_have_their_rank(inside, more):
    setup = Setup(**FIELDS | more, rank=2)
    settings = {"dropout": 0.2} if "dropout_masks" in more else {}
    _, before, fresh, after, merged = inside(setup, VALUES | settings | {"replay": 0.2, "t_post": 0.5, "t_pre": 1.0})
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 5, 16)))
    np.testing.assert_array_equal(forward(setup, fresh, inputs), forward(setup, before, inputs))
    for part, layer in zip(fresh.adapter[::2], before.layers, strict=True):
        assert part.shape[:2] == (2, layer.shape[1])
        assert 0.05 < np.std(lane(part)) < 0.2  # adapter_scale = 0.1
    for first, last, whole in zip(before.layers, after.layers, merged.layers, strict=True):
        np.testing.assert_array_equal(first, last)
        values = np.linalg.svd(lane(whole) - lane(first), compute_uv=False)
        assert values[1] > 1e-4
        assert values[2:].max() < 1e-12
    np.testing.assert_allclose(forward(setup, merged, inputs), forward(setup, after, inputs), rtol=1e-12, atol=1e-14)
    assert not any(np.any(part) for part in merged.adapter)


def test_three_stages_are_those_of_a_plain_loop():
    """All weights, then the factors alone, then all weights again, by the gradient of a loss as one would write it."""
    setup = Setup(**FIELDS | {"steps": (8, 7, 6)}, rank=2)
    values = VALUES | {"t_pre": 0.4, "t_post": 0.7, "t_ft": 0.3, "alpha": 0.3, "replay": 0.2, "l2_to_start": 0.5}
    start = block(setup, values)
    layers = [jnp.asarray(layer) for layer in lane(start.weights).layers]
    adapters, _ = pipeline.adapted(
        setup.start, {"adapter_scale": np.full(16, 0.1)}, start.problem, start.weights, start.adapter_keys
    )
    factors = [jnp.asarray(part) for part in lane(adapters).adapter]
    pools = [[lane(p) for p in stage.objective.mixture[:2]] for stage in start.stages]

    def error(layers, x, y):
        return jnp.mean(jnp.sum((layers[1] @ jnp.tanh(layers[0] @ x) - y) ** 2, axis=0))

    def loss(layers, stage, weight):
        first, second = pools[stage]
        return (1 - weight) * error(layers, *first) + weight * error(layers, *second)

    def adapted(layers, factors):
        return [w + b @ a for w, a, b in zip(layers, factors[::2], factors[1::2], strict=True)]

    def second(factors, layers):
        moved = sum(jnp.sum((new - old) ** 2) for new, old in zip(adapted(layers, factors), layers, strict=True))
        return loss(adapted(layers, factors), 1, 0.8) + 0.5 * moved

    def descend(call, parts, name, steps):
        slope = jax.jit(jax.grad(call))
        for _ in range(steps):
            parts = [p - values[name] / steps * g for p, g in zip(parts, slope(parts), strict=True)]
        return parts

    def on(layers, task):
        x, y = lane(start.evaluation.inputs[task]), lane(start.evaluation.targets[task])
        return float(error(layers, x, y))

    layers = descend(lambda w: loss(w, 0, 0.3), layers, TIMES[0], 8)
    layers = adapted(layers, descend(lambda f: second(f, layers), factors, TIMES[1], 7))
    expected = [on(layers, 1)]
    layers = descend(lambda w: loss(w, 2, 0.0), layers, TIMES[2], 6)
    expected += [on(layers, task) for task in (1, 2, 0)]
    np.testing.assert_allclose(np.array(simulate(setup, values).losses), expected, rtol=1e-11)


def test_a_full_rank_adapter_reaches_the_loss_of_full_training():
    """And rank 1 does not: D_post moves two features, in both layers."""
    values = {"t_pre": 5.0, "t_post": 15.0, "t_ft": 0.0, "init_scale": 0.3, "alpha": 0.0, "sigma_inv": 1.0}
    losses = {}
    for rank in (None, 6, 1):
        setup = Setup(**FIELDS | {"population": 64, "steps": (200, 800, 1)}, rank=rank)
        made = simulate(setup, values | {"seed": np.arange(4)} | ({"adapter_scale": 1.0} if rank else {}))
        losses[rank] = made.losses.loss_im
    assert np.all(losses[None] < 0.2)  # from about 1 after stage 1
    assert np.all(losses[6] < 0.2)
    assert np.all(losses[1] > 1.5 * losses[None])


def test_a_matrix_gets_no_higher_rank_than_its_own():
    """Pathways have one output: rank 2 is full rank for the first matrix, and rank 1 for the second."""
    setup = Setup(problem="pathways", activation="relu", init="random", width=5, rank=2)
    assert adapter_shapes(setup) == [(2, 2), (5, 2), (1, 5), (1, 1)]
    assert adapter_shapes(Setup(problem="pathways", width=5, rank=1)) == [(1, 2), (1, 1)]
    with pytest.raises(WrongUse, match="Use at most 2"):
        Setup(problem="pathways", activation="relu", init="random", width=5, rank=3)
    with pytest.raises(WrongUse, match="Use at most 3"):
        Setup(activation="relu", init="random", width=3, rank=4)
    with pytest.raises(WrongUse, match="separate"):
        Setup(problem="pathways", units="separate", width=2, activation="relu", init="random", rank=1)


def test_no_bound_is_claimed_for_adapters_of_nonlinear_networks():
    made = simulate(Setup(**FIELDS, rank=2), VALUES)
    assert np.isinf(made.bounds).all()
    assert made.converged
