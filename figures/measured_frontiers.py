"""Frontiers of the language models beside the published figure of the same number, and what each method adds to the hypervolume."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from common.frontier import pareto_set
from common.seeds import LEVEL
from common.settings import WrongUse
from common.sweeps import VIEWS, Sweeps, sweeps
from figures import style
from figures.frontiers import handles, limits
from figures.simulated_frontiers import (
    ALONE,
    LOOKS,
    ONE_SEED,
    PIPELINES,
    SHOWN,
    added,
    attained,
    published_points,
    sweep,
)
from figures.tables import Rows

INSTRUCTED = {"c": "published: instruction → chemistry"}
"""The published pipeline of Figure 2 whose D_post is of the kind of ours; the other figures have none."""
PARETO = Line2D([], [], color="0.4", marker="D", mfc="none", mew=0.7, ms=5, ls="none", label="Pareto set of the means")
GAINS: dict[str, tuple[str, str]] = {
    "mixing": ("fig2:mixed", "fig2:unmixed"),
    "dropout, on top of mixing": ("fig4:mixed+dropout", "fig4:mixed"),
    "replay, on top of mixing": ("fig4:mixed+replay", "fig4:mixed"),
    "dropout alone": ("fig6:unmixed+dropout", "fig6:unmixed"),
    "replay alone": ("fig6:unmixed+replay", "fig6:unmixed"),
    "mixing, over dropout alone": ("fig6:mixed", "fig6:unmixed+dropout"),
    "mixing, over replay alone": ("fig6:mixed", "fig6:unmixed+replay"),
    "mixing, under LoRA": ("fig7:lora_mixed", "fig7:lora_unmixed"),
    "full over LoRA, unmixed": ("fig7:fft_unmixed", "fig7:lora_unmixed"),
    "full over LoRA, mixed": ("fig7:fft_mixed", "fig7:lora_mixed"),
}
"""What is compared -> figure and method with it, and without."""


def beside(published: Any, measured: Any) -> Figure:
    """One of the paper's frontier figures (2, 4, 6 or 7) beside ours: a row per pipeline in Figure 2, a panel each in the others.

    Our points are means over seeds at one setting of stages 2 and 3; faint lines are the hulls of single seeds.

    Args:
        published: `common.published.load(number)`; measured: the study of the same number.
    """
    paper = Rows(published)
    views, methods = SHOWN[paper["study"][0]]
    blocks: dict[str, str | Sweeps] = {name: key for key, name in (INSTRUCTED if len(views) > 1 else PIPELINES).items()}
    found = sweeps(measured)
    blocks |= {_titled(one): one for one in found}
    figure, axes = style.grid(len(blocks) * len(views), 2, row=2.0, more=0.75)
    for i, (title, block) in enumerate(blocks.items()):
        for ax, view in zip(axes[i * len(views) :], views, strict=False):
            if isinstance(block, str):
                published_points(ax, paper, block, view)
            else:
                _measured(ax, block, methods, view)
            style.label(ax, *view, style.NATS)
        axes[i * len(views)].set_title(title, fontsize=7.5)
    style.heading(figure, f"losses in nats/token; ours: means over {_seeds(found)} seeds")
    style.legend_below(figure, [*handles(list(methods)), ONE_SEED, PARETO], 3)
    return figure


def attainment(measured: Any) -> Figure:
    """Where more seeds attain both losses with mixing than without, pipeline by pipeline.

    Raises:
        WrongUse: the methods have other settings or seeds, or there is one of them only.
    """
    found = sweeps(measured)
    for one in found:
        if missing := [method for method in ALONE if method not in one.points]:
            raise WrongUse(
                f"{one.pipeline} has no {missing[0]} runs. Give a study with and without exposure, such as fig2-controlled."
            )
    return attained(
        {_titled(one): {method: one.seen(method, VIEWS[0]) for method in ALONE} for one in found}, style.NATS
    )


def hypervolumes(*measured: Any) -> Figure:
    """What each method adds to the dominated share of the box of its study and pipeline, in both views of Figure 2.

    Args:
        measured: the studies of Figures 2, 4, 6 and 7, or some of them.
    """
    found: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
    counts = set()
    for table in measured:
        number = Rows(table)["study"][0].partition("-")[0]
        for one in sweeps(table):
            counts.add(len(one.seeds))
            views = found.setdefault(_titled(one), {view: {} for view in VIEWS})
            for view in VIEWS:
                views[view] |= {f"{number}:{method}": share for method, share in one.shares(view).items()}
    gains = {
        name: pair for name, pair in GAINS.items() if any(set(pair) <= set(views[VIEWS[0]]) for views in found.values())
    }
    looks = {title: (title, *look) for title, look in zip(found, LOOKS, strict=False)}
    figure = added(found, gains, looks)
    figure.axes[0].set_ylabel("what is compared")
    style.heading(
        figure,
        f"lines: {LEVEL:.0%} interval over {' or '.join(map(str, sorted(counts)))} seeds; a box per study and pipeline",
    )
    return figure


def _measured(ax: Axes, one: Sweeps, methods: tuple[str, ...], view: tuple[str, str]) -> None:
    for method in methods:
        points = one.seen(method, view)
        sweep(ax, method, points)
        mean = points.mean(axis=0)
        ax.plot(
            *mean[pareto_set(mean)].T, ls="none", marker="D", mfc="none", mec=style.METHODS[method][0], mew=0.5, ms=5
        )
    limits(ax, *np.concatenate([one.seen(method, view).reshape(-1, 2) for method in methods]).T)


def _titled(one: Sweeps) -> str:
    _, post, ft = one.pipeline.split(">")
    return f"{one.scale}: {post} → {ft}"


def _seeds(found: list[Sweeps]) -> str:
    return " or ".join(map(str, sorted({len(one.seeds) for one in found})))
