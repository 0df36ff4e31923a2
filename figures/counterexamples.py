"""Four counterexamples to Appendix C as printed."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from figures import style
from figures.tables import Rows

PANELS = {
    "C.10": (
        "t_pre",
        "C.10: a window, not a limit",
        "stage-1 flow time $t_\\mathrm{pre}$",
        "mode strength, mixed",
    ),
    "C.15": (
        "t_post",
        "C.15: a zero is a saddle",
        "stage-2 flow time $t_\\mathrm{post}$",
        "mode strength, from $10^{-6}$",
    ),
    "C.17": (
        "problem.beta",
        "C.17: forgets less, keeps less",
        "specialised target $\\beta$",
        "retained loss $L_\\mathrm{ret}$",
    ),
    "5.3": (
        "t_ft",
        "Theorem 5.3: reversed for long fine-tuning",
        "stage-3 flow time $t_\\mathrm{ft}$",
        "forgetting $\\Delta_\\mathrm{mixed} - \\Delta_\\mathrm{unmixed}$",
    ),
}
"""Item -> abscissa, title, axis labels."""


def counterexamples(table: Any) -> Figure:
    """What holds against what is printed (dotted, in the same colour)."""
    rows = Rows(table)
    figure, axes = style.panels(2, 2, height=4.4)
    for ax, (erratum, (x, title, x_label, y_label)) in zip(axes.flat, PANELS.items(), strict=True):
        for curve in rows.where(problem__erratum=erratum).distinct("problem.curve"):
            here = rows.where(problem__erratum=erratum, problem__curve=curve)
            colour = style.BLOCKS[curve][0] if curve in style.BLOCKS else style.METHODS[curve][0]
            dash = style.BLOCKS[curve][1] if curve in style.BLOCKS else "-"
            ax.plot(here[x], here["problem.value"], color=colour, ls=dash)
            if erratum != "C.17":
                ax.plot(here[x], here["problem.printed"], color=colour, ls=":")
        ax.set_title(title)
        ax.set_xlabel(x_label)
        ax.set_ylabel(y_label)
        if erratum != "5.3":
            ax.set_ylim(bottom=-0.04 * ax.get_ylim()[1])
    axes[1, 0].text(0.1, 9.25, "mixed", color=style.MIXED, fontsize=7)
    axes[1, 0].text(2.45, 12.0, "unmixed", color=style.UNMIXED, fontsize=7, ha="right")
    axes[1, 1].set_xscale("log")
    axes[1, 1].text(29, 0.003, "as printed: at most 0", color=style.MIXED, fontsize=7, ha="right")
    axes[1, 1].text(0.42, 0.058, "mixed forgets more", color=style.MIXED, fontsize=7, ha="right")
    handles = [
        Line2D([], [], color=c, ls=d, label=f"{name} modes")
        for name, (c, d) in style.BLOCKS.items()
        if name != "invariant"
    ]
    handles.append(Line2D([], [], color="0.3", ls=":", label="as printed"))
    style.legend_below(figure, handles, 3)
    return figure
