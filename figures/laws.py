"""The law S as a phase map, over the rate of loss and the size of D_post; and the law Slin beside the network that it is derived from."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.bands import LOOKS
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


def redundant_features(table: Any) -> Figure:
    """loss_ret of networks with redundant features along lambda beside the law Slin: as D_post becomes rare, as the network becomes lazy.

    Args:
        table: `redundant-features.parquet` of `python -m sims redundant-features`.
    """
    rows = Rows(table)
    law, runs = rows.where(engine="theory"), rows.where(engine="sims")
    figure, axes = style.panels(1, 2, height=2.9, sharey=True)
    rarest, laziest = min(runs.distinct("sims.rarity")), max(runs.distinct("sims.laziness"))
    panels = (
        (
            "sims.rarity",
            {"sims__laziness": laziest},
            "{:.0%} of stage 1 is $D_\\mathrm{{post}}$",
            "as $D_\\mathrm{post}$ becomes rare",
        ),
        ("sims.laziness", {"sims__rarity": rarest}, "imbalance {:g}", "as the network becomes lazy"),
    )
    for ax, (axis, fixed, name, title) in zip(axes[0], panels, strict=True):
        here = runs.where(**fixed)
        for look, value in enumerate(sorted(here.distinct(axis))):
            one = here.where(**{axis.replace(".", "__"): value})
            colour, marker = LOOKS[look]
            ax.plot(one["exposure"], one["loss_ret"], marker, color=colour, ms=4, mfc="none", label=name.format(value))
        ax.plot(law["exposure"], law["loss_ret"], color="black", lw=1.2, zorder=1, label="law Slin")
        ax.set_title(title)
        ax.set_xlabel(r"share $\lambda$ of one pass over $D_\mathrm{post}$ in stage 1")
        ax.legend()
    axes[0, 0].set_ylabel(style.AXES["loss_ret"])
    return figure
