"""Singular vectors that are chosen: what they do to the identity start of C.8, and what is refused."""

import json

import numpy as np
import pytest

import sims.commands.sweep as sweep
from common import results
from common.console import run
from common.settings import WrongUse
from sims import Setup, simulate
from sims.commands import commands
from sims.run import complete
from sims.tasks import problems
from sims.vectors import LARGEST, as_rows, read_vectors
from tests.sims.test_engine import block, check_losses, lane, losses_of, matrices
from tests.theory.reference import FullMatrix, orthogonal
from theory import predict

N = 6
VALUES = {"t_pre": 6.0, "t_post": 1.5, "t_ft": 1.0, "init_scale": 0.05, "alpha": 0.3}


def drawn(seed):
    generator = np.random.default_rng(seed)
    return orthogonal(generator, N), orthogonal(generator, N)


def given(u, v, **fields):
    return Setup(given_vectors=as_rows(u, v), **fields)


LATE = {"t_pre": 2.5, "t_post": 0.0, "t_ft": 0.0, "init_scale": 0.01, "alpha": 1.0}
"""D_post alone, until its slowest mode is half learned."""
START = {"init": "identity", "steps": (1500, 1, 1), "record": 1}


def gap(setup, **more):
    """How far loss_im is from that of aligned modes."""
    return np.abs(simulate(setup, LATE | more).losses.loss_im - predict(LATE).loss_im)


def test_the_identity_start_follows_the_closed_form_where_u_is_v_and_only_there():
    """Theory errata, C.8: aligned if U = V, whatever they are; otherwise modes couple in hidden space and are learned late."""
    u, v = drawn(0)
    assert gap(Setup(vectors="identity", **START)) < 0.005
    assert gap(given(u, u, **START)) < 0.005
    assert gap(given(u, v, **START | {"init": "aligned"})) < 0.005
    apart = gap(Setup(**START), seed=np.arange(16))
    assert np.all(apart > 0.01)
    assert np.median(apart) > 0.3


def test_an_unmatched_identity_start_is_not_aligned_and_its_slowest_mode_is_late():
    """And for U = -V no mode leaves 0."""
    u, v = drawn(1)
    matched, apart = (simulate(given(first, v, **START), LATE).trajectory for first in (v, u))
    np.testing.assert_allclose(matched.alignment, 1.0, rtol=1e-12)
    assert apart.alignment[0] < 0.9
    after_first = 1
    slowest = [seen.strengths[after_first, -1] for seen in (matched, apart)]
    assert slowest[0] == pytest.approx(0.42, abs=0.01)
    assert slowest[1] < 0.5 * slowest[0]
    short = simulate(given(-v, v, **START), LATE | {"t_pre": 1.5}).trajectory
    assert np.abs(short.strengths).max() < 1e-3  # until rounding errors, which grow as e^(2 s t), take over


def test_given_vectors_are_those_of_the_tasks_and_the_steps_follow():
    """Against full matrices in numpy, from identity weights; the same for every seed."""
    u, v = drawn(1)
    values = {"t_pre": 2.0, "t_post": 1.0, "t_ft": 0.5, "init_scale": 0.3, "alpha": 0.0, "seed": 4}
    setup = given(u, v, init="identity", steps=(40, 30, 20))
    problem = lane(block(setup, values).problem)
    np.testing.assert_array_equal(problem.outputs, u)
    np.testing.assert_array_equal(problem.features, v)
    reference = FullMatrix(np.ones(N))
    reference.u, reference.v, reference.w1, reference.w2 = u, v, 0.3 * np.eye(N), 0.3 * np.eye(N)
    pre, post, ft = [3, 3, 3, 3, 0.4, 0], [3, 3, 3, 3, 1.4, 0.9], [3, 3, 3, 3, 0.4, 0]
    some, after = [1] * 5 + [0], []
    for variance, sigma, rate, steps in ((some, pre, 0.05, 40), ([1] * 6, post, 1 / 30, 30), (some, ft, 0.025, 20)):
        reference.step(np.array(variance, dtype=float), np.array(sigma, dtype=float), rate, steps)
        after.append(losses_of(reference.w1 @ reference.w2, matrices(problem)))
    check_losses(simulate(setup, values), after[1], after[2], 1e-10)
    seeds = simulate(setup, values | {"seed": np.arange(3)}).losses.loss_ret
    assert len(set(seeds.tolist())) == 1


def test_giving_the_vectors_that_a_seed_draws_changes_nothing():
    setup, values = Setup(steps=(40, 30, 20), init="random"), VALUES | {"seed": 7, "rotation": 0.4}
    own = {name: np.full(16, float(value)) for name, value in complete(setup, values).items()}
    problem = lane(problems(setup, own))
    again = simulate(given(problem.outputs, problem.features, steps=(40, 30, 20), init="random"), values)
    np.testing.assert_allclose(np.array(again.losses), np.array(simulate(setup, values).losses), rtol=1e-10)


def test_chosen_vectors_count_in_the_setup_but_not_in_what_is_compiled():
    u, v = drawn(2)
    first, second = given(u, v), given(v, u)
    assert first != second
    assert hash(first) != hash(second)
    for part in ("kernel", "start", "tasks"):
        assert getattr(first, part) == getattr(second, part) == getattr(Setup(vectors="identity"), part)


@pytest.mark.parametrize(
    ("u", "v", "says"),
    [
        (np.eye(6)[:5], np.eye(6), r"\(5, 6\)"),
        (np.eye(6), np.eye(5), "6 x 6 and v 5 x 5"),
        (np.eye(6), np.eye(6) * (1 + 1e-7), "v are not orthonormal"),
        (np.eye(6), np.full((6, 6), np.nan), "not finite"),
        (np.eye(6), np.full((6, 6), 1e200), "not orthonormal"),
        ([[1, 0], [0]], np.eye(2), "not a matrix of numbers"),
        ("text", np.eye(2), "not a matrix of numbers"),
        (np.zeros((0, 0)), np.eye(2), "shape"),
    ],
)
def test_what_is_no_pair_of_orthogonal_matrices_is_refused(u, v, says):
    with pytest.raises(WrongUse, match=says):
        as_rows(u, v)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"n": 4}, "Set n to 6"),
        ({"vectors": "identity"}, "one or the other"),
        ({"problem": "pathways"}, "no singular vectors"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(fields, says):
    with pytest.raises(WrongUse, match=says):
        given(*drawn(0), **fields)


def test_other_wrong_choices_are_refused():
    with pytest.raises(WrongUse, match="no singular vectors"):
        Setup(problem="pathways", vectors="identity")
    with pytest.raises(WrongUse, match="two"):
        Setup(given_vectors=(as_rows(np.eye(6), np.eye(6))[0],))


def write(path, u, v):
    path.write_text(json.dumps({"u": np.asarray(u).tolist(), "v": np.asarray(v).tolist()}))
    return path


def test_files_are_read_to_the_last_digit_and_wrong_ones_refused(tmp_path):
    u, v = drawn(3)
    path = write(tmp_path / "vectors.json", u, v)
    assert read_vectors(path) == as_rows(u, v)
    wrong = {
        "not json": "cannot be read",
        json.dumps([1, 2]): "u and v",
        json.dumps({"u": u.tolist()}): "u and v",
        json.dumps({"u": u.tolist(), "v": (2 * v).tolist()}): "orthonormal",
        "[" * 100_000: "cannot be read",
    }
    for text, says in wrong.items():
        path.write_text(text)
        with pytest.raises(WrongUse, match=says):
            read_vectors(path)
    path.write_text(" " * (LARGEST + 1))
    with pytest.raises(WrongUse, match="MB"):
        read_vectors(path)
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(WrongUse, match="ordinary file"):
            read_vectors(missing)


SHORT = ("--steps", "60", "40", "30", "--init", "identity")
FIXED = ("t_pre=2", "t_post=1", "init_scale=0.3")


def command(*arguments):
    return run("sims", commands(), "test", [str(argument) for argument in arguments])


def test_the_command_line_takes_a_file_and_gives_the_library_numbers(capsys, outside):
    u, v = drawn(4)
    file = write(outside / "uv.json", u, v)
    values = {"t_pre": 2, "t_post": 1, "init_scale": 0.3}
    expected = simulate(given(u, v, init="identity", steps=(60, 40, 30)), values).losses.loss_ret
    assert command("run", *FIXED, *SHORT, "--record", 2, "--vectors-file", file, "--json") == 0
    got = json.loads(capsys.readouterr().out)
    assert got["losses"]["loss_ret"] == pytest.approx(float(expected), rel=1e-9)
    assert got["setup"]["given_vectors"][0] == u.tolist()
    assert command("sweep", "alpha=0.1,0.2", *FIXED, *SHORT, "--vectors-file", file, "--out", "one.parquet") == 0
    table = results.read(outside / "one.parquet")
    assert table["loss_ret"][1].as_py() == expected
    write(file, u, -v)
    assert command("sweep", "alpha=0.1,0.2", *FIXED, *SHORT, "--vectors-file", file, "--out", "two.parquet") == 0
    other = results.read(outside / "two.parquet")
    assert other["loss_ret"][1].as_py() != expected
    assert other["config_hash"][0].as_py() != table["config_hash"][0].as_py()
    capsys.readouterr()
    assert command("sweep", "alpha=0.1", *SHORT, "--vectors-file", file, "--vectors", "identity") == 2
    assert "one or the other" in capsys.readouterr().err
    assert command("sweep", "alpha=0.1", *SHORT, "--vectors-file", "none.json") == 2
    assert "none.json" in capsys.readouterr().err


def test_an_interrupted_sweep_does_not_go_on_with_other_vectors(capsys, outside, monkeypatch):
    """The file has another content in the second try, and the first two chunks of the first try are no use."""
    monkeypatch.setattr(sweep, "CHUNK", 16)
    u, v = drawn(5)
    file, done, original = write(outside / "uv.json", u, u), [], sweep.simulate

    def interrupted(*arguments, **more):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(1)
        return original(*arguments, **more)

    wanted = ("sweep", "alpha=0:0.4:48", *FIXED, *SHORT, "--vectors-file", file, "--out", "s.parquet")
    monkeypatch.setattr(sweep, "simulate", interrupted)
    assert command(*wanted) == 130
    monkeypatch.setattr(sweep, "simulate", lambda *arguments, **more: done.append(1) or original(*arguments, **more))
    write(file, u, v)
    done.clear()
    assert command(*wanted) == 0
    assert len(done) == 3
    alphas = np.linspace(0, 0.4, 48)
    values = {"t_pre": 2, "t_post": 1, "init_scale": 0.3, "alpha": alphas}
    expected = simulate(given(u, v, init="identity", steps=(60, 40, 30)), values).losses.loss_ret
    np.testing.assert_array_equal(results.read(outside / "s.parquet")["loss_ret"], expected)
