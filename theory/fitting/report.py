"""The fits for a person, as three small tables, and as a results table of fitted curves."""

from collections.abc import Sequence
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
        "Errors in nats/token (fitted numbers include floors and scale; a lower AICc is better). a: independent half, b: compute-matched;\n"
        "a -> b: fitted to a / prediction of b / the same with floors and scale refitted to b",
        ("model", "numbers", "rms", "AICc", "a curve left out", "a -> b", "b -> a"),
        [
            [
                entry["method"],
                entry["fitted_numbers"],
                f"{entry['rmse']:.4f}",
                f"{entry['aicc']:.1f}",
                _number(entry["leave_one_curve_out"]["rms"]),
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
            if SPLITS[0] in entry["cross"]:
                drops.append(("    fitted to a alone", entry["cross"][SPLITS[0]]["forgetting"]))
        out.table(
            "Forgetting (loss_ret - loss_im) in the independent half: at the first lambda, its fall to the second / to the last",
            ("", *sizes),
            [[name, *(_drop(drop[size]) for size in sizes)] for name, drop in drops],
        )
    names = list(dict.fromkeys(name for entry in fits for name in entry["parameters"]))
    out.table(
        "Parameters, with 90 % bootstrap intervals ([ or ]: at its lower or upper bound; =: held)",
        ("", *(entry["method"] for entry in fits)),
        [[name, *(_parameter(entry, name) for entry in fits)] for name in names],
    )


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
    return text if interval is None else f"{text} ({interval[0]:.2g} to {interval[1]:.2g})"


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
