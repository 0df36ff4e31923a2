"""Figure 3 of language models below the published one: what lambda changes of each loss, seed by seed, and what its decoy changes."""

from collections.abc import Mapping
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
DECOY = "X"


def language_models(published_table: Any, added: Any, matched: Any) -> Figure:
    """Two studies, a row per size of D_post.

    Args:
        published_table: `common.published.load(3)`.
        added: the study fig3a; matched: the study fig3b. Faint points are seeds, lines their mean, bands its interval.
    """
    studies = {"independent": Rows(added), "compute-matched": Rows(matched)}
    sizes = sorted({size for rows in studies.values() for size in rows.distinct("tokens_post")})
    lines = {
        f"{_model(studies)}\n$D_\\mathrm{{post}}$ {_tokens(size)} tokens": {
            split: rows.where(tokens_post=size) for split, rows in studies.items()
        }
        for size in sizes
    }
    return _below(published_table, lines)


def both_halves(published_table: Any, table: Any) -> Figure:
    """One study of both halves and of a decoy, a row per pipeline.

    Args:
        published_table: `common.published.load(3)`.
        table: a study of both splits with real exposure and its shuffled decoy, such as `fig3-controlled`; faint points are seeds,
            lines their mean, bands its interval, crosses the decoy's mean.
    """
    rows = Rows(table)
    lines = {}
    for pipeline in rows.distinct("pipeline"):
        post, ft = pipeline.split(">")[1:]
        mine = rows.where(pipeline=pipeline)
        lines[f"{_model({'': mine})}: {post} → {ft}"] = {split: mine.where(split=split) for split in SPLITS}
    return _below(published_table, lines)


def _below(published_table: Any, lines: Mapping[str, Mapping[str, Rows]]) -> Figure:
    """The published curves, and a row of ours per line by its name: a column per half and loss, a colour per stage-3 learning rate.

    Losses are drawn minus that at the smallest lambda of the same seed: seeds, sizes and rates differ by more than lambda changes.
    """
    every = [rows for halves in lines.values() for rows in halves.values()]
    rates = sorted({rate for rows in every for rate in rows.distinct("lr_ft")})
    looks = dict(zip(rates, zip(ramp(len(rates)), MARKERS, strict=False), strict=True))
    figure, axes = style.panels(1 + len(lines), 4, height=1.2 + 1.75 * (1 + len(lines)), sharex=True)
    for j, (split, when) in enumerate((split, when) for split in SPLITS for when in WHEN):
        published(axes[0, j], Rows(published_table).where(split=split), when)
        axes[0, j].set_title(f"{SPLITS[split] if j % 2 == 0 else ''}\n{WHEN[when]}", fontsize=7.5)
        for ax, halves in zip(axes[1:, j], lines.values(), strict=True):
            _measured(ax, halves[split], when, looks)
        axes[-1, j].set_xlabel(style.AXES["exposure"])
    for line, name in zip(axes, ("published, 135M", *lines), strict=True):
        line[0].set_ylabel(f"{name}\nchange (nats/token)", fontsize=7)
        for ax in line[1:]:
            ax.set_ylabel("nats/token", fontsize=7)
        for half in (line[:2], line[2:]):
            one_scale(half)
    for ax in axes.flat:
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
    style.heading(figure, "loss minus that at $\\lambda$ = 0 of the same seed")
    sizes = style.SIZES.items()
    shuffled = Line2D([], [], color="0.4", marker=DECOY, ls="--", label="the same, $D_\\mathrm{post}$ token-shuffled")
    handles = [
        *(Line2D([], [], color=c, marker=m, label=f"published, {size // 10**6}M") for size, (c, m) in sizes),
        Line2D([], [], color=BEFORE, marker="o", label="ours, before stage 3"),
        *(Line2D([], [], color=c, marker=m, label=f"ours, stage-3 LR {rate:g}") for rate, (c, m) in looks.items()),
        *([shuffled] if any(_decoyed(rows) for rows in every) else []),
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
    """Before stage 3 a single curve, after it one a learning rate; the decoy's beside each, where this half has one."""
    decoyed = _decoyed(rows)
    for rate, (colour, marker) in ({rows.distinct("lr_ft")[0]: (BEFORE, "o")} if when == "loss_im" else looks).items():
        here = rows.where(lr_ft=rate)
        curve(ax, here.where(exposed="post") if decoyed else here, when, colour, marker)
        if decoyed:
            doses, losses = here.where(exposed="shuffled").by_seed("exposure", when)
            ax.plot(doses, (losses - losses[:, :1]).mean(axis=0), color=colour, marker=DECOY, ls="--", lw=1)


def _decoyed(rows: Rows) -> bool:
    return "exposed" in rows.names and "shuffled" in rows.distinct("exposed")


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
