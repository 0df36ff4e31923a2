"""Simulated trade-off frontiers beside the published ones they are counterparts of, and what each method adds to the hypervolume."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.frontier import box_shares, lower_left_hull
from common.seeds import LEVEL, mean_interval
from figures import style
from figures.frontiers import VIEWS, handles, limits, series
from figures.tables import Rows

_RETAINED = ("loss_ret", "loss_ft")
_ALONE = ("unmixed", "mixed")

Column = tuple[str, tuple[str, str], tuple[str, ...]]
COLUMNS: dict[str, tuple[Column, ...]] = {
    "figure2": (("left", VIEWS[0], _ALONE), ("right", VIEWS[1], _ALONE)),
    "figure4": (("left", _RETAINED, (*_ALONE, "mixed+dropout")), ("right", _RETAINED, (*_ALONE, "mixed+replay"))),
    "figure6": (("left", _RETAINED, (*_ALONE, "unmixed+dropout")), ("right", _RETAINED, (*_ALONE, "unmixed+replay"))),
    "figure7": (("", _RETAINED, ("fft_unmixed", "fft_mixed", "lora_unmixed", "lora_mixed")),),
}
"""Published figure -> its columns: end of the panel's name, losses on the axes, methods."""
SYMBOLS = {name: style.AXES[name].rsplit(" ", 1)[1] for view in VIEWS for name in view}
"""Loss -> its symbol alone, where panels are too narrow for its name."""
PIPELINES = {"a": "published: music → chemistry", "b": "published: music → instruction"}

GAINS = {
    "mixing": ("mixed", "unmixed"),
    "replay, unmixed": ("unmixed+replay", "unmixed"),
    "replay, mixed": ("mixed+replay", "mixed"),
    "dropout, unmixed": ("unmixed+dropout", "unmixed"),
    "dropout, mixed": ("mixed+dropout", "mixed"),
    "decay, unmixed": ("unmixed+decay", "unmixed"),
    "decay, mixed": ("mixed+decay", "mixed"),
    "low rank, unmixed": ("lora_unmixed", "unmixed"),
    "low rank, mixed": ("lora_mixed", "mixed"),
}
"""What is added -> method with it, method without."""
CONVERGED = "converged"
"""Prefix of the methods that are no sweeps."""
LOOKS = tuple(zip((mpl.color_sequences["okabe_ito"][i] for i in (0, 1, 2, 3, 6, 5)), "osD^vP", strict=True))
"""Colour and marker of each model; the palette's yellow is too faint for lines."""


def beside(published: Any, simulated: Any) -> Figure:
    """One of the paper's frontier figures (2, 4, 6 or 7; two pipelines of it) beside the same sweeps of every model.

    Simulated points are means over seeds at one (t_post, t_ft); faint lines are the hulls of single seeds.
    """
    paper, rows = Rows(published), Rows(simulated)
    figure_name = paper["study"][0]
    columns = COLUMNS[figure_name]
    models = [
        name for name in style.NETWORKS if len(_methods(rows.where(model=name), columns[0][2])) == len(columns[0][2])
    ]
    across = 4 if len(columns) == 2 else 3
    blocks = [*PIPELINES, *models]
    lines = -(-len(blocks) * len(columns) // across)
    figure, axes = style.panels(lines, across, height=1.75 * lines + 0.45)
    panels = axes.reshape(-1)
    for ax in panels[len(blocks) * len(columns) :]:
        ax.axis("off")
    for i, block in enumerate(blocks):
        for j, (end, (x, y), methods) in enumerate(columns):
            ax = panels[i * len(columns) + j]
            if block in PIPELINES:
                _published(ax, paper.where(published__panel=f"{block}_{end}".rstrip("_")), x, y)
            else:
                _simulated(ax, rows.where(model=block).whole_seeds(), x, y, methods)
            unit = style.NATS if block in PIPELINES else ""
            ax.set_xlabel(SYMBOLS[x] + unit, fontsize=7)
            ax.set_ylabel(SYMBOLS[y] + unit, fontsize=7)
            ax.tick_params(labelsize=6)
            if j == 0:
                ax.set_title(PIPELINES.get(block) or style.NETWORKS[block], fontsize=7.5)
    drawn = list(dict.fromkeys(method for _, _, methods in columns for method in methods))
    seeds = Line2D([], [], color="0.5", lw=0.6, alpha=0.5, label="hull of one seed")
    style.legend_below(figure, [*handles(drawn), seeds], len(drawn) + 1)
    losses = dict.fromkeys(name for _, view, _ in columns for name in view)
    _heading(figure, "; ".join(style.AXES[name] for name in losses))
    return figure


def _stored(method: str) -> str:
    """The simulation's name of a method; its full fine-tuning has no prefix."""
    return method.removeprefix("fft_")


def _methods(rows: Rows, methods: tuple[str, ...]) -> list[str]:
    there = set(rows.distinct("method"))
    return [method for method in methods if _stored(method) in there]


def _published(ax: Axes, rows: Rows, x: str, y: str) -> None:
    for method in rows.distinct("method"):
        points = rows.where(method=method)
        series(ax, method, points[x], points[y])
    shown = rows["published.in_axes"] == 1
    limits(ax, rows[x][shown], rows[y][shown])


def _simulated(ax: Axes, rows: Rows, x: str, y: str, methods: tuple[str, ...]) -> None:
    for method in methods:
        points = _sweep(rows.where(method=_stored(method)), (x, y))
        colour, _, dash = style.METHODS[method]
        for seed in points if len(points) > 1 else ():
            hull = seed[lower_left_hull(seed)]
            ax.plot(*hull.T, color=colour, ls=dash, lw=0.4, alpha=0.2)
        series(ax, method, *points.mean(axis=0).T)


def _sweep(rows: Rows, losses: tuple[str, str]) -> Any:
    """The end points of a sweep, of shape (seeds, settings, 2)."""
    order = np.lexsort([rows[name] for name in ("t_ft", "t_post", "seed")])
    points = np.stack([rows[loss][order] for loss in losses], axis=1)
    return points.reshape(len(rows.distinct("seed")), -1, 2)


def hypervolumes(simulated: Any) -> Figure:
    """What each method adds to the dominated share of the box that holds all sweeps of a model, in both views of Figure 2."""
    rows = Rows(simulated)
    models = [name for name in style.NETWORKS if len(rows.where(model=name))]
    looks = dict(zip(style.NETWORKS, LOOKS, strict=True))
    figure, axes = style.panels(1, 2, height=0.48 * len(GAINS) + 1.0, sharey=True)
    for ax, view in zip(axes[0], VIEWS, strict=True):
        ax.axvline(0, color="0.5", lw=0.8)
        for line in range(1, len(GAINS)):
            ax.axhline(line - 0.5, color="0.9", lw=0.5)
        for i, model in enumerate(models):
            shares = _shares(rows.where(model=model).whole_seeds(), view)
            for line, (more, less) in enumerate(GAINS.values()):
                if more not in shares:
                    continue
                gain = mean_interval(shares[more] - shares[less])
                at = line + 0.75 * ((i + 0.5) / len(models) - 0.5)
                colour, marker = looks[model]
                if gain.low is not None:
                    ax.plot([gain.low, gain.high], [at, at], color=colour, lw=1.0)
                ax.plot([gain.value], [at], color=colour, marker=marker, ls="none", mec="k", mew=0.3, ms=4)
        ax.set_title(f"({style.AXES[view[0]]}, {style.AXES[view[1]]})", fontsize=7)
        ax.set_xlabel("gain in hypervolume, share of the model's box")
    axes[0, 0].set_yticks(range(len(GAINS)), GAINS)
    axes[0, 0].set_ylim(len(GAINS) - 0.5, -0.5)
    axes[0, 0].set_ylabel("what is added to stage 1 or 2")
    shown = [
        Line2D([], [], color=c, marker=m, mec="k", mew=0.3, ls="-", lw=1.0, label=style.NETWORKS[name])
        for name, (c, m) in looks.items()
        if name in models
    ]
    style.legend_below(figure, shown, 3)
    _heading(figure, f"lines: {LEVEL:.0%} interval over seeds, where the start is random")
    return figure


def _heading(figure: Figure, text: str) -> None:
    figure.suptitle(text, fontsize=7, x=0.01, ha="left")


def _shares(rows: Rows, view: tuple[str, str]) -> dict[str, Any]:
    """Method -> dominated share of every seed; the box holds all methods and seeds."""
    swept = [method for method in rows.distinct("method") if not method.startswith(CONVERGED)]
    sweeps = [_sweep(rows.where(method=method), view) for method in swept]
    found = box_shares([points for sweep in sweeps for points in sweep])
    return dict(zip(swept, np.reshape(found, (len(swept), -1)), strict=True))
