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

ERRORS = ("fitted", "predicted", "shape")
DENSE = 101
"""Points of a fitted curve along lambda."""

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
    """Models to fit: plain, rp, rp-shared, null, S, S5, S8, Smax, Slin; laws for the last six, or all."""
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
    """Results of independent tasks, one thread per core; the last, which is the slowest, first. An interrupt ends them at their next step.

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


def show(document: dict[str, Any], out: Output) -> None:
    """Print how good the fits are, their parameters, and what they make of forgetting."""
    from theory.fitting.points import SPLITS

    fits = document["fits"]
    out.table(
        "Errors in nats/token (numbers include floors and scale; lower AICc is better); in brackets without odd checkpoints.\n"
        "Left out: predicted from the rest; ~ is the shape only, where a size left out has no level. a: independent, b: compute-matched,\n"
        "a -> b: fitted to a / prediction of b / the same with linear parameters refitted to b",
        ("model", "numbers", "rms", "AICc", "a curve left out", "a size left out", "condition", "a -> b", "b -> a"),
        [
            [
                entry["method"],
                entry["fitted_numbers"],
                _both(entry, lambda found: f"{found['rmse']:.4f}"),
                _both(entry, lambda found: f"{found['aicc']:.0f}"),
                _both(entry, lambda found: _number(found["leave_one_curve_out"]["rms"])),
                _both(entry, _size),
                f"{entry['condition']:.0e}" if "condition" in entry else "",
                *(
                    " / ".join(_number(entry["cross"].get(split, {}).get(f"rms_{what}")) for what in ERRORS)
                    for split in SPLITS
                ),
            ]
            for entry in fits
        ],
    )
    fits = [entry for entry in fits if "parameters" in entry]
    observed = document["observed_forgetting"]
    if observed:
        sizes = list(observed)
        drops = [("observed", observed)]
        for entry in fits:
            drops.append((entry["method"], entry["forgetting"]))
            if "forgetting" in entry["cross"].get(SPLITS[0], {}):
                drops.append(("    fitted to a alone", entry["cross"][SPLITS[0]]["forgetting"]))
        out.table(
            "Forgetting (loss_ret - loss_im) in the independent half: at the first lambda, its fall to the second / to the last",
            ("", *sizes),
            [[name, *(_drop(drop[size]) for size in sizes)] for name, drop in drops],
        )
    names = list(dict.fromkeys(name for entry in fits for name in entry["parameters"]))
    out.table(
        "Parameters, with 90 % profile-likelihood intervals ([ or ]: at a bound; =: held; ..: the profile has no end there)",
        ("", *(entry["method"] for entry in fits)),
        [[name, *(_parameter(entry, name) for entry in fits)] for name in names],
    )


def _both(entry: dict[str, Any], shown: Callable[[dict[str, Any]], str]) -> str:
    """A number of the fit, and in brackets of the fit without odd checkpoints."""
    return shown(entry) + (f" ({shown(entry['without_odd'])})" if "without_odd" in entry else "")


def _size(entry: dict[str, Any]) -> str:
    found = entry.get("leave_one_size_out") or {}
    if found.get("rms") is not None:
        return _number(found["rms"])
    return "-" if found.get("shape") is None else f"~{_number(found['shape'])}"


def _drop(drop: dict[str, float]) -> str:
    return f"{drop['at_start']:.3f}, -{drop['first_drop']:.3f} / -{drop['whole_drop']:.3f}".replace("--", "+")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if value < 10 else f"{value:.0f}"


def _parameter(entry: dict[str, Any], name: str) -> str:
    if name not in entry["parameters"]:
        return ""
    text = f"{entry['parameters'][name]:.3g}"
    if name in entry["held"]:
        return f"={text}"
    text = {"lower": r"\[", "upper": "]", None: ""}[entry["at_bounds"].get(name)] + text
    interval = entry["intervals"].get(name)
    if interval is None:
        return text
    low, high = (".." if end is None else f"{end:.2g}" for end in interval)
    return f"{text} ({low} to {high})"


def curves(points: Any, assessments: Sequence[Any], command: str) -> Any:
    """The fitted curves, dense in lambda, as a results table; parameters in dotted columns."""
    import numpy as np

    from common import recipe, results
    from common.settings import config_hash
    from theory.fitting.points import SPLITS

    parts = []
    for found in assessments:
        for curve in points.curves:
            exposure = np.linspace(0.0, max(1.0, float(points.exposure[points.of(curve)].max())), DENSE)
            loss = found.fit.curve(exposure, curve.tokens, curve.split == SPLITS[1])
            settings = {
                name if name == "t_ft" else f"problem.{name}": value for name, value in found.fit.values.items()
            }
            parts.append(
                settings
                | {"model": found.fit.model, "method": found.method, "split": curve.split}
                | {"exposure": exposure, "tokens_post": int(curve.tokens)}
                | {"loss_im": loss[:, 0], "loss_ret": loss[:, 1], "problem.floor": found.fit.floors[curve.tokens]}
                | {"problem.scale": found.fit.scale, "problem.rmse": found.fit.rmse, "problem.aicc": found.fit.aicc}
                | {"problem.fitted_numbers": float(found.fit.parameters)}
            )
    columns = {name: _joined([(part.get(name), part["exposure"]) for part in parts]) for part in parts for name in part}
    fixed = {
        "engine": "theory", "study": "fit", "pipeline": "linear", "source": command,
        "config_hash": config_hash(command), "code_version": results.code_version(),
    }  # fmt: skip
    return results.table(recipe.OFF | fixed | columns, {name: "real" for name in columns if "." in name})


def _joined(parts: list[tuple[Any, Any]]) -> list[Any]:
    """One column from its part of each curve: an array, a single value, or null."""
    import numpy as np

    return [
        entry
        for value, exposure in parts
        for entry in (value.tolist() if isinstance(value, np.ndarray) else [value] * len(exposure))
    ]
