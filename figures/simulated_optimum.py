"""Simulated networks and the optimum: where the best exposure lies, whether the benefit is latent, and when exposure should come."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.minima import interior, lowest, over_seeds
from figures import style
from figures.tables import Rows

NAMES = {
    "plain": "plain (linear)",
    "rp": "redundant pathways, a unit each",
    "rp-shared": "redundant pathways, shared",
    "relu": "ReLU, independent features",
    "relu-corr": "ReLU, correlated features",
    "relu-rp": "ReLU pathways, correlated",
    "relu-rp0": "ReLU pathways, independent",
    "tanh": "tanh, independent features",
    "tanh-corr": "tanh, correlated features",
}
"""Network -> panel title."""
RATIOS = {
    0.5: ("#56B4E9", "v", ":"),
    1.0: ("#000000", "o", "-"),
    2.0: ("#009E73", "^", "--"),
    4.0: ("#D55E00", "s", "-."),
}
"""Step ratio -> colour, marker, dash."""
IM, RET, DAMAGE = "#000000", style.MIXED, "#D55E00"
PLACEMENTS = {"early": ("#0072B2", "v"), "late": ("#E69F00", "^"), "anneal": ("#009E73", "s")}


def compute_matched(table: Any) -> Figure:
    """Best exposure against fine-tuning length, a panel a network; filled where the minimum counts as interior."""
    rows, closed = Rows(table).where(sims__question="ratio"), Rows(table).where(sims__question="closed form")
    present = [model for model in NAMES if model in rows.distinct("model")]
    figure, axes = style.panels(3, 3, height=6.3, sharex=True, sharey=True)
    for ax in axes.flat[len(present) :]:
        ax.set_visible(False)
    for ax, model in zip(axes.flat, present, strict=False):
        here = rows.where(model=model)
        for ratio in sorted(here.distinct("problem.step_ratio")):
            _best(
                ax, here.where(problem__step_ratio=ratio), closed.where(model=model, problem__step_ratio=ratio), ratio
            )
        ax.set_title(NAMES[model])
        ax.set_xscale("log")
        ax.set_ylim(-0.05, 1.05)
    for ax in axes[-1]:
        ax.set_xlabel(style.AXES["t_ft"])
    for ax in axes[:, 0]:
        ax.set_ylabel("exposure $\\lambda$ with lowest $L_\\mathrm{ret}$")
    handles: list[Any] = [
        Line2D([], [], color=c, marker=m, ls="none", label=f"step ratio {r:g}") for r, (c, m, _) in RATIOS.items()
    ]
    handles += [
        Line2D([], [], color="0.4", ls="-", label="closed form (linear networks)"),
        Line2D([], [], color="0.4", marker="o", ls="none", label="interior: at least 1 % below both ends"),
        Line2D([], [], color="0.4", marker="o", mfc="white", ls="none", label="an end, or too shallow"),
        Patch(color="0.85", label="95 % over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def _best(ax: Any, rows: Rows, closed: Rows, ratio: float) -> None:
    colour, marker, dash = RATIOS[ratio]
    times = np.array(sorted(rows.distinct("t_ft")))
    found = [_minimum(rows.where(t_ft=time)) for time in times]
    values, inside = np.array([at.value for at, _, _ in found]), np.array([counts is True for _, _, counts in found])
    low, high = ([at.value if end is None else end for (at, _, _), end in zip(found, ends, strict=True)]
                 for ends in ([at.low for at, _, _ in found], [at.high for at, _, _ in found]))  # fmt: skip
    ax.fill_between(times, low, high, color=colour, alpha=0.15, lw=0)
    for keep, face in ((inside, colour), (~inside, "white")):
        ax.plot(times[keep], values[keep], marker=marker, color=colour, mfc=face, ls="none")
    if len(closed):
        ax.plot(closed["t_ft"], closed["exposure"], color=colour, ls=dash, lw=0.9)
    else:
        ax.plot(times, values, color=colour, ls=dash, lw=0.5)


def _minimum(rows: Rows) -> Any:
    points, values = rows.by_seed("exposure", "loss_ret")
    return interior(points, values[:, None])


CURVE_TIMES = (0.2, 1.0, 5.0)


def curves(table: Any) -> Figure:
    """loss_im and loss_ret along lambda at equal step sizes, a panel a network."""
    rows = Rows(table).where(sims__question="ratio", problem__step_ratio=1.0)
    present = [model for model in NAMES if model in rows.distinct("model")]
    figure, axes = style.panels(3, 3, height=6.1, sharex=True)
    shades = ("#c9a6d8", "#a066bf", "#5b2c78")
    for ax, model in zip(axes.flat, present, strict=False):
        lines = [("loss_im", CURVE_TIMES[0], IM, "--", "o")]
        lines += [("loss_ret", t, c, "-", m) for t, c, m in zip(CURVE_TIMES, shades, "s^v", strict=True)]
        for loss, time, colour, dash, marker in lines:
            points, values = rows.where(model=model).near("t_ft", time).by_seed("exposure", loss)
            _band(ax, points, values, colour)
            ax.plot(points, values.mean(0), color=colour, ls=dash)
            found = lowest(points, values.mean(0))
            ax.plot(found.exposure, found.loss, marker=marker, color=colour, ms=5, ls="none")
        ax.set_title(NAMES[model])
        ax.set_yscale("log")
    for ax in axes[-1]:
        ax.set_xlabel(style.AXES["exposure"])
    for ax in axes.flat:
        ax.set_ylabel("loss on $D_\\mathrm{post}$")
    handles = [Line2D([], [], color=IM, ls="--", marker="o", label="immediate")]
    handles += [
        Line2D([], [], color=c, marker=m, label=f"retained, $t_\\mathrm{{ft}}$ = {t:g}")
        for t, c, m in zip(CURVE_TIMES, shades, "s^v", strict=True)
    ]
    style.legend_below(figure, handles, 4)
    return figure


def _band(ax: Any, points: Any, values: Any, colour: str) -> None:
    """Shade the interval of the mean over seeds, point by point."""
    if len(values) > 1:
        found = [over_seeds(lambda mean: mean, values[:, i]) for i in range(values.shape[1])]
        ax.fill_between(points, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.2, lw=0)


def latent(table: Any) -> Figure:
    """After a stage 2 that converges: losses against alpha, a panel a network."""
    rows, closed = Rows(table).where(sims__question="exposure"), Rows(table).where(sims__question="closed form")
    present = [model for model in NAMES if model in rows.distinct("model")]
    figure, axes = style.panels(3, 3, height=6.1)
    at_once, length = min(rows.distinct("t_ft")), max(rows.distinct("t_ft"))
    lines = (
        ("loss_im", length, IM, "--", "o"),
        ("loss_ret", length, RET, "-", "s"),
        ("loss_pre", at_once, DAMAGE, ":", "^"),
    )
    for ax, model in zip(axes.flat, present, strict=False):
        exact = closed.where(model=model)
        for loss, time, colour, dash, marker in lines:
            points, values = rows.where(model=model).near("t_ft", time).by_seed("alpha", loss)
            _band(ax, points, values, colour)
            if len(exact):
                here = exact.near("t_ft", time)
                ax.plot(here["alpha"], here[loss], color=colour, ls=dash, lw=0.9)
                ax.plot(points[::4], values.mean(0)[::4], color=colour, marker=marker, ls="none")
            else:
                ax.plot(points, values.mean(0), color=colour, marker=marker, ls=dash)
        ax.set_title(NAMES[model])
        style.from_zero(ax, 1e-3 if len(exact) else 1e-2)
        ax.set_xticks(*_ticks(len(exact) > 0))
        ax.minorticks_off()
        ax.set_xlim(0, points[-1] * 1.1)
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])
    for ax in axes.flat:
        ax.set_xlabel(style.AXES["alpha"])
    for ax in axes.flat:
        ax.set_ylabel("loss")
    handles = [
        Line2D([], [], color=IM, ls="--", marker="o", label="on $D_\\mathrm{post}$, after stage 2 (immediate)"),
        Line2D([], [], color=RET, marker="s", label="on $D_\\mathrm{post}$, after stage 3 (retained)"),
        Line2D([], [], color=DAMAGE, ls=":", marker="^", label="on $D_\\mathrm{pre}$, after stage 2 (damage)"),
        Patch(**style.LINEAR, label="linear axis"),
    ]
    style.legend_below(figure, handles, 2)
    return figure


def _ticks(linear: bool) -> tuple[list[float], list[str]]:
    places = [0, 1e-3, 1e-2, 1e-1] if linear else [0, 1e-2, 1e-1]
    return places, [f"{place:g}" for place in places]


def placement(table: Any) -> Figure:
    """Effect of placement on three losses relative to uniform exposure, and losses against passes over a small noisy pool."""
    placed, repeated = (Rows(table).where(sims__question=question) for question in ("placement", "repeated"))
    models = repeated.distinct("model")
    figure, hidden = style.panels(1, 1, height=5.4)
    hidden[0, 0].remove()
    grid = figure.add_gridspec(2, 1)
    above, below = grid[0].subgridspec(1, len(EFFECTS)), grid[1].subgridspec(1, len(models))
    tops: list[Any] = []
    for i in range(len(EFFECTS)):
        tops.append(figure.add_subplot(above[i], sharey=tops[0] if tops else None))
    bottoms = [figure.add_subplot(below[i]) for i in range(len(models))]
    for ax, (loss, late, title) in zip(tops, EFFECTS, strict=True):
        _effects(ax, placed, loss, late=late)
        ax.set_title(title)
        ax.set_xlabel("loss minus that of uniform")
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelleft=ax is tops[0])
    names = placed.distinct("model")
    tops[0].set_yticks([-2 * i - 0.5 for i in range(len(names))], [_short(name) for name in names])
    tops[0].set_ylabel("network")
    size = max(repeated.distinct("problem.pool"))
    for ax, model in zip(bottoms, models, strict=True):
        for pool, colour, marker in ((size, RET, "s"), (0.0, "#009E73", "^")):
            points, values = repeated.where(model=model, problem__pool=pool).by_seed("exposure", "loss_ret")
            _band(ax, points, values, colour)
            ax.plot(points, values.mean(0), color=colour, marker=marker)
        ax.set_title(_short(model))
        ax.set_xscale("symlog", linthresh=0.5, base=2)
        ax.set_xticks([0, 1, 4, 16], ["0", "1", "4", "16"])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_xlabel("passes $\\lambda$ in stage 1")
    for ax in bottoms:
        ax.set_ylabel("retained loss")
    handles: list[Any] = [
        Line2D([], [], color=c, marker=m, ls="none", label=name) for name, (c, m) in PLACEMENTS.items()
    ]
    handles += [
        Line2D([], [], color="0.4", marker="o", mfc="white", ls="none", label="short stage 2"),
        Line2D([], [], color="0.4", marker="o", ls="none", label="long stage 2"),
        Line2D([], [], color=RET, marker="s", label=f"pool of {size:g}, noisy labels"),
        Line2D([], [], color="#009E73", marker="^", label="unlimited, without noise"),
        Patch(color="0.85", label="95 % over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def _short(model: str) -> str:
    """A network's name where there is little room."""
    return NAMES[model].replace("redundant pathways", "pathways").replace(" features", "")


EFFECTS = (
    ("loss_im", False, "immediate"),
    ("loss_ret", True, "retained"),
    ("loss_pre", False, "$D_\\mathrm{pre}$ damage after stage 2"),
)
"""Loss, whether after stage 3 (or before it), and panel title."""


def _effects(ax: Any, rows: Rows, loss: str, *, late: bool) -> None:
    """A row for every network and length of stage 2, a marker and its interval for every placement."""
    time = (max if late else min)(rows.distinct("t_ft"))
    for row, model in enumerate(rows.distinct("model")):
        here = rows.where(model=model).near("t_ft", time)
        uniform = here.where(placement="uniform")
        for offset, (name, (colour, marker)) in zip((0.22, 0, -0.22), PLACEMENTS.items(), strict=True):
            _, given, usual = here.where(placement=name).against(uniform, "t_post", loss)
            effect = given - usual
            for long in (0, 1):
                found, y = over_seeds(lambda mean: mean, effect[:, long]), -2 * row - long + offset
                low, high = (found.value, found.value) if found.low is None else (found.low, found.high)
                ax.plot([low, high], [y, y], color=colour, lw=1)
                ax.plot(found.value, y, marker=marker, color=colour, mfc=colour if long else "white", ls="none")
        ax.axhline(-2 * row - 1.5, color="0.9", lw=0.6)
    ax.axvline(0, color="0.6", lw=0.8)
