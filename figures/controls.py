"""Early exposure beside its decoys: what each of them changes right after post-training, and after fine-tuning."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.curves import NOTABLE
from common.seeds import LEVEL, mean_interval
from figures import style
from figures.lambda_curves import ramp
from figures.language_models import BEFORE, MARKERS
from figures.tables import Rows

NAMES = {
    "post": "$D_\\mathrm{post}$ itself",
    "other": "other values",
    "shuffled": "its tokens shuffled",
    "bigram": "its bigrams",
    "sibling": "other text of its corpus",
    "pre": "more $D_\\mathrm{pre}$",
    "ft": "$D_\\mathrm{ft}$",
}
"""What stage 1 is exposed to, in words; `other` is the decoy of the made facts."""


def controls(*tables: Any) -> Figure:
    """A panel per pipeline: losses at the largest lambda that all share, minus those at 0, seed by seed.

    Args:
        tables: studies with real exposure and decoys, such as `controlled` and `facts`.
    """
    panels = [
        (rows.where(pipeline=pipeline, split="independent"), pipeline)
        for rows in map(Rows, tables)
        for pipeline in rows.distinct("pipeline")
    ]
    rates = sorted({rate for rows, _ in panels for rate in rows.distinct("lr_ft")})
    looks = dict(zip(rates, zip(ramp(len(rates)), MARKERS * 2, strict=False), strict=True))
    deepest = max(len(kinds(rows)) for rows, _ in panels)
    figure, axes = style.panels(1, len(panels), height=1.8 + 0.42 * deepest)
    for ax, (rows, pipeline) in zip(axes[0], panels, strict=True):
        found = kinds(rows)
        doses = set.intersection(*(set(rows.where(exposed=kind).distinct("exposure")) - {0.0} for kind in found))
        dose = max(doses)
        for place, kind in zip(range(0, -len(found), -1), found, strict=True):
            here = rows.where(exposed=kind)
            of_kind = here.distinct("lr_ft")
            _mark(ax, _change(here.where(lr_ft=of_kind[0]), "loss_im", dose), place + 0.24, BEFORE, "D")
            for i, rate in enumerate(sorted(of_kind)):
                _mark(ax, _change(here.where(lr_ft=rate), "loss_ret", dose), place + 0.08 - 0.16 * i, *looks[rate])
        unmixed = rows.where(exposed=found[0], exposure=0.0)
        notable = NOTABLE * float(np.mean(unmixed["loss_ret"] - unmixed["loss_im"]))
        ax.axvspan(-notable, notable, color="0.92", zorder=0)
        ax.axvline(0, color="0.6", lw=0.8)
        ax.tick_params(axis="y", labelsize=7)
        ax.set_yticks(range(0, -len(found), -1), [NAMES[kind] for kind in found])
        ax.set_ylim(-len(found) + 0.45, 0.55)
        pre, post, ft = (name.partition("?")[0] for name in pipeline.split(">"))
        ax.set_xlabel("change of loss (nats)")
        ax.set_title(
            f"{pre} →\n{post} → {ft}\n$\\lambda$ = {dose:g} minus 0, {len(rows.distinct('seed'))} seeds", fontsize=7
        )
        if ax is not axes[0][0] and found == kinds(panels[0][0]):
            ax.sharey(axes[0][0])
            ax.tick_params(labelleft=False)
        else:
            ax.set_ylabel("stage 1 is exposed to")
    point: dict[str, Any] = {"ls": "none", "ms": 4}
    handles: list[Any] = [
        Line2D([], [], color=BEFORE, marker="D", label="immediate loss $L_\\mathrm{im}$", **point),
        *(
            Line2D([], [], color=c, marker=m, label=f"$L_\\mathrm{{ret}}$, stage-3 LR {rate:g}", **point)
            for rate, (c, m) in looks.items()
        ),
        Patch(color="0.92", label="a tenth of the forgetting"),
        Line2D([], [], color="0.5", lw=1, label=f"{LEVEL:.0%} interval of the mean over seeds"),
    ]
    style.legend_below(figure, handles, 3)
    return figure


def kinds(rows: Rows) -> list[str]:
    """What stage 1 is exposed to, D_post first."""
    found = rows.distinct("exposed")
    return sorted(found, key=list(NAMES).index)


def _change(rows: Rows, name: str, dose: float) -> Any:
    doses, loss = rows.by_seed("exposure", name)
    return loss[:, list(doses).index(dose)] - loss[:, list(doses).index(0.0)]


def _mark(ax: Any, values: Any, place: float, colour: Any, marker: str) -> None:
    found = mean_interval(values)
    if found.low is not None and found.high is not None:
        ax.plot([found.low, found.high], [place, place], color=colour, lw=1)
    ax.plot(found.value, place, marker, color=colour, ms=4)
