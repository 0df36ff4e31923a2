"""`python -m lm_experiments verdicts`: the paper's claims judged by lambda studies and by frontiers."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output
from common.published import FOLDER
from common.settings import WrongUse

STORED = FOLDER.parent / "results" / "lm"
SEARCHES = "search"
"""How the names of studies begin that searched for a regime: no evidence for a claim."""


@dataclass(frozen=True, kw_only=True)
class Verdicts(Command):
    """Judge C1 (the benefit is latent), C2 (an interior optimum) and C8 (loss_im does not predict loss_ret); of frontiers C3 to C6.

    Tables given together are judged together, so that C8 sees the recipes of both splits. A study such as deciding, and the table of
    its probes (`probe`), give the experiments E2 to E5. The criteria are in lm_experiments/verdicts (claims.py, frontiers.py,
    mechanisms.py); one whose criterion changed after the same data were judged is marked exploratory. Published points have one seed
    and so no interval: "means alone" says what they show.
    Example: python -m lm_experiments verdicts out/lm/nano/fig3a.parquet out/lm/nano/fig3b.parquet
    """

    tables: Positional[tuple[Path, ...]] = ()
    """Results tables of lambda studies; none for all in paper/results/lm and the published Figure 3."""
    out: Path = Path("out/lm/verdicts.parquet")
    """File for the table of verdicts."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Judge, write, print, return the verdicts. Raises `WrongUse` where a table holds no lambda study, or two share a row."""
        from common import published, results
        from common.verdict_table import stored, write
        from common.verdicts import mark_exploratory
        from lm_experiments.verdicts import verdicts
        from lm_experiments.verdicts.claims import untested
        from lm_experiments.verdicts.report import show

        paths = self.tables or [
            path for path in sorted(STORED.glob("*/*.parquet")) if not path.stem.startswith(SEARCHES)
        ]
        if not paths:
            raise WrongUse(f"{STORED} holds no table. Give one, such as `python -m lm_experiments run fig3a` writes.")
        read = [results.read(path) for path in paths] + ([] if self.tables else [published.load(3)])
        command = " ".join(["python -m lm_experiments verdicts", *map(str, self.tables)])
        names = [*map(str, paths), *([] if self.tables else ["the published Figure 3"])]
        found = verdicts(read, names)
        found += [] if self.tables else untested("lm", found)
        found = [replace(one, command=command, code_version=results.code_version()) for one in found]
        earlier = [
            row for path in dict.fromkeys((STORED / "verdicts.parquet", self.out.absolute())) for row in stored(path)
        ]
        found = mark_exploratory(found, earlier)
        show(found, out)
        out.show(f"Wrote {write(found, results.target(self.out))}.")
        return [asdict(verdict) for verdict in found]
