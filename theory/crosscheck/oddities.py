"""What is odd about a study's numbers, found by computation rather than known beforehand."""

from typing import Any

import numpy as np

from common.frontier import box_shares, lower_left_hull
from common.results import column
from theory.crosscheck.outside import points_of
from theory.crosscheck.reading import SPLITS, Study
from theory.fitting.worth import odd_rows

WORSE = 0.005
"""Nats by which an end must be worse to be remarked upon, and ..."""
SMALLER = 0.01
"""... the share of hypervolume."""


def oddities(study: Study) -> list[str]:
    """Sentences with their numbers; of curves along lambda."""
    said = []
    for curve in study.curves:
        im, ret = curve.im.mean(0), curve.ret.mean(0)
        runs = "single run" if len(curve.ret) == 1 else f"{len(curve.ret)} seeds"
        if ret[-1] > ret[0] + WORSE:
            said.append(
                f"{curve.name}: lambda = {curve.exposure[-1]:g} retains worse than {curve.exposure[0]:g}, "
                f"by {ret[-1] - ret[0]:.3f} ({runs})"
            )
        if (ret < im - WORSE).any():
            said.append(
                f"{curve.name}: loss_ret lies below loss_im at lambda = {curve.exposure[(ret - im).argmin()]:g}: fine-tuning helped"
            )
        if curve.start is not None and (curve.start.mean(0) < im - WORSE).any():
            said.append(f"{curve.name}: stage 2 made loss_im worse than it was after stage 1")
        steps = np.diff(ret)
        if len(steps) > 2 and steps[0] < -2 * np.abs(steps[1:]).sum() and ret[0] - ret[1] > WORSE:
            said.append(
                f"{curve.name}: the first step of lambda does nearly all ({ret[0] - ret[1]:.3f} of {ret[0] - ret.min():.3f} nats)"
            )
    points = points_of(list(study.curves))
    for i in np.flatnonzero(odd_rows(points)) if len(points.exposure) else []:
        last = (points.tokens == points.tokens[i]) & (points.matched == points.matched[i]) & (points.exposure == 1)
        said.append(
            f"{SPLITS[points.matched[i]]} {points.tokens[i] / 1e6:g}M: loss_im at lambda = {points.exposure[i]:g} "
            f"is {points.loss[i, 0]:.3f}, "
            f"above {points.loss[last, 0].mean():.3f} without any stage 2"
        )
    return said


def published_oddities() -> list[str]:
    """The same of the published frontiers: every panel by its hypervolumes, and how its frontiers are drawn."""
    from common.published import FRONTIER_FIGURES, load

    said, drawn, pareto_differs, whole = [], 0, 0, 0
    for figure in FRONTIER_FIGURES:
        table = load(figure)
        panel, method = column(table, "published.panel"), column(table, "method")
        x_name, y_name = column(table, "published.x"), column(table, "published.y")
        line = column(table, "published.on_drawn_frontier") == 1
        pipeline = column(table, "pipeline")
        for name in dict.fromkeys(panel.tolist()):
            here = panel == name
            x, y = (column(table, axis[here][0])[here] for axis in (x_name, y_name))
            series = {
                one: np.stack([x, y], axis=1)[method[here] == one] for one in dict.fromkeys(method[here].tolist())
            }
            shares = dict(zip(series, box_shares(list(series.values())), strict=True))
            title = f"Figure {figure} {name} ({pipeline[here][0]}; {x_name[here][0]}, {y_name[here][0]})"
            for plain, mixed in (("unmixed", "mixed"), ("fft_unmixed", "fft_mixed"), ("lora_unmixed", "lora_mixed")):
                if plain in shares and mixed in shares and shares[mixed] < (1 - SMALLER) * shares[plain]:
                    said.append(
                        f"{title}: {mixed} has {1 - shares[mixed] / shares[plain]:.0%} less hypervolume than {plain}"
                    )
            for alone in ("unmixed+replay", "unmixed+dropout"):
                if alone in shares and "mixed" in shares and shares[alone] > (1 + SMALLER) * shares["mixed"]:
                    said.append(
                        f"{title}: {alone.removeprefix('unmixed+')} alone beats mixing, "
                        f"by {shares[alone] / shares['mixed'] - 1:.0%} of its hypervolume"
                    )
            for one, points in series.items():
                marked = line[here][method[here] == one]
                if marked.sum() < 2:
                    continue
                whole += 1
                hull = np.zeros(len(points), dtype=bool)
                hull[lower_left_hull(points)] = True
                efficient = _pareto(points)
                drawn += bool((marked <= hull).all())
                pareto_differs += bool((efficient & ~marked).any())
    said.append(
        f"the drawn frontiers are lower-left convex hulls: every drawn vertex is a hull vertex in {drawn} of {whole} series, and "
        f"{pareto_differs} leave out a Pareto-efficient marker"
    )
    return said


def _pareto(points: Any) -> Any:
    below = (points[None] <= points[:, None]).all(-1) & (points[None] < points[:, None]).any(-1)
    return ~below.any(1)
