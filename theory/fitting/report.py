"""The fits for a person, as three small tables, and as a results table of fitted curves."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from common import recipe, results
from common.console import Output
from common.settings import config_hash
from theory.fitting.assessment import Assessment
from theory.fitting.points import SPLITS, Points

ERRORS = ("fitted", "predicted", "shape")
DENSE = 101
"""Points of a fitted curve along lambda."""


def show(document: dict[str, Any], out: Output) -> None:
    """Print how good the fits are, their parameters, and what they make of forgetting."""
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


def curves(points: Points, assessments: Sequence[Assessment], command: str) -> Any:
    """The fitted curves, dense in lambda, as a results table; parameters in dotted columns."""
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
    return [
        entry
        for value, exposure in parts
        for entry in (value.tolist() if isinstance(value, np.ndarray) else [value] * len(exposure))
    ]
