"""What a variant of the recipe changes of the retained loss at equal fine-tuning loss: placement of the exposure, and mitigations."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.results import as_table
from common.seeds import LEVEL, mean_interval
from common.variants import contrasts, curves, is_damage
from figures import style

DIFFERENCE = "#0072B2"
LOOKS = {"unmixed": (style.UNMIXED, "o"), "mixed": (style.MIXED, "s")}


def placement(table: Any) -> Figure:
    """Each placement minus no exposure, and minus uniform: loss_ret at matched loss_ft, seed by seed."""
    found = _contrasts(table, "placement")
    names = list(dict.fromkeys(name for name, _ in found))
    figure, axes = style.panels(1, 2, height=0.38 * len(names) + 1.3, sharey=True)
    for ax, base in zip(axes[0], ("no exposure", "uniform"), strict=True):
        for place, name in enumerate(names):
            if (values := found.get((name, f"{name} minus {base}"))) is not None:
                _mark(ax, values, place, DIFFERENCE, "D")
        ax.set_title(f"minus {base}")
    _finish(figure, axes, names, table)
    axes[0, 0].set_ylabel("when in stage 1 the exposure comes")
    style.legend_below(figure, [_interval()], 1)
    return figure


def mitigation(table: Any) -> Figure:
    """Each variant minus none, mixed and unmixed; and mixed minus unmixed under each: loss_ret at matched loss_ft, seed by seed.

    Damage in the place of stage 3 has no loss_ft to match, and is shown on the right alone.
    """
    found = _contrasts(table, "mitigation")
    names = list(dict.fromkeys(name for name, _ in found))
    figure, axes = style.panels(1, 2, height=0.3 * len(names) + 1.4, sharey=True)
    left, right = axes[0]
    for place, name in enumerate(names):
        for shift, (which, look) in zip((-0.14, 0.14), LOOKS.items(), strict=True):
            if (values := found.get((name, f"{name} minus none, {which}"))) is not None:
                _mark(left, values, place + shift, *look)
        _mark(right, found[name, f"{name}, mixed minus unmixed"], place, DIFFERENCE, "D")
    left.set_title("minus none")
    right.set_title("mixed minus unmixed, under each")
    _finish(figure, axes, [f"{name}*" if is_damage(name) else name for name in names], table)
    left.set_ylabel("mitigation (*damage in the place of stage 3)")
    handles = [Line2D([], [], color=c, marker=m, ls="none", ms=4, label=name) for name, (c, m) in LOOKS.items()]
    handles.append(Line2D([], [], color=DIFFERENCE, marker="D", ls="none", ms=4, label="mixed minus unmixed"))
    style.legend_below(figure, [*handles, _interval()], 4)
    return figure


def _contrasts(table: Any, study: str) -> dict[tuple[str, str], Any]:
    """Variant and difference -> its value by seed, where any seed has it."""
    return {(name, words): values for name, words, values in contrasts(curves(as_table(table)), study)}


def _finish(figure: Figure, axes: Any, names: list[str], table: Any) -> None:
    for ax in axes[0]:
        ax.axvline(0, color="0.6", lw=0.8, zorder=0)
        ax.set_xlabel("$L_\\mathrm{ret}$ at equal $L_\\mathrm{ft}$ (nats/token)")
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.locator_params(axis="x", nbins=6)
    axes[0, 0].set_yticks(range(len(names)), names)
    pipeline = as_table(table)["pipeline"][0].as_py().split(">")
    seeds = len(as_table(table)["seed"].unique())
    style.heading(figure, f"{' → '.join(pipeline)}, {as_table(table)['scale'][0].as_py()}; ticks: {seeds} seeds")


def _mark(ax: Axes, values: Any, place: float, colour: Any, marker: str) -> None:
    """The mean with its interval, and a tick for every seed; nothing where curves do not overlap in loss_ft."""
    if not len(values):
        return
    found = mean_interval(values)
    if found.low is not None and found.high is not None:
        ax.plot([found.low, found.high], [place, place], color=colour, lw=1)
    ax.plot(values, np.full(len(values), place), "|", color=colour, ms=5, mew=0.8)
    ax.plot(found.value, place, marker, color=colour, ms=4)


def _interval() -> Line2D:
    return Line2D([], [], color="0.5", lw=1, label=f"{LEVEL:.0%} interval of the mean over seeds")
