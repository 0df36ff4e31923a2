"""The site from small pictures: complete in itself, every figure with its caption, every link somewhere."""

import ast
import json
import re

import pytest

from common.claims import STATEMENTS
from common.settings import WrongUse
from figures.make import PICTURES
from gallery import build, standing
from gallery.captions import CAPTIONS


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, with a small picture in the place of every figure."""
    from PIL import Image

    figures, out = tmp_path_factory.mktemp("figures"), tmp_path_factory.mktemp("site")
    for name in PICTURES:
        Image.new("RGB", (8, 6), "purple").save(figures / f"{name}.png")
    build.build(out, figures, reference=False, step=lambda _: None)
    return out


def test_every_figure_has_a_caption_and_its_claims_exist():
    assert set(CAPTIONS) == set(PICTURES)
    assert {claim for caption in CAPTIONS.values() for claim in caption.claims} <= set(STATEMENTS)
    assert all(caption.finding.endswith(".") for caption in CAPTIONS.values())


def test_every_link_of_the_site_leads_somewhere_and_no_page_loads_from_a_network(site):
    for page in site.glob("*.html"):
        text = page.read_text()
        outside = re.sub(r"<script.*?</script>", "", text, flags=re.S)
        for link in re.findall(r'(?:href|src)="([^"]+)"', outside):
            if link.startswith("https://arxiv.org/"):
                continue
            file, _, anchor = link.partition("#")
            target = site / file if file else page
            assert target.exists() or file.startswith("reference/"), f"{page.name}: {link}"
            assert not anchor or f'id="{anchor}"' in target.read_text(), f"{page.name}: {link}"


def test_examples_are_notebooks_of_the_same_code(site):
    made = sorted((site / "notebooks").glob("*.ipynb"))
    assert [path.stem for path in made] == sorted(path.stem for path in (build.ROOT / "examples").glob("*.py"))
    for path in made:
        cells = json.loads(path.read_text())["cells"]
        code = "\n".join(cell["source"] for cell in cells if cell["cell_type"] == "code")
        script = (build.ROOT / "examples" / f"{path.stem}.py").read_text()
        assert ast.dump(ast.parse(code)) == ast.dump(ast.parse(script))
        assert cells[0]["source"].startswith("# ")
        assert len({cell["id"] for cell in cells}) == len(cells)


def test_a_figure_stands_beside_its_command_its_tables_and_its_claims(site):
    text = (site / "figures.html").read_text()
    card = text.partition('id="controls"')[2].partition("</section>")[0]
    assert CAPTIONS["controls"].finding in card
    assert "python -m figures make controls" in card
    assert "paper/results/lm/nano/controlled.parquet" in card
    assert STATEMENTS["D1"] in card
    assert standing.standings()["D1"].partition(";")[0] in card


def test_formulas_become_mathml(site):
    text = (site / "theory.html").read_text()
    assert text.count("<math") > 50
    assert not re.search(r"\$[^$\n]{1,40}\$", re.sub(r"<(code|pre)>.*?</\1>", "", text, flags=re.S))


def test_the_answers_are_the_tables_numbers(monkeypatch):
    changes = standing.answer("headline")["paper"]["loss_ret"]
    assert f"{sum(changes) / len(changes):+.3f}" in standing.helps()["answer"]
    moved = {"paper": {"loss_im": [0.1, 0.3], "loss_ret": [-0.5]}}
    monkeypatch.setattr(standing, "answer", {"headline": moved}.__getitem__)
    assert "+0.200 nats" in standing.helps()["answer"]
    assert "-0.500" in standing.helps()["answer"]


def test_a_missing_picture_is_an_error_that_names_the_command(tmp_path):
    with pytest.raises(WrongUse, match="python -m figures make overlay"):
        build.build(tmp_path / "site", tmp_path, reference=False, step=lambda _: None)
    assert not (tmp_path / "site").exists()
