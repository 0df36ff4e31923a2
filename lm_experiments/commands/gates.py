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
        from common.gates import gates, testbeds, vocabulary_of
        from lm_experiments.verdicts.testbeds import parameters_of

        if not self.tables:
            raise WrongUse(
                "No table was given. Give the results table of a study, e.g. paper/results/lm/nano/fig3a.parquet."
            )
        found = {}
        for path in self.tables:
            beds = testbeds(results.read(path))
            for scale, pipeline, table in beds:
                name = str(path) if len(beds) == 1 else f"{path}, {scale} {pipeline}"
                found[name] = made = gates(table, self.vocabulary or vocabulary_of(table), parameters_of(table))
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
