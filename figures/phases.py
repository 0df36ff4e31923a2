"""Phase maps: a loss over two settings, with the analytic boundaries drawn on it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

DASHES = {
    "exposure time": ("#ffffff", "-", "exposure time: $\\alpha t_\\mathrm{pre} + t_\\mathrm{post} = \\tau_\\beta$"),
    "half forgotten": ("#ffffff", "--", "inconsistent modes half forgotten"),
    "escape time": ("#ffffff", "--", "inconsistent modes escape in stage 1"),
    "C.6": ("#ffffff", ":", "C.6: $\\alpha\\beta$ = mixed inconsistent target"),
    "C.17 crossing": ("#ffffff", "-.", "C.17: retained losses cross"),
}
"""Boundary -> colour, dash, name. White on the map; the legend shows the dash in black."""


def phase_alpha(table: Any) -> Figure:
    """loss_ret over (alpha, t_ft)."""
    figure, axes = style.panels(1, 1, width=style.COLUMN + 1.0, height=3.1)
    _map(figure, axes[0, 0], Rows(table), "alpha", "t_ft", "loss_ret")
    axes[0, 0].set_yscale("log")
    return figure


def phase_beta(table: Any) -> Figure:
    """loss_ret over (beta, alpha), and by how much it lies below the unmixed model's."""
    rows = Rows(table)
    figure, axes = style.panels(1, 2, height=3.2, sharey=True)
    _map(figure, axes[0, 0], rows, "problem.beta", "alpha", "loss_ret")
    _map(figure, axes[0, 1], rows, "problem.beta", "alpha", "gain")
    axes[0, 1].set_ylabel("")
    return figure


def _map(figure: Figure, ax: Axes, rows: Rows, x_name: str, y_name: str, what: str) -> None:
    """One map with its colour bar, its boundaries and their legend below the axes."""
    field = rows.where(**{"problem.boundary": None})
    x, y = np.unique(field[x_name]), np.unique(field[y_name])
    order = np.lexsort((field[x_name], field[y_name]))
    loss = field["loss_ret"][order].reshape(len(y), len(x))
    name, cmap = style.AXES["loss_ret"], "viridis"
    limits: dict[str, Any] = {}
    if what == "gain":
        loss = loss[0][None, :] - loss
        name, cmap = r"$L_\mathrm{ret}$ unmixed $-$ $L_\mathrm{ret}$ at $\alpha$", "PuOr"
        largest = float(np.abs(loss).max())
        limits = {"vmin": -largest, "vmax": largest}
    image = ax.pcolormesh(x, y, loss, cmap=cmap, shading="nearest", rasterized=True, **limits)
    figure.colorbar(image, ax=ax, label=name, pad=0.02)
    handles = []
    for boundary in rows.distinct("problem.boundary"):
        line = rows.where(**{"problem.boundary": boundary})
        colour, dash, text = DASHES[boundary]
        drawn = colour if what != "gain" else "#000000"
        ax.plot(line[x_name], line[y_name], color=drawn, ls=dash, lw=1.4)
        handles.append(Line2D([], [], color="#000000", ls=dash, label=text))
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    style.label(ax, x_name, y_name)
    if what != "gain":
        figure.legend(handles=handles, loc="outside lower center", ncols=2)
