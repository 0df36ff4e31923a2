"""Simulation against closed form: how the error of gradient descent falls with its step, one panel a solution of the theory."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from figures import style
from figures.tables import Rows

COLUMNS = 6
_LOOKS: dict[str, dict[str, Any]] = {
    "loss_im": {"color": "#0072b2", "marker": "o"},
    "loss_ret": {"color": "#d55e00", "marker": "s"},
    "loss_ft": {"color": "#009e73", "marker": "o", "ms": 6, "mfc": "none"},
    "loss_pre": {"color": "#000000", "marker": ".", "ls": "--"},
}
"""Loss -> look; the last two often coincide and are drawn to be seen through one another. Palette of Okabe and Ito."""


def verified(table: Any) -> Figure:
    """Largest error of every loss against the relative step size, with a line of slope 1; one panel a way of learning."""
    rows = Rows(table)
    names = rows.distinct("method")
    lines = -(-len(names) // COLUMNS)
    figure, axes = style.panels(lines, COLUMNS, height=1.45 * lines + 0.5, sharex=True, sharey=True)
    for ax, name in zip(axes.flat, names, strict=False):
        here = rows.where(method=name)
        steps = np.unique(here["sims.rate"])
        for loss, look in _LOOKS.items():
            gap = np.abs(here[loss] - here[f"sims.theory_{loss}"])
            ax.loglog(steps, [gap[here["sims.rate"] == step].max() for step in steps], **look)
        ax.loglog(steps, 1e-2 * steps, color="0.5", ls=":", lw=1)
        ax.set_title(name, fontsize=7)
        ax.set_xticks(steps, [f"1/{round(1 / step)}" if step < 1 else "1" for step in steps])
        ax.xaxis.set_minor_formatter(NullFormatter())
    for ax in axes.flat[len(names) :]:
        ax.set_visible(False)
    whole = rows.where(sims__rate=1.0)
    base = ", ".join(f"{whole[f'sims.steps_{stage}'][0]:,.0f}" for stage in ("pre", "post", "ft"))
    for ax in axes[-1]:
        ax.set_xlabel("step size", fontsize=7)
    for ax in axes[:, 0]:
        ax.set_ylabel("error", fontsize=7)
    figure.supylabel(f"largest error of a run; step size 1 is {base} steps per stage", fontsize=8)
    handles = [Line2D([], [], label=style.AXES[loss], **look) for loss, look in _LOOKS.items()]
    handles.append(Line2D([], [], color="0.5", ls=":", lw=1, label="slope 1"))
    style.legend_below(figure, handles, len(handles))
    return figure
