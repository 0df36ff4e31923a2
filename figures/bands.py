"""Means over the seeds of a simulation with their intervals, drawn as points with a band."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from common.seeds import mean_interval, student

LOOKS = (("#000000", "o"), ("#0072B2", "s"), ("#D55E00", "^"), ("#009E73", "v"), ("#CC79A7", "D"))
"""Colour and marker of the series of a panel, in order; colour-blind safe."""
REFERENCE: dict[str, Any] = {"color": "0.45", "ls": "--", "lw": 1.0}


def shade(ax: Axes, x: Any, values: Any, colour: Any) -> Any:
    """Shade Student's interval at every point, where there are several seeds.

    Args:
        ax: where.
        x: of every point.
        values: shape (seeds, points).
        colour: of the band.

    Returns:
        The means, of shape (points).
    """
    mean, low, high = student(values)
    if len(values) > 1:
        ax.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
    return mean


def band(ax: Axes, x: Any, values: Any, look: int, name: str, **more: Any) -> None:
    """Means over seeds with their intervals; `look` is an index into `LOOKS`, `name` for the legend, `more` for the line."""
    colour, marker = LOOKS[look]
    ax.plot(x, shade(ax, x, values, colour), color=colour, marker=marker, label=name, **more)


def student_ends(values: Any) -> tuple[float, float]:
    """The interval of a mean over seeds as seaborn takes it: Student's, as everywhere here, in the place of a bootstrap."""
    found = mean_interval(np.asarray(values, dtype=float))
    at = float(found.value)
    return (at if found.low is None else found.low), (at if found.high is None else found.high)
