"""Anybody's sweep: its losses along the settings that were swept, in facets, and against one another in pairs. Drawn with seaborn."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from common.frames import frame
from common.losses import LOSSES
from common.results import SCHEMA
from common.settings import WrongUse
from figures import style
from figures.bands import student_ends
from figures.lambda_curves import ramp
from figures.tables import Rows

SPENT, UNSPENT = ("alpha", "t_pre", "t_post"), ("exposure",)
"""What follows from other settings: in a sweep that spends a budget, and in one that sets the stages themselves."""
BUDGET = "problem.step_ratio"
"""Column of a budget."""
NO_SETTING = {"seed", "wall_seconds", "tokens_pre", "config_hash", "code_version", "source", "engine", "study", *LOSSES}
COLOURS, COLUMNS = 5, 4
"""Most values of the second setting and of the third that are drawn: the ends and some between them."""
POINTS = 1500
"""Most rows of a pair plot, drawn by lot; more are a blot."""
GEOMETRIC = 20.0
"""A setting whose largest value is so many times its smallest has a logarithmic axis."""


def facets(table: Any) -> Figure:
    """A row per loss: along the setting with most values, a line per value of the second, a column per value of the third.

    Further settings are held at the value in their middle, said above. With seeds, means and their intervals.

    Args:
        table: a sweep, of `python -m theory sweep` or `python -m sims sweep`, or any results table whose settings are a product.
    """
    import seaborn

    rows = Rows(table)
    names = swept(rows)
    x, hue, column = (names[i] if i < len(names) else None for i in range(3))
    held = {name: sorted(rows.distinct(name))[(len(rows.distinct(name)) - 1) // 2] for name in names[3:]}
    chosen = {
        name: some(sorted(rows.distinct(name)), most)
        for name, most in zip(names[1:3], (COLOURS, COLUMNS), strict=False)
    }
    order, columns = chosen.get(hue or ""), chosen.get(column or "", [None])
    losses, said = measured(rows)
    data = long_frame(rows, names, losses, chosen | {name: [value] for name, value in held.items()})
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        grid = seaborn.relplot(
            data=data,
            x=x,
            y="value",
            hue=hue,
            style=hue,
            col=column,
            row="loss",
            hue_order=order,
            style_order=order,
            palette=ramp(len(order)) if order else None,
            kind="line",
            errorbar=student_ends if "seed" in data else None,
            height=1.7,
            aspect=style.PAGE / 1.7 / max(len(columns), 1.5),
            facet_kws={"sharey": "row", "margin_titles": False},
        )
    for i, loss in enumerate(grid.row_names):
        for ax, value in zip(grid.axes[i], columns, strict=True):
            if _geometric(rows.distinct(names[0])):
                ax.set_xscale("log")
            ax.set_xlabel(name_of(x) if loss == grid.row_names[-1] else "")
            ax.set_title(f"{name_of(column)} = {_said(value)}" if column and i == 0 else "")
        grid.axes[i, 0].set_ylabel(style.AXES[loss])
    return _with_legend(
        grid, hue, order, [*(f"{name_of(name)} = {_said(value)}" for name, value in held.items()), *said]
    )


def pairs(table: Any) -> Figure:
    """Every loss against every setting that was swept and every other loss; coloured by the setting with fewest values."""
    import seaborn

    rows = Rows(table)
    names, (losses, said) = swept(rows)[:COLUMNS], measured(rows)
    data = frame({symbol(name): rows[name] for name in (*names, *losses)})
    if len(data) > POINTS:
        data = data.sample(POINTS, random_state=0)
    fewest = min(names, key=lambda name: len(rows.distinct(name)))
    order = sorted(rows.distinct(fewest))
    hue = symbol(fewest) if len(order) <= COLOURS else None
    across = len(names) + len(losses)
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        grid = seaborn.pairplot(
            data,
            x_vars=[symbol(name) for name in (*names, *losses)],
            y_vars=[symbol(name) for name in losses],
            diag_kind=None,
            hue=hue,
            hue_order=order if hue else None,
            palette=ramp(len(order)) if hue else None,
            height=1.5,
            aspect=style.PAGE / 1.5 / across,
            plot_kws={"s": 8, "linewidth": 0, "alpha": 0.6},
        )
    for j, name in enumerate((*names, *losses)):
        if _geometric(rows.distinct(name)) and name not in losses:
            grid.axes[0, j].set_xscale("log")
    for loss, line in zip(losses, grid.axes, strict=True):
        line[0].set_ylabel(style.AXES[loss])
    return _with_legend(grid, fewest, order, said)


def _with_legend(grid: Any, hue: str | None, order: list[Any] | None, said: list[str]) -> Figure:
    """seaborn's figure, laid out as all others, with its legend below it and what is held above."""
    made: Figure = grid.figure
    made.set_layout_engine("constrained")
    if hue is not None and grid.legend is not None:
        handles = grid.legend.legend_handles
        for handle, value in zip(handles, order or [], strict=True):
            handle.set_label(f"{symbol(hue)} = {_said(value)}")
        grid.legend.remove()
        style.legend_below(made, handles, COLOURS)
    if said:
        style.heading(made, "; ".join(said))
    return made


def swept(rows: Rows) -> list[str]:
    """The settings that differ, numbers before words, those with most values first; what follows from others is left out.

    Raises:
        WrongUse: nothing differs.
    """
    varied = [name for name in rows.varied if (name in SCHEMA or "." in name) and name not in NO_SETTING]
    derived = SPENT if BUDGET in rows.names else UNSPENT
    counts = {name: len(rows.distinct(name)) for name in varied if name not in derived}
    words = {name: rows[name].dtype == object for name in counts}
    found = sorted((name for name in counts if counts[name] > 1), key=lambda name: (words[name], -counts[name]))
    if not found:
        raise WrongUse(
            "No setting differs in this table, so that there is no sweep to draw. Give one of `python -m theory sweep`."
        )
    return found


def measured(rows: Rows) -> tuple[list[str], list[str]]:
    """The losses that the table knows, without those equal to another; and these, in words."""
    found: list[str] = []
    said = []
    for loss in LOSSES:
        twin = next((other for other in found if np.array_equal(rows[loss], rows[other])), None)
        if twin:
            said.append(f"{style.AXES[loss]} equals {symbol(twin)}")
        elif rows.distinct(loss):
            found.append(loss)
    return found, said


def long_frame(rows: Rows, names: list[str], losses: list[str], chosen: dict[str, list[Any]]) -> Any:
    """A data frame with a row per setting, seed and loss (`loss`, `value`), of the rows whose columns have one of the chosen values."""
    here = rows.one_of(chosen)
    seed = {"seed": here["seed"]} if rows.distinct("seed") else {}
    data = frame({name: here[name] for name in (*names, *losses)} | seed)
    return data.melt(id_vars=[*names, *seed], value_vars=losses, var_name="loss")


def some(values: list[Any], most: int) -> list[Any]:
    """At most so many of some values: the ends, and others evenly between them."""
    return [values[i] for i in np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]


def name_of(column: str | None) -> str:
    """A column in words: that of the axes of all figures, a Greek letter as one, else its name without codes."""
    if column is None:
        return ""
    if column in style.AXES:
        return style.AXES[column]
    head, _, tail = column.rpartition(".")[2].partition("_")
    if head in ("sigma", "beta"):
        return f"$\\{head}" + (f"_\\mathrm{{{tail}}}$" if tail else "$")
    return f"{head} {tail}".replace("_", " ").strip()


def symbol(column: str) -> str:
    """The symbol of a column, where there is one, else its name."""
    name = name_of(column)
    return name[name.index("$") :] if name.endswith("$") else name


def _said(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _geometric(values: list[Any]) -> bool:
    numbers = not any(isinstance(value, str) for value in values)
    return numbers and min(values) > 0 and max(values) / min(values) > GEOMETRIC
