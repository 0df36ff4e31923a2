"""All verdicts on one page: a row per prediction, a column per network, a mark per verdict."""

import textwrap
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.claims import STATEMENTS, UNPREDICTED
from figures import style

STATUSES = {
    "supported": (style.BLOCKS["specialised"][0], "o"),
    "refuted": (style.BLOCKS["inconsistent"][0], "X"),
    "undecided": ("0.25", "o"),
    "not testable here": ("0.45", "D"),
    "missing": ("0.45", "_"),
}
"""Status -> colour, symbol."""
ORDER = ("plain", "rp", "rp-shared", "relu", "relu-rp", "relu-rp0", "relu-corr", "tanh", "tanh-corr")
"""Networks from left to right; others follow."""
TALLEST = 9.0
"""Inches of the page at most."""
ROW, MARGIN = 0.4, 1.1
"""Inches of a row, and of what is above and below them."""
ACROSS = 7
"""Marks beside one another in a cell."""
_TEXT, _RIGHT = 0.46, 0.94
"""Where the networks' columns start and end, in shares of the page's width."""


def verdicts(table: Any) -> Figure:
    """Which predictions hold in which network. Hollow marks are exploratory: their criterion changed after the data were seen.

    Args:
        table: `common.verdict_table`.
    """
    rows = table.to_pylist()
    claims = [name for name in STATEMENTS if any(row["claim"] == name for row in rows)]
    models = sorted({row["model"] for row in rows}, key=lambda model: ([*ORDER, model].index(model), model))
    height = min(TALLEST, ROW * len(claims) + MARGIN)
    figure = plt.figure(figsize=(style.PAGE, height), layout="none")
    bottom, top = 0.35 / height, 0.75 / height
    ax = figure.add_axes((_TEXT, bottom, _RIGHT - _TEXT, 1 - bottom - top))
    for line, claim in enumerate(claims):
        ax.axhline(line - 0.5, color="0.85", lw=0.5)
        said = textwrap.fill(STATEMENTS[claim], 62)
        ax.text(
            -0.015,
            line,
            said,
            transform=ax.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=5.6,
            parse_math=False,
        )
        ax.text(
            -_TEXT / (_RIGHT - _TEXT) * 0.97,
            line,
            "other" if claim == UNPREDICTED else claim,
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=7,
            weight="bold",
        )
        for column, model in enumerate(models):
            _cell(ax, column, line, [row for row in rows if (row["claim"], row["model"]) == (claim, model)])
    for column in range(len(models) + 1):
        ax.axvline(column - 0.5, color="0.85", lw=0.5)
    ax.set_xlim(-0.5, len(models) - 0.5)
    ax.set_ylim(len(claims) - 0.5, -0.5)
    ax.set_yticks([])
    ax.xaxis.tick_top()
    ax.set_xticks(range(len(models)), [model or "every" for model in models], fontsize=6, rotation=35, ha="left")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.xaxis.set_label_position("top")
    ax.set_xlabel("network", fontsize=7)
    ax.set_ylabel(" ")
    shown = [Line2D([], [], color=c, marker=m, ms=3.5, ls="none", label=name) for name, (c, m) in STATUSES.items()]
    shown.append(Line2D([], [], color="0.25", marker="o", ms=3.5, mfc="white", ls="none", label="hollow: exploratory"))
    figure.legend(handles=shown, loc="lower center", ncols=len(shown), fontsize=6, bbox_to_anchor=(0.5, 0.0))
    return figure


def _cell(ax: Any, column: int, line: int, rows: list[dict[str, Any]]) -> None:
    """The verdicts of a prediction on a network, by status, in lines of `ACROSS`."""
    names = list(STATUSES)
    lines = -(-len(rows) // ACROSS)
    for place, row in enumerate(sorted(rows, key=lambda row: names.index(row["status"]))):
        colour, symbol = STATUSES[row["status"]]
        x = column - 0.42 + (place % ACROSS) * 0.84 / ACROSS + 0.06
        y = line + (place // ACROSS - (lines - 1) / 2) * min(0.24, 0.8 / lines)
        face = "white" if row["exploratory"] and symbol in "oD" else colour
        ax.plot([x], [y], color=colour, marker=symbol, ms=3.0, mew=0.7, mfc=face, ls="none")
