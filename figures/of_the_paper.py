"""Figures 1 to 12 of the paper from any source: which of our pictures shows a figure's question from which table."""

import re

from common.settings import WrongUse

NUMBERS = range(1, 13)
PUBLISHED = {1: "figure01", 3: "published_figure03"} | {
    number: f"published_figure{number:02d}" for number in NUMBERS if number not in (1, 3)
}
SOURCES: dict[str, dict[int, str]] = {
    "published": PUBLISHED,
    "theory": {1: "figure01", 2: "frontiers", 3: "overlay"},
    "sims": {1: "figure01", 3: "simulated_curves"}
    | {number: f"simulated_figure{number:02d}" for number in (2, 4, 6, 7)},
    "lm:nano": {1: "figure01"} | {number: f"measured_figure{number:02d}" for number in (2, 3, 4, 6, 7)},
}
"""Source -> figure of the paper -> our picture; the published points are drawn in it wherever both have the same losses. Language
models are those of the studies whose regime meets the gates."""
STUDIES = {3: "fig3-controlled"} | {number: f"fig{number}" for number in (2, 4, 5, 6, 7, *range(8, 13))}


def picture_of(name: str, source: str) -> str | None:
    """Our picture for `figure3` or `figure03` from a source; None where the name is not such a figure.

    Raises:
        WrongUse: no such source, or nothing of it for this figure: with what would make it.

    Example:
        >>> picture_of("figure3", "theory"), picture_of("overlay", "theory")
        ('overlay', None)
    """
    found = re.fullmatch(r"figure(\d{1,2})", name)
    if found is None:
        return None
    number = int(found[1])
    if number not in NUMBERS:
        raise WrongUse(f"{name}: the paper has Figures 1 to 12. Use figure1 to figure12.")
    if source not in SOURCES:
        raise WrongUse(f"source = {source} is not known. Choose one of {', '.join(SOURCES)}.")
    if number not in SOURCES[source]:
        others = ", ".join(one for one, shown in SOURCES.items() if number in shown)
        how = (
            f"`python -m lm_experiments run {STUDIES[number]}` makes such a table; `python -m figures make NAME --tables` draws it"
            if source.startswith("lm:")
            else f"{source} has no such sweep"
        )
        raise WrongUse(
            f"Figure {number} cannot be drawn from source = {source}: no table of it is stored. {how}. There is: {others}."
        )
    return SOURCES[source][number]
