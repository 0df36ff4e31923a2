"""Figure 3, both halves, of language models in a regime that meets the gates, the decoy as a layer, below the published curves."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.seeds import LEVEL
from figures import style
from figures.lambda_curves import SPLITS, WHEN, ramp
from figures.language_models import BEFORE, MARKERS, curve, one_scale, published
from figures.tables import Rows

DECOY = "X"


def both_halves(published_table: Any, table: Any) -> Figure:
    """A row per pipeline, a column per half and loss, a colour per stage-3 rate: loss minus that at lambda = 0 of the same seed.

    Args:
        published_table: `common.published.load(3)`.
        table: a study of both splits with real exposure and its shuffled decoy, such as `fig3-controlled`; faint points are seeds,
            lines their mean, bands its interval, crosses the decoy's mean.
    """
    rows = Rows(table)
    pipelines, rates = rows.distinct("pipeline"), sorted(rows.distinct("lr_ft"))
    looks = dict(zip(rates, zip(ramp(len(rates)), MARKERS, strict=False), strict=True))
    figure, axes = style.panels(1 + len(pipelines), 4, height=1.2 + 1.75 * (1 + len(pipelines)), sharex=True)
    for j, (split, when) in enumerate((split, when) for split in SPLITS for when in WHEN):
        published(axes[0, j], Rows(published_table).where(split=split), when)
        axes[0, j].set_title(f"{SPLITS[split] if j % 2 == 0 else ''}\n{WHEN[when]}", fontsize=7.5)
        for ax, pipeline in zip(axes[1:, j], pipelines, strict=True):
            _measured(ax, rows.where(pipeline=pipeline, split=split), when, looks)
        axes[-1, j].set_xlabel(style.AXES["exposure"])
    names = ("published, 135M", *(_called(pipeline, rows) for pipeline in pipelines))
    for line, name in zip(axes, names, strict=True):
        line[0].set_ylabel(f"{name}\nchange (nats/token)", fontsize=7)
        for ax in line[1:]:
            ax.set_ylabel("nats/token", fontsize=7)
        for half in (line[:2], line[2:]):
            one_scale(half)
    for ax in axes.flat:
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    style.heading(figure, "loss minus that at $\\lambda$ = 0 of the same seed")
    sizes = style.SIZES.items()
    handles = [
        *(Line2D([], [], color=c, marker=m, label=f"published, {size // 10**6}M") for size, (c, m) in sizes),
        Line2D([], [], color=BEFORE, marker="o", label="ours, before stage 3"),
        *(Line2D([], [], color=c, marker=m, label=f"ours, stage-3 LR {rate:g}") for rate, (c, m) in looks.items()),
        Line2D([], [], color="0.4", marker=DECOY, ls="--", label="the same, $D_\\mathrm{post}$ token-shuffled"),
        Patch(color="0.8", label=f"{LEVEL:.0%} interval of the mean over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def _measured(ax: Axes, rows: Rows, when: str, looks: dict[float, tuple[Any, str]]) -> None:
    """Before stage 3 a single curve, after it one a learning rate; the decoy's beside each, where this half has one."""
    shown = {next(iter(looks)): (BEFORE, "o")} if when == "loss_im" else looks
    for rate, (colour, marker) in shown.items():
        curve(ax, rows.where(exposed="post", lr_ft=rate), when, colour, marker)
        if "shuffled" in rows.distinct("exposed"):
            doses, losses = rows.where(exposed="shuffled", lr_ft=rate).by_seed("exposure", when)
            ax.plot(doses, (losses - losses[:, :1]).mean(axis=0), color=colour, marker=DECOY, ls="--", lw=1)


def _called(pipeline: str, rows: Rows) -> str:
    post, ft = pipeline.split(">")[1:]
    return f"{rows.distinct('scale')[0]}: {post} → {ft}"
