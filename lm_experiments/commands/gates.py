"""`python -m lm_experiments gates`: whether a study's testbed may say anything about exposure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from common.console import Command, Json, Output
from common.settings import WrongUse, setting


@dataclass(frozen=True, kw_only=True)
class Gates(Command):
    """Print the validity gates of a study's unexposed models: what must hold before an effect of exposure may be claimed.

    Exit code 0 whether they pass or not; the table says which failed.
    Example: python -m lm_experiments gates paper/results/lm/nano/fig3a.parquet
    """

    tables: Positional[tuple[Path, ...]]
    """Results tables of language-model studies."""
    vocabulary: int | None = setting(None, low=2)
    """Size of the tokenizer that the study used [default: what the table says, else 1,024]."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Read, print, return the gates of every table."""
        from common import results
        from common.gates import gates, testbeds

        if not self.tables:
            raise WrongUse(
                "No table was given. Give the results table of a study, e.g. paper/results/lm/nano/fig3a.parquet."
            )
        found = {}
        for path in self.tables:
            beds = testbeds(results.read(path))
            for scale, pipeline, table in beds:
                name = str(path) if len(beds) == 1 else f"{path}, {scale} {pipeline}"
                found[name] = made = gates(table, self.vocabulary or _vocabulary(table), _parameters(table))
                rows = [
                    (g.name, g.passed, "" if g.worst is None else f"{g.worst:.3g}", g.needed, g.statement) for g in made
                ]
                out.table(f"Gates of {name}, worst seed", ("", "", "value", "needed", "what"), rows)
                failed = [gate.name for gate in made if gate.passed == "failed"]
                out.show(
                    f"Fails {', '.join(failed)}: claims nothing about exposure."
                    if failed
                    else "No gate failed that the table can say."
                )
        return {path: [gate._asdict() for gate in made] for path, made in found.items()}


def _vocabulary(table: Any) -> int:
    """Of the tokenizer that the table names; older tables name none, and had 1,024 ids."""
    said = table["lm.vocabulary"].unique().to_pylist() if "lm.vocabulary" in table.column_names else []
    return int(said[0]) if len(said) == 1 and said[0] else 1024


def _parameters(table: Any) -> int | None:
    """Parameters of the preset that the table names; None where it names several, or an unknown one."""
    from lm_experiments import models

    scales = [name for name in table["scale"].unique().to_pylist() if name]
    if len(scales) != 1 or scales[0] not in models.PRESETS:
        return None
    return models.parameter_count(models.PRESETS[scales[0]])
