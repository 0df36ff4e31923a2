"""The results table: what it accepts, what it refuses, and that a file is whole or absent."""

import os
from threading import Thread

import numpy as np
import pyarrow.parquet as pq
import pytest

from common import results, seals, verdict_table
from common.published import RESULTS
from common.settings import WrongUse
from common.settings import WrongUse as SameWrongUse

ROW = {"engine": "theory", "study": "test", "config_hash": "0", "code_version": "0"}


def test_round_trip(tmp_path):
    made = results.table(
        ROW
        | {
            "alpha": np.array([0.0, 0.5]),
            "loss_im": [1.0, 2.0],
            "seed": [1, 2],
            "problem.beta": [0.1, 0.2],
            "problem.note": ["a", "b"],
        }
    )
    path = results.write(made, tmp_path / "sub" / "t.csv")
    assert results.read(path).equals(made)
    assert results.read(path, ["alpha"])["alpha"].to_pylist() == [0.0, 0.5]
    path = results.write(made, tmp_path / "sub" / "t.parquet")
    back = results.read(path)
    assert back.equals(made)
    assert back["problem.note"].to_pylist() == ["a", "b"]
    assert back["loss_ret"].null_count == 2
    assert back.schema.field("loss_im").metadata[b"about"]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"lambda": [0.1], "loss_im": [1.0]}, "lambda is no column"),
        ({"loss_im": [float("nan")]}, "loss_im is nan in row 0"),
        ({"loss_ret": [1.0, float("inf")]}, "loss_ret is inf in row 1"),
        ({"loss_im": [1.0], "alpha": [0.1, 0.2]}, "lengths"),
        ({"alpha": [0.1]}, "No row has a loss"),
        ({"loss_im": [1.0], "engine": [None]}, "engine"),
    ],
)
def test_bad_rows_are_refused(columns, says):
    with pytest.raises(WrongUse, match=says):
        results.table(ROW | columns)


def test_other_files_are_refused(tmp_path):
    for name, content in (("missing.parquet", None), ("text.parquet", b"not parquet"), ("empty.parquet", b"")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(WrongUse, match=name):
            results.read(tmp_path / name)
    whole = results.write(results.table(ROW | {"loss_im": np.ones(1000)}), tmp_path / "whole.parquet")
    (tmp_path / "cut.parquet").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(WrongUse, match=r"cut\.parquet"):
        results.read(tmp_path / "cut.parquet")
    pq.write_table(results.read(whole).drop_columns(["engine"]), tmp_path / "foreign.parquet")
    with pytest.raises(SameWrongUse, match="lacks the column engine"):
        results.read(tmp_path / "foreign.parquet")


def test_nothing_is_left_of_a_write_that_fails(tmp_path):
    path = tmp_path / "sweep.parquet"
    path.write_text("the previous result")

    def fail_half_way():
        with results.open_writer(path) as writer:
            writer.write(ROW | {"loss_im": [1.0]})
            raise RuntimeError("the machine went away")

    with pytest.raises(RuntimeError, match="went away"):
        fail_half_way()
    assert path.read_text() == "the previous result"
    assert [entry.name for entry in tmp_path.iterdir()] == ["sweep.parquet"]


def test_unwritable_places_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file" / "below.parquet", tmp_path, tmp_path / "t.json", tmp_path / "t"):
        with pytest.raises(WrongUse, match="cannot be written"), results.open_writer(place):
            raise AssertionError("the block must not run")


def test_code_version_names_the_release():
    assert results.code_version().startswith("0.1.0")


def test_a_flipped_bit_is_refused_and_never_read_as_other_numbers(tmp_path):
    numbers = np.linspace(1, 2, 200)
    table = results.table(ROW | {"loss_im": numbers, "loss_ret": numbers + 1})
    whole = results.write(table, tmp_path / "whole.parquet").read_bytes()
    draw, refused = np.random.default_rng(0), 0
    for bit in draw.integers(8 * len(whole), size=120).tolist():
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        (tmp_path / "damaged.parquet").write_bytes(damaged)
        try:
            assert results.read(tmp_path / "damaged.parquet").to_pylist() == table.to_pylist()
        except WrongUse:
            refused += 1
    assert refused > 60


def test_a_table_that_lacks_rows_is_placed_beside_the_one_that_has_them(tmp_path):
    path, beside = tmp_path / "study.parquet", tmp_path / "study.partial.parquet"

    def made(seeds, **more):
        return results.table(ROW | {"seed": seeds, "loss_im": np.arange(len(seeds)) + 1.0} | more)

    assert results.place(made([1]), path) == path
    results.write(made([1, 2], **{"lm.variant": ["a", "b"]}), path)
    assert results.place(made([1]), path) == beside
    assert results.place(made([2, 1, 3], code_version="1", wall_seconds=2.0), path) == path
    assert results.place(made([1, 2], **{"lm.variant": ["a", "a"]}), path, ["lm.variant"]) == beside
    assert results.place(made([1, 2], **{"lm.variant": ["a", "a"]}), path) == path
    path.write_bytes(path.read_bytes()[:-9])
    assert results.place(made([1]), path) == path


def test_any_flipped_bit_of_a_table_is_refused(tmp_path):
    """The footer included, where a name of a column is not guarded by the checksums of pages."""
    path = tmp_path / "table.parquet"
    results.write(results.table({**ROW, "problem.beta": [0.5, 1.0], "loss_ret": [1.0, 2.0]}), path)
    whole, said = path.read_bytes(), results.read(path)
    start = whole.index(seals.SEAL)
    name = whole.rindex(b"problem.beta")
    assert name > start, "the name stands behind the pages"
    for place in [name, name + 11, start + len(seals.SEAL), *range(0, len(whole), 97)]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert results.read(path).equals(said)
        except WrongUse:
            continue
        assert start <= place < start + len(seals.SEAL), "only the mark of the seal itself tells nothing"
    path.write_bytes(whole)
    assert pq.read_table(path).num_rows == 2  # other readers do not mind the seal
    pq.write_table(said, path)
    assert results.read(path).equals(said)  # nor we a file without one


@pytest.mark.parametrize("read", [results.read, verdict_table.read])
@pytest.mark.parametrize("name", ["pipe.parquet", "pipe.csv"])
def test_a_pipe_is_refused_and_not_waited_for(read, name, tmp_path):
    os.mkfifo(tmp_path / name)
    said = []

    def reading():
        with pytest.raises(WrongUse) as refused:
            read(tmp_path / name)
        said.append(str(refused.value))

    thread = Thread(target=reading, daemon=True)
    thread.start()
    thread.join(20)
    assert said
    assert "it is not an ordinary file" in said[0]


def test_names_that_are_not_utf_8_are_told_in_words(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.parquet")
    path.write_bytes(b"something")
    with pytest.raises(WrongUse, match=r"its name is not UTF-8\)"):
        results.read(path)


STORED = sorted(RESULTS.rglob("*.parquet"))


@pytest.mark.parametrize("path", STORED, ids=[str(path.relative_to(RESULTS)) for path in STORED])
def test_every_stored_table_is_sealed(path):
    assert seals.sealed(path)
    assert seals.intact(path)
