"""Pages of the site: markdown and tables to HTML, with formulas as MathML, so that nothing is fetched from anywhere."""

from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGES = {
    "index.html": "Early exposure",
    "figures.html": "Figures",
    "explorer.html": "Explorer",
    "claims.html": "Claims",
    "errata.html": "Errata",
    "theory.html": "Mathematics",
    "studies.html": "Studies",
    "your-own-run.html": "Your own run",
}
"""File -> its name in the navigation."""


def asset(name: str) -> str:
    """The text of a file in `assets/`."""
    return (HERE / "assets" / name).read_text(encoding="utf-8")


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def rendered(file: str, template: str, **values: Any) -> str:
    """A page of the site: `template` filled in, with the navigation and the look of all pages."""
    found: str = (
        _templates()
        .get_template(template)
        .render(pages=PAGES, here=file, title=PAGES[file], style=asset("site.css"), **values)
    )
    return found


@cache
def _markdown() -> Any:
    from latex2mathml.converter import convert
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def formula(text: str, options: dict[str, Any]) -> str:
        made: str = convert(text, display="block" if options["display_mode"] else "inline")
        return made

    return MarkdownIt("commonmark").enable("table").use(dollarmath_plugin, renderer=formula, double_inline=True)


def html(markdown: str) -> str:
    """Markdown with tables and $formulas$ as HTML. Links between pages of `docs/` become links between pages of the site."""
    text = markdown
    for name in ("claims", "theory", "studies", "your-own-run"):
        text = text.replace(f"(docs/{name}.md)", f"({name}.html)").replace(f"({name}.md)", f"({name}.html)")
    found: str = _markdown().render(text)
    return found
