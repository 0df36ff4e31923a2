"""A lambda study with the laws fitted to it: points with intervals over seeds, and curves."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

LAWS = {"null": (":", "constant forgetting (null)"), "S": ("-", "law S"), "S8": ("--", "law S8")}
"""Law -> dash, name."""
LOSSES = ("loss_im", "loss_ret")
MOST = 6
"""Curves that a figure has room for: those with the smallest fine-tuning rates."""


def crosscheck(table: Any) -> Figure:
    """A column a curve of the study: loss_im above, loss_ret below.

    Args:
        table: `crosscheck.parquet` of `python -m theory crosscheck ... --out FOLDER`.
    """
    rows = Rows(table)
    names = rows.where(method="measured").distinct("problem.curve")
    rates = {name: float(np.nan_to_num(rows.where(problem__curve=name)["lr_ft"][0])) for name in names}
    names = sorted(names, key=lambda name: rates[name])[:MOST]
    figure, axes = style.panels(2, len(names), height=3.6, sharex=True, sharey="row")
    for j, name in enumerate(names):
        here = rows.where(problem__curve=name)
        for i, loss in enumerate(LOSSES):
            ax, seen = axes[i, j], here.where(method="measured")
            half = loss.removeprefix("loss_")
            drawn = {"fmt": "o", "color": style.MIXED, "ms": 3.5, "lw": 0.9, "zorder": 3}
            if f"problem.{half}_low" in table.column_names and np.isfinite(seen[f"problem.{half}_low"]).all():
                ends = np.abs(np.stack([seen[f"problem.{half}_{end}"] for end in ("low", "high")]) - seen[loss])
                ax.errorbar(seen["exposure"], seen[loss], yerr=ends, **drawn)
            else:
                ax.errorbar(seen["exposure"], seen[loss], **(drawn | {"ls": "none"}))
            for law, (dash, _) in LAWS.items():
                line = here.where(method=law)
                ax.plot(line["exposure"], line[loss], ls=dash, color="0.25", lw=1.0)
            if i == 0:
                ax.set_title("\n".join(name.split(" ", 1)), fontsize=6.5)
            else:
                ax.set_xlabel(style.AXES["exposure"], fontsize=7)
    for i, loss in enumerate(LOSSES):
        axes[i, 0].set_ylabel(style.AXES[loss] + "\n" + "(nats/token)", fontsize=7)
    points = Line2D([], [], color=style.MIXED, marker="o", ls="none", label="measured, 95 % over seeds")
    style.legend_below(figure, [points, *(Line2D([], [], color="0.25", ls=d, label=n) for d, n in LAWS.values())], 4)
    return figure
