"""Phase maps: a loss over two settings, with the analytic boundaries drawn on it."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from figures import style
from figures.tables import Rows

DASHES = {
    "exposure time": ("-", "exposure time: $\\alpha t_\\mathrm{pre} + t_\\mathrm{post} = \\tau_\\beta$"),
    "half forgotten": ("--", "inconsistent modes half forgotten"),
    "escape time": ("--", "inconsistent modes escape in stage 1"),
    "C.6": (":", "C.6: $\\alpha\\beta$ = mixed inconsistent target"),
    "specialised half learned": ("-", "specialised modes half learned"),
    "inconsistent half learned": ("--", "inconsistent modes half learned"),
    "C.17 crossing": ("-.", "C.17: retained losses cross"),
}
"""Boundary -> dash, name."""


LINE: dict[str, Any] = {
    "color": "#ffffff",
    "lw": 1.3,
    "path_effects": [withStroke(linewidth=2.6, foreground="#000000")],
}
"""Boundaries: white with a black rim, seen on every colour of a map and on the page."""
RETAINED = style.AXES["loss_ret"]


def phase_alpha(table: Any) -> Figure:
    """loss_ret over (alpha, t_ft)."""
    rows = Rows(table)
    figure, ((ax,),) = style.panels(1, 1, width=style.COLUMN + 1.0, height=3.1)
    _legend(figure, rows)
    _map(ax, rows, "alpha", "t_ft", _field(rows, "alpha", "t_ft", "loss_ret"), RETAINED)
    ax.set_yscale("log")
    return figure


def phase_beta(table: Any) -> Figure:
    """loss_ret over (beta, alpha), and by how much it lies below the unmixed model's."""
    rows = Rows(table)
    figure, axes = style.panels(1, 2, height=3.2, sharey=True)
    loss = _field(rows, "problem.beta", "alpha", "loss_ret")
    gain = loss[0][None, :] - loss  # the lowest row is alpha = 0
    _map(axes[0, 0], rows, "problem.beta", "alpha", loss, RETAINED)
    name = r"$L_\mathrm{ret}$ unmixed $-$ $L_\mathrm{ret}$ at $\alpha$"
    _map(axes[0, 1], rows, "problem.beta", "alpha", gain, name, signed=True)
    axes[0, 1].set_ylabel("")
    _legend(figure, rows)
    return figure


def window(table: Any) -> Figure:
    """What stage 1 has learned over (alpha, t_pre); between the two lines is the mixing window of C.10."""
    rows = Rows(table)
    figure, axes = style.panels(1, 2, height=3.0, sharey=True)
    for ax, mode in zip(axes[0], ("specialised", "inconsistent"), strict=True):
        field = _field(rows, "alpha", "t_pre", f"problem.{mode}")
        _map(ax, rows, "alpha", "t_pre", field, f"{mode} modes, learned fraction")
        ax.set_yscale("log")
    axes[0, 1].set_ylabel("")
    _legend(figure, rows)
    return figure


def _field(rows: Rows, x: str, y: str, column: str) -> Any:
    """A column of the map's rows as a matrix, y downwards and x across, both increasing."""
    here = rows.where(**{"problem.boundary": None})
    order = np.lexsort((here[x], here[y]))
    return here[column][order].reshape(len(np.unique(here[y])), -1)


def _map(
    ax: Axes,
    rows: Rows,
    x_name: str,
    y_name: str,
    field: Any,
    name: str,
    *,
    signed: bool = False,
) -> None:
    """One map with its colour bar and its boundaries; a signed map is symmetric around a neutral 0."""
    here = rows.where(**{"problem.boundary": None})
    x, y = np.unique(here[x_name]), np.unique(here[y_name])
    limits: dict[str, Any] = {"cmap": "viridis"}
    if signed:
        largest = float(np.abs(field).max())
        limits = {"cmap": "PuOr", "vmin": -largest, "vmax": largest}
    image = ax.pcolormesh(x, y, field, shading="nearest", rasterized=True, **limits)
    ax.figure.colorbar(image, ax=ax, pad=0.02)
    ax.set_title(name)  # over the map: beside the bar it would read as the neighbour's axis
    for boundary in rows.distinct("problem.boundary"):
        at = rows.where(**{"problem.boundary": boundary})
        ax.plot(at[x_name], at[y_name], ls=DASHES[boundary][0], **LINE)
    ax.set_xlim(x[0], x[-1])
    ax.set_ylim(y[0], y[-1])
    style.label(ax, x_name, y_name)


def _legend(figure: Figure, rows: Rows) -> None:
    """The boundaries by dash, below the maps."""
    shown = [DASHES[boundary] for boundary in rows.distinct("problem.boundary")]
    if shown:
        style.legend_below(figure, [Line2D([], [], ls=dash, label=text, **LINE) for dash, text in shown], 2)
