"""Means over the seeds of a simulation with their intervals, drawn as points with a band."""

from typing import Any

from matplotlib.axes import Axes

from common.seeds import mean_interval

LOOKS = (("#000000", "o"), ("#0072B2", "s"), ("#D55E00", "^"), ("#009E73", "v"), ("#CC79A7", "D"))
"""Colour and marker of the series of a panel, in order; colour-blind safe."""
REFERENCE: dict[str, Any] = {"color": "0.45", "ls": "--", "lw": 1.0}


def band(ax: Axes, x: Any, values: Any, look: int, name: str, **more: Any) -> None:
    """Means over seeds with their intervals.

    Args:
        ax: where.
        x: of every point.
        values: shape (seeds, points).
        look: index into `LOOKS`.
        name: for the legend.
        more: for the line.
    """
    colour, marker = LOOKS[look]
    found = [mean_interval(values[:, i]) for i in range(values.shape[1])]
    ax.plot(x, [point.value for point in found], color=colour, marker=marker, label=name, **more)
    low, high = ([point.value if end is None else end for point, end in zip(found, ends, strict=True)]
                 for ends in ([p.low for p in found], [p.high for p in found]))  # fmt: skip
    ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
