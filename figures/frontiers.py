"""Trade-off frontiers of two losses: the points, and the lower-left hull that the paper draws."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.frontier import lower_left_hull
from common.sweeps import VIEWS
from figures import style
from figures.tables import Rows


def linear_frontiers(table: Any) -> Figure:
    """The linear models' stage-2 x stage-3 sweeps in both views, a row per model."""
    rows = Rows(table)
    models = rows.distinct("model")
    figure, axes = style.panels(len(models), 2, height=2.2 * len(models) + 0.4)
    for line, model in zip(axes, models, strict=True):
        for ax, (x, y) in zip(line, VIEWS, strict=True):
            for method in rows.distinct("method"):
                points = rows.where(model=model, method=method)
                series(ax, method, points[x], points[y])
            style.label(ax, x, y)
        alpha = rows.where(model=model, method="mixed")["alpha"][0]
        line[0].set_title(f"{style.MODELS[model]}; mixed: α = {alpha:g}")
    style.legend_below(figure, handles(rows.distinct("method")), 2)
    return figure


def published(table: Any) -> Figure:
    """One of the paper's frontier figures from its points; the hull is ours, circled points the paper's own vertices."""
    rows = Rows(table)
    names = rows.distinct("published.panel")
    pipelines = {name: rows.where(published__panel=name)["pipeline"][0] for name in names}
    figure, axes = style.grid(len(names), 4, row=2.35, more=0.5)
    for ax, name in zip(axes, names, strict=True):
        panel = rows.where(published__panel=name)
        x, y = panel["published.x"][0], panel["published.y"][0]
        shown = panel["published.in_axes"] == 1
        for method in panel.distinct("method"):
            points = panel.where(method=method)
            series(ax, method, points[x], points[y], vertices=points["published.on_drawn_frontier"] == 1)
        limits(ax, panel[x][shown], panel[y][shown])
        ax.set_title(pipelines[name].replace(">", " → "), fontsize=6.5)
        style.label(ax, x, y)
        ax.xaxis.label.set_fontsize(7)
        ax.yaxis.label.set_fontsize(7)
    shown_below = [
        *handles(rows.distinct("method")),
        Line2D([], [], color="0.4", marker="o", mfc="none", ls="none", ms=6, label="vertex in the paper"),
    ]
    style.legend_below(figure, shown_below, min(5, len(shown_below)))
    source = rows["study"][0].replace("figure", "Figure ")
    style.heading(figure, f"{source} of arXiv 2605.12705, {rows['scale'][0]} model; losses in nats/token")
    return figure


def limits(ax: Axes, x: Any, y: Any) -> None:
    """Show what the printed axes showed: the range of the points inside them, with a margin."""
    for low, high, put in ((x.min(), x.max(), ax.set_xlim), (y.min(), y.max(), ax.set_ylim)):
        margin = 0.05 * (high - low)
        put(low - margin, high + margin)


def series(ax: Axes, method: str, x: Any, y: Any, vertices: Any = None) -> None:
    """Points of one method, its hull, and (published) circles around the vertices that the paper drew."""
    colour, marker, dash = style.METHODS[method]
    ax.scatter(x, y, s=9, color=colour, marker=marker, alpha=0.35, linewidths=0)
    hull = lower_left_hull(np.stack([x, y], axis=1))
    ax.plot(x[hull], y[hull], color=colour, ls=dash, marker=marker, ms=3)
    if vertices is not None:
        ax.scatter(x[vertices], y[vertices], s=30, facecolors="none", edgecolors=colour, linewidths=0.6)


def handles(methods: list[str]) -> list[Line2D]:
    """Legend entries of methods, and of the runs that are on no hull."""
    made: list[Line2D] = []
    for method in methods:
        colour, marker, dash = style.METHODS[method]
        made.append(Line2D([], [], color=colour, marker=marker, ls=dash, label=style.METHOD_NAMES.get(method, method)))
    made.append(Line2D([], [], color="0.4", marker="o", ms=3, ls="none", alpha=0.35, label="faded: off the hull"))
    return made
