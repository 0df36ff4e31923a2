"""`python -m lm_experiments verdicts`: the paper's claims C1, C2 and C8 judged by lambda studies."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output


@dataclass(frozen=True, kw_only=True)
class Verdicts(Command):
    """Judge the claims C1 (the benefit is latent), C2 (an interior optimum) and C8 (loss_im does not predict loss_ret).

    Tables of one pipeline given together are judged together, so that C8 sees the recipes of both splits. The criteria are in
    lm_experiments/verdicts/claims.py. Published points have one seed and so no interval: their column "means alone" says what they show.
    Example: python -m lm_experiments verdicts out/lm/nano/fig3a.parquet out/lm/nano/fig3b.parquet
    """

    tables: Positional[tuple[Path, ...]] = ()
    """Results tables of lambda studies; none for the published Figure 3."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Judge, print, return the verdicts."""
        from common import published, results
        from lm_experiments.verdicts import verdicts
        from lm_experiments.verdicts.report import show

        found = verdicts([results.read(path) for path in self.tables] or [published.load(3)])
        show(found, out)
        return [asdict(verdict) for verdict in found]
