"""Experiments that tell accounts of protection apart: what each account predicts of a number, and the number measured, beside its decoy."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from common.mechanisms import ACCOUNTS, REAL, SHUFFLED, primaries
from common.seeds import LEVEL, mean_interval
from figures import style

EXPERIMENTS = {
    "E2": (
        "retained loss, beside U\nheld by L2 at M's distance",
        "$L_\\mathrm{ret}$ at equal $L_\\mathrm{ft}$\n(nats/token)",
    ),
    "E3": ("what noise of .03 on\nthe weights does", "rise of the $D_\\mathrm{post}$ loss\n(nats/token)"),
    "E4": ("$D_\\mathrm{ft}$'s gradient in the\ndirections of $D_\\mathrm{post}$", "share of its energy\n(of 1)"),
    "E5": ("what 24 steps of stage 2\nleave to be relearned", "log of the share of what\nwas forgotten"),
}
"""Experiment -> what its primary statistic is, and the axis with its unit."""
SERIES = {
    REAL: ("M exposed to $D_\\mathrm{post}$", style.MIXED, "o"),
    SHUFFLED: ("M exposed to it shuffled", style.BLOCKS["inconsistent"][0], "s"),
}
"""What is in the place of the exposed model -> words, colour, marker."""
PREDICTED = style.BLOCKS["invariant"][0]
WORDS = {"pathways": "redundant pathways predict"}


def mechanisms(runs: Any, probes: Any) -> Figure:
    """A panel per experiment: its primary statistic for D_post and for the shuffled decoy, seed by seed, over what accounts predict.

    Args:
        runs: results table of a study such as `deciding`.
        probes: the table of its probes.
    """
    found = primaries(runs, probes)
    places = {name: -i for i, name in enumerate((*SERIES, *ACCOUNTS))}
    figure, axes = style.panels(1, len(EXPERIMENTS), height=2.9, sharey=True)
    for ax, (claim, (title, unit)) in zip(axes[0], EXPERIMENTS.items(), strict=True):
        for of, (_, colour, marker) in SERIES.items():
            _measured(ax, found.get((claim, of), np.empty(0)), places[of], colour, marker)
        reach = 1.12 * max(np.abs(ax.get_xlim()))
        ax.set_xlim(-reach, reach)
        ax.axvline(0, color="0.5", lw=0.8, zorder=0)
        ax.axhline(places[SHUFFLED] - 0.5, color="0.8", lw=0.6)
        for account, signs in ACCOUNTS.items():
            _predicted(ax, signs[claim], places[account], reach)
        ax.set_title(f"{claim}: {title}", fontsize=6.2)
        ax.set_xlabel(unit, fontsize=6.5)
        ax.locator_params(axis="x", nbins=3)
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.tick_params(axis="x", labelsize=6)
        ax.tick_params(axis="y", length=0)
    words = [*(said for said, _, _ in SERIES.values()), *(WORDS.get(name, f"{name} predicts") for name in ACCOUNTS)]
    axes[0][0].set_yticks(list(places.values()), words, fontsize=7)
    axes[0][0].set_ylabel("M: exposed, U: not; M minus U", fontsize=7)
    axes[0][0].set_ylim(min(places.values()) - 0.5, 0.5)
    style.legend_below(
        figure,
        [
            Line2D(
                [], [], color="0.3", marker="o", ms=4, lw=1, label=f"measured: mean, {LEVEL:.0%} interval over seeds"
            ),
            Line2D([], [], color="0.3", marker="|", ms=5, ls="none", label="a seed"),
            Line2D([], [], color=PREDICTED, marker="<", ms=4, lw=1.5, label="predicted below 0"),
            Line2D([], [], color=PREDICTED, marker="D", ms=4, ls="none", mfc="white", label="predicted 0"),
        ],
        4,
    )
    return figure


def _measured(ax: Any, values: Any, place: float, colour: str, marker: str) -> None:
    """Seeds, mean and interval; a word where a statistic is not defined in every seed, or was not measured."""
    if not len(values) or not np.isfinite(values).all():
        said = "not defined" if len(values) else "not measured"
        ax.text(0.5, place, said, transform=ax.get_yaxis_transform(), ha="center", va="center", fontsize=6)
        return
    one = mean_interval(values)
    ax.plot(values, np.full(len(values), place - 0.22), "|", color=colour, ms=5, mew=0.8)
    if one.low is not None and one.high is not None:
        ax.plot([one.low, one.high], [place, place], color=colour, lw=1.2)
    ax.plot([one.value], [place], marker, color=colour, ms=4.5)


def _predicted(ax: Any, sign: int, place: float, reach: float) -> None:
    """An arrow to the side that an account predicts; a hollow diamond where it predicts no difference."""
    if sign == 0:
        ax.plot([0], [place], "D", color=PREDICTED, mfc="white", ms=4)
        return
    ax.plot([0, sign * 0.45 * reach], [place, place], color=PREDICTED, lw=1.5)
    ax.plot([sign * 0.45 * reach], [place], "<" if sign < 0 else ">", color=PREDICTED, ms=4)
