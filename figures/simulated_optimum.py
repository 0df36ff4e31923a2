"""Simulated networks and the optimum: where the best exposure lies, whether the benefit is latent, and when exposure should come."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.minima import as_good, interior, over_seeds
from figures import style
from figures.bands import shade
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
    """Which exposures are as good as the best, against fine-tuning length, a panel a network; filled where the minimum is interior."""
    rows, closed = Rows(table).where(sims__question="ratio"), Rows(table).where(sims__question="closed form")
    figure, panels = _panels(rows)
    for ax, model in panels:
        here = rows.where(model=model)
        ratios = sorted(here.distinct("problem.step_ratio"))
        for i, ratio in enumerate(ratios):
            exact = closed.where(model=model, problem__step_ratio=ratio)
            aside = 1.11 ** (2 * i - len(ratios) + 1)  # ranges at the same time beside one another
            _best(ax, here.where(problem__step_ratio=ratio), exact, RATIOS[ratio], aside)
        ax.set_xscale("log")
        ax.set_xticks([0.1, 1, 10], ["0.1", "1", "10"])
        ax.set_ylim(-0.05, 1.05)
        ax.set_xlabel(style.AXES["t_ft"])
        ax.set_ylabel(style.AXES["exposure"])
    handles: list[Any] = [
        Line2D([], [], color=c, marker=m, ls="none", label=f"step ratio {r:g}") for r, (c, m, _) in RATIOS.items()
    ]
    handles += [
        Line2D(
            [], [], color="0.4", ls="-", lw=3, alpha=0.4, label="as good as the best: within 1 %, or not told apart"
        ),
        Line2D([], [], color="0.4", marker="o", ls="none", label="best, interior: at least 1 % below both ends"),
        Line2D(
            [], [], color="0.4", marker="o", mfc="white", ls="none", label="best at an end, or too shallow to count"
        ),
        Line2D([], [], color="0.4", ls="-", lw=0.9, label="closed form (linear networks)"),
    ]
    style.legend_below(figure, handles, 2)
    return figure


def _panels(rows: Rows) -> tuple[Figure, list[tuple[Any, str]]]:
    """A figure with a titled panel for every network of the table, and these."""
    present = [model for model in NAMES if model in rows.distinct("model")]
    figure, axes = style.grid(len(present), 3, row=1.85, more=0.7)
    for ax, model in zip(axes, present, strict=True):
        ax.set_title(NAMES[model])
    return figure, list(zip(axes, present, strict=True))


def _best(ax: Any, rows: Rows, closed: Rows, look: tuple[str, str, str], aside: float) -> None:
    """The best exposure and those as good, a bar a fine-tuning length, moved by the factor `aside`."""
    colour, marker, dash = look
    bars: list[tuple[float, float]] = []
    for time in sorted(rows.distinct("t_ft")):
        points, values = rows.where(t_ft=time).by_seed("exposure", "loss_ret")
        at, _, counts = interior(points, values[:, None])
        first, last = as_good(points, values)
        bars += [(time * aside, first), (time * aside, last), (np.nan, np.nan)]
        ax.plot(time * aside, at.value, marker, color=colour, mfc=colour if counts else "white", ms=3)
    ax.plot(*np.array(bars).T, color=colour, lw=3, alpha=0.4, solid_capstyle="butt", zorder=1.5)
    ax.plot(closed["t_ft"], closed["exposure"], color=colour, ls=dash, lw=0.9, zorder=1.4)


CURVE_TIMES = (0.2, 1.0, 5.0)
SHADES = ("#b583cc", "#8e44ad", "#3f1d52")
"""Colours of loss_ret at those times: `style.MIXED`, lighter and darker."""
DEEPEST = 1e-4
"""Least loss that is shown, as a share of the largest: what lies below is nothing, and would press the rest together."""


def curves(table: Any) -> Figure:
    """loss_im and loss_ret along lambda at equal step sizes, a panel a network; thick where a curve is as low as at its lowest."""
    rows = Rows(table).where(sims__question="ratio", problem__step_ratio=1.0)
    figure, panels = _panels(rows)
    lines = [("loss_im", CURVE_TIMES[0], IM, "--", "o", "immediate")]
    lines += [
        ("loss_ret", t, c, "-", m, f"retained, $t_\\mathrm{{ft}}$ = {t:g}")
        for t, c, m in zip(CURVE_TIMES, SHADES, "s^v", strict=True)
    ]
    for ax, model in panels:
        for loss, time, colour, dash, marker, _ in lines:
            points, values = rows.where(model=model).near("t_ft", time).by_seed("exposure", loss)
            mean = shade(ax, points, values, colour)
            ax.plot(points, mean, color=colour, ls=dash)
            first, last = as_good(points, values)
            flat, best = (points >= first) & (points <= last), mean.argmin()
            ax.plot(points[flat], mean[flat], color=colour, lw=3.5, alpha=0.4, solid_capstyle="butt")
            ax.plot(points[best], mean[best], marker, color=colour, ms=4)
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.set_ylim(bottom=max(low, DEEPEST * high))
        style.log_ticks(ax.yaxis)
        ax.set_xlabel(style.AXES["exposure"])
        ax.set_ylabel("loss on $D_\\mathrm{post}$")
    handles: list[Any] = [Line2D([], [], color=c, ls=d, marker=m, label=name) for _, _, c, d, m, name in lines]
    handles += [
        Line2D([], [], color="0.4", marker="o", ls="none", label="lowest"),
        Line2D([], [], color="0.4", lw=3.5, alpha=0.4, label="as low: within 1 %, or not told apart"),
        Patch(color="0.85", label="95 % over seeds"),
    ]
    style.legend_below(figure, handles, 4)
    return figure


def latent(table: Any) -> Figure:
    """After a stage 2 that converges: losses against alpha, a panel a network."""
    rows, closed = Rows(table).where(sims__question="exposure"), Rows(table).where(sims__question="closed form")
    figure, panels = _panels(rows)
    at_once, length = min(rows.distinct("t_ft")), max(rows.distinct("t_ft"))
    lines = (
        ("loss_im", length, IM, "--", "o"),
        ("loss_ret", length, RET, "-", "s"),
        ("loss_pre", at_once, DAMAGE, ":", "^"),
    )
    for ax, model in panels:
        exact = closed.where(model=model)
        for loss, time, colour, dash, marker in lines:
            points, values = rows.where(model=model).near("t_ft", time).by_seed("alpha", loss)
            mean = shade(ax, points, values, colour)
            if len(exact):
                here = exact.near("t_ft", time)
                ax.plot(here["alpha"], here[loss], color=colour, ls=dash, lw=0.9)
                ax.plot(points[::4], mean[::4], color=colour, marker=marker, ls="none")
            else:
                ax.plot(points, mean, color=colour, marker=marker, ls=dash)
        style.from_zero(ax, 1e-3 if len(exact) else 1e-2)
        ax.set_xticks(*_ticks(len(exact) > 0))
        ax.minorticks_off()
        ax.set_xlim(0, points[-1] * 1.1)
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])
        ax.set_xlabel(style.AXES["alpha"])
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
    figure = plt.figure(figsize=(style.PAGE, 5.4))
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
            ax.plot(points, shade(ax, points, values, colour), color=colour, marker=marker)
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
