"""`python -m sims STUDY`: run a study, write its table, print its verdicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.console import Command, Failed, Json, Output, plain
from common.settings import WrongUse, setting
from sims.commands.verdicts import line
from sims.studies import STUDIES
from sims.study import Done, Study, run_study


class ChecksFailed(Failed):
    """Checks of a study did not pass; its table is written."""


@dataclass(frozen=True, kw_only=True)
class StudyOptions(Command):
    """Options of every study."""

    out: Path = Path("out/sims")
    """Folder for the table. An interrupted study goes on where it was."""
    workers: int | None = setting(None, low=1, science=False)
    """Threads; default one per core. Results do not depend on it."""
    json: Json = False

    def carry_out(self, study: Study, out: Output) -> Any:
        """Run one study and show what it says. Raises `ChecksFailed`."""
        if self.workers is not None and self.workers < 1:
            raise WrongUse(f"workers = {self.workers}: use at least one thread.")
        cases = study.cases()
        with out.progress(study.name, sum(case.size for case in cases), "runs") as step:
            done = run_study(study, self.out, workers=self.workers, progress=step, cases=cases, say=out.remark)
        show(study, done, out)
        checks = done.report.checks if done.report else []
        if failed := [
            f"{check.name} ({check.effect} {check.value:.3g}, not {check.criterion})"
            for check in checks
            if not check.passed
        ]:
            raise ChecksFailed(
                f"{study.name}: {len(failed)} of {len(checks)} checks failed: {'; '.join(failed)}. Its table is {done.table}."
            )
        return {"study": study.name, "table": done.table, "rows": done.rows, "seconds": done.seconds,
                "verdicts": plain(done.verdicts), "checks": [check._asdict() for check in checks],
                "diverged": done.diverged}  # fmt: skip


def show(study: Study, done: Done, out: Output) -> None:
    """Print the verdict lines, what did not converge, and where the table went."""
    for v in done.verdicts:
        out.show(line(v))
    if done.report:
        out.table(done.report.title, done.report.heads, done.report.rows)
        for check in done.report.checks:
            passed = "passed" if check.passed else "FAILED"
            out.show(f"{check.name:<26} {passed}  {check.effect}: {check.value:.3g} ({check.criterion})")
    for paragraph in done.diverged:
        out.show(f"left out: {paragraph}")
    out.show(
        f"{study.name}: {done.rows:,} rows in {done.seconds:.1f} s. Wrote {done.table} and {done.table.with_suffix('.json')}."
    )


def study_command(study: Study) -> type[Command]:
    """The command of one study."""

    @dataclass(frozen=True, kw_only=True)
    class Run(StudyOptions):
        def run(self, out: Output) -> Any:
            return self.carry_out(study, out)

    Run.__doc__ = f"Study: {study.about}."
    return Run


@dataclass(frozen=True, kw_only=True)
class All(StudyOptions):
    """Run every study, one after the other; where checks fail the others still run, and the exit code is 1."""

    def run(self, out: Output) -> Any:
        """Run them and return what each says. Raises `ChecksFailed` at the end, naming all checks that failed."""
        import jax

        said, failed = [], []
        for study in STUDIES.values():
            try:
                said.append(self.carry_out(study, out))
            except ChecksFailed as error:
                failed.append(str(error))
            # the programs of a study are of no use to the next one, and are hundreds of megabytes
            jax.clear_caches()  # type: ignore[no-untyped-call]
        if failed:
            raise ChecksFailed(" ".join(failed))
        return said
