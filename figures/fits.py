"""The published Figure 3 under the fits of all models, with and without a spectrum of specialised features."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

VIEWS = (
    ("independent", "loss_im", "(a) stage 2 to convergence\nbefore fine-tuning"),
    ("independent", "loss_ret", "\nafter fine-tuning"),
    ("compute-matched", "loss_im", "(b) compute-matched\nbefore fine-tuning"),
    ("compute-matched", "loss_ret", "\nafter fine-tuning"),
)
VARIANTS = {"": ("--", "one specialised feature"), "+spectrum": ("-", "a spectrum of features")}
"""Suffix of a method -> dash, name."""
STROKES = {"--": "- -", "-": "—"}
"""The dashes as text."""


def fits(published_table: Any, fitted_table: Any) -> Figure:
    """Points of Figure 3 and fitted curves: a row per model, a column per view; what each fit leaves over is in the panel.

    Args:
        published_table: the published points (`common.published.load(3)`), or another study of the same form.
        fitted_table: `fits.parquet` of `python -m theory fit`.
    """
    points, curves = Rows(published_table), Rows(fitted_table)
    models = [name for name in style.SHORT if name in curves.distinct("model")]
    figure, axes = style.panels(len(models), len(VIEWS), height=1.05 + 1.65 * len(models), sharex=True)
    for ax, half in ((axes[i, j], axes[0, j // 2 * 2]) for i in range(len(models)) for j in range(len(VIEWS))):
        if ax is not half:
            ax.sharey(half)  # one scale a half of the figure
    for i, model in enumerate(models):
        here = curves.where(model=model)
        for j, (split, loss, title) in enumerate(VIEWS):
            ax = axes[i, j]
            left = [
                text
                for suffix, (dash, _) in VARIANTS.items()
                if (text := _curves(ax, here.where(method=model + suffix, split=split), points, split, loss, dash))
            ]
            _points(ax, points, split, loss)
            if i == 0:
                ax.set_title(title, fontsize=7.5)
            if i == len(models) - 1:
                ax.set_xlabel(style.AXES["exposure"])
            ax.text(0.97, 0.99, "rms  " + "   ".join(left), transform=ax.transAxes, ha="right", va="top", fontsize=6.5)
        axes[i, 0].set_ylabel(f"{style.SHORT[model]}\nloss (nats/token)")
        axes[i, 2].set_ylabel("loss (nats/token)")
    for half in (axes[0, 0], axes[0, 2]):
        low, high = half.get_ylim()
        half.set_ylim(low, high + 0.12 * (high - low))  # room for the text
    style.legend_below(figure, _legend(), 3)
    return figure


def _legend() -> list[Line2D]:
    """Sizes by colour and marker, models without and with a spectrum by dash."""
    sizes = [
        Line2D([], [], color=c, marker=m, ls="none", label=f"$D_\\mathrm{{post}}$ {size // 10**6}M tokens")
        for size, (c, m) in style.SIZES.items()
    ]
    dashes = [Line2D([], [], color="0.3", ls=dash, label=name) for dash, name in VARIANTS.values()]
    return [*sizes, *dashes]


def _points(ax: Axes, points: Rows, split: str, loss: str) -> None:
    for size, (colour, marker) in style.SIZES.items():
        here = points.where(split=split, tokens_post=size)
        ax.plot(here["exposure"], here[loss], marker=marker, color=colour, ls="none", mec="white", mew=0.4, zorder=3)


def _curves(ax: Axes, curves: Rows, points: Rows, split: str, loss: str, dash: str) -> str:
    """Draw one fit's curves in a view; returns its root mean square residual there (empty if there is no such fit)."""
    if not len(curves):
        return ""
    residuals = []
    for size, (colour, _) in style.SIZES.items():
        line, seen = curves.where(tokens_post=size), points.where(split=split, tokens_post=size)
        ax.plot(line["exposure"], line[loss], color=colour, ls=dash, lw=1.1)
        residuals.append(seen[loss] - np.interp(seen["exposure"], line["exposure"], line[loss]))
    return f"{STROKES[dash]} {np.sqrt(np.mean(np.concatenate(residuals) ** 2)):.3f}"


def residuals(published_table: Any, fitted_table: Any) -> Figure:
    """Published minus fitted loss along lambda: a row per model, the columns of `fits`, one scale for all panels."""
    points, curves = Rows(published_table), Rows(fitted_table)
    models = [name for name in style.SHORT if name in curves.distinct("model")]
    figure, axes = style.panels(len(models), len(VIEWS), height=1.05 + 1.4 * len(models), sharex=True, sharey=True)
    for i, model in enumerate(models):
        for j, (split, loss, title) in enumerate(VIEWS):
            ax: Axes = axes[i, j]
            ax.axhline(0, color="0.6", lw=0.8)
            for suffix, (dash, _) in VARIANTS.items():
                here = curves.where(model=model, method=model + suffix, split=split)
                for size, (colour, marker) in style.SIZES.items():
                    line, seen = here.where(tokens_post=size), points.where(split=split, tokens_post=size)
                    if len(line):
                        left = seen[loss] - np.interp(seen["exposure"], line["exposure"], line[loss])
                        ax.plot(seen["exposure"], left, marker=marker, color=colour, ls=dash, lw=0.9, ms=2.5)
            if i == 0:
                ax.set_title(title, fontsize=7.5)
        axes[i, 0].set_ylabel(f"{style.SHORT[model]}\npublished − fit (nats)", fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel(style.AXES["exposure"])
    style.legend_below(figure, _legend(), 3)
    return figure
