"""Experiments that tell accounts of protection apart, in networks that realise the accounts: effect, interval, and the predicted sign."""

import textwrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures import style
from figures.verdicts import STATUSES

NETWORKS = {
    "plain": "plain:\nindependent modes",
    "rp": "pathways:\na unit each",
    "rp-shared": "pathways:\na shared layer",
    "redundant": "S:\nredundant features",
}
"""Network -> account and what it is."""
LINEAR, WIDEST = 0.05, 100.0
"""Effects up to the first are drawn to scale, beyond it by their logarithm up to the second."""


def predicted(table: Any) -> Figure:
    """A panel per network, a row per statistic; the shaded range is what the network's account predicts.

    Args:
        table: `common.verdict_table`, with the verdicts of `python -m sims mechanisms`.
    """
    rows = [row for row in table.to_pylist() if row["study"] == "mechanisms"]
    kinds = list(dict.fromkeys((row["claim"], row["variant"], row["effect"]) for row in rows))
    figure, axes = style.panels(1, len(NETWORKS), height=0.42 * len(kinds) + 1.1, sharey=True)
    for ax, (model, name) in zip(axes[0], NETWORKS.items(), strict=True):
        for row in (row for row in rows if row["model"] == model):
            line = kinds.index((row["claim"], row["variant"], row["effect"]))
            low, high = (-WIDEST if row["supported_from"] is None else row["supported_from"],
                         WIDEST if row["supported_to"] is None else row["supported_to"])  # fmt: skip
            ax.barh(line, high - low, 0.8, left=low, color="0.88")
            colour, marker = STATUSES[row["status"]]
            if row["low"] is not None and row["high"] is not None:
                ax.plot([row["low"], row["high"]], [line, line], color=colour, lw=1.2)
            ax.plot(row["value"], line, marker, color=colour, ms=4.5, mfc="none" if row["exploratory"] else None)
        ax.axvline(0.0, color="0.4", lw=0.6)
        ax.set_xscale("symlog", linthresh=LINEAR)
        ax.set_xlim(-WIDEST, WIDEST)
        ax.set_xticks([-10, -0.1, 0, 0.1, 10], ["-10", "-.1", "0", ".1", "10"])
        ax.minorticks_off()
        ax.set_title(name)
        ax.set_xlabel("effect of exposure")
    axes[0, 0].set_ylabel("experiment and statistic")
    said = [textwrap.fill(f"{claim}  {effect.split(';')[0]}", 44) for claim, _, effect in kinds]
    axes[0, 0].set_yticks(range(len(kinds)), said, fontsize=5.6)
    axes[0, 0].set_ylim(len(kinds) - 0.5, -0.5)
    marks = [
        Line2D([], [], color=colour, marker=marker, ls="none", label={"supported": "as predicted", "refuted": "not as predicted"}[status])
        for status, (colour, marker) in STATUSES.items()
        if status in ("supported", "refuted")
    ]  # fmt: skip
    style.legend_below(figure, [Patch(color="0.88", label="what the account predicts"), *marks], 3)
    return figure
