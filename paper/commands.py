"""The commands of `python -m paper`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Failed, Json, Output
from common.files import atomic_write, write_json

MACROS = Path("paper/macros.tex")


@dataclass(frozen=True, kw_only=True)
class Macros(Command):
    """Write the numbers of the text as LaTeX macros, each with the stored table, the column and the reduction that gave it."""

    out: Path = MACROS
    """The file."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Write it."""
        from paper.macros import document
        from paper.numbers import numbers

        made = numbers()
        _write(self.out, document(made))
        out.show(f"Wrote {self.out}: {len(made)} numbers.")
        return {"file": str(self.out), "numbers": [one.name for one in made]}


@dataclass(frozen=True, kw_only=True)
class Measure(Command):
    """Carry out the commands that leave no table and that the text quotes, and store their answers. A minute."""

    out: Path = Path("paper/results/theory/answers.json")
    """The file."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Run them and write it."""
        from paper.answers import COMMANDS, measured

        with out.progress("measure", len(COMMANDS), "answers") as step:
            made = measured(step)
        write_json(self.out, made)
        out.show(f"Wrote {self.out}.")
        return {"file": str(self.out), "answers": list(made["answers"])}


@dataclass(frozen=True, kw_only=True)
class Provenance(Command):
    """Write the page that says which command, version and how many configurations and seconds made each stored table."""

    out: Path = Path("paper/results/README.md")
    """The page."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Write it."""
        from paper.provenance import page, tables

        _write(self.out, page())
        out.show(f"Wrote {self.out}.")
        return {"page": str(self.out), "tables": tables()}


@dataclass(frozen=True, kw_only=True)
class Rerun(Command):
    """Do one cell of a stored table again, by the settings that its row says, and compare. Exit code 1 where it differs.

    python -m paper rerun sims/leakage --row 100
    """

    table: Positional[str]
    """Below paper/results, without its suffix; `theory/answers` for the answers of `measure`."""
    row: int = 0
    """Row of the table, from 0."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Do it, print both, and fail where they differ."""
        from paper.rerun import rerun

        found = rerun(self.table, self.row)
        rows = [
            (name, value, found.now[name], "DIFFERS" if name in found.differs else "")
            for name, value in found.stored.items()
        ]
        out.table(f"{found.table}, row {found.row}", ("", "stored", "now", ""), [tuple(map(str, row)) for row in rows])
        if found.differs:
            raise Failed(f"{found.table}, row {found.row} differs from what is stored: {', '.join(found.differs)}.")
        return found._asdict() | {"differs": found.differs}


@dataclass(frozen=True, kw_only=True)
class Build(Command):
    """Make out/paper/main.pdf: appendix and figures anew, then latexmk. An undefined reference is a failure."""

    figures: bool = True
    """Draw the figures; without, boxes stand in their place."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Make it."""
        from paper.build import build

        with out.progress("build", 3, "steps") as step:
            made = build(figures=self.figures, done=step)
        out.show(f"Wrote {made}.")
        return {"pdf": str(made)}


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text)


COMMANDS: dict[str, type[Command]] = {
    "macros": Macros,
    "measure": Measure,
    "provenance": Provenance,
    "rerun": Rerun,
    "build": Build,
}
