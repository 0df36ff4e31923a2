"""Losses along the exposure: the linear model's curves, the published Figure 3, and one laid over the other."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

SPLITS = {"independent": "(a) stage 2 to convergence", "compute-matched": "(b) compute-matched: one pass in all"}
WHEN = {"loss_im": "before fine-tuning", "loss_ret": "after fine-tuning"}


def alpha_curves(table: Any) -> Figure:
    """The four losses against alpha, one line per stage-3 time; what fine-tuning brings to nothing on a logarithmic axis."""
    rows = Rows(table)
    times = rows.distinct("t_ft")
    figure, axes = style.panels(1, 4, height=2.5)
    colours = ramp(len(times))
    for ax, name in zip(axes[0], ("loss_im", "loss_ret", "loss_ft", "loss_pre"), strict=True):
        for time, colour in zip(times, colours, strict=True):
            here = rows.where(t_ft=time)
            ax.plot(here["alpha"], here[name], color=colour)
            if name == "loss_im":
                break  # does not depend on stage 3
        style.label(ax, "alpha", name)
        if name in ("loss_ft", "loss_pre") and (rows[name] > 0).any():
            ax.set_yscale("log")  # on a linear one the later curves lie on the axis, and on one another
            ax.minorticks_off()
        else:
            ax.set_ylim(bottom=-0.02 * ax.get_ylim()[1])
    axes[0, 0].lines[0].set_color("#000000")
    handles = [
        Line2D([], [], color=c, label=f"$t_\\mathrm{{ft}}$ = {t:g}") for t, c in zip(times, colours, strict=True)
    ]
    style.legend_below(figure, [Line2D([], [], color="#000000", label="before stage 3"), *handles], len(handles) + 1)
    return figure


def compute_matched(table: Any) -> Figure:
    """loss_im and loss_ret along lambda under one D_post budget; a ring marks each minimum of loss_ret."""
    rows = Rows(table)
    ratios, times = rows.distinct("problem.step_ratio"), rows.distinct("t_ft")
    figure, axes = style.panels(1, 1 + len(times), height=2.5, sharey=True)
    colours = ramp(len(ratios))
    curves, minima = rows.where(problem__depth_of_minimum=None), np.isfinite(rows["problem.depth_of_minimum"])
    for ratio, colour in zip(ratios, colours, strict=True):
        for j, time in enumerate([times[0], *times]):
            ax, name = axes[0, j], "loss_im" if j == 0 else "loss_ret"
            here = curves.where(problem__step_ratio=ratio, t_ft=time)
            ax.plot(here["exposure"], here[name], color=colour, ls="-" if ratio > 1 else "--")
            if name == "loss_ret":
                at = minima & (rows["problem.step_ratio"] == ratio) & (rows["t_ft"] == time)
                ax.plot(
                    rows["exposure"][at],
                    rows["loss_ret"][at],
                    "o",
                    mfc="none",
                    color=colour,
                    ms=6,
                    clip_on=False,
                    zorder=5,
                )
    for j, time in enumerate([None, *times]):
        axes[0, j].set_title("after stage 2" if time is None else f"after stage 3, $t_\\mathrm{{ft}}$ = {time:g}")
        style.label(axes[0, j], "exposure", "loss_im" if time is None else "loss_ret")
    handles = [
        Line2D([], [], color=c, ls="-" if r > 1 else "--", label=f"step ratio {r:g}")
        for r, c in zip(ratios, colours, strict=True)
    ]
    handles.append(Line2D([], [], color="0.3", marker="o", mfc="none", ls="none", ms=6, label="minimum"))
    style.legend_below(figure, handles, len(handles))
    return figure


def ramp(count: int) -> list[Any]:
    """An ordered, colour-blind safe set of colours for an ordered quantity."""
    import matplotlib as mpl

    return [mpl.colormaps["viridis"](value) for value in np.linspace(0.0, 0.85, count)]


def published(table: Any) -> Figure:
    """Figure 3 of the paper from its points, with its stars on the lowest retained losses."""
    figure, axes = style.panels(1, 4, height=3.0)
    _points(axes, Rows(table), joined=True)
    style.legend_below(
        figure, [*_sizes(), Line2D([], [], color="0.3", marker="*", ms=8, ls="none", label="lowest retained loss")], 4
    )
    style.heading(figure, "Figure 3 of arXiv 2605.12705, 135M model")
    return figure


def overlay(published_table: Any, fitted: Any) -> Figure:
    """The published points, the best least-squares fits of the plain linear model, and what the fits leave over."""
    points, curves = Rows(published_table), Rows(fitted)
    figure, axes = style.panels(2, 4, height=4.3, height_ratios=[2.2, 1], sharex=True)
    _points(axes[:1], points, joined=False)
    for j, (split, when) in enumerate((split, when) for split in SPLITS for when in WHEN):
        for size, (colour, marker) in style.SIZES.items():
            seen = points.where(split=split, tokens_post=size)
            line = curves.where(split=split, tokens_post=size)
            axes[0, j].plot(line["exposure"], line[when], color=colour)
            left_over = seen[when] - np.interp(seen["exposure"], line["exposure"], line[when])
            axes[1, j].plot(seen["exposure"], left_over, marker=marker, color=colour, lw=0.8)
        axes[1, j].axhline(0, color="0.6", lw=0.8)
        if j:
            axes[1, j].sharey(axes[1, 0])
        axes[1, j].set_ylim(-0.14, 0.14)
        axes[1, j].set_xlabel(style.AXES["exposure"])
        axes[0, j].set_xlabel("")
        if when == "loss_im":
            rmse = curves.where(split=split)["problem.rmse"][0]
            axes[1, j].set_title(f"left over: {rmse:.3f} nats rms (both losses)", fontsize=7)
    axes[1, 0].set_ylabel("published − fit\n(nats/token)")
    fitted_line = Line2D([], [], color="0.3", label="best fit of the plain linear model, equal step sizes")
    style.legend_below(figure, [*_sizes(), _star(), fitted_line], 3)
    return figure


def _points(axes: Any, rows: Rows, *, joined: bool) -> None:
    """The four views of Figure 3: markers a size of D_post, one scale a half of the figure."""
    for half, split in enumerate(SPLITS):
        for k, (when, text) in enumerate(WHEN.items()):
            ax: Axes = axes[0, 2 * half + k]
            for size, (colour, marker) in style.SIZES.items():
                here = rows.where(split=split, tokens_post=size)
                best = (here["published.starred"] == 1) & (when == "loss_ret")
                ax.plot(here["exposure"], here[when], color=colour, ls="-" if joined else "none")
                ax.plot(here["exposure"][~best], here[when][~best], marker, color=colour)
                if best.any():
                    ax.plot(here["exposure"][best], here[when][best], "*", color=colour, ms=9, mec="white", mew=0.5)
            title = SPLITS[split] if k == 0 else ""
            ax.set_title(f"{title}\n{text}", fontsize=7.5)
            style.label(ax, "exposure", when, style.NATS)
        pair = axes[0, 2 * half : 2 * half + 2]
        low, high = min(ax.get_ylim()[0] for ax in pair), max(ax.get_ylim()[1] for ax in pair)
        for ax in pair:
            ax.set_ylim(low, high)


def _sizes() -> list[Line2D]:
    return [
        Line2D([], [], color=c, marker=m, label=f"$D_\\mathrm{{post}}$ {size // 10**6}M tokens")
        for size, (c, m) in style.SIZES.items()
    ]


def _star() -> Line2D:
    return Line2D([], [], color="0.3", marker="*", ms=8, ls="none", label="lowest retained loss")
