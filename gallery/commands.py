"""The commands of `python -m gallery`."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.console import Command, Json, Output, seconds_since


@dataclass(frozen=True, kw_only=True)
class Build(Command):
    """Build the site from the drawn figures (`make figures`), the stored tables and docs/. It opens from disk."""

    out: Path = Path("out/gallery")
    """Folder for the site."""
    figures: Path = Path("out/figures")
    """Folder with the figures as PNG."""
    reference: bool = True
    """Whether to document the public names too (needs what the `lm` extra installs; seconds)."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Build and say where it is."""
        from gallery.build import build

        begun = time.perf_counter()
        with out.progress("build", 9 + self.reference, "parts") as step:
            written = build(self.out, self.figures, reference=self.reference, step=lambda _: step(1))
        megabytes = sum(path.stat().st_size for path in self.out.rglob("*") if path.is_file()) / 1e6
        out.show(f"{written[0]}  ({len(written)} files, {megabytes:.1f} MB, {seconds_since(begun):.0f} s)")
        return {"index": written[0], "files": len(written), "megabytes": megabytes}


@dataclass(frozen=True, kw_only=True)
class Explorer(Command):
    """Write the explorer alone: one page, complete in itself."""

    out: Path = Path("out/gallery")
    """Folder for it."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Write it and say where it is."""
        from common.files import atomic_write, target
        from gallery.build import explorer_page

        path = target(self.out / "explorer.html")
        with atomic_write(path) as partial:
            partial.write_text(explorer_page(), encoding="utf-8")
        out.show(str(path))
        return {"page": path}


COMMANDS: dict[str, type[Command]] = {"build": Build, "explorer": Explorer}
