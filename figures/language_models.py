"""The lambda studies of the language models beside the published Figure 3: what lambda changes of each loss, seed by seed."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.seeds import LEVEL
from figures import style
from figures.bands import shade
from figures.lambda_curves import SPLITS, WHEN, ramp
from figures.tables import Rows

MARKERS = ("o", "s", "^", "v", "D")
"""Of the stage-3 learning rates, in rising order."""
BEFORE = "#555555"
"""loss_im does not depend on stage 3."""


def language_models(published_table: Any, added: Any, matched: Any) -> Figure:
    """The published curves above, ours below: a row per size of D_post, a column per loss, a colour per stage-3 learning rate.

    Losses are drawn minus that at the smallest lambda of the same seed: seeds, sizes and rates differ by more than lambda changes.

    Args:
        published_table: `common.published.load(3)`.
        added: the study fig3a; matched: the study fig3b. Faint points are seeds, lines their mean, bands its interval.
    """
    studies = {"independent": Rows(added), "compute-matched": Rows(matched)}
    sizes = sorted({size for rows in studies.values() for size in rows.distinct("tokens_post")})
    rates = sorted({rate for rows in studies.values() for rate in rows.distinct("lr_ft")})
    looks = dict(zip(rates, zip(ramp(len(rates)), MARKERS, strict=False), strict=True))
    figure, axes = style.panels(1 + len(sizes), 4, height=1.2 + 1.75 * (1 + len(sizes)), sharex=True)
    views = [(split, when) for split in SPLITS for when in WHEN]
    for j, (split, when) in enumerate(views):
        published(axes[0, j], Rows(published_table).where(split=split), when)
        axes[0, j].set_title(f"{SPLITS[split] if j % 2 == 0 else ''}\n{WHEN[when]}", fontsize=7.5)
        for i, size in enumerate(sizes, start=1):
            _measured(axes[i, j], studies[split].where(tokens_post=size), when, looks)
        axes[-1, j].set_xlabel(style.AXES["exposure"])
    for i, ax in enumerate(axes[:, 0]):
        who = "published, 135M" if i == 0 else f"{_model(studies)}\n$D_\\mathrm{{post}}$ {_tokens(sizes[i - 1])} tokens"
        ax.set_ylabel(f"{who}\nchange (nats/token)")
        for other in axes[i, 1:]:
            other.set_ylabel("nats/token")
        for half in (axes[i, :2], axes[i, 2:]):
            one_scale(half)
    for ax in axes.flat:
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    style.heading(figure, "loss minus that at $\\lambda$ = 0")
    handles = [
        *(
            Line2D([], [], color=c, marker=m, label=f"published, {size // 10**6}M")
            for size, (c, m) in style.SIZES.items()
        ),
        Line2D([], [], color=BEFORE, marker="o", label="ours, before stage 3"),
        *(Line2D([], [], color=c, marker=m, label=f"ours, stage-3 LR {rate:g}") for rate, (c, m) in looks.items()),
        Patch(color="0.8", label=f"{LEVEL:.0%} interval of the mean over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def published(ax: Axes, rows: Rows, when: str) -> None:
    for size, (colour, marker) in style.SIZES.items():
        here = rows.where(tokens_post=size)
        order = here.sorted_by("exposure")
        loss = here[when][order]
        ax.plot(here["exposure"][order], loss - loss[:1], color=colour, marker=marker)


def _measured(ax: Axes, rows: Rows, when: str, looks: dict[float, tuple[Any, str]]) -> None:
    """One size of D_post: before stage 3 a single curve, after it one a learning rate."""
    if when == "loss_im":
        curve(ax, rows.where(lr_ft=rows.distinct("lr_ft")[0]), when, BEFORE, "o")
        return
    for rate, (colour, marker) in looks.items():
        curve(ax, rows.where(lr_ft=rate), when, colour, marker)


def curve(ax: Axes, rows: Rows, when: str, colour: Any, marker: str) -> None:
    exposures, losses = rows.by_seed("exposure", when)
    change = losses - losses[:, :1]
    for seed in change:
        ax.plot(exposures, seed, marker, color=colour, ms=2, alpha=0.35, mew=0)
    ax.plot(exposures, shade(ax, exposures, change, colour), color=colour, marker=marker)


def one_scale(axes: Any) -> None:
    low, high = min(ax.get_ylim()[0] for ax in axes), max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(low, high)


def _model(studies: dict[str, Rows]) -> str:
    scales = " and ".join(sorted({scale for rows in studies.values() for scale in rows.distinct("scale")}))
    replay = {share for rows in studies.values() for share in rows.distinct("replay")} - {0.0}
    return ", ".join([scales, *(f"replay {share:g}" for share in sorted(replay))])


def _tokens(size: float) -> str:
    return f"{size / 1e6:.3g}M" if size >= 1e6 else f"{size / 1e3:.0f}k"
