"""The commands of `python -m figures`: draw tables and write the page of claims; nothing is trained or solved here."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output
from common.settings import WrongUse, meant
from figures.make import GROUPS, PICTURES, draw_all, needs
from figures.of_the_paper import picture_of


@dataclass(frozen=True, kw_only=True)
class Make(Command):
    """Draw figures from tables as PDF, PNG and CSV: all of them, or those named (`theory` and `simulations` name groups; figure1 to
    figure12 are the paper's, from any --source).

    The published figures need nothing else; theory figures need the tables of `python -m theory study`, the others measured tables,
    of which stored ones come along. With --tables a figure is drawn from the tables below that folder only: STUDY.parquet, or laid out as
    the commands write them below out/ (theory/, sims/, lm/nano/, ...).
    """

    names: Positional[tuple[str, ...]] = ()
    """Figures to draw; `python -m figures list` names them."""
    tables: Path | None = None
    """Folder with your own tables, or one file for figures that are drawn from one table; without, out/theory and the stored ones."""
    source: str = "published"
    """Where figure1 to figure12, the paper's, come from: published, theory, sims, lm:nano."""
    out: Path = Path("out/figures")
    """Folder for the pictures."""
    formats: tuple[Literal["pdf", "png", "svg", "csv"], ...] = ("pdf", "png", "csv")
    """File formats; csv holds the numbers that are drawn."""
    workers: int = os.cpu_count() or 1
    """Processes that draw."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Draw and list what was written."""
        if self.workers < 1 or not self.formats:
            raise WrongUse(f"workers = {self.workers} and formats = {self.formats}: give at least one of each.")
        left_out = (
            {} if self.names else {name: how for name in PICTURES if (how := PICTURES[name].missing(self.tables))}
        )
        everything = [name for name in PICTURES if name not in left_out]
        wanted = [
            name
            for given in self.names or everything
            for name in GROUPS.get(given, (picture_of(given, self.source) or given,))
        ]
        if unknown := [name for name in wanted if name not in PICTURES]:
            raise WrongUse(f"Figure {unknown[0]!r} is not known. {meant(unknown[0], [*GROUPS, *PICTURES])}")
        written: dict[str, list[Path]] = {}
        with out.progress("draw", len(wanted), "figures") as step:

            def done(name: str, paths: list[Path]) -> None:
                written[name] = paths
                step(1)

            draw_all(wanted, self.tables, self.out, self.formats, self.workers, done)
        for name, paths in written.items():
            out.show(f"{name:<20} " + "  ".join(str(path) for path in paths))
        for name, command in left_out.items():
            out.errors.print(f"{name} is left out: a table of it is missing. Make it with `{command}`.", soft_wrap=True)
        return written


@dataclass(frozen=True, kw_only=True)
class List(Command):
    """List the figures and the tables they need."""

    json: Json = False

    def run(self, out: Output) -> Any:
        """Print one line per figure."""
        listed = {name: needs(name) for name in PICTURES}
        out.table("Figures", ("figure", "needs"), [[name, ", ".join(need)] for name, need in listed.items()])
        return listed


@dataclass(frozen=True, kw_only=True)
class Claims(Command):
    """Write the page of claims: how each stands in every engine, by the verdicts stored in paper/results."""

    out: Path = Path("docs/claims.md")
    """The page."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Write and print it."""
        from common.files import atomic_write
        from common.published import RESULTS
        from figures.claims import stored

        text = stored(RESULTS)
        with atomic_write(self.out) as temporary:
            Path(temporary).write_text(text)
        out.show(f"Wrote {self.out}.")
        return {"page": str(self.out)}


COMMANDS: dict[str, type[Command]] = {"make": Make, "list": List, "claims": Claims}
