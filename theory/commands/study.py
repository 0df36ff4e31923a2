"""`python -m theory study`: the tables behind the figures."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common import results
from common.console import Command, Json, Output, seconds_since
from common.settings import WrongUse


@dataclass(frozen=True, kw_only=True)
class Study(Command):
    """Compute the tables behind the theory figures (all, or those named) and write them below --out."""

    names: Positional[tuple[str, ...]] = ()
    """Studies; none for all of them."""
    out: Path = Path("out/theory")
    """Folder for the tables."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Compute and write; return the paths."""
        from theory.studies import STUDIES

        if unknown := [name for name in self.names if name not in STUDIES]:
            raise WrongUse(f"Study {unknown[0]!r} is not known. Choose from {', '.join(STUDIES)}.")
        written = {}
        for name in self.names or STUDIES:
            start = time.perf_counter()
            table = STUDIES[name]()
            written[name] = results.write(table, self.out / f"{name}.parquet")
            out.show(f"{name:<14} {table.num_rows:>7,} rows  {seconds_since(start):5.2f} s  {written[name]}")
        return written
