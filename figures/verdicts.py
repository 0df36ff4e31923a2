"""All verdicts in one list: how far each measured effect lies beyond its criterion, and what was found."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.seeds import LEVEL
from figures import style

STATUSES = {
    "supported": (style.BLOCKS["specialised"][0], "o"),
    "refuted": (style.BLOCKS["inconsistent"][0], "X"),
    "undecided": ("0.25", "o"),
    "not testable here": ("0.45", "D"),
    "missing": ("0.45", "_"),
}
"""Status -> colour, symbol."""
DECIDED = ("supported", "refuted", "undecided")
"""Those that have a number."""
FARTHEST = 100.0
"""Distances are drawn up to here; beyond, the symbol sits at the edge."""
FITS, LONGEST = 76, 110
"""Characters of an effect that fit on its line, and that do so in smaller print."""
MODEL_FITS = 21
"""Characters of a model with its variant that fit."""
NUMBER_FITS = 30
"""Characters of a value with its interval and criterion that fit."""
PITCH, TALLEST = 0.125, 30.0
"""Inches a row, and at most: a page that is as long as the list, to be read on a screen."""
_STATUS, _CLAIM, _MODEL, _EFFECT, _PLOT, _NUMBER = 0.012, 0.026, 0.055, 0.195, 0.655, 0.81
"""Where the columns start, in fractions of the page's width."""


def verdicts(table: Any) -> Figure:
    """A row a verdict. Right of the line its criterion is met; one unit is the size of the criterion itself.

    Args:
        table: `common.verdict_table`.
    """
    rows = table.to_pylist()
    height = min(TALLEST, PITCH * len(rows) + 1.0)
    figure, axes = style.panels(1, 1, height=height)
    figure.set_layout_engine("none")
    ax = axes[0, 0]
    ax.set_position((_PLOT, 0.62 / height, _NUMBER - _PLOT - 0.01, 1 - 0.92 / height))
    size = min(5.4, 0.68 * 72 * (height - 0.92) / max(len(rows), 1))
    ax.axvline(0, color="0.3", lw=0.8)
    previous = ""
    for line, row in enumerate(rows):
        colour, symbol = STATUSES[row["status"]]
        if row["claim"] != previous:
            ax.plot([_STATUS, 1.0], [line - 0.5] * 2, color="0.8", lw=0.5, transform=_page(figure, ax), clip_on=False)
            _write(figure, ax, _CLAIM, line, row["claim"], size, weight="bold")
        previous = row["claim"]
        ax.plot([_STATUS], [line], color=colour, marker=symbol, ms=3.2, transform=_page(figure, ax), clip_on=False)
        name = ", ".join(part for part in (row["model"], row["variant"]) if part)
        _write(figure, ax, _MODEL, line, name, size * min(1.0, MODEL_FITS / max(len(name), 1)))
        effect = row["effect"] if row["status"] in DECIDED else row["criterion"]
        text = effect if len(effect) <= LONGEST else effect[: LONGEST - 1] + "…"
        _write(figure, ax, _EFFECT, line, text, size * min(1.0, FITS / max(len(text), 1)))
        number = _number(row)
        _write(figure, ax, _NUMBER, line, number, size * min(1.0, NUMBER_FITS / max(len(number), 1)))
        _draw(ax, line, row, colour, symbol)
    ax.set_xscale("symlog", linthresh=1.0)
    ax.set_xlim(-1.2 * FARTHEST, 1.2 * FARTHEST)
    ax.set_xticks([-FARTHEST, -1, 0, 1, FARTHEST], ["−100", "−1", "0", "1", "100"], fontsize=6)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("beyond the criterion,\nin units of it", fontsize=6)
    ax.set_ylabel(" ")
    heads = {
        _CLAIM: "prediction, model",
        _EFFECT: "effect",
        _NUMBER: "value, criterion",
    }
    for at, head in heads.items():
        _write(figure, ax, at, -1.2, head, size, style="italic")
    ax.text(0, -1.2, "fails ←   → holds", fontsize=size, va="center", ha="center", style="italic")
    shown = [Line2D([], [], color=c, marker=m, ls="none", label=name) for name, (c, m) in STATUSES.items()]
    shown.append(Line2D([], [], color="0.3", lw=1.0, label=f"{LEVEL:.0%} interval over seeds"))
    figure.legend(handles=shown, loc="lower center", ncols=len(shown), fontsize=6, bbox_to_anchor=(0.4, 0.0))
    return figure


def _page(figure: Figure, ax: Any) -> Any:
    """Across in fractions of the page, down in rows."""
    from matplotlib.transforms import blended_transform_factory

    return blended_transform_factory(figure.transFigure, ax.transData)


def _write(figure: Figure, ax: Any, at: float, line: float, text: str, size: float, **look: Any) -> None:
    ax.text(at, line, text, fontsize=size, va="center", transform=_page(figure, ax), parse_math=False, **look)


def _number(row: dict[str, Any]) -> str:
    if row["status"] not in DECIDED:
        return ""
    value = f"{row['value']:.2g}" + ("" if row["low"] is None else f" [{row['low']:.2g}, {row['high']:.2g}]")
    lower, upper = row["supported_from"], row["supported_to"]
    if lower is not None and upper is not None:
        return f"{value}; {lower:.3g} to {upper:.3g}"
    return value + (f"; ≥ {lower:.3g}" if lower is not None else f"; ≤ {upper:.3g}" if upper is not None else "")


def _draw(ax: Any, line: int, row: dict[str, Any], colour: str, symbol: str) -> None:
    """Value and interval as distances beyond the criterion, where it has a size to measure by."""
    lower, upper = row["supported_from"], row["supported_to"]
    if row["value"] is None or (lower is None and upper is None):
        return
    if (scale := _scale(lower, upper)) == 0:
        return

    def beyond(value: float) -> float:
        nearest = min(
            value - lower if lower is not None else float("inf"), upper - value if upper is not None else float("inf")
        )
        return float(min(max(nearest / scale, -FARTHEST), FARTHEST))

    at = beyond(row["value"])
    if row["low"] is not None:
        ends = [beyond(row["low"]), beyond(row["high"]), at]
        ax.plot([min(ends), max(ends)], [line, line], color=colour, lw=1.0)
    ax.plot([at], [line], color=colour, marker=symbol, ms=3.2, ls="none", clip_on=False)


def _scale(lower: float | None, upper: float | None) -> float:
    """The size of a criterion: of its level, or half the width of a range."""
    if lower is not None and upper is not None:
        return (upper - lower) / 2
    return abs(lower if lower is not None else upper or 0.0)
