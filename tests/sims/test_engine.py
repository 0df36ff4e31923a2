"""The engine against slow, obvious references: plain numpy loops, enumerated masks, the gradient of a plain loss of one run."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sims import Setup, simulate
from sims.data import Examples, Fresh, Moments, draw, fold, normal, sample_moments, take_mixed
from sims.networks import Weights, forward, product
from sims.objectives import Mixture, Objective, anchor, dropout_penalty, gradient
from sims.pipeline import TIMES, prepare
from sims.run import complete
from sims.setup import LANES
from sims.tasks import problems
from tests.theory.reference import FullMatrix

STEPS = (40, 30, 20)
TIMES_HERE = {"t_pre": 4.0, "t_post": 2.0, "t_ft": 2.0, "init_scale": 0.3}


def block(setup, values):
    """What a block of equal runs starts from; all lanes hold the same run."""
    v = {name: np.full(LANES, float(value)) for name, value in complete(setup, values).items()}
    return prepare(
        setup.start, v, problems(setup, v), [v[name] / steps for name, steps in zip(TIMES, setup.steps, strict=True)]
    )


def lane(tree, index=0):
    return jax.tree.map(lambda array: np.asarray(array)[..., index], tree)


def matrices(problem):
    """A and C of each task of one run."""
    return [(t.readout @ problem.features.T, t.factor @ t.factor.T) for t in problem.tasks]


def losses_of(theta, tasks):
    """Losses on D_pre, D_post, D_ft."""
    return [float(np.trace((theta - a) @ c @ (theta - a).T)) for a, c in tasks]


def check_losses(simulation, after_post, after_ft, tolerance=1e-12):
    expected = [after_post[1], after_ft[1], after_ft[2], after_ft[0]]
    np.testing.assert_allclose(np.array(simulation.losses).ravel(), expected, rtol=tolerance, atol=1e-13)


def test_gradient_descent_is_that_of_full_matrices():
    """Random U, V, Q; the mixture as one stage of variance c and target (c s)/c; strengths, alignment and losses on the way."""
    values = {**TIMES_HERE, "alpha": 0.3, "replay": 0.2, "imbalance": 0.1, "seed": 5, "leakage": 0.2, "beta_ft": 0.3}
    setup = Setup(steps=STEPS, width=8, record=2, observe=(0.5, 1.0))
    start = block(setup, values)
    problem, weights = lane(start.problem), lane(start.weights)
    reference = FullMatrix(np.full(6, 0.09), 0.1, hidden=8)
    reference.u, reference.v = problem.outputs, problem.features
    reference.w2, reference.w1 = weights.layers
    np.testing.assert_allclose(reference.strength, 0.09, rtol=1e-12)
    kappa = reference.w1.T @ reference.w1 - reference.w2 @ reference.w2.T
    np.testing.assert_allclose(np.linalg.eigvalsh(kappa)[-6:], 0.1, rtol=1e-10)
    pre, post, ft = [3, 3, 3, 3, 0.4, 0], [3, 3, 3, 3, 1.4, 0.9], [3, 3, 3, 3, 0.4, 0.3]
    some, every = np.array([1.0] * 5 + [0]), np.ones(6)

    def mixture(weight):
        variance = some + weight * (every - some)
        return variance, ((1 - weight) * some * pre + weight * np.array(post)) / variance

    seen = [(reference.strength, reference.w1 @ reference.w2)]
    plan = [(mixture(0.3), 20, 0.1), (mixture(0.3), 20, 0.1), (mixture(0.8), 15, 2 / 30), (mixture(0.8), 15, 2 / 30)]
    plan += [((np.array([1, 1, 1, 1, 1, 0.2]), ft), 10, 0.1)] * 2
    for (variance, sigma), steps, rate in plan:
        reference.step(variance, np.asarray(sigma), rate, steps)
        seen.append((reference.strength, reference.w1 @ reference.w2))
    got = simulate(setup, values)
    tasks = matrices(problem)
    for index, part in enumerate((5, 6)):
        check = [losses_of(seen[4][1], tasks)[1], *(losses_of(seen[part][1], tasks)[i] for i in (1, 2, 0))]
        np.testing.assert_allclose([loss[index] for loss in got.losses], check, rtol=1e-12)
    np.testing.assert_allclose(got.trajectory.strengths, [s for s, _ in seen], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got.trajectory.losses, [losses_of(theta, tasks) for _, theta in seen], rtol=1e-11)
    np.testing.assert_allclose(got.trajectory.alignment, 1.0, rtol=1e-12)


def test_alignment_and_energy_are_what_they_say():
    """Where the start is random, against the definitions: |a|^2/|theta|^2, and the gradient of W_1 along the specialised input."""
    setup = Setup(steps=STEPS, init="random", record=1)
    values = {**TIMES_HERE, "seed": 3, "rotation": 0.4, "alpha": 0.25}
    start, got = block(setup, values), simulate(setup, values).trajectory
    problem, (inner, outer) = lane(start.problem), lane(start.weights).layers
    (a_pre, c_pre), (a_post, c_post), _ = matrices(problem)
    theta = outer @ inner
    strengths = np.array([problem.outputs[:, i] @ theta @ problem.features[:, i] for i in range(6)])
    np.testing.assert_allclose(got.strengths[0], strengths, rtol=1e-12)
    np.testing.assert_allclose(got.alignment[0], (strengths**2).sum() / (theta**2).sum(), rtol=1e-12)
    slope = 2 * outer.T @ (0.75 * (theta - a_pre) @ c_pre + 0.25 * (theta - a_post) @ c_post)
    only_post = problem.features[:, -1]
    np.testing.assert_allclose(got.post_only_energy[0], ((slope @ only_post) ** 2).sum() / (slope**2).sum(), rtol=1e-10)
    assert got.post_only_energy[-1] < 1e-12  # D_ft has no variance there


def test_tasks_are_the_definition_turned():
    """A_t = exp(rotation K_t) U diag(s_t) V' with rotations of about the asked angle, and correlated inputs under D_post."""
    values = {"seed": 2, "rotation": 0.5, "correlation": 0.6, "leakage": 0.3, "beta_ft": 0.2}
    problem = lane(block(Setup(), values).problem)
    u, v = problem.outputs, problem.features
    for matrix in (u, v):
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(6), atol=1e-14)
    sigma = ([3, 3, 3, 3, 0.4, 0], [3, 3, 3, 3, 1.4, 0.9], [3, 3, 3, 3, 0.4, 0.2])
    turns = [
        a @ v @ np.diag(1 / np.maximum(s, 1e-300)) @ u.T for (a, _), s in zip(matrices(problem), sigma, strict=True)
    ]
    for turn in turns[1:]:
        np.testing.assert_allclose(turn @ turn.T, np.eye(6), atol=1e-12)
        assert 0.2 < np.linalg.norm(turn - np.eye(6), 2) < 2.0
    assert np.abs(turns[1] - turns[2]).max() > 0.1
    correlated = np.eye(6)
    correlated[4, 5] = correlated[5, 4] = 0.6
    covariances = (np.diag([1.0] * 5 + [0]), correlated, np.diag([1.0] * 5 + [0.3]))
    for (_, c), expected in zip(matrices(problem), covariances, strict=True):
        np.testing.assert_allclose(v.T @ c @ v, expected, atol=1e-13)


def optax_formulas(name, slope, weights, rate, steps):
    """Momentum 0.9 and Adam (0.9, 0.999, 1e-8) as published, one matrix list at a time."""
    first = [np.zeros_like(w) for w in weights]
    second = [np.zeros_like(w) for w in weights]
    for step in range(1, steps + 1):
        made = slope(weights, step - 1)
        if name == "momentum":
            first = [g + 0.9 * m for g, m in zip(made, first, strict=True)]
            updates = first
        elif name == "adam":
            first = [0.9 * m + 0.1 * g for g, m in zip(made, first, strict=True)]
            second = [0.999 * m + 0.001 * g**2 for g, m in zip(made, second, strict=True)]
            updates = [
                (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
                for m, v in zip(first, second, strict=True)
            ]
        else:
            updates = made
        weights = [w - rate * u for w, u in zip(weights, updates, strict=True)]
    return weights


@pytest.mark.parametrize(("optimiser", "batch"), [("momentum", 0), ("adam", 0), ("gd", 5)])
def test_optimisers_are_their_formulas(optimiser, batch):
    """Three stages in numpy, each with a fresh optimiser; batches drawn with the keys of the stage, gradients by hand."""
    setup = Setup(steps=(12, 10, 8), optimiser=optimiser, batch=batch)
    noise = {"label_noise": 0.3} if batch else {}
    values = {"t_pre": 0.3, "t_post": 0.2, "t_ft": 0.1, "init_scale": 0.5, "seed": 9, "alpha": 0.4, **noise}
    start = block(setup, values)
    tasks, weights = matrices(lane(start.problem)), list(lane(start.weights).layers)
    shares = ([0.6, 0.4, 0], [0, 1, 0], [0, 0, 1])
    after = []
    for stage, share, name, steps in zip(start.stages, shares, TIMES, setup.steps, strict=True):

        def slope(weights, step, stage=stage, share=share):
            inner, outer = weights
            theta = outer @ inner
            if batch:
                mixture = stage.objective.mixture
                keys = fold(stage.keys, step)
                x, y = lane(take_mixed(setup, mixture.first, mixture.second, mixture.weights[0], keys))
                residual = 2 * (theta @ x - y) @ x.T / batch
            else:
                residual = 2 * sum(p * (theta - a) @ c for p, (a, c) in zip(share, tasks, strict=True))
            return [outer.T @ residual, residual @ inner.T]

        weights = optax_formulas(optimiser, slope, weights, values[name] / steps, steps)
        after.append(losses_of(weights[1] @ weights[0], tasks))
    check_losses(simulate(setup, values), after[1], after[2], 1e-9)


def plain_loss(setup, weights, x, y, share, start, decay, pull):
    """The loss of one run on examples (a column each, with shares), as one would write it."""

    linear = setup.activation == "linear"

    def layers(weights):
        if linear or not weights.adapter:
            return weights.layers
        return [w + b @ a for w, a, b in zip(weights.layers, weights.adapter[::2], weights.adapter[1::2], strict=True)]

    def answer(weights, inputs):
        first, *others = layers(weights)
        hidden = first @ inputs
        for layer in others:
            hidden = {"relu": lambda h: jnp.maximum(h, 0), "tanh": jnp.tanh, "linear": lambda h: h}[setup.activation](
                hidden
            )
            hidden = layer @ hidden
        return hidden + (weights.adapter[1] @ weights.adapter[0] @ inputs if linear and weights.adapter else 0)

    def theta(weights):
        return answer(weights, jnp.eye(x.shape[0]))

    moved = (
        jnp.sum((theta(weights) - theta(start)) ** 2)
        if linear
        else sum(jnp.sum((a - b) ** 2) for a, b in zip(layers(weights), layers(start), strict=True))
    )
    size = sum(jnp.sum(part**2) for part in jax.tree.leaves(weights))
    return jnp.sum(share * jnp.sum((answer(weights, x) - y) ** 2, axis=0)) + decay * size + pull * moved


@pytest.mark.parametrize(
    ("fields", "on"),
    [
        ({}, "moments"),
        ({"depth": 4, "init": "random", "width": 5}, "moments"),
        ({"rank": 2}, "moments"),
        ({"activation": "relu", "init": "random", "width": 7, "population": 9}, "pool"),
        ({"activation": "tanh", "init": "random", "width": 7, "population": 9}, "pool"),
        ({"activation": "tanh", "init": "random", "width": 7, "population": 9, "rank": 2}, "pool"),
    ],
)
def test_gradient_is_that_of_a_plain_loss(fields, on):
    """Mixture, decay and pull to the start included, against `jax.grad` of the loss of one run."""
    generator = np.random.default_rng(0)
    setup = Setup(**fields)
    shapes = [(setup.width, 6), *[(setup.width, setup.width)] * (setup.depth - 2), (6, setup.width)]
    adapter = [(2, 6), (6, 2)] if setup.rank else []
    if setup.rank and setup.activation != "linear":
        adapter = [(2, 6), (7, 2), (2, 7), (6, 2)]

    def draws(shapes):
        return tuple(jnp.asarray(generator.normal(size=(*shape, LANES))) for shape in shapes)

    weights, start = (Weights(draws(shapes), draws(adapter)) for _ in range(2))
    first, second = (Examples(*draws([(6, 9), (6, 9)])) for _ in range(2))
    p = generator.uniform(size=LANES)
    data = [sample_moments(part) for part in (first, second)] if on == "moments" else [first, second]
    decay, pull = generator.uniform(size=(2, LANES))
    mixture = Mixture(*data, jnp.ones((1, LANES)), jnp.asarray(p)[None])
    objective = Objective(mixture, jnp.asarray(decay), jnp.zeros(LANES), jnp.asarray(pull), anchor(setup, start))
    keys = jax.vmap(jax.random.key)(jnp.arange(LANES, dtype=jnp.uint32))
    made = jax.jit(lambda w: gradient(setup, objective, w, keys, jnp.asarray(0.5)))(weights)
    for i in (0, 7):
        x, y = (np.concatenate([lane(a, i), lane(b, i)], axis=1) for a, b in zip(first, second, strict=True))
        share = np.repeat([1 - p[i], p[i]], 9) / 9
        one = jax.grad(
            lambda w, i=i, x=x, y=y, share=share: plain_loss(setup, w, x, y, share, lane(start, i), decay[i], pull[i])
        )(lane(weights, i))
        for got, expected in zip(jax.tree.leaves(lane(made, i)), jax.tree.leaves(one), strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10)


def test_weight_of_a_mixture_follows_its_pieces():
    ends = jnp.asarray([[0.25], [1.0]])
    mixture = Mixture(None, None, ends, jnp.asarray([[0.8], [0.1]]))
    assert [float(mixture.weight(at)[0]) for at in (0.0, 0.2, 0.3, 0.99)] == [0.8, 0.8, 0.1, 0.1]


def all_masks(width, p):
    for kept in itertools.product([0.0, 1.0], repeat=width):
        yield np.array(kept) / (1 - p), (1 - p) ** sum(kept) * p ** (width - sum(kept))


def test_expected_dropout_is_the_mean_over_all_masks():
    """The penalty p/(1-p) sum_j |W2_j|^2 (W1 C W1')_jj, by enumerating the 2^4 masks; and sampled masks are such masks."""
    generator, p = np.random.default_rng(1), 0.3
    inner, outer, root = generator.normal(size=(4, 3)), generator.normal(size=(2, 4)), generator.normal(size=(3, 3))
    target, c = generator.normal(size=(2, 3)), root @ root.T

    def loss(theta):
        return np.trace((theta - target) @ c @ (theta - target).T)

    mean = sum(chance * loss(outer * mask @ inner) for mask, chance in all_masks(4, p))
    weights = Weights((jnp.asarray(inner)[..., None], jnp.asarray(outer)[..., None]), ())
    extra = float(dropout_penalty(weights, jnp.asarray(c)[..., None])[0])
    np.testing.assert_allclose(mean, loss(outer @ inner) + p / (1 - p) * extra, rtol=1e-12)


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_sampled_masks_are_drawn_with_their_probability(activation):
    """A gradient with sampled masks is that of one of the masked networks, each as often as it should be."""
    setup = Setup(n=2, k=1, width=2, dropout_masks="sampled", activation=activation, init="random", population=8)
    p, generator = 0.25, np.random.default_rng(2)
    layers = tuple(jnp.asarray(np.repeat(generator.normal(size=(2, 2, 1)), LANES, axis=2)) for _ in range(2))
    x, y = (np.repeat(generator.normal(size=(2, 8, 1)), LANES, axis=2) for _ in range(2))
    pool = Examples(jnp.asarray(x), jnp.asarray(y))
    data = sample_moments(pool) if activation == "linear" else pool
    zero = jnp.zeros(LANES)
    mixture = Mixture(data, data, jnp.ones((1, LANES)), zero[None])
    weights = Weights(layers, ())
    objective = Objective(mixture, zero, zero + p, zero, anchor(setup, weights))

    @jax.jit
    def slopes(step):
        keys = fold(jax.vmap(jax.random.key)(jnp.arange(LANES, dtype=jnp.uint32)), step)
        return gradient(setup, objective, weights, keys, jnp.asarray(0.5)).layers[1]

    drawn = np.concatenate([np.asarray(slopes(step)) for step in range(100)], axis=2)  # 1,600 masks
    inner, outer = (np.asarray(layer)[..., 0] for layer in layers)
    active = inner @ x[..., 0] if activation == "linear" else np.maximum(inner @ x[..., 0], 0)
    total = 0
    for mask, chance in all_masks(2, p):
        hidden = mask[:, None] * active
        expected = 2 * (outer @ hidden - y[..., 0]) @ hidden.T / 8
        share = np.isclose(drawn, expected[..., None], rtol=1e-9, atol=1e-12).all((0, 1)).mean()
        assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / 1600)
        total += share
    assert total == 1


def test_examples_have_the_moments_of_their_distribution():
    """C, M and the label noise of drawn examples, and the share of each source in a mixed batch."""
    setup, count = Setup(batch=2000), 20_000
    start = block(setup, {"correlation": 0.5, "label_noise": 0.4, "seed": 1, "alpha": 0.3})
    problem = lane(start.problem)
    source = start.stages[1].objective.mixture.second
    assert isinstance(source, Fresh)
    examples = draw(setup, source, start.stages[1].keys, count)
    x, y = lane(examples)
    a, c = matrices(problem)[1]
    near = 5 * np.abs(c).max() * np.sqrt(2 / count)
    np.testing.assert_allclose(x @ x.T / count, c, atol=near)
    np.testing.assert_allclose(y @ x.T / count, a @ c, atol=near * 3)
    np.testing.assert_allclose((y - a @ x).std(axis=1), 0.4, rtol=0.03)
    moments = sample_moments(examples)
    assert isinstance(moments, Moments)
    np.testing.assert_allclose(lane(moments).cross, y @ x.T / count, rtol=1e-10, atol=1e-12)
    mixture = start.stages[0].objective.mixture
    mixed = lane(take_mixed(setup, mixture.first, mixture.second, mixture.weights[0], start.stages[0].keys))
    from_post = np.abs(problem.features[:, -1] @ mixed.inputs) > 1e-12
    assert abs(from_post.mean() - 0.3) < 4 * np.sqrt(0.21 / 2000)
    lanes = np.asarray(normal(start.stages[0].keys, (100,)))
    np.testing.assert_array_equal(lanes, lanes[:, :1] + 0 * lanes)  # equal runs draw equally


def test_forward_with_the_identity_is_the_product():
    generator = np.random.default_rng(0)
    setup = Setup(depth=3, width=4, init="random", n=3, rank=1)
    layers = [(4, 3), (4, 4), (3, 4), (1, 3), (3, 1)]
    parts = [jnp.asarray(generator.normal(size=(*shape, LANES))) for shape in layers]
    weights = Weights(tuple(parts[:3]), tuple(parts[3:]))
    eye = jnp.repeat(jnp.eye(3)[:, :, None], LANES, axis=2)
    np.testing.assert_allclose(product(setup, weights), forward(setup, weights, eye), rtol=1e-12)
