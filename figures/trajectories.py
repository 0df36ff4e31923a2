"""Mode strengths through the three stages: what each block learns, keeps and forgets."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

STAGES = {"pre": "1 pretraining", "post": "2 post-training", "ft": "3 fine-tuning"}


def trajectories(table: Any) -> Figure:
    """Rows: methods; columns: stages, each on its own time axis; and the loss on D_post below."""
    rows = Rows(table)
    methods = rows.distinct("method")
    figure, axes = style.panels(3, 3, height=4.6, sharey="row", sharex="col", width_ratios=[2, 1, 1])
    for i, method in enumerate(methods):
        for j, (stage, title) in enumerate(STAGES.items()):
            here, ax = rows.where(method=method, problem__stage=stage), axes[i, j]
            for block, (colour, dash) in style.BLOCKS.items():
                ax.plot(here["problem.time"], here[f"problem.{block}"], color=colour, ls=dash)
            if i == 0:
                ax.set_title(title)
            colour, _, _ = style.METHODS[method]
            dash = "--" if method == "unmixed" else "-"
            axes[2, j].plot(
                here["problem.time"], here["loss_im" if stage != "ft" else "loss_ret"], color=colour, ls=dash
            )
            axes[2, j].set_xlabel("flow time")
        alpha = rows.where(method=method)["alpha"][0]
        axes[i, 0].set_ylabel(f"mode strength\n{method}, α = {alpha:g}")
    axes[2, 0].set_yscale("log")
    axes[2, 0].set_ylabel("loss on $D_\\mathrm{post}$")
    handles = [Line2D([], [], color=c, ls=d, label=f"{name} modes") for name, (c, d) in style.BLOCKS.items()]
    handles += [
        Line2D([], [], color=style.UNMIXED, ls="--", label="loss, unmixed"),
        Line2D([], [], color=style.MIXED, label="loss, mixed"),
    ]
    style.legend_below(figure, handles, 5)
    return figure
