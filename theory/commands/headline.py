"""The three numbers a newcomer should look at: what the paper saw, and what the plain linear model can make of it.

A benefit is called latent here where early exposure lowers loss_ret by more than a tenth of what the unmixed model
forgets, while loss_im moves by less than a tenth of that fall (both tenths are our choice).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import results
from common.console import Command, Json, Output
from common.curves import latent
from common.settings import WrongUse

SWEEP = "alpha=0:0.5:20 beta=0.3:2.5:10 sigma_ft=0.1:1.3:10 t_post=0.05:5:25:log t_ft=0.01:10:20:log"
"""Axes of the sweep that the headline is about."""
TABLE = Path("out/theory/headline_sweep.parquet")
"""Where `make demo` keeps it; an ordinary sweep writes elsewhere."""


def published_changes() -> dict[str, Any]:
    """Figure 3a from lambda 0 to 1, nats: the change of each loss for every size of D_post, and how many are latent."""
    from common.published import load

    rows = [row for row in load(3).to_pylist() if row["split"] == "independent" and row["exposure"] in (0.0, 1.0)]
    rows.sort(key=lambda row: (row["exposure"], row["tokens_post"]))
    im, ret = (np.array([row[name] for row in rows]).reshape(2, -1) for name in ("loss_im", "loss_ret"))
    return {
        "loss_im": im[1] - im[0],
        "loss_ret": ret[1] - ret[0],
        "latent": int(latent(im, ret)[1].sum()),
        "sizes": im.shape[1],
    }


def own_hash() -> str:
    """The configuration of the sweep that the headline is about."""
    from theory.commands.sweep import Sweep

    return Sweep(axes=tuple(SWEEP.split())).config_hash()


def sweep_counts(path: Path, config: str | None = None) -> dict[str, int]:
    """How many settings of a sweep gain notably, and how many latently.

    Args:
        path: its table.
        config: the configuration that it must have; any, if absent.

    Raises:
        WrongUse: the table is of another configuration, or no sweep whose slowest axis is alpha, starting at 0.
    """
    remedy = f"`python -m theory sweep {SWEEP} --out {path}`"
    if not path.exists():
        raise WrongUse(f"The sweep {path} is missing. Make it with {remedy}.")
    table = results.read(path, ["model", "alpha", "loss_im", "loss_ret", "config_hash"])
    if config is not None and (other := set(table["config_hash"].unique().to_pylist()) - {config}):
        raise WrongUse(
            f"{path} is another sweep (config {min(other)}) than the headline is about (config {config}). Make that with {remedy}, "
            "or name a sweep of your own with --sweep."
        )
    if models := sorted(set(table["model"].unique().to_pylist()) - {"plain"}):
        raise WrongUse(
            f"{path} is a sweep of the {models[0]} model. The headline is about the plain one: sweep without --model."
        )
    alpha, im, ret = (table[name].to_numpy() for name in ("alpha", "loss_im", "loss_ret"))
    count = len(np.unique(alpha))
    rows = alpha.reshape(count, -1) if len(alpha) % count == 0 else np.empty((0, 2))
    if len(rows) < 2 or rows[0, 0] != 0 or not np.array_equal(rows, np.broadcast_to(rows[:, :1], rows.shape)):
        raise WrongUse(
            f"{path} is no sweep whose first axis is alpha, from 0. Make it with `python -m theory sweep alpha=0:0.5:20 ...`."
        )
    gains, hidden = latent(im.reshape(count, -1), ret.reshape(count, -1))
    return {"settings": len(alpha), "mixed": int(gains.size), "gain": int(gains.sum()), "latent": int(hidden.sum())}


def fit_summary(path: Path) -> dict[str, Any]:
    """What the best fits at equal step sizes say: rms, the fitted changes of Figure 3a, and where 3b has its minima."""
    rows = [row for row in results.read(path).to_pylist() if row["method"] == "best fit"]
    if not rows:
        raise WrongUse(f"{path} holds no fits. Make it with `python -m theory study overlay`.")
    first = [row for row in rows if row["split"] == "independent"]
    ends = {end: [row for row in first if row["exposure"] == end] for end in (0.0, 1.0)}
    change = {
        name: np.array([b[name] - a[name] for a, b in zip(ends[0.0], ends[1.0], strict=True)])
        for name in ("loss_im", "loss_ret")
    }
    second = [row for row in rows if row["split"] == "compute-matched"]
    sizes = sorted({row["tokens_post"] for row in second})
    minima = [
        min((r for r in second if r["tokens_post"] == size), key=lambda r: r["loss_ret"])["exposure"] for size in sizes
    ]
    return {
        "rmse_3a": first[0]["problem.rmse"],
        "rmse_3b": second[0]["problem.rmse"],
        "change_3a": change,
        "argmin_3b": minima,
    }


@dataclass(frozen=True, kw_only=True)
class Headline(Command):
    """The three numbers to look at first, from a sweep (alpha slowest, from 0) and the overlay study."""

    sweep: Path | None = None
    """A sweep of your own, from alpha=0:...; without, out/theory/headline_sweep.parquet, which must be the one of `make demo`."""
    overlay: Path = Path("out/theory/overlay.parquet")
    """Table of `python -m theory study overlay`."""
    json: Json = False

    def run(self, out: Output) -> Any:
        """Compute and print."""
        from common.published import load

        counts = sweep_counts(TABLE, own_hash()) if self.sweep is None else sweep_counts(self.sweep)
        paper, fitted = published_changes(), fit_summary(self.overlay)
        source = "" if self.sweep is None else f" ({self.sweep})"
        change = fitted["change_3a"]
        starred = [row for row in load(3).to_pylist() if row["published.starred"] and row["split"] == "compute-matched"]
        stars = [row["exposure"] for row in sorted(starred, key=lambda row: row["tokens_post"])]
        lines = (
            f"1. The paper (Figure 3a, 135M, lambda 0 to 1, mean of {paper['sizes']} sizes): loss_im {paper['loss_im'].mean():+.3f}, "
            f"loss_ret {paper['loss_ret'].mean():+.3f} nats. The benefit is latent at {paper['latent']} of {paper['sizes']} sizes.",
            f"2. The plain linear model{source}, {counts['settings']:,} settings, {counts['mixed']:,} of them mixed: early exposure "
            f"helps notably in {counts['gain']:,}, latently in {counts['latent']:,}.",
            f"3. Its best fit to Figure 3a (rms {fitted['rmse_3a']:.3f} nats) must let loss_im move {change['loss_im'].mean():+.3f} "
            f"for loss_ret {change['loss_ret'].mean():+.3f}; its best fit to 3b at equal step sizes (rms {fitted['rmse_3b']:.3f}) puts the "
            f"best lambda at {_list(fitted['argmin_3b'])}, the paper at {_list(stars)}.",
        )
        for line in lines:
            out.show(line)
        return {"paper": paper, "sweep": counts, "fit": fitted | {"stars_3b": stars}}


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
