"""The site: every figure with its finding, command, tables and claims; claims, errata, mathematics, the explorer, the reference of names.

    docs/*.md, README.md          -> pages
    out/figures/*.png             -> figures, in fewer colours
    paper/results/*/verdicts      -> how every claim stands
    gallery.formulas, assets/     -> the explorer
    examples/*.py                 -> notebooks

It opens from disk: no page asks a network for anything.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common.claims import STATEMENTS
from common.files import atomic_write, target
from common.losses import LOSSES
from common.published import RESULTS
from common.settings import WrongUse
from figures.claims import stored
from figures.make import PICTURES
from gallery import explorer
from gallery.captions import CAPTIONS
from gallery.notebooks import notebook
from gallery.pages import asset, html, rendered
from gallery.standing import answers, standings

ROOT = Path(__file__).resolve().parent.parent
COLOURS = 128
"""Colours of a figure's picture in the site."""
ROOMS = ("common", "theory", "sims", "lm_experiments", "figures")


def build(out: Path, figures: Path, *, reference: bool, step: Callable[[str], None]) -> list[Path]:
    """Write the site.

    Args:
        out: folder for it.
        figures: folder with the PNG of every figure that its tables allow.
        reference: whether the public names are documented too, by pdoc.
        step: hears of every part that is done.

    Returns:
        What was written, index.html first.

    Raises:
        WrongUse: a figure is missing, or this is not a checkout.
    """
    if not (ROOT / "docs").exists():
        raise WrongUse(
            f"{ROOT} is not a checkout: the site is made of docs/ and README.md. Clone the repository and run it there."
        )
    cards = figure_cards(figures)
    written = []

    def write(name: str, text: str) -> None:
        path = target(out / name)
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")
        written.append(path)
        step(name)

    examples = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.py"))}
    titles = {name: text.split("\n# # ")[1].partition("\n")[0] for name, text in examples.items()}
    front = {"answers": answers(), "words": words(), "reference": reference, "notebooks": titles}
    write("index.html", rendered("index.html", "index.html", **front))
    for name, text in examples.items():
        write(f"notebooks/{name}.ipynb", json.dumps(notebook(text), indent=1) + "\n")
    write("figures.html", rendered("figures.html", "figures.html", cards=cards))
    for card in cards:
        written.append(fewer_colours(figures / f"{card['name']}.png", out / "figures" / f"{card['name']}.png"))
    step("pictures")
    write("explorer.html", explorer_page())
    write("claims.html", rendered("claims.html", "text.html", body=html(stored(RESULTS))))
    write("errata.html", rendered("errata.html", "errata.html", errata=errata()))
    for name in ("theory", "studies", "your-own-run"):
        write(
            f"{name}.html",
            rendered(
                f"{name}.html", "text.html", body=html((ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8"))
            ),
        )
    if reference:
        written += document(out / "reference")
        step("reference")
    return written


def explorer_page() -> str:
    """The explorer, complete in itself."""
    program = explorer.scripts(asset)
    return rendered("explorer.html", "explorer.html", data=explorer.data(), program=program, losses=LOSSES)


def figure_cards(figures: Path) -> list[dict[str, Any]]:
    """What is said of every figure whose tables are there, in the order of `figures list`. Raises `WrongUse` where a picture is missing."""
    stand = standings()
    cards = []
    for name, picture in PICTURES.items():
        if picture.missing() is not None:
            continue
        if not (figures / f"{name}.png").exists():
            raise WrongUse(
                f"{figures / name}.png is missing. Draw all figures with `make figures`, or this one with `python -m figures make {name}`."
            )
        caption = CAPTIONS[name]
        cards.append({
            "name": name,
            "finding": caption.finding,
            "command": f"python -m figures make {name}",
            "tables": [provenance(path, command) for _, path, command in picture.needed()],
            "published": picture.published,
            "claims": [{"name": claim, "says": STATEMENTS[claim], "stands": stand.get(claim, "not judged")} for claim in caption.claims],
        })  # fmt: skip
    return cards


def provenance(path: Path, command: str) -> dict[str, str]:
    """A table's place, the command that makes it, its code version, and the day of its last commit where git knows it."""
    import pyarrow.parquet as pq

    found = {
        "path": str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path),
        "command": command,
        "version": "",
        "date": "",
    }
    if path.exists():
        versions = pq.read_table(path, columns=["code_version"])["code_version"].unique().to_pylist()
        found["version"] = ", ".join(sorted(str(one) for one in versions if one))
        found["date"] = _committed(path)
    return found


def _committed(path: Path) -> str:
    try:
        done = subprocess.run(
            ["git", "log", "-1", "--format=%cs", "--", str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return done.stdout.strip()


def fewer_colours(source: Path, path: Path) -> Path:
    """A picture as a PNG of `COLOURS` colours: a third of its bytes."""
    from PIL import Image

    path = target(path)
    with Image.open(source) as picture, atomic_write(path) as partial:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(partial, format="PNG", optimize=True)
    return path


def errata() -> list[dict[str, str]]:
    """Every erratum in words."""
    from theory.errata import ERRATA

    return [one.texts() for one in ERRATA.values()]


def words() -> str:
    """The glossary of README.md as HTML."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = text.partition("\n## Words\n")[2].partition("\n## ")[0]
    if not found:
        raise WrongUse("README.md has no section `## Words`. Restore it with `git checkout -- README.md`.")
    return html(found)


def document(folder: Path) -> list[Path]:
    """The public names of the rooms from their docstrings, by pdoc."""
    import warnings
    from importlib.util import find_spec

    import pdoc

    rooms = [room for room in ROOMS if room != "lm_experiments" or find_spec("torch")]
    pdoc.render.configure(docformat="google", show_source=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pdoc.pdoc(*rooms, output_directory=folder)
    return sorted(folder.rglob("*.html"))
