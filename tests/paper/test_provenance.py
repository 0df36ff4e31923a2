"""The page of stored tables is that of the tables, every table has a command, and a cell is done again as it was."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from common.console import run
from common.published import RESULTS
from common.settings import WrongUse
from paper import answers, provenance
from paper import rerun as module
from paper.commands import COMMANDS
from paper.rerun import rerun

ROWS = pq.read_metadata(RESULTS / "theory/fits.parquet").num_rows


def call(*words):
    return run("paper", COMMANDS, "", list(words))


def test_the_page_is_that_of_the_tables():
    assert provenance.PAGE.read_text() == provenance.page(), "stale: run `python -m paper provenance`"


def test_every_table_says_what_makes_it():
    assert len(provenance.tables()) > 20
    for name in provenance.tables():
        assert provenance.command(name).startswith("python -m ")


@pytest.mark.parametrize(("name", "row"), [("theory/fits", 50), ("theory/fits", 4300), ("theory/verdicts", 6)])
def test_a_cell_of_theory_is_as_stored(name, row):
    assert rerun(name, row).differs == []


def test_a_simulated_cell_is_as_stored():
    found = rerun("sims/leakage", 100)
    assert found.differs == []
    assert set(found.stored) == {"loss_im", "loss_ret", "loss_ft", "loss_pre"}


def test_a_cell_that_was_altered_is_told(monkeypatch, capsys):
    """One loss of a stored row, changed by a millionth beyond the tolerance."""
    read = module.results.read

    def altered(path):
        table = read(path).slice(4300, 1)
        losses = pa.array([table["loss_ret"][0].as_py() * (1 + 3e-6)])
        return table.set_column(table.schema.get_field_index("loss_ret"), table.schema.field("loss_ret"), losses)

    monkeypatch.setattr(module.results, "read", altered)
    assert call("rerun", "theory/fits") == 1
    assert "differs from what is stored: loss_ret" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("lm/nano/controlled",), "python -m lm_experiments run controlled"),
        (("sims/verdicts",), "python -m sims verdicts"),
        (("theory/crosscheck",), "python -m theory crosscheck published"),
        (("sims/leakge",), "Did you mean sims/leakage"),
        (("theory/fits", "--row", str(ROWS)), f"from 0 to {ROWS - 1}"),
        (("theory/answers", "--row", "1"), "has no rows"),
    ],
)
def test_what_cannot_be_done_again_is_said_by_name(words, said, capsys):
    assert call("rerun", *words) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_answers_differ_by_name():
    assert answers.differences({"a": [1.0, {"b": "x"}]}, {"a": [1.0 + 1e-9, {"b": "x"}]}) == []
    (said,) = answers.differences({"a": [1.0, {"b": "x"}]}, {"a": [1.1, {"b": "x"}]})
    assert said.startswith("/a/0")
    assert len(answers.differences({"a": 1}, {"b": 1})) == 2


def test_the_stored_answers_are_of_the_commands_that_are_carried_out():
    import json

    kept = json.loads(answers.FILE.read_text())["answers"]
    assert {name: one["commands"] for name, one in kept.items()} == {
        name: [f"python -m {command}" for command in commands] for name, commands in answers.COMMANDS.items()
    }


def test_an_unknown_study_row_is_refused():
    with pytest.raises(WrongUse, match="no case of it"):
        module._simulated({"study": "leakage", "engine": "sims", "config_hash": "0" * 16})
