"""`python -m lm_experiments run`: studies, from the corpora to the results table."""

import dataclasses
import os
import shlex
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional, UseAppendAction

from common import dotted
from common.console import Command, Json, Output, plain
from common.dotted import given, options
from common.settings import Settings, WrongUse, meant
from lm_experiments.commands import shown
from lm_experiments.liger import refuse_absent_liger
from lm_experiments.slurm import Slurm, SlurmSettings
from lm_experiments.stage_settings import Execution, refuse_absent
from lm_experiments.studies import NAMES, Axis, PipelineSettings, Study, named, saved
from lm_experiments.studies.scaled import corpora_of, in_roles, on_corpora

SHORT = {"seeds": "seed", "exposures": "recipe.exposure", "tokens_post": "tokens_post", "lr_ft": "stage3.lr"}
"""Options that are axes -> the setting that they vary."""
Changes = options(PipelineSettings, leave=("scale", "seed", "tokens_post"))
"""One option for every setting of a pipeline, under its dotted name; None keeps the study's own."""
USUAL = "nano"
"""The scale of a study that is named without one."""


@dataclass(frozen=True, kw_only=True)
class Run(Command):
    """Run studies: train what is not there yet, write a results table per study, and remarks beside it.

    smoke takes seconds; `python -m lm_experiments studies` lists the others, their sizes and what the paper leaves unstated. Stop
    it whenever you like: the same command goes on where it was. Several studies together train once what they share. Exit code 1 if
    a pipeline failed; the others are finished then.

    Every setting of a pipeline is an option (--post file:tunes.abc, --stage2.lr 1e-3), and can be an axis of the study
    (--axis stage2.lr=1e-3,3e-3).
    Example: python -m lm_experiments run fig3a fig3b --workers 2
    """

    names: Positional[tuple[str, ...]]
    """Studies: smoke, fig2 to fig12, placement, repeat, overlap, mitigation, decoys and others; see the command studies. Or the file of a
    study, as --save-study writes it."""
    scale: str | None = None
    """Size of the model: smoke, nano, micro, mini, 135m or 1b [default: nano; a study file has its own]."""
    arms: tuple[str, ...] | None = None
    """Only these arms of the studies."""
    seeds: tuple[int, ...] | None = None
    """Random seeds, in the place of the study's own."""
    exposures: tuple[float, ...] | None = None
    """Values of lambda, in the place of the study's own."""
    tokens_post: tuple[int, ...] | None = None
    """Sizes of D_post in tokens, in the place of the study's own."""
    lr_ft: tuple[float, ...] | None = None
    """Stage-3 learning rates, in the place of the study's own."""
    corpora: tuple[str, ...] = ()
    """Corpora in the place of the study's, as musicpile=musicpile@REVISION or flan=file:questions.jsonl: wherever it names them."""
    axis: UseAppendAction[tuple[str, ...]] = ()
    """A setting with the values that it takes, as recipe.dropout=0,0.1; may be given several times."""
    change: Changes = field(default_factory=Changes)  # type: ignore[valid-type]
    """Settings of the pipelines, in the place of the study's own."""
    workers: int | None = None
    """Processes, each on a GPU or with one thread [default: one per GPU, or per core where there is none]. Decides nothing about the
    result."""
    out: Path | None = None
    """Folder for tables and remarks [default: out/lm/SCALE]."""
    runs: Path = Path("out/lm/runs")
    """Folder for the trained stages; it may be shared by all studies."""
    verify: bool = False
    """Read the files of finished stages though they are as they were when they were last verified."""
    executor: Literal["local", "slurm"] = "local"
    """local: processes on this machine, bound to cores or GPUs. slurm: a job for every stage."""
    slurm: SlurmSettings = field(default_factory=SlurmSettings)
    """What a job asks for."""
    execution: Execution = field(default_factory=Execution)
    """How stages are carried out; decides nothing about the result."""
    save_study: Path | None = None
    """Write the study here as JSON, to be reviewed and run as `run FILE`; with `plan` in the place of `run` nothing is trained."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Run, write, print, return what is in the remarks. Raises `SystemExit(1)` if a pipeline failed."""
        from common import results
        from common.files import folder as make_folder
        from common.files import write_json
        from common.seeds import FEWEST
        from lm_experiments.conduct import conduct, document
        from lm_experiments.studies.settings import COLUMNS
        from lm_experiments.verdicts import verdicts
        from lm_experiments.verdicts.report import show

        if self.workers is not None and self.workers < 1:
            raise WrongUse(f"--workers {self.workers} is too few. Give at least 1.")
        refuse_absent(self.execution.trackers)
        refuse_absent_liger(self.execution.liger)
        studies = self.studies()
        for study in studies:
            deque(study.cells(), maxlen=0)  # what makes no pipeline is refused before a folder is made
        files = {
            study.name: (self.out or Path("out/lm") / study.base.scale) / f"{study.name}.parquet" for study in studies
        }
        for file in files.values():
            results.target(file)
        self.save(studies, out)
        make_folder(self.runs)
        executor = Slurm(self.slurm) if self.executor == "slurm" else None
        found = conduct(
            studies, self.runs, self.processes, out, verify=self.verify, executor=executor, arguments=self.arguments(),
            execution=self.execution,
        )  # fmt: skip
        documents: dict[str, Any] = {}
        failed: list[str] = []
        for name, conducted in found.items():
            judged: list[Any] = []
            file = files[name]
            if conducted.table is not None:
                if len(conducted.table["seed"].unique()) >= FEWEST:
                    judged = verdicts([conducted.table])
                file = results.place(conducted.table, file, ("lm.variant", *COLUMNS))
                results.write(conducted.table, file)
                out.show(f"{name}: {conducted.table.num_rows} rows in {file}, remarks in {file.stem}.json.")
                if file.stem != name:
                    out.remark(f"{name}.parquet holds rows that this run has not made, and is kept as it was.")
                shown.losses(conducted.table, out)
            documents[name] = document(conducted, self.spelled_out(name))
            write_json(file.with_suffix(".json"), plain(documents[name]))
            show(judged, out)
            if conducted.table is not None:
                shown.gates(conducted.table, out)
            for line in conducted.remarks["smaller_sets"]:
                out.show(f"SMALLER THAN ASKED: {line}.")
            shown.endings(conducted.remarks["stage_2"], out)
            failed += conducted.failed
        if failed:
            shown.fail(documents, failed, self.json)
        return documents

    @property
    def processes(self) -> int:
        """How many work at a time on this machine."""
        from lm_experiments.local import gpus

        return self.workers or len(gpus()) or os.cpu_count() or 1

    def studies(self) -> list[Study]:
        """The studies with what the command line changes. Raises `WrongUse`."""
        if not self.names:
            raise WrongUse(f"Name at least one study: {', '.join(NAMES)}.")
        found = [self._opened(name) for name in dict.fromkeys(self.names)]
        names = [study.name for study in found]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise WrongUse(
                f"Two studies are called {twice}, and would write one table. Run one after the other, with --out."
            )
        if self.save_study and len(names) > 1:
            raise WrongUse(
                f"--save-study {self.save_study} holds one study, and {len(names)} are named. Save one after the other."
            )
        changes = given(self.change)
        roles: dict[str, str] = {name: changes[name] for name in ("pre", "post", "ft") if name in changes}
        if roles:
            found = [in_roles(study, roles) for study in found]
        if self.arms is not None:
            found = [study.chosen(self.arms) for study in found]
        if self.corpora:
            found = [on_corpora(study, self._renamed(study)) for study in found]
        axes = self.axes()
        if both := next((axis.field for axis in axes if axis.field in changes), None):
            raise WrongUse(f"{both} is given a value and an axis. Give one of them.")
        rest = {name: value for name, value in changes.items() if name not in roles}
        return [study.changed(rest).over(*axes) for study in found]

    def _opened(self, name: str) -> Study:
        """A study by its name, or from its file."""
        if not saved.is_file(name):
            return named(name, self.scale or USUAL)
        study = saved.read(Path(name))
        if self.scale not in (None, study.base.scale):
            raise WrongUse(
                f"{name} is a study of scale {study.base.scale}, not {self.scale}. Leave --scale out, or give another file."
            )
        return study

    def save(self, studies: list[Study], out: Output) -> None:
        """Write the study's file where that is asked for. Raises `WrongUse` for another file in its place."""
        if self.save_study is None:
            return
        name = saved.write(studies[0], self.save_study)
        out.show(
            f"The study is in {self.save_study}, hash {name}: `python -m lm_experiments run {self.save_study}` carries it out."
        )

    def _renamed(self, study: Study) -> dict[str, str]:
        """What --corpora says. Raises `WrongUse` where it is not understood, or names a corpus that the study does not have."""
        known, found = corpora_of(study), {}
        for text in self.corpora:
            name, equals, other = text.partition("=")
            if not equals or not other:
                raise WrongUse(f"--corpora {text} is not understood. Write it as musicpile=file:tunes.abc.")
            if name not in known:
                raise WrongUse(f"{study.name} has no corpus {name!r}. {meant(name, known)}")
            found[name] = other
        return found

    def axes(self) -> list[Axis]:
        """The axes that the command line gives. Raises `WrongUse` where one is not understood, or given twice."""
        found = [
            Axis(name, getattr(self, option)) for option, name in SHORT.items() if getattr(self, option) is not None
        ]
        for text in self.axis:
            name, equals, values = text.partition("=")
            if not equals or not values:
                raise WrongUse(
                    f"--axis {text} is not understood. Write a setting and its values, as recipe.dropout=0,0.1."
                )
            kind = dotted.known(PipelineSettings, name).type
            found.append(Axis(name, tuple(dotted.parsed(name, value, kind) for value in values.split(","))))
        if twice := next(
            (axis.field for i, axis in enumerate(found) if axis.field in {a.field for a in found[:i]}), None
        ):
            raise WrongUse(f"{twice} is given two axes. Put all values into one.")
        return found

    def arguments(self) -> list[str]:
        """What `rerun` gives to `run` again: the studies, what is changed, and where it all lies and is trained."""
        names = [str(Path(name).absolute()) if saved.is_file(name) else name for name in dict.fromkeys(self.names)]
        parts = [
            *names,
            *self._changes(self.scale),
            "--workers",
            str(self.processes),
            "--runs",
            str(self.runs.absolute()),
        ]
        parts += _spelled(self.execution)
        if self.out is not None:
            parts += ["--out", str(self.out.absolute())]
        if self.executor != "local":
            parts += ["--executor", self.executor, *_spelled(self.slurm)]
        return parts

    def spelled_out(self, name: str) -> str:
        """The command line that repeats one study; --workers, --runs, --out and others that decide nothing left out."""
        file = next((given for given in self.names if saved.is_file(given) and self._opened(given).name == name), None)
        scale = self.scale if file else self.scale or USUAL
        return shlex.join(["python", "-m", "lm_experiments", "run", file or name, *self._changes(scale)])

    def _changes(self, scale: str | None) -> list[str]:
        parts = ["--scale", scale] if scale else []
        for option in ("arms", "corpora", *SHORT):
            if values := getattr(self, option):
                parts += [f"--{option}", *map(str, values)]
        for text in self.axis:
            parts += ["--axis", text]
        for setting, value in given(self.change).items():
            parts += [f"--{setting}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
        return parts


def _spelled(chosen: Settings) -> list[str]:
    """Options that are not at their default, as on the command line."""
    parts: list[str] = []
    for one in dataclasses.fields(chosen):
        value = getattr(chosen, one.name)
        if value != one.default:
            parts += (
                [f"--{one.name}"]
                if value is True
                else [f"--{one.name}", *map(str, value if isinstance(value, tuple) else [value])]
            )
    return parts
