"""The published numbers as rows of the results table: Figures 2 to 12 of arXiv 2605.12705, read off the vector figures.

`paper/published/README.md` says how they were read, how precise they are, and which markers the figures do not show.
"""

import csv
import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from common import results
from common.settings import WrongUse

_CHECKOUT = Path(__file__).resolve().parent.parent / "paper"
DATA = _CHECKOUT if (_CHECKOUT / "published").exists() else Path(__file__).resolve().parent / "data"
"""Published numbers and stored results: `paper/` of a checkout, or what an installed package carries of it."""
FOLDER = DATA / "published"
RESULTS = DATA / "results"
FRONTIER_FIGURES = (2, 4, 5, 6, 7, 8, 9, 10, 11, 12)
EXTRA = {
    "published.panel": "text",
    "published.x": "text",
    "published.y": "text",
    "published.order": "whole",
    "published.in_axes": "whole",
    "published.on_drawn_frontier": "whole",
    "published.starred": "whole",
}
_MILLION = 1_000_000
REPLAY = 0.01
"""Fraction of D_pre in the paper's replay runs (its Sec. 4.4)."""
LORA_RANK = 64
"""Rank in its LoRA runs (its Table 9)."""


@cache
def load(figure: int, folder: Path = FOLDER) -> Any:
    """The points of one figure (2 to 12) as a results table with engine "published".

    Figure 3 has one row a (setting, size, lambda), with loss_im and loss_ret; the others one row a marker, with the two
    losses of its panel. Recipe columns are as the paper says; what it does not print (learning rates, dropout rates, the lambda of mixed
    markers) is null.

    Raises:
        WrongUse: no such figure, or its file is missing or damaged.

    Example:
        >>> load(3).num_rows
        30
    """
    path = folder / f"figure{figure}.csv"
    if figure != 3 and figure not in FRONTIER_FIGURES:
        raise WrongUse(f"Figure {figure} has no published points. Choose 2 to 12.")
    try:
        text = path.read_text()
    except OSError as error:
        raise WrongUse(f"The published numbers {path} cannot be read ({error}). Install the package again.") from error
    lines = list(csv.DictReader(text.splitlines()))
    origin = {
        "engine": "published",
        "study": f"figure{figure}",
        "scale": "135M" if figure <= 7 else "1B",
        "config_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        "code_version": "arXiv 2605.12705v1",
        "source": f"figure{figure}.csv",
    }
    try:
        columns = _lambda_study(lines) if figure == 3 else _markers(lines)
    except (KeyError, ValueError) as error:
        raise WrongUse(f"{path} is damaged ({error!r}). Restore it with `git checkout -- {path.name}`.") from error
    return results.table(origin | columns, EXTRA)


def _lambda_study(lines: list[dict[str, str]]) -> dict[str, Any]:
    """One row a (setting, size, lambda): the file's immediate and retained losses side by side."""
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    for line in lines:
        row = rows.setdefault((line["setting"], line["tokens"], line["lambda"]), {})
        row["loss_im" if line["when"] == "immediate" else "loss_ret"] = float(line["loss"])
        row["starred"] = max(row.get("starred", 0), int(line["starred"] == "true"))
    keys = list(rows)
    split = {"mixture_fraction": "independent", "compute_matched": "compute-matched"}
    return {
        "pipeline": "C4>MusicPile>ChemPile",
        "mixing": "add",
        "placement": "uniform",
        "replay": 0.0,
        "l2_to_start": 0.0,
        "split": [split[key[0]] for key in keys],
        "tokens_post": [int(key[1].removesuffix("M")) * _MILLION for key in keys],
        "exposure": [float(key[2]) for key in keys],
        "lr_ft": 5e-5,
        "loss_im": [rows[key]["loss_im"] for key in keys],
        "loss_ret": [rows[key]["loss_ret"] for key in keys],
        "published.starred": [rows[key]["starred"] for key in keys],
    }


def _markers(lines: list[dict[str, str]]) -> dict[str, Any]:
    def flag(name: str) -> list[int]:
        return [int(line[name] == "true") for line in lines]

    def loss(name: str) -> list[float | None]:
        return [
            float(line["x"]) if line["x_name"] == name else float(line["y"]) if line["y_name"] == name else None
            for line in lines
        ]

    series = [line["series"] for line in lines]
    return {
        "pipeline": [line["pipeline"] for line in lines],
        "mixing": "add",
        "split": "independent",
        "placement": "uniform",
        "l2_to_start": 0.0,
        "method": series,
        "exposure": [0.0 if "unmixed" in name else None for name in series],
        "replay": [REPLAY if "replay" in name else 0.0 for name in series],
        "rank": [LORA_RANK if "lora" in name else None for name in series],
        **{name: loss(name) for name in ("loss_ret", "loss_ft", "loss_pre")},
        "published.panel": [line["panel"] for line in lines],
        "published.x": [line["x_name"] for line in lines],
        "published.y": [line["y_name"] for line in lines],
        "published.order": [int(line["order"]) for line in lines],
        "published.in_axes": flag("in_axes"),
        "published.on_drawn_frontier": flag("on_drawn_frontier"),
    }
