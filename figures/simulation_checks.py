"""Simulation against closed form: how the error of gradient descent falls with its step, in every way of learning."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.lambda_curves import ramp
from figures.tables import Rows

WAYS = {
    "plain": "plain model, nothing added",
    "unbalanced": "unbalanced start",
    "replay": "replay in stage 2",
    "l2 to start": "penalty on distance from the start",
    "depth 3": "three layers",
    "depth 4": "four layers",
    "dropout, unit basis": "dropout, a unit per mode",
    "dropout, equal basis": "dropout, all units equally",
    "sampled dropout": "dropout, masks sampled",
    "low rank 1": "low rank 1 in stage 2",
    "low rank 2": "low rank 2 in stage 2",
    "placement late": "exposure late in stage 1",
    "placement anneal": "exposure rising through stage 1",
    "redundant pathways": style.MODELS["rp"],
    "shared unit": style.MODELS["rp-shared"],
}
"""Method of the table -> what is added, in words; others are their own."""
LOSSES = ("loss_im", "loss_ret", "loss_ft", "loss_pre")
MARKERS = ("o", "s", "^", "v", "D")


def verified(table: Any) -> Figure:
    """Largest error of every loss at each step size: a row a way of learning, a panel a loss; a tick marks what first order predicts."""
    rows = Rows(table)
    names, steps = rows.distinct("method"), sorted(rows.distinct("sims.rate"), reverse=True)
    looks = list(zip(ramp(len(steps)), MARKERS, strict=False))
    figure, axes = style.panels(1, len(LOSSES), height=0.17 * len(names) + 1.1, sharey=True)
    places = -np.arange(len(names), dtype=float)
    for ax, loss in zip(axes[0], LOSSES, strict=True):
        gap, method, rate = np.abs(rows[loss] - rows[f"sims.theory_{loss}"]), rows["method"], rows["sims.rate"]
        errors = np.array([[gap[(method == name) & (rate == step)].max() for name in names] for step in steps])
        for error, (colour, marker) in zip(errors, looks, strict=True):
            ax.plot(error, places, marker, color=colour, ms=4)
        ax.plot(errors[0] * steps[-1] / steps[0], places, "|", color="#d55e00", ms=8, mew=1.2)
        ax.set_xscale("log")
        ax.minorticks_off()
        ax.set_title(style.AXES[loss])
        ax.set_xlabel("largest error")
        ax.grid(axis="y", lw=0.4, color="0.9")
        ax.set_axisbelow(True)
    axes[0, 0].set_yticks(places, [WAYS.get(name, name) for name in names])
    axes[0, 0].set_ylabel("what is added to the closed form and to the run")
    whole = rows.where(sims__rate=steps[0])
    base = ", ".join(f"{whole[f'sims.steps_{stage}'][0]:,.0f}" for stage in ("pre", "post", "ft"))
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            ls="none",
            label=f"step {step:g}" + (f": {base} steps in stages 1, 2, 3" if step == steps[0] else ""),
        )
        for step, (colour, marker) in zip(steps, looks, strict=True)
    ]
    first_order = f"{steps[-1] / steps[0]:g} of the error at step {steps[0]:g}: first order"
    handles.append(Line2D([], [], color="#d55e00", marker="|", ms=8, mew=1.2, ls="none", label=first_order))
    style.legend_below(figure, handles, 2)
    return figure
