"""What early exposure changes in every language-model study at once, and how much general text each of them leaves."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.seeds import LEVEL, mean_interval
from figures import style
from figures.lambda_curves import ramp
from figures.language_models import BEFORE, MARKERS
from figures.tables import Rows

VOCABULARY = 1024
"""Of the studies' tokenizer; guessing costs its logarithm."""


def effects(published_table: Any, *tables: Any) -> Figure:
    """Left: losses at the largest lambda minus those at 0, published and ours. Right: the loss on D_pre after stages 1 and 2.

    Args:
        published_table: `common.published.load(3)`.
        tables: studies with stage 2 stopped early (Figure 3a), each of one scale and replay.
    """
    published = Rows(published_table).where(split="independent")
    ours = [(rows, size) for rows in map(Rows, tables) for size in rows.distinct("tokens_post")]
    rates = sorted({rate for rows, _ in ours for rate in rows.distinct("lr_ft")})
    looks = dict(zip(rates, zip(ramp(len(rates)), MARKERS, strict=False), strict=True))
    labels = [f"135M, published, $D_\\mathrm{{post}}$ {size / 1e6:.0f}M" for size in published.distinct("tokens_post")]
    labels += [_label(rows, size) for rows, size in ours]
    places = -np.arange(len(labels), dtype=float)
    figure, axes = style.panels(1, 2, height=1.3 + 0.3 * len(labels), sharey=True, width_ratios=[1.5, 1])
    change, kept = axes[0]
    for place, size in zip(places, published.distinct("tokens_post"), strict=False):
        here = published.where(tokens_post=size)
        _point(change, _change(here, "loss_im"), place, BEFORE, "o")
        _point(change, _change(here, "loss_ret"), place, "#000000", "*")
    for place, (rows, size) in zip(places[-len(ours) :], ours, strict=True):
        here = rows.where(tokens_post=size)
        _point(change, _change(here.where(lr_ft=rates[0]), "loss_im"), place, BEFORE, "o")
        for i, (rate, (colour, marker)) in enumerate(looks.items()):
            _point(change, _change(here.where(lr_ft=rate), "loss_ret"), place - 0.16 * (i - 1), colour, marker)
        unmixed = here.where(lr_ft=rates[0], exposure=0.0)
        for name, fill in (("lm.loss_pre_after_pre", "none"), ("lm.loss_pre_after_post", BEFORE)):
            _point(kept, unmixed[name], place, BEFORE, "D", fill)
    change.axvline(0, color="0.6", lw=0.8)
    kept.axvline(math.log(VOCABULARY), color="0.6", lw=0.8, ls="--")
    kept.annotate(
        "guessing, ln V",
        (math.log(VOCABULARY), 0),
        ha="right",
        xytext=(-3, 0),
        textcoords="offset points",
        fontsize=7,
    )
    change.set_yticks(places, labels)
    change.set_ylabel("model and study")
    kept.set_ylabel("the same studies")
    change.set_xlabel("loss at $\\lambda$ = 1 minus at 0 (nats/token)")
    kept.set_xlabel("loss at $\\lambda$ = 0 (nats/token)")
    change.set_title("what early exposure changes")
    kept.set_title("what is left of general text")
    style.legend_below(figure, _handles(looks), 3)
    return figure


def _label(rows: Rows, size: float) -> str:
    replay = rows.distinct("replay")[0]
    extra = f", replay {replay:g}" if replay else ""
    return f"{rows.distinct('scale')[0]}{extra}, $D_\\mathrm{{post}}$ {size / 1e3:.0f}k"


def _change(rows: Rows, name: str) -> Any:
    """At the largest lambda minus at 0, seed by seed; the published points have no seed."""
    if not rows.distinct("seed"):
        order = rows[name][rows.sorted_by("exposure")]
        return order[-1:] - order[:1]
    _, loss = rows.by_seed("exposure", name)
    return loss[:, -1] - loss[:, 0]


def _point(ax: Axes, values: Any, place: float, colour: Any, marker: str, fill: str | None = None) -> None:
    found = mean_interval(values)
    if found.low is not None and found.high is not None:
        ax.plot([found.low, found.high], [place, place], color=colour, lw=1)
    ax.plot(found.value, place, marker, color=colour, mfc=fill or colour, ms=7 if marker == "*" else 4)


def _handles(looks: dict[float, tuple[Any, str]]) -> list[Line2D]:
    point: dict[str, Any] = {"ls": "none", "ms": 4}
    return [
        Line2D([], [], color=BEFORE, marker="o", label="immediate loss $L_\\mathrm{im}$", **point),
        *(
            Line2D([], [], color=c, marker=m, label=f"$L_\\mathrm{{ret}}$, stage-3 LR {rate:g}", **point)
            for rate, (c, m) in looks.items()
        ),
        Line2D([], [], color="#000000", marker="*", ls="none", ms=7, label="$L_\\mathrm{ret}$, published"),
        Line2D([], [], color=BEFORE, marker="D", mfc="none", label="general text after stage 1", **point),
        Line2D([], [], color=BEFORE, marker="D", label="general text after stage 2", **point),
        Line2D([], [], color="0.5", lw=1, label=f"{LEVEL:.0%} interval of the mean over seeds"),
    ]
