"""What exposure changes of each loss along lambda, with its decoys as a layer, beside the published Figure 3a."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.seeds import LEVEL
from figures import style
from figures.bands import shade
from figures.controls import NAMES, kinds
from figures.tables import Rows

LOOKS = dict(
    zip(
        NAMES,
        (
            (style.MIXED, "o", "-"), ("#56b4e9", "X", "--"), ("#0072b2", "s", "--"), ("#009e73", "^", "--"), ("#e69f00", "v", "--"),
            ("#000000", "D", ":"), ("#cc79a7", "P", ":"),
        ),
        strict=True,
    )
)  # fmt: skip
"""What stage 1 is exposed to -> colour, marker, dash."""


def along_lambda(published: Any, *tables: Any) -> Figure:
    """The published points above; below a row per pipeline: loss_im, and loss_ret at each stage-3 rate, minus that at lambda = 0.

    Args:
        published: `common.published.load(3)`.
        tables: studies with real exposure and decoys, such as `controlled` and `few-facts`; where a decoy was measured at fewer lambda,
            its line joins those.
    """
    rows = [
        (table.where(pipeline=pipeline, split="independent"), pipeline)
        for table in map(Rows, tables)
        for pipeline in table.distinct("pipeline")
    ]
    most = max(len(here.distinct("lr_ft")) for here, _ in rows)
    figure, axes = style.panels(1 + len(rows), 1 + most, height=1.0 + 1.7 * (1 + len(rows)), sharey="row")
    _published(axes[0], Rows(published).where(split="independent"))
    seen: dict[str, None] = {}
    for line, (here, pipeline) in zip(axes[1:], rows, strict=True):
        found = kinds(here)
        seen |= dict.fromkeys(found)
        rates = sorted(here.distinct("lr_ft"))
        for ax, rate in zip(line, [None, *rates], strict=False):
            for kind in reversed(found):
                _layer(ax, here.where(exposed=kind, lr_ft=rates[0] if rate is None else rate), kind, rate)
            ax.set_title("before fine-tuning" if rate is None else f"after, stage-3 LR {rate:g}", fontsize=7)
        pre, post, ft = (name.partition("?")[0] for name in pipeline.split(">"))
        line[0].set_ylabel(f"{pre} → {post}\n→ {ft}, {here.distinct('scale')[0]}\nchange (nats)", fontsize=7)
        for ax in line[1 + len(rates) :]:
            ax.axis("off")
    for ax in (ax for ax in axes.flat if ax.axison):
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        ax.set_xlabel(style.AXES["exposure"], fontsize=7)
    style.heading(figure, "loss minus that at $\\lambda$ = 0 of the same seed")
    handles = [
        *(
            Line2D([], [], color=c, marker=m, ls=d, label=NAMES[kind])
            for kind, (c, m, d) in LOOKS.items()
            if kind in seen
        ),
        Patch(color="0.8", label=f"{LEVEL:.0%} interval over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def _published(line: Any, rows: Rows) -> None:
    for ax, loss, title in zip(line, ("loss_im", "loss_ret"), ("before fine-tuning", "after"), strict=False):
        for size, (colour, marker) in style.SIZES.items():
            here = rows.where(tokens_post=size)
            order = here.sorted_by("exposure")
            values = here[loss][order]
            ax.plot(here["exposure"][order], values - values[:1], color=colour, marker=marker)
        ax.set_title(title, fontsize=7)
    line[0].set_ylabel("published, 135M\nchange (nats/token)", fontsize=7)
    for ax in line[2:]:
        ax.axis("off")
    sizes = [
        Line2D([], [], color=c, marker=m, label=f"{size // 10**6}M tokens") for size, (c, m) in style.SIZES.items()
    ]
    where = line[min(2, len(line) - 1)]
    where.legend(handles=sizes, loc="center left", title="published, $D_\\mathrm{post}$", title_fontsize=7)


def _layer(ax: Axes, rows: Rows, kind: str, rate: float | None) -> None:
    """One thing that stage 1 is exposed to, with its band; decoys have none, so that layers can be told apart."""
    colour, marker, dash = LOOKS[kind]
    doses, loss = rows.by_seed("exposure", "loss_im" if rate is None else "loss_ret")
    change = loss - loss[:, :1]
    mean = shade(ax, doses, change, colour) if kind == "post" else change.mean(axis=0)
    ax.plot(doses, mean, color=colour, marker=marker, ls=dash)
