"""Simulated trade-off frontiers beside the published ones they are counterparts of, and what each method adds to the hypervolume."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from common.frontier import attainment as surface
from common.frontier import attainment_difference, box_shares, lower_left_hull
from common.seeds import LEVEL, mean_interval
from common.sweeps import VIEWS
from figures import style
from figures.frontiers import handles, limits, series
from figures.tables import Rows

_RETAINED = (("loss_ret", "loss_ft"),)
ALONE = ("unmixed", "mixed")
SHOWN: dict[str, tuple[tuple[tuple[str, str], ...], tuple[str, ...]]] = {
    "figure2": (VIEWS, ALONE),
    "figure4": (_RETAINED, (*ALONE, "mixed+dropout", "mixed+replay")),
    "figure6": (_RETAINED, (*ALONE, "unmixed+dropout", "unmixed+replay")),
    "figure7": (_RETAINED, ("fft_unmixed", "fft_mixed", "lora_unmixed", "lora_mixed")),
}
"""Published figure -> losses on the axes, a panel each, and methods; the paper parts dropout from replay."""
PIPELINES = {"a": "published: music → chemistry", "b": "published: music → instruction"}
FEW = ("a", "plain-random", "rp-shared", "relu")
"""Shown where a pipeline or network takes two panels; `published_figure02` and `simulated_attainment` have the others."""

GAINS = {
    "mixing": ("mixed", "unmixed"),
    "replay, unmixed": ("unmixed+replay", "unmixed"),
    "replay, mixed": ("mixed+replay", "mixed"),
    "dropout, unmixed": ("unmixed+dropout", "unmixed"),
    "dropout, mixed": ("mixed+dropout", "mixed"),
    "decay, unmixed": ("unmixed+decay", "unmixed"),
    "decay, mixed": ("mixed+decay", "mixed"),
    "low rank, unmixed": ("lora_unmixed", "unmixed"),
    "low rank, mixed": ("lora_mixed", "mixed"),
}
"""What is added -> method with it, method without."""
CONVERGED = "converged"
"""Prefix of the methods that are no sweeps."""
LOOKS = tuple(zip((mpl.color_sequences["okabe_ito"][i] for i in (0, 1, 2, 3, 6, 5)), "osD^vP", strict=True))
"""Colour and marker of each model; the palette's yellow is too faint for lines."""


def beside(published: Any, simulated: Any) -> Figure:
    """One of the paper's frontier figures (2, 4, 6 or 7; two pipelines of it) beside the same sweeps of every model.

    Simulated points are means over seeds at one (t_post, t_ft); faint lines are the hulls of single seeds.
    """
    paper, rows = Rows(published), Rows(simulated)
    views, methods = SHOWN[paper["study"][0]]
    models = [name for name in style.NETWORKS if len(_methods(rows.where(model=name), methods)) == len(methods)]
    blocks = [*PIPELINES, *models]
    if len(views) > 1:
        blocks = [block for block in blocks if block in FEW] + [model for model in models if not {*models} & {*FEW}]
    figure, axes = style.grid(len(blocks) * len(views), len(views) if len(views) > 1 else 3, row=1.9, more=0.6)
    for i, ax in enumerate(axes):
        block, (x, y) = blocks[i // len(views)], views[i % len(views)]
        if block in PIPELINES:
            published_points(ax, paper, block, (x, y))
        else:
            _simulated(ax, rows.where(model=block).whole_seeds(), (x, y), methods)
        style.label(ax, x, y)
        if i % len(views) == 0:
            ax.set_title(PIPELINES.get(block) or style.NETWORKS[block], fontsize=7.5)
    style.heading(figure, "published losses in nats/token")
    style.legend_below(figure, [*handles(list(methods)), ONE_SEED], 3)
    return figure


HALO = withStroke(linewidth=2.4, foreground="white")
ONE_SEED = Line2D([], [], color="0.5", lw=0.6, alpha=0.5, label="hull of one seed")


def _stored(method: str) -> str:
    """The simulation's name of a method; its full fine-tuning has no prefix."""
    return method.removeprefix("fft_")


def _methods(rows: Rows, methods: tuple[str, ...]) -> list[str]:
    there = set(rows.distinct("method"))
    return [method for method in methods if _stored(method) in there]


def published_points(ax: Axes, paper: Rows, block: str, view: tuple[str, str]) -> None:
    """All panels of a pipeline with these axes in one; where they repeat a method, its points are the same."""
    names = [name for name in paper.distinct("published.panel") if name.startswith(block)]
    panels = [paper.where(published__panel=name, published__x=view[0], published__y=view[1]) for name in names]
    for method in dict.fromkeys(method for panel in panels for method in panel.distinct("method")):
        points = [_points(panel.where(method=method), view) for panel in panels]
        series(ax, method, *np.unique(np.concatenate(points), axis=0).T)
    shown = np.concatenate([_points(panel.where(published__in_axes=1), view) for panel in panels])
    limits(ax, *shown.T)


def _points(rows: Rows, view: tuple[str, str]) -> Any:
    return np.stack([rows[loss] for loss in view], axis=1)


def _simulated(ax: Axes, rows: Rows, view: tuple[str, str], methods: tuple[str, ...]) -> None:
    for method in methods:
        sweep(ax, method, _sweep(rows.where(method=_stored(method)), view))


def sweep(ax: Axes, method: str, points: Any) -> None:
    """The means over seeds of a sweep of shape (seeds, settings, 2) with their hull, and faintly the hull of each seed."""
    colour, _, dash = style.METHODS[method]
    for seed in points if len(points) > 1 else ():
        hull = seed[lower_left_hull(seed)]
        ax.plot(*hull.T, color=colour, ls=dash, lw=0.4, alpha=0.2)
    series(ax, method, *points.mean(axis=0).T)


def _sweep(rows: Rows, losses: tuple[str, str]) -> Any:
    """The end points of a sweep, of shape (seeds, settings, 2)."""
    order = np.lexsort([rows[name] for name in ("t_ft", "t_post", "seed")])
    return _points(rows, losses)[order].reshape(len(rows.distinct("seed")), -1, 2)


def hypervolumes(simulated: Any) -> Figure:
    """What each method adds to the dominated share of the box that holds all sweeps of a model, in both views of Figure 2."""
    rows = Rows(simulated)
    found = {
        model: {view: _shares(rows.where(model=model).whole_seeds(), view) for view in VIEWS}
        for model in style.NETWORKS
        if len(rows.where(model=model))
    }
    looks = {
        model: (style.NETWORKS[model], *look)
        for model, look in zip(style.NETWORKS, LOOKS, strict=True)
        if model in found
    }
    figure = added(found, GAINS, looks)
    figure.axes[0].set_ylabel("what is added to stage 1 or 2")
    style.heading(figure, f"lines: {LEVEL:.0%} interval over seeds, where the start is random")
    return figure


def added(
    found: dict[str, dict[tuple[str, str], dict[str, Any]]],
    gains: dict[str, tuple[str, str]],
    looks: dict[str, tuple[str, Any, str]],
) -> Figure:
    """Differences in hypervolume with their intervals over seeds: a line per difference, a panel per view.

    Args:
        found: series (a model, a pipeline) -> view -> method -> share of the box of every seed.
        gains: line -> method with what is added, method without.
        looks: series -> name, colour and marker.
    """
    figure, axes = style.panels(1, 2, height=0.48 * len(gains) + 1.0, sharey=True)
    for ax, view in zip(axes[0], VIEWS, strict=True):
        ax.axvline(0, color="0.5", lw=0.8)
        for line in range(1, len(gains)):
            ax.axhline(line - 0.5, color="0.9", lw=0.5)
        for i, (series_name, shares) in enumerate(found.items()):
            _, colour, marker = looks[series_name]
            for line, (more, less) in enumerate(gains.values()):
                if more not in shares[view] or less not in shares[view]:
                    continue
                gain = mean_interval(shares[view][more] - shares[view][less])
                at = line + 0.75 * ((i + 0.5) / len(found) - 0.5)
                if gain.low is not None:
                    ax.plot([gain.low, gain.high], [at, at], color=colour, lw=1.0)
                ax.plot([gain.value], [at], color=colour, marker=marker, ls="none", mec="k", mew=0.3, ms=4)
        ax.set_title(f"({style.AXES[view[0]]}, {style.AXES[view[1]]})", fontsize=7)
        ax.set_xlabel("gain in hypervolume, share of the box")
    axes[0, 0].set_yticks(range(len(gains)), gains)
    axes[0, 0].set_ylim(len(gains) - 0.5, -0.5)
    shown = [
        Line2D([], [], color=c, marker=m, mec="k", mew=0.3, ls="-", lw=1.0, label=name) for name, c, m in looks.values()
    ]
    style.legend_below(figure, shown, 3)
    return figure


def attainment(simulated: Any) -> Figure:
    """Where mixing attains more than no mixing: a row a network with its frontiers, and the difference of the attainment surfaces.

    Both methods have the same settings and seeds. Lines on the right are what half of the seeds attain.
    """
    rows = Rows(simulated)
    found = [(name, rows.where(model=name).whole_seeds()) for name in style.NETWORKS if name in rows.distinct("model")]
    several = [(name, here) for name, here in found if len(here.distinct("seed")) > 1] or found
    return attained({
        style.NETWORKS[name]: {method: _sweep(here.where(method=method), VIEWS[0]) for method in ALONE}
        for name, here in several
    })  # fmt: skip


def attained(found: dict[str, dict[str, Any]], unit: str = "") -> Figure:
    """A row per series: both methods' sweeps, and where more seeds attain both losses with mixing than without.

    Args:
        found: series (a network, a pipeline) -> method of `ALONE` -> points, of shape (seeds, settings, 2).
        unit: of the losses.
    """
    figure, axes = style.panels(len(found), 2, height=1.75 * len(found) + 0.6)
    for (left, right), (name, both) in zip(axes, found.items(), strict=True):
        for method, points in both.items():
            sweep(left, method, points)
        image = _differences(right, {method: list(points) for method, points in both.items()})
        limits(right, *np.concatenate([points.reshape(-1, 2) for points in both.values()]).T)
        left.set_xlim(right.get_xlim())
        left.set_ylim(right.get_ylim())
        left.set_title(name)
        each = both["mixed"]
        right.set_title(f"{len(each)} seeds of {len(each[0])} settings, either method")
        style.label(left, *VIEWS[0], unit)
        style.label(right, *VIEWS[0], unit)
    figure.colorbar(
        image, ax=axes[:, 1].tolist(), label="share of the seeds that attain it, mixed $-$ unmixed", aspect=40
    )
    medians = [
        Line2D([], [], color=style.METHODS[method][0], lw=1, path_effects=[HALO], label=f"half of the seeds, {method}")
        for method in ALONE
    ]
    style.legend_below(figure, [*handles(list(ALONE)), ONE_SEED, *medians], 3)
    return figure


def _differences(ax: Axes, sweeps: dict[str, list[Any]]) -> PolyCollection:
    """Colour what more seeds attain with mixing (purple) or without (orange), and draw both median frontiers."""
    everything = np.concatenate([points for sets in sweeps.values() for points in sets])
    corners, shares = attainment_difference(sweeps["mixed"], sweeps["unmixed"])
    far = everything.max(0) + (everything.max(0) - everything.min(0))
    inside = (corners[:, :2] < far).all(axis=1)
    left, low, right, high = np.minimum(corners[inside], np.tile(far, 2)).T
    boxes = np.stack(
        [np.stack(pair, axis=1) for pair in ((left, low), (right, low), (right, high), (left, high))], axis=1
    )
    drawn = PolyCollection(
        list(boxes), array=shares[inside], cmap=style.FAVOUR, clim=(-1, 1), lw=0, antialiased=False, rasterized=True
    )
    drawn.set_in_layout(False)
    ax.add_collection(drawn, autolim=False)
    for method, sets in sweeps.items():
        line = surface(sets)
        x, y = line[np.argsort(line[:, 0])].T
        look: dict[str, Any] = {"color": style.METHODS[method][0], "lw": 1, "path_effects": [HALO]}
        ax.step(np.append(x, far[0]), np.append(y, y[-1]), where="post", **look)
    return drawn


def _shares(rows: Rows, view: tuple[str, str]) -> dict[str, Any]:
    """Method -> dominated share of every seed; the box holds all methods and seeds."""
    swept = [method for method in rows.distinct("method") if not method.startswith(CONVERGED)]
    points = [_sweep(rows.where(method=method), view) for method in swept]
    found = box_shares([seed for sets in points for seed in sets])
    return dict(zip(swept, np.reshape(found, (len(swept), -1)), strict=True))
