"""One look for every picture: fonts, sizes for a two-column paper, a colour-blind safe palette, names of axes.

Black is unmixed and purple mixed, as in the paper; everything else comes from the palette of Okabe and Ito and is told
apart by marker or dash as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from common.files import atomic_write, target
from common.settings import WrongUse
from figures import drawn

COLUMN, PAGE = 3.35, 6.9
"""Widths in inches: one column, and both."""

_BLUE, _ORANGE, _GREEN, _VERMILION = (to_hex(mpl.color_sequences["okabe_ito"][i]) for i in (5, 1, 3, 6))
UNMIXED, MIXED = "#000000", "#8e44ad"
FAVOUR = LinearSegmentedColormap.from_list("favour", [_ORANGE, "#ffffff", MIXED])
"""Signed colours: purple where mixing is better, orange where it is worse."""
METHODS: dict[str, tuple[str, str, str]] = {
    "unmixed": (UNMIXED, "o", "-"),
    "mixed": (MIXED, "o", "-"),
    "mixed+dropout": (_ORANGE, "^", "-"),
    "mixed+replay": (_GREEN, "s", "-"),
    "unmixed+dropout": (_ORANGE, "^", "--"),
    "unmixed+replay": (_GREEN, "s", "--"),
    "fft_unmixed": (UNMIXED, "o", "-"),
    "fft_mixed": (MIXED, "o", "-"),
    "lora_unmixed": (UNMIXED, "s", "--"),
    "lora_mixed": (MIXED, "s", "--"),
}
"""Method -> colour, marker, dash."""
METHOD_NAMES = {
    "fft_unmixed": "full fine-tuning, unmixed",
    "fft_mixed": "full fine-tuning, mixed",
    "lora_unmixed": "LoRA, unmixed",
    "lora_mixed": "LoRA, mixed",
}
BLOCKS = {"invariant": (_BLUE, "-"), "inconsistent": (_VERMILION, "--"), "specialised": (_GREEN, "-.")}
"""Feature block -> colour, dash."""
SIZES = {30_000_000: (_BLUE, "o"), 150_000_000: (_ORANGE, "s"), 300_000_000: (_GREEN, "^")}
"""Tokens of D_post -> colour, marker."""

MODELS = {
    "plain": "plain: independent modes",
    "rp": "redundant pathways, a unit each",
    "rp-shared": "redundant pathways, shared unit",
}
"""Linear model -> name."""
SHORT = {"plain": "plain", "rp": "redundant\npathways (rp)", "rp-shared": "redundant,\nshared unit (rp-shared)"}
"""The same where there is little room."""
LINES = {"plain": ("#000000", "-", "o"), "rp": (_ORANGE, "--", "s"), "rp-shared": (_BLUE, "-.", "^")}
"""Linear model -> colour, dash, marker."""
NETWORKS = {
    "plain": "plain, aligned start",
    "plain-random": "plain, random start",
    "rp": MODELS["rp"],
    "rp-shared": MODELS["rp-shared"],
    "relu": "ReLU network",
    "relu-rp": "ReLU network, redundant pathways",
}
"""Simulated model -> name."""

AXES = {
    "loss_im": r"immediate loss $L_\mathrm{im}$",
    "loss_ret": r"retained loss $L_\mathrm{ret}$",
    "loss_ft": r"fine-tuning loss $L_\mathrm{ft}$",
    "loss_pre": r"pretraining loss $L_\mathrm{pre}$",
    "exposure": r"early exposure $\lambda$",
    "alpha": r"mixture weight $\alpha$",
    "t_pre": r"stage-1 flow time $t_\mathrm{pre}$",
    "t_post": r"stage-2 flow time $t_\mathrm{post}$",
    "t_ft": r"stage-3 flow time $t_\mathrm{ft}$",
    "problem.beta": r"specialised target $\beta$",
    "problem.init_scale": r"initial scale $\zeta$",
    "model": "network",
}
"""Column -> axis label, without its unit."""
NATS = " (nats/token)"


_TICKS = {"major.size": 3.0, "major.width": 0.8, "minor.size": 1.8, "minor.width": 0.5}


def apply() -> None:
    """Set the look; called once before drawing."""
    mpl.rcdefaults()
    ticks = {f"{axis}tick.{what}": size for axis in "xy" for what, size in _TICKS.items()}
    look: Any = ticks | {
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "legend.handlelength": 2.2,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
        "axes.linewidth": 0.8,
        "lines.linewidth": 1.3,
        "lines.markersize": 3.5,
        "figure.constrained_layout.use": True,
        "savefig.dpi": 200,
        "pdf.fonttype": 42,
        "svg.hashsalt": "early-exposure",
    }
    mpl.rcParams.update(look)


_GIVEN: ContextVar[tuple[str, Axes] | None] = ContextVar("_GIVEN", default=None)
"""The name of the picture that is drawn into somebody's axes, and these; see `into`."""


@contextmanager
def into(name: str, ax: Axes) -> Iterator[None]:
    """Within it `panels` hands out these axes in the place of a figure, and a legend goes below them: any figure of one panel."""
    token = _GIVEN.set((name, ax))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def panels(rows: int, columns: int, *, width: float = PAGE, height: float, **options: Any) -> tuple[Figure, Any]:
    """A figure of `width` x `height` inches and its axes as a two-dimensional array; within `into`, the given ones.

    Raises:
        WrongUse: axes are given, and this figure has several panels.
    """
    given = _GIVEN.get()
    if given is None:
        return plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    name, ax = given
    if rows * columns > 1:
        raise WrongUse(
            f"{name} draws {rows * columns} panels from these tables, and ax is one. Leave ax out, or give the rows of one panel."
        )
    figure: Any = ax.figure
    return figure, np.array([[ax]])


def grid(count: int, columns: int, *, row: float, more: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of `count` panels, `columns` beside one another, and these; `row` inches a row and `more` for all the rest."""
    across = min(columns, count)
    rows = -(-count // across)
    figure, axes = panels(rows, across, width=PAGE if across > 1 else COLUMN, height=row * rows + more, **options)
    for ax in axes.flat[count:]:
        ax.axis("off")
    return figure, list(axes.flat[:count])


def label(ax: Axes, x: str, y: str, unit: str = "") -> None:
    """Name both axes by their columns; `unit` goes to losses."""
    ax.set_xlabel(AXES[x] + (unit if x.startswith("loss") else ""))
    ax.set_ylabel(AXES[y] + (unit if y.startswith("loss") else ""))


LINEAR: dict[str, Any] = {"color": "0.94", "zorder": 0, "lw": 0}
"""How the part of a symmetric-logarithmic axis is shaded that is linear, so that its join is no kink of a curve."""


def from_zero(ax: Axes, linear: float) -> None:
    """A logarithmic x axis that reaches 0: linear, and shaded, up to `linear`."""
    ax.set_xscale("symlog", linthresh=linear)
    ax.axvspan(0, linear, **LINEAR)


def log_ticks(axis: Any) -> None:
    """Few, plainly written ticks on a logarithmic axis whose limits are set: a label at every minor tick is clutter."""
    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    axis.set_major_locator(LogLocator(subs=(1,) if decades > 2.5 else (1, 3) if decades > 1.2 else (1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def legend_below(figure: Figure, handles: list[Any], columns: int) -> None:
    """One legend for the whole figure, below it; below somebody's axes where these were given."""
    given = _GIVEN.get()
    if given is None:
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    else:
        given[1].legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=min(columns, 2))


def heading(figure: Figure, text: str, size: float = 8) -> None:
    """A line over the whole figure; none where the figure is somebody's."""
    if _GIVEN.get() is None:
        figure.suptitle(text, fontsize=size, x=0.01, ha="left")


FORMATS: dict[str, Any] = {"pdf": {"CreationDate": None}, "png": {"Software": None}, "svg": {"Date": None}}
"""Formats of pictures, each with the metadata that would make two equal pictures differ; csv is what a picture shows, in numbers."""


def save(figure: Figure, folder: Path, name: str, formats: tuple[str, ...] = ("pdf", "png")) -> list[Path]:
    """Write `name.<format>` into `folder`, without timestamps: the same table gives the same file."""
    targets = {kind: target(folder / f"{name}.{kind}") for kind in formats}
    engine = figure.get_layout_engine()
    if engine is not None:  # lay out once, not once a format
        engine.execute(figure)
    paths = []
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        figure.set_layout_engine(None)  # "none" would leave a placeholder, for which everything is drawn twice
        for kind, path in targets.items():
            with atomic_write(path) as partial:
                if kind == "csv":
                    drawn.write(figure, partial)
                else:
                    figure.savefig(partial, format=kind, metadata=FORMATS[kind])
            paths.append(folder / path.name)
    plt.close(figure)
    return paths
