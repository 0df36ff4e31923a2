"""The plain and the redundant-pathway models side by side: latent benefit, and where the best exposure lies."""

from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style
from figures.tables import Rows


def latent(table: Any) -> Figure:
    """loss_im and loss_ret against alpha, a panel a model: flat and falling is latent, both flat is no benefit."""
    rows = Rows(table)
    figure, axes = style.panels(1, 3, height=2.5, sharey=True)
    for ax, model in zip(axes[0], style.MODELS, strict=True):
        here = rows.where(model=model)
        ax.plot(here["alpha"], here["loss_im"], color=style.UNMIXED, ls="--")
        ax.plot(here["alpha"], here["loss_ret"], color=style.MIXED)
        ax.set_title(style.MODELS[model])
        style.from_zero(ax, 1e-3)
        ax.set_xlim(0, here["alpha"].max())
        ax.set_xticks([0, 1e-3, 1e-2, 1e-1], ["0", "0.001", "0.01", "0.1"])
        ax.minorticks_off()
        ax.set_xlabel(style.AXES["alpha"])
    axes[0, 0].set_ylabel("loss on $D_\\mathrm{post}$")
    handles = [
        Line2D([], [], color=style.UNMIXED, ls="--", label="immediate, after stage 2"),
        Line2D([], [], color=style.MIXED, label="retained, after stage 3"),
        Patch(**style.LINEAR, label="linear axis"),
    ]
    style.legend_below(figure, handles, 3)
    return figure


def optimum_time(table: Any) -> Figure:
    """The best exposure against fine-tuning length, and how deep its minimum is."""
    rows = Rows(table)
    figure, axes = style.panels(1, 2, height=3.1)
    handles = []
    for model in style.MODELS:
        for ratio in rows.where(model=model).distinct("problem.step_ratio"):
            here = rows.where(model=model, problem__step_ratio=ratio)
            colour, dash, marker = style.LINES[model]
            look: dict[str, Any] = {
                "color": colour,
                "ls": dash if ratio == 1 else ":",
                "marker": marker,
                "markevery": 5,
            }
            axes[0, 0].plot(here["t_ft"], here["exposure"], **look)
            axes[0, 1].plot(here["t_ft"], np.maximum(here["problem.depth_of_minimum"], 1e-6), **look)
            handles.append(
                Line2D([], [], **look, label=style.MODELS[model] + (f", step ratio {ratio:g}" if ratio != 1 else ""))
            )
    handles.append(Line2D([], [], color="0.6", lw=0.8, label="1 %: least depth called interior"))
    for ax in axes[0]:
        ax.set_xscale("log")
        ax.set_xlabel(style.AXES["t_ft"])
    axes[0, 0].set_ylabel("exposure with lowest $L_\\mathrm{ret}$")
    axes[0, 0].set_ylim(-0.04, 1.04)
    axes[0, 1].set_yscale("log")
    axes[0, 1].set_ylim(6e-7, 2)
    axes[0, 1].set_yticks([1e-6, 1e-4, 1e-2, 1], ["0 to $10^{-6}$", "$10^{-4}$", "$10^{-2}$", "1"])
    axes[0, 1].minorticks_off()
    axes[0, 1].axhline(0.01, color="0.6", lw=0.8)
    axes[0, 1].text(9.5, 0.013, "1 %", color="0.4", fontsize=6.5, ha="right")
    axes[0, 1].set_ylabel("depth of the minimum\n(fraction below the better end)")
    style.legend_below(figure, handles, 2)
    return figure


def optimum_map(table: Any) -> Figure:
    """Depth of the minimum over step ratio and fine-tuning length: where an interior optimum lives."""
    rows = Rows(table)
    figure, axes = style.panels(1, 2, height=2.9, sharey=True)
    for ax, model in zip(axes[0], rows.distinct("model"), strict=True):
        here = rows.where(model=model)
        x, y = np.unique(here["problem.step_ratio"]), np.unique(here["t_ft"])
        order = np.lexsort((here["problem.step_ratio"], here["t_ft"]))
        depth = here["problem.depth_of_minimum"][order].reshape(len(y), len(x))
        image = ax.pcolormesh(
            x, y, np.maximum(depth, 1e-4), norm=LogNorm(1e-4, 1), cmap="viridis", shading="nearest", rasterized=True
        )
        ax.contour(x, y, depth, levels=[0.01], colors="white", linewidths=1.2)
        ax.axvline(1.0, color="white", ls=":", lw=1.2)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks([0.25, 0.5, 1, 2, 4, 8], ["1/4", "1/2", "1", "2", "4", "8"])
        ax.minorticks_off()
        ax.set_title(style.MODELS[model])
        ax.set_xlabel("stage-1 / stage-2 step size")
    axes[0, 0].set_ylabel(style.AXES["t_ft"])
    figure.colorbar(image, ax=axes[0, :].tolist(), label="depth of the minimum of $L_\\mathrm{ret}$")
    handles = [
        Line2D([], [], color="0.3", lw=1.2, label="1 %: called interior (white in the map)"),
        Line2D([], [], color="0.3", ls=":", label="equal step sizes"),
    ]
    style.legend_below(figure, handles, 2)
    return figure
