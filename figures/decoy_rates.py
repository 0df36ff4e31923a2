"""What exposure changes of the forgetting at each stage-3 learning rate: D_post and each decoy of it, seed by seed. Drawn with seaborn."""

from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from common.curves import NOTABLE
from common.frames import frame
from common.seeds import LEVEL
from figures import style
from figures.bands import student_ends
from figures.controls import NAMES
from figures.tables import Rows

COLOURS = (style.MIXED, *(colour for colour, _ in style.BLOCKS.values()), "#cc79a7", "#e69f00")
RATE, CHANGE, ARM = "stage-3 learning rate", "change of forgetting", "stage 1 is exposed to"


def forgetting_by_rate(table: Any) -> Figure:
    """A panel per pipeline: forgetting (loss_ret minus loss_im) with exposure minus without, the same seed.

    Args:
        table: a study with real exposure and decoys, such as `controlled`.
    """
    import seaborn

    rows = Rows(table)
    data = changed(rows)
    arms = list(dict.fromkeys(data[ARM]))
    palette = dict(zip(arms, COLOURS, strict=False))
    data["at"] = data[RATE] * (1 + 0.09 * data[ARM].map(arms.index))  # arms beside one another
    with mpl.rc_context({"figure.constrained_layout.use": False}):
        grid = seaborn.relplot(
            data=data,
            x="at",
            y=CHANGE,
            hue=ARM,
            style=ARM,
            col="pipeline",
            hue_order=arms,
            style_order=arms,
            palette=palette,
            kind="line",
            errorbar=student_ends,
            err_style="bars",
            markers=True,
            dashes=False,
            height=3.0,
            aspect=0.92,
        )
    for ax, pipeline in zip(grid.axes.flat, grid.col_names, strict=True):
        here = data[data["pipeline"] == pipeline]
        seaborn.scatterplot(
            data=here, x="at", y=CHANGE, hue=ARM, hue_order=arms, palette=palette, s=7, alpha=0.5, legend=False, ax=ax
        )
        for rate, notable in notables(rows, pipeline).items():
            ax.fill_between([rate * 0.93, rate * 1.5], -notable, notable, color="0.9", lw=0, zorder=0)
        ax.axhline(0, color="0.6", lw=0.8, zorder=0)
        ax.set_title(pipeline)
        ax.set_xscale("log")
        ax.set_xlabel(RATE)
    grid.axes.flat[0].set_ylabel(r"change of $L_\mathrm{ret} - L_\mathrm{im}$ (nats/token)")
    grid.legend.set_title(f"stage 1 is exposed to\n(bars: {LEVEL:.0%} over seeds;\ngrey: {NOTABLE:g} of forgetting)")
    made: Figure = grid.figure
    return made


def changed(rows: Rows) -> Any:
    """A data frame with a row per pipeline, arm, rate and seed: forgetting at the largest lambda minus that at 0."""
    columns: dict[str, list[Any]] = {name: [] for name in ("pipeline", ARM, RATE, "seed", CHANGE)}
    for pipeline in rows.distinct("pipeline"):
        for kind in sorted(rows.distinct("exposed"), key=list(NAMES).index):
            for rate in sorted(rows.distinct("lr_ft")):
                here = rows.where(pipeline=pipeline, split="independent", exposed=kind, lr_ft=rate)
                if not len(here):
                    continue
                doses, late = here.by_seed("exposure", "loss_ret")
                forgetting = late - here.by_seed("exposure", "loss_im")[1]
                change = forgetting[:, doses.argmax()] - forgetting[:, doses.argmin()]
                columns["pipeline"] += [pipeline.replace(">", " → ")] * len(change)
                columns[ARM] += [NAMES[kind]] * len(change)
                columns[RATE] += [rate] * len(change)
                columns["seed"] += list(range(len(change)))
                columns[CHANGE] += change.tolist()
    return frame(columns)


def notables(rows: Rows, pipeline: str) -> dict[float, float]:
    """Rate -> a notable share of the forgetting without exposure, nats."""
    unmixed = rows.where(pipeline=pipeline.replace(" → ", ">"), exposure=0.0)
    parts = {rate: unmixed.where(lr_ft=rate) for rate in unmixed.distinct("lr_ft")}
    return {rate: NOTABLE * float((part["loss_ret"] - part["loss_im"]).mean()) for rate, part in parts.items()}
