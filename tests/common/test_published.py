"""The published numbers: complete, consistent between figures, and refused when damaged."""

import csv

import pytest

from common.published import FOLDER, FRONTIER_FIGURES, load
from common.settings import WrongUse


@pytest.mark.parametrize("figure", [3, *FRONTIER_FIGURES])
def test_every_marker_is_loaded(figure):
    lines = list(csv.DictReader((FOLDER / f"figure{figure}.csv").read_text().splitlines()))
    table = load(figure)
    assert table.num_rows == (len(lines) if figure != 3 else len(lines) // 2)
    values = {
        round(v, 6)
        for name in ("loss_im", "loss_ret", "loss_ft", "loss_pre")
        for v in table[name].to_pylist()
        if v is not None
    }
    for line in lines:
        assert {float(line[c]) for c in (("loss",) if figure == 3 else ("x", "y"))} <= values
    assert set(table["scale"].to_pylist()) == {"135M" if figure <= 7 else "1B"}


def test_stars_are_the_lowest_retained_losses():
    rows = load(3).to_pylist()
    for split in ("independent", "compute-matched"):
        for size in (30_000_000, 150_000_000, 300_000_000):
            mine = [row for row in rows if row["split"] == split and row["tokens_post"] == size]
            assert [row["exposure"] for row in mine] == [0.0, 0.25, 0.5, 0.75, 1.0]
            assert [row["published.starred"] for row in mine].count(1) == 1
            assert min(mine, key=lambda row: row["loss_ret"])["published.starred"] == 1


def test_a_checkpoint_drawn_twice_has_the_same_losses():
    left = {
        (r["loss_ret"], r["loss_ft"])
        for r in load(2).to_pylist()
        if r["published.panel"] == "a_left" and r["method"] == "unmixed"
    }
    again = {
        (r["loss_ret"], r["loss_ft"])
        for r in load(6).to_pylist()
        if r["published.panel"] == "a_left" and r["method"] == "unmixed"
    }
    assert len(left & again) > 20


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(WrongUse, match="2 to 12"):
        load(1)
    with pytest.raises(WrongUse, match=r"figure5\.csv"):
        load(5, tmp_path)
    (tmp_path / "figure6.csv").write_text("figure,panel\n6,a\n")
    with pytest.raises(WrongUse, match="damaged"):
        load(6, tmp_path)
