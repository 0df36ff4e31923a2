"""`python -m lm_experiments probe`: what the trained models of a study tell about why exposure protects."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output, plain
from common.settings import WrongUse
from lm_experiments.commands.run import Run

USUAL_ARMS = ("real", "shuffled", "SAM")
"""Arms that are probed where none are named: of SAM only the noise."""
Name = Literal["noise", "direction", "subspaces", "transplant", "relearning", "connectivity"]


@dataclass(frozen=True, kw_only=True)
class Probe(Command):
    """Measure the trained models of a study, and write STUDY-probes.parquet: its results table with a column for every measurement.

    noise: how much the D_post loss rises when random noise is put on the weights after stage 2. direction: the same for a step
    along D_ft's gradient. subspaces: the share of that gradient in what D_post uses and D_pre does not, after stages 2 and 3.
    transplant: what exposure left in the weights after stage 1, moved from the exposed model into the other, and stage 3 after it.
    relearning: stage 2's first 48 steps once more, after stage 3 at the middle rate. connectivity: barriers on the straight lines between
    the models, and CKA. `verdicts` judges the experiments E2 to E5 by the results table and this one together.

    Run the study first: no stage is trained here but copies that are thrown away. Stop it whenever you like: the same command goes on.
    Pipelines whose models are not there are left out, and named. Minutes per seed of `deciding` on one core; the
    remarks beside the table say how long it took.
    Example: python -m lm_experiments probe deciding --seeds 40
    """

    study: Positional[str]
    """The study, such as deciding; or the file of a study, as `run --save-study` writes it."""
    scale: str | None = None
    """Size of the model [default: nano; a study file has its own]."""
    arms: tuple[str, ...] | None = None
    """Only these arms [default: real and shuffled, and SAM for the noise; all where the study has none of them]."""
    seeds: tuple[int, ...] | None = None
    """Random seeds, in the place of the study's own."""
    only: tuple[Name, ...] | None = None
    """Only these probes; what others measured before stays in the table."""
    runs: Path = Path("out/lm/runs")
    """Folder of the trained stages, as `run` has it."""
    out: Path | None = None
    """Folder for the table, its remarks and what is kept of an interrupted command [default: out/lm/SCALE]."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Measure, write, print, return the remarks. Raises `WrongUse` where the models of the study are not there."""
        import torch

        from common import results
        from common.files import folder, write_json
        from lm_experiments.conduct import planned
        from lm_experiments.probes import PROBES, probed
        from lm_experiments.probes.table import ALONE
        from lm_experiments.studies.settings import COLUMNS

        (study,) = Run(names=(self.study,), scale=self.scale, arms=self.arms, seeds=self.seeds).studies()
        if self.arms is None and (usual := [arm.name for arm in study.arms if arm.name in USUAL_ARMS]):
            study = study.chosen(usual)
        place = folder(self.out or Path("out/lm") / study.base.scale)
        if not self.runs.is_dir():
            raise WrongUse(
                f"--runs {self.runs} is no folder. Run `python -m lm_experiments run {self.study}` first, or say where its stages are."
            )
        torch.set_num_threads(1)  # as stages are trained: sums in one order
        opener, pipelines = planned([study], out)
        found = probed(
            study, pipelines, self.runs, place / f".{study.name}-probes", opener(), out,
            only=self.only or PROBES, alone=ALONE if self.arms is None else (),
        )  # fmt: skip
        file = results.place(found.table, place / f"{study.name}-probes.parquet", ("lm.variant", *COLUMNS))
        results.write(found.table, file)
        out.show(f"{study.name}: probes of {found.table.num_rows} pipelines in {file}, remarks in {file.stem}.json.")
        document = plain({"command": self.spelled_out(), **found.remarks})
        write_json(file.with_suffix(".json"), document)
        return document

    def spelled_out(self) -> str:
        """The command line that repeats it, without folders."""
        parts = [
            "python",
            "-m",
            "lm_experiments",
            "probe",
            self.study,
            *(["--scale", self.scale] if self.scale else []),
        ]
        for option in ("arms", "seeds", "only"):
            if values := getattr(self, option):
                parts += [f"--{option}", *map(str, values)]
        return shlex.join(parts)
