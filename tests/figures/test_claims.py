"""The page of claims: it is the one that the stored verdicts make, and its cells say what the verdicts say."""

from dataclasses import replace

from common.claims import STATEMENTS, UNPREDICTED
from common.console import run
from common.published import FOLDER
from common.verdicts import Verdict
from figures.claims import cell, page, stored, tables
from figures.commands import Claims
from figures.make import RESULTS

DOCS = FOLDER.parents[1] / "docs"
ONE = Verdict(
    claim="C1", engine="lm", model="nano", status="undecided", criterion="said", value=0.0, low=-1.0, high=1.0, n=8
)


def test_the_stored_page_is_the_one_of_the_stored_verdicts(tmp_path):
    assert {path.parent.name for path in tables(RESULTS)} >= {"lm", "sims"}
    assert (DOCS / "claims.md").read_text() == stored(RESULTS)
    assert (
        run("figures", {"claims": Claims, "other": Claims}, "test", ["claims", "--out", str(tmp_path / "page.md")]) == 0
    )
    assert (tmp_path / "page.md").read_text() == stored(RESULTS)


def test_every_claim_has_one_line_and_every_engine_a_column():
    lines = page([ONE, replace(ONE, engine="sims", claim="P1", status="supported")]).splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split(" | ")[0][2:] for line in table[1:]] == [name for name in STATEMENTS if name != UNPREDICTED]
    assert table[0].endswith("| lm | sims |")
    assert next(line for line in table if line.startswith("| C1 ")).endswith("| 1 undecided (1 model) | — |")
    assert next(line for line in table if line.startswith("| P1 ")).endswith("| — | 1 supported (1 model) |")


def test_a_cell_counts_models_and_says_what_is_primary_and_exploratory():
    main = replace(ONE, primary=True, status="refuted", exploratory=True)
    others = [replace(ONE, model="micro"), ONE, replace(ONE, status="supported")]
    said = cell([main, *others])
    assert (
        said
        == "primary, nano: refuted (exploratory); 1 supported (1 model); 1 refuted (1 model); 2 undecided (2 models); 1 exploratory"
    )
    assert cell([replace(ONE, exploratory=True)]) == "1 undecided (1 model); all exploratory"
    silent = replace(ONE, status="not testable here", value=None, low=None, high=None, n=None)
    assert cell([silent]) == "not testable here"
    assert cell([replace(silent, status="missing")]) == cell([]) == "—"
    valid, invalid = replace(ONE, gates="met"), replace(ONE, gates="fails V2", primary=True)
    assert cell([valid]) == "1 undecided (1 model, gates: met)"
    assert cell([valid, invalid]) == "primary, nano: undecided, gates: fails V2; 2 undecided (1 model, gates met by 1)"
