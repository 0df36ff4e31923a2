"""`python -m theory sweep`: the table that it promises, whole or not at all, however often it was killed."""

import pytest

from common import results
from tests.theory.test_cli import call, call_json
from theory import predict
from theory.commands import kept
from theory.grid import Grid, parse_axis


def test_sweep_writes_the_table_it_promises(capsys, outside):
    code, got = call_json(capsys, "sweep", "alpha=0:1:11", "t_ft=0.1,1", "--beta", "1.1", "--out", "s.parquet")
    assert code == 0
    assert got["points"] == 22
    table = results.read(outside / "s.parquet")
    rows = table.to_pylist()
    assert len(rows) == 22
    assert {row["problem.beta"] for row in rows} == {1.1}
    assert {row["config_hash"] for row in rows} == {got["config_hash"]}
    one = rows[13]
    expected = predict({"alpha": one["alpha"], "t_ft": one["t_ft"], "beta": 1.1})
    assert [one[name] for name in expected._fields] == pytest.approx([float(x) for x in expected], rel=1e-12)


def test_a_sweep_is_written_as_its_name_says(capsys, outside):
    for name in ("s.parquet", "s.csv"):
        assert call(capsys, "sweep", "alpha=0:0.3:4", "t_ft=0.1,1", "--beta", "1.1", "--out", name)[0] == 0
    assert (outside / "s.csv").read_text().startswith('"engine",')
    assert results.read(outside / "s.csv").equals(results.read(outside / "s.parquet"))


def test_streaming_writes_the_same_rows(capsys, outside):
    axes = ("alpha=0:1:70", "t_post=0:2:70", "t_ft=0.1:5:80:log")
    for name, more in (("whole", ()), ("streamed", ("--stream",))):
        assert call(capsys, "sweep", *axes, "--out", f"{name}.parquet", *more)[0] == 0
    assert results.read(outside / "whole.parquet").equals(results.read(outside / "streamed.parquet"))


class Killed(BaseException):
    """In the place of SIGKILL."""


@pytest.mark.parametrize("stream", [(), ("--stream",)], ids=["at once", "streamed"])
def test_a_killed_sweep_goes_on_where_it_was(stream, capsys, outside, monkeypatch):
    """Killed after two parts, and again with the second of three damaged: the bytes of a sweep left alone, and only the rest solved."""
    axes = ("alpha=0:1:5", "t_post=0:2:10", "t_ft=0.1:5:100:log")  # five blocks of 1,000
    command = ("sweep", *axes, *stream, "--out")
    monkeypatch.setattr("theory.commands.sweep.ROWS", 700)
    monkeypatch.setattr(Grid, "blocks", lambda grid, blocks=Grid.blocks: blocks(grid, 1_000))
    solved, settings, keep = [], Grid.settings, kept.Kept._keep
    monkeypatch.setattr(Grid, "settings", lambda *some: solved.append(some[1]) or settings(*some))
    assert call(capsys, *command, "whole.parquet")[0] == 0
    assert not (outside / ".whole.parts").exists()
    blocks, parts = len(solved), outside / ".killed.parts"

    def killed_after(count):
        def kept_or_killed(self, *some, **more):
            if len(self.files) == count:
                raise Killed
            keep(self, *some, **more)

        monkeypatch.setattr(kept.Kept, "_keep", kept_or_killed)
        with pytest.raises(Killed):
            call(capsys, *command, "killed.parquet")
        return sorted(parts.glob("*.npz"), key=lambda path: int(path.stem.split(".")[1].split("-")[0]))

    monkeypatch.setattr(kept, "SECONDS", -1)
    assert len(killed_after(2)) == 2
    _, second, _ = killed_after(3)
    second.write_bytes(second.read_bytes()[:-2000] + bytes(2000))
    solved.clear()
    monkeypatch.setattr(kept.Kept, "_keep", keep)
    code, _, told = call(capsys, *command, "killed.parquet")
    assert (code, told.count("is damaged"), "1,000 of 5,000 points were solved before" in told) == (0, 1, True)
    assert len(solved) == blocks - 1 == 4
    assert (outside / "killed.parquet").read_bytes() == (outside / "whole.parquet").read_bytes()
    assert {path.name for path in outside.iterdir()} == {"killed.parquet", "whole.parquet"}


def test_a_sweep_does_not_go_on_with_what_another_request_or_other_sources_solved(outside, monkeypatch):
    grid, told = Grid([parse_axis("alpha=0:1:5")]), []
    monkeypatch.setattr(kept, "SECONDS", -1)
    kept.Kept(grid, outside, "one", told.append).losses(lambda _: None)
    assert kept.Kept(grid, outside, "one", told.append).before == 5
    assert kept.Kept(grid, outside, "two", told.append).before == 0
    monkeypatch.setattr(kept, "fingerprint", lambda *_: "other")
    assert kept.Kept(grid, outside, "one", told.append).before == 0


def test_sweep_over_exposure_records_what_the_recipe_means(capsys, outside):
    code, _ = call_json(
        capsys, "sweep", "exposure=0,0.5,1", "--split", "compute-matched", "--post-time", "4", "--out", "e.parquet"
    )
    assert code == 0
    rows = results.read(outside / "e.parquet").to_pylist()
    assert [row["t_post"] for row in rows] == [4.0, 2.0, 0.0]
    assert [row["alpha"] for row in rows] == pytest.approx([0, 2 / 22, 4 / 24])
    assert {row["split"] for row in rows} == {"compute-matched"}


def test_a_full_disk_is_a_failure_that_leaves_nothing(capsys, outside, monkeypatch):
    import pyarrow.parquet as pq

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    code, _, err = call(capsys, "sweep", "alpha=0:1:3", "--out", "s.parquet")
    assert code == 1
    assert "No space left" in err
    assert list(outside.iterdir()) == []
