"""Sweeps: the fast grid against one setting at a time, independence of blocks and threads, wrong axes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.recipe import Recipe
from common.settings import WrongUse
from theory import Budget, predict, realise
from theory.grid import Axis, Grid, evaluate, parse_axis, pieces
from theory.models import MODELS


def grid_of(*texts, **more):
    return Grid([parse_axis(text) for text in texts], **more)


def test_axis_forms():
    assert np.allclose(parse_axis("alpha=0:1:5").values, [0, 0.25, 0.5, 0.75, 1])
    assert np.allclose(parse_axis("t_ft=0.01:100:5:log").values, [0.01, 0.1, 1, 10, 100])
    assert np.allclose(parse_axis("beta=0.3,1,2").values, [0.3, 1, 2])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gamma=1,2", "no setting"),
        ("alpha", "no values"),
        ("alpha=", "empty"),
        ("alpha=0:1", "not understood"),
        ("alpha=0:1:0", "at least one"),
        ("alpha=0:1:-3", "at least one"),
        ("alpha=0:1:2.5", "not understood"),
        ("alpha=a,b", r"not understood \('a' is no number\)"),
        ("alpha=0:1:5,nan", r"not understood \('5,nan' is no number of points\)"),
        ("alpha=0:2:5", "outside its range"),
        ("t_pre=-1,2", "outside its range"),
        ("t_ft=0:1:5:log", "positive"),
        ("t_ft=0:1:5:cubic", "not understood"),
        ("t_ft=nan,1", "not finite"),
        ("t_ft=0:inf:5", "finite"),
        ("depth=2.5,3", "whole"),
    ],
)
def test_wrong_axes_say_what_to_do(text, says):
    with pytest.raises(WrongUse, match=says):
        grid_of(text)


def test_each_model_has_its_own_axes():
    assert grid_of("correlation=0,1", model="rp").size == 2
    with pytest.raises(WrongUse, match="plain"):
        grid_of("correlation=0,1")
    with pytest.raises(WrongUse, match="rp-shared"):
        grid_of("depth=2,3", model="rp-shared")
    with pytest.raises(WrongUse, match="model = 'deep'"):
        grid_of("alpha=0,1", model="deep")


@pytest.mark.parametrize("model", ["rp", "rp-shared"])
def test_a_pathway_grid_equals_its_points(model):
    grid = grid_of("alpha=0:0.1:4", "correlation=0,0.7,1", "t_ft=0.1,2", model=model)
    losses = evaluate(grid)
    points = grid.coordinates(0, grid.size)
    for i in (0, 7, 23):
        one = MODELS[model].predict({name: float(v[i]) for name, v in points.items()})
        assert np.allclose(losses[:, i], [float(x) for x in one], rtol=1e-6, atol=1e-12)


def test_wrong_grids_say_what_to_do():
    with pytest.raises(WrongUse, match="at least one axis"):
        Grid([])
    with pytest.raises(WrongUse, match="twice"):
        grid_of("alpha=0,1", "alpha=0,1")
    with pytest.raises(WrongUse, match="2k"):
        grid_of("k=1,4")
    with pytest.raises(WrongUse, match="decided by exposure"):
        grid_of("alpha=0,1", "exposure=0,1")


@pytest.mark.parametrize(
    "texts",
    [
        ("alpha=0:1:7", "t_post=0:3:5", "t_ft=0.1:10:9:log"),
        ("t_ft=0.1:10:9:log", "alpha=0:1:7", "beta=0.3,0.9", "n=4,6", "k=1,2"),
        ("depth=2,3,4", "alpha=0:1:5", "init_scale=1e-3,1e-2"),
        ("decay_ft=0,0.1", "leakage=0,0.2", "replay=0,0.3"),
        ("imbalance=0,0.1", "sigma_pre=0,0.5"),
        ("alpha=0:1:5003",),
    ],
)
def test_a_grid_equals_its_points(texts):
    grid = grid_of(*texts)
    losses = evaluate(grid, workers=2)
    points = grid.coordinates(0, grid.size)
    for i in np.random.default_rng(0).integers(0, grid.size, 60):
        one = predict({name: int(v[i]) if name == "depth" else float(v[i]) for name, v in points.items()})
        assert np.allclose(losses[:, i], [float(x) for x in one], rtol=1e-12, atol=1e-15)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 200))
def test_blocks_tile_the_grid_in_order(shape, size):
    names = ["alpha", "t_pre", "t_post", "t_ft"]
    grid = Grid([Axis(name, np.linspace(0.1, 0.9, n)) for name, n in zip(names, shape, strict=False)])
    expected = 0
    for first, start, stop in grid.blocks(size):
        count = int(np.prod([b - a for a, b in zip(start, stop, strict=True)]))
        assert first == expected
        assert count <= max(size, 1)
        assert first == np.ravel_multi_index(start, grid.shape)
        expected += count
    assert expected == grid.size


def test_threads_and_pieces_do_not_change_a_bit():
    grid = grid_of("alpha=0:1:60", "t_post=0:3:50", "t_ft=0.1:10:40:log")
    whole = evaluate(grid, workers=1)
    assert np.array_equal(whole, evaluate(grid, workers=3))
    parts = list(pieces(grid, 7000))
    assert [part[0] for part in parts[1:]] == [part[1] for part in parts[:-1]]
    assert np.array_equal(whole, np.concatenate([part[2] for part in parts], axis=1))


def test_exposure_axes_go_through_the_recipe():
    recipe, budget = Recipe(split="compute-matched"), Budget(pre_time=12.0)
    grid = grid_of("exposure=0,0.4,1", "post_time=1,3", recipe=recipe, budget=budget)
    losses = evaluate(grid)
    points = grid.coordinates(0, grid.size)
    for i in range(grid.size):
        one = predict(
            realise(
                replace(recipe, exposure=points["exposure"][i]), Budget(pre_time=12.0, post_time=points["post_time"][i])
            )
        )
        assert np.allclose(losses[:, i], [float(x) for x in one], rtol=1e-12)
