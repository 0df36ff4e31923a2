"""The law S as a phase map: the best exposure and the depth of the dip, over the rate of loss and the size of D_post."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

EDGES = {
    "smallest corpus": ("-", "no dip below: $mD/d_0 = k - 1$"),
    "largest loss rate": ("--", r"no dip beyond: $\phi = 1 - 1/m$"),
}
"""Boundary -> dash, name."""


def law_optimum(table: Any) -> Figure:
    """Best exposure (left) and depth of the minimum below the better end in units of A (right), with the proved boundaries.

    Args:
        table: `law_optimum.parquet` of `python -m theory study law_optimum`.
    """
    rows = Rows(table)
    here = rows.where(problem__boundary=None)
    lost, reach = np.unique(here["problem.lost"]), np.unique(here["problem.reach"])
    order = np.lexsort((here["problem.lost"], here["problem.reach"]))
    figure, axes = style.panels(1, 2, height=3.0, sharey=True)
    shown = (
        ("exposure", r"best exposure $\lambda^*$", "viridis"),
        ("problem.depth_of_minimum", r"depth of the minimum ($A$)", "cividis"),
    )
    for ax, (column, name, colours) in zip(axes[0], shown, strict=True):
        field = here[column][order].reshape(len(reach), -1)
        image = ax.pcolormesh(lost, reach, field, shading="nearest", rasterized=True, cmap=colours)
        figure.colorbar(image, ax=ax, label=name, pad=0.02)
        for boundary, (dash, _) in EDGES.items():
            at = rows.where(problem__boundary=boundary)
            ax.plot(at["problem.lost"], at["problem.reach"], color="white", ls=dash, lw=1.4)
        points = rows.where(problem__boundary="published")
        for i, size in enumerate(style.SIZES):
            colour, marker = style.SIZES[size]
            ax.plot(points["problem.lost"][i], points["problem.reach"][i], marker, color=colour, mec="white", ms=6)
        ax.set_yscale("log")
        ax.set_xlim(lost[0], lost[-1])
        ax.set_ylim(reach[0], reach[-1])
        ax.set_xlabel(r"share $\phi$ lost of what only stage 2 learned")
    axes[0, 0].set_ylabel(r"reach of one pass, $mD/d_0$")
    edges = [Line2D([], [], color="black", ls=dash, label=text) for dash, text in EDGES.values()]
    sizes = [
        Line2D([], [], color=c, marker=m, ls="none", label=f"Figure 3b, {size // 10**6}M")
        for size, (c, m) in style.SIZES.items()
    ]
    style.legend_below(figure, [*edges, *sizes], 3)
    return figure
