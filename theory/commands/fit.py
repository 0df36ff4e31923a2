"""`python -m theory fit`: the models fitted to a lambda study, and what the fits are worth."""

import math
import os
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tyro.conf import Positional

from common.console import Command, Json, Output, plain, seconds_since
from common.files import write_json
from common.settings import WrongUse
from theory.models import MODELS

HALVES = {
    "both": ("independent", "compute-matched"),
    "independent": ("independent",),
    "compute-matched": ("compute-matched",),
}


@dataclass(frozen=True, kw_only=True)
class FitCommand(Command):
    """Fit the linear models to a lambda study by least squares; report what each can explain and predict.

    A results table of curves along lambda (column exposure), by default the published Figure 3. Writes fits.parquet (the fitted
    curves) and fits.json (parameters, intervals, errors) below --out. About two and a half minutes on two cores.
    Example: python -m theory fit --model rp --spectrum with --bootstrap 100
    """

    table: Positional[tuple[Path, ...]] = ()
    """Results table (parquet) of a lambda study; none for the published Figure 3."""
    model: tuple[str, ...] = ("all",)
    """Models to fit: plain, rp, rp-shared, or all."""
    spectrum: Literal["both", "with", "without"] = "both"
    """With a spectrum of specialised features (two more parameters), without, or both."""
    halves: Literal["both", "independent", "compute-matched"] = "both"
    """Which halves of the study to fit; predictions of one from the other need both."""
    starts: int = 5
    """Random starts of a fit (half as many for a spectrum, and for a half of the study)."""
    seed: int = 0
    """Of starts and bootstrap; the same seed gives the same fits."""
    bootstrap: int = 20
    """Replicates behind the 90 % intervals of the parameters; 0 for none."""
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
        from theory.fitting.assessment import Options, assess, drops, floors_only, work

        options = Options(
            starts=self.starts, seed=self.seed, replicates=self.bootstrap,
            groups=self.groups, equal_steps=self.equal_steps,
        )  # fmt: skip
        spectra = {"both": (False, True), "with": (True,), "without": (False,)}[self.spectrum]
        import jax  # noqa: F401 (whole, before threads meet it)

        with (
            out.progress("fit", sum(work(points, model, spectra, options) for model in models), "refinements") as step,
            ThreadPoolExecutor(max(1, min(len(models), os.cpu_count() or 1))) as pool,
        ):  # models share nothing, so the number of threads does not change a fit; the slowest goes first
            pending = {model: pool.submit(assess, points, model, spectra, options, step) for model in reversed(models)}
            assessments = [found for model in models for found in pending[model].result()]
        document = {
            "command": self.spelled_out(),
            "source": source,
            "seed": self.seed,
            "code_version": results.code_version(),
            "observed_forgetting": drops(points, points.loss),
            "fits": [floors_only(points), *(found.report for found in assessments)],
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
            if name not in (*MODELS, "all"):
                raise WrongUse(f"--model {name} is not known. Choose from {', '.join(MODELS)}, or all.")
        for name, least in (("starts", 1), ("bootstrap", 0), ("groups", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise WrongUse(f"--{name} {getattr(self, name)} is too small. Choose at least {least}.")
        if len(self.table) > 1:
            raise WrongUse(f"{len(self.table)} tables were given. Fit one at a time.")
        return tuple(MODELS) if "all" in self.model else tuple(name for name in MODELS if name in self.model)

    def _points(self) -> tuple[Any, str]:
        from common import published, results
        from theory.fitting.points import points_from

        if self.table:
            return points_from(results.read(self.table[0]), HALVES[self.halves]), str(self.table[0])
        return points_from(published.load(3), HALVES[self.halves]), "published Figure 3, arXiv 2605.12705v1"

    def spelled_out(self) -> str:
        """The command line that repeats this, defaults included; --out and --json, which decide nothing, left out."""
        parts = ["python", "-m", "theory", "fit", *(str(path) for path in self.table), "--model", *self._models()]
        for name in ("spectrum", "halves", "starts", "seed", "bootstrap", "groups"):
            parts += [f"--{name}", str(getattr(self, name))]
        return shlex.join([*parts, *(["--equal-steps"] if self.equal_steps else [])])


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
