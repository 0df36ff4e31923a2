"""Figure 1 of the paper, redrawn: the three stages of two recipes, and where each loss is measured."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from figures import style

STAGES = ("stage 1: pretraining", "stage 2: post-training", "stage 3: fine-tuning by others")
RECIPES = (
    ("unmixed", style.UNMIXED, ("$D_\\mathrm{pre}$", "$D_\\mathrm{post}$", "$D_\\mathrm{ft}$")),
    ("mixed", style.MIXED, ("$D_\\mathrm{pre}$ + $\\lambda$ of $D_\\mathrm{post}$", "$D_\\mathrm{post}$", "$D_\\mathrm{ft}$")),
)  # fmt: skip
MEASURED = (
    (2, "immediate loss\n$L_\\mathrm{im}$: on $D_\\mathrm{post}$"),
    (
        3,
        "retained $L_\\mathrm{ret}$: on $D_\\mathrm{post}$\n$L_\\mathrm{ft}$, $L_\\mathrm{pre}$: on $D_\\mathrm{ft}$, $D_\\mathrm{pre}$",
    ),
)
"""After which stage, what."""
_WIDE, _TALL = 0.82, 0.5


def schematic() -> Figure:
    """A row per recipe, a column per stage; below, after which stage each loss is measured."""
    figure, axes = style.panels(1, 1, height=2.3)
    ax = axes[0, 0]
    for row, (name, colour, data) in enumerate(RECIPES):
        y = -row
        ax.text(
            -0.08,
            y,
            f"{name}\n$\\lambda$ {'= 0' if row == 0 else '> 0'}",
            ha="right",
            va="center",
            color=colour,
            fontsize=9,
        )
        for column, text in enumerate(data):
            box = FancyBboxPatch(
                (column, y - _TALL / 2),
                _WIDE,
                _TALL,
                boxstyle="round,pad=0,rounding_size=0.06",
                fc="white",
                ec=colour,
                lw=1.4,
            )
            ax.add_patch(box)
            ax.text(column + _WIDE / 2, y, text, ha="center", va="center", fontsize=9)
            if column:
                _arrow(ax, (column - 1 + _WIDE, y), (column, y), colour)
    for column, text in enumerate(STAGES):
        ax.text(column + _WIDE / 2, 0.5, text, ha="center", va="center", color="0.3")
    for after, text in MEASURED:
        x = after - 1 + _WIDE / 2
        _arrow(ax, (x, -1 - _TALL / 2), (x, -1.55), "0.5")
        ax.text(x, -1.58, text, ha="center", va="top")
    ax.set_xlim(-0.55, 2.95)
    ax.set_ylim(-2.15, 0.65)
    ax.axis("off")
    return figure


def _arrow(ax: Any, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.2, "shrinkA": 0, "shrinkB": 0}
    )
