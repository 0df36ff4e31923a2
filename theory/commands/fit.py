"""`python -m theory fit`: the models fitted to a lambda study, and what the fits are worth."""

import contextlib
import math
import os
import queue
import shlex
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output, plain, seconds_since
from common.files import write_json
from common.settings import WrongUse
from theory.laws.forms import FORMS
from theory.models import MODELS

HALVES = {
    "both": ("independent", "compute-matched"),
    "independent": ("independent",),
    "compute-matched": ("compute-matched",),
}


@dataclass(frozen=True, kw_only=True)
class FitCommand(Command):
    """Fit the linear models and the laws to a lambda study by least squares; report what each can explain and predict.

    A results table of curves along lambda (column exposure), by default the published Figure 3. Writes fits.parquet (the fitted
    curves) and fits.json (parameters, profile intervals, errors) below --out. Laws alone take seconds: --model laws.
    Example: python -m theory fit --model S rp --spectrum with
    """

    table: Positional[tuple[Path, ...]] = ()
    """Results table (parquet) of a lambda study; none for the published Figure 3."""
    model: tuple[str, ...] = ("all",)
    """Models to fit: plain, rp, rp-shared, null, S, S5, S8, Smax; laws for the last five, or all."""
    spectrum: Literal["both", "with", "without"] = "both"
    """With a spectrum of specialised features (two more parameters), without, or both."""
    halves: Literal["both", "independent", "compute-matched"] = "both"
    """Which halves of the study to fit; predictions of one from the other need both."""
    starts: int = 5
    """Random starts of a fit (half as many for a spectrum, and for a half of the study)."""
    seed: int = 0
    """Of the starts; the same seed gives the same fits."""
    intervals: bool = True
    """Profile every parameter for its 90 % interval; half of the time."""
    equal_steps: bool = False
    """Hold the step-size ratio of stages 1 and 2 at 1 instead of fitting it."""
    groups: int = 16
    """Groups of ranks of a spectrum; 16 stand for 307 features."""
    out: Path = Path("out/theory")
    """Folder for fits.parquet and fits.json."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Fit, print, write, return what is in fits.json."""
        began = time.perf_counter()
        models = self._models()
        points, source = self._points()
        from common import results
        from theory.fitting.assessment import Options, assess, drops, nulls, work

        options = Options(
            starts=self.starts, seed=self.seed, intervals=self.intervals,
            groups=self.groups, equal_steps=self.equal_steps,
        )  # fmt: skip
        spectra = {"both": (False, True), "with": (True,), "without": (False,)}[self.spectrum]
        if set(models) - set(FORMS):
            import jax  # noqa: F401 (whole, before threads meet it)

        total = sum(work(points, model, spectra, options) for model in models)
        with out.progress("fit", total, "refinements") as step:
            found = side_by_side([partial(assess, points, model, spectra, options) for model in models], step)
        assessments = [one for many in found for one in many]
        document = {
            "command": self.spelled_out(),
            "source": source,
            "seed": self.seed,
            "code_version": results.code_version(),
            "observed_forgetting": drops(points, points.loss),
            "fits": [*nulls(points), *(found.report for found in assessments)],
            "seconds": seconds_since(began),
        }
        from theory.fitting.report import curves, show

        show(document, out)
        document["warning"] = underdetermined(document["fits"])
        if document["warning"]:
            out.errors.print(f"warning: {document['warning']}", soft_wrap=True)
        written = [results.write(curves(points, assessments, self.spelled_out()), self.out / "fits.parquet")]
        written.append(self.out / "fits.json")
        write_json(written[-1], plain(document))
        out.show(f"{document['seconds']:.0f} s. Wrote {' and '.join(str(path) for path in written)}.")
        return document | {"written": written}

    def _models(self) -> tuple[str, ...]:
        for name in self.model:
            if name not in (*MODELS, "laws", "all"):
                raise WrongUse(f"--model {name} is not known. Choose from {', '.join(MODELS)}, laws, or all.")
        for name, least in (("starts", 1), ("groups", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise WrongUse(f"--{name} {getattr(self, name)} is too small. Choose at least {least}.")
        if len(self.table) > 1:
            raise WrongUse(f"{len(self.table)} tables were given. Fit one at a time.")
        chosen = {*self.model, *(MODELS if "all" in self.model else ()), *(FORMS if "laws" in self.model else ())}
        return tuple(name for name in MODELS if name in chosen)

    def _points(self) -> tuple[Any, str]:
        from common import published, results
        from theory.fitting.points import points_from

        if self.table:
            return points_from(results.read(self.table[0]), HALVES[self.halves]), str(self.table[0])
        return points_from(published.load(3), HALVES[self.halves]), "published Figure 3, arXiv 2605.12705v1"

    def spelled_out(self) -> str:
        """The command line that repeats this, defaults included; --out and --json, which decide nothing, left out."""
        parts = ["python", "-m", "theory", "fit", *(str(path) for path in self.table), "--model", *self._models()]
        for name in ("spectrum", "halves", "starts", "seed", "groups"):
            parts += [f"--{name}", str(getattr(self, name))]
        flags = [("--equal-steps", self.equal_steps), ("--no-intervals", not self.intervals)]
        return shlex.join([*parts, *(flag for flag, given in flags if given)])


def side_by_side(tasks: Sequence[Callable[..., Any]], step: Callable[[int], object]) -> list[Any]:
    """Results of independent tasks, one thread a core; the last, which is the slowest, first. An interrupt ends them at their next step.

    The threads do not hold up the end of the process, and what one raises is raised here.
    """
    found: dict[int, Any] = {}
    waiting: queue.SimpleQueue[tuple[int, Callable[..., Any]]] = queue.SimpleQueue()
    ended: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()
    for item in reversed(list(enumerate(tasks))):
        waiting.put(item)

    def told(count: int) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        step(count)

    def carry_out() -> None:
        while not stop.is_set():
            try:
                i, task = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                ended.put((i, task(done=told), None))
            except BaseException as error:
                ended.put((i, None, error))

    for _ in range(max(1, min(len(tasks), os.cpu_count() or 1))):
        threading.Thread(target=carry_out, daemon=True).start()
    try:
        while len(found) < len(tasks):
            with contextlib.suppress(queue.Empty):
                i, result, error = ended.get(timeout=0.2)
                if error is not None:
                    raise error
                found[i] = result
    except BaseException:
        stop.set()
        raise
    return [found[i] for i in range(len(tasks))]


def underdetermined(fits: Any) -> str | None:
    """What to know of fits (`describe`) with at least as many numbers to choose as there are losses; None where there are none."""
    found = [fit for fit in fits if fit.get("numbers", math.inf) <= fit["fitted_numbers"]]
    if not found:
        return None
    counts = ", ".join(f"{fit['method']} {fit['fitted_numbers']}" for fit in found)
    return (
        f"{found[0]['numbers']} losses do not determine the fitted numbers of {counts}: such fits meet any points, and their errors "
        "say nothing. Fit more curves or more exposures, or fewer numbers (--spectrum without, --equal-steps)."
    )
