"""The times and boundaries at which the linear model changes its mind (depth two, balanced).

Corrected from arXiv 2605.12705 App. C, which prints limits where there are windows; each function names its place.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common.arrays import Array, Number, namespace


def exposure_time(beta: Number, init_scale: Number) -> Array:
    """D_post exposure `alpha t_pre + t_post` at which a specialised mode is half learned: ln(beta/delta^2 - 1)/(4 beta).

    The exposure law: the mode depends on training through that sum alone, in any order and at any depth.
    """
    return half_time(init_scale * init_scale, 1.0, beta)


def half_time(start: Number, variance: Number, sigma: Number) -> Array:
    """Flow time after which a mode has half its target: ln(s/a0 - 1)/(4 c s); also its escape time from the saddle at 0.

    Infinite where variance or sigma is 0, negative where the mode starts above half its target.
    """
    xp = namespace(start, variance, sigma)
    rate = 4 * xp.asarray(variance, dtype=float) * sigma
    with np.errstate(invalid="ignore"):
        odds = xp.log(xp.maximum(sigma / start - 1, 1e-300))
    return xp.where(rate > 0, odds / xp.where(rate > 0, rate, 1.0), np.inf)


class Window(NamedTuple):
    """When stage 1 has learned the specialised modes, and when the inconsistent ones (C.10 holds in between)."""

    specialised: Array
    inconsistent: Array


def mixing_window(alpha: Number, sigma_pre: Number, sigma_post: Number, beta: Number, init_scale: Number) -> Window:
    """The window of stage-1 times in which mixing has learned the specialised modes and not yet the inconsistent ones.

    Theorem C.10 prints "sufficient training"; in truth it holds only between these two times, which are in that order
    asymptotically iff alpha beta > (1 - alpha) sigma_pre + alpha sigma_post (C.6).
    """
    mixed = (1 - alpha) * sigma_pre + alpha * sigma_post
    start = init_scale * init_scale
    return Window(half_time(start, alpha, beta), half_time(start, 1.0, mixed))


def retained_crossing(sigma_post: Number, sigma_ft: Number) -> Array:
    """The beta above which the mixed model of C.17 retains more: `beta^2 = sigma_ft (2 sigma_post - sigma_ft)`.

    C.17 compares a mixed model that knows only the specialised modes with an unmixed one that knows only the inconsistent
    ones. It forgets less, but its retained loss is lower only above this beta: the printed conclusion does not follow.
    """
    xp = namespace(sigma_post, sigma_ft)
    return xp.sqrt(xp.maximum(sigma_ft * (2 * sigma_post - sigma_ft), 0.0))


class Assumption(NamedTuple):
    """One assumption of the paper, whether a setting meets it, and the numbers."""

    source: str
    statement: str
    holds: bool
    numbers: str


def assumptions(v: Mapping[str, Any]) -> list[Assumption]:
    """Which assumptions of App. C a setting of the block model meets. Reported, never enforced (see the errata).

    Args:
        v: every field of `Blocks` and `Schedule`, as plain numbers.
    """
    gap = min(v["sigma_post"] - v["sigma_pre"], v["sigma_post"] - v["sigma_ft"])
    mixed = (1 - v["alpha"]) * v["sigma_pre"] + v["alpha"] * v["sigma_post"]
    largest = max(v["sigma_pre"], v["sigma_post"], v["beta"])
    window = mixing_window(v["alpha"], v["sigma_pre"], v["sigma_post"], v["beta"], v["init_scale"])
    inside = bool(window.specialised < v["t_pre"] < window.inconsistent)
    ab = v["alpha"] * v["beta"]
    small = v["depth"] == 2 and v["imbalance"] == 0 and v["init_scale"] <= 0.1
    start = f"depth {v['depth']}, imbalance {v['imbalance']:g}, scale {v['init_scale']:g}"
    empty = "empty window" if window.specialised >= window.inconsistent else "window"
    window_text = f"t_pre {v['t_pre']:g}, {empty} {window.specialised:.3g} to {window.inconsistent:.3g}"
    rows = (
        ("C.3", "D_pre and D_ft ask less of inconsistent modes than D_post", gap > 0, f"smaller gap {gap:g}"),
        ("C.4", "specialised modes have no variance under D_ft", v["leakage"] == 0, f"leakage {v['leakage']:g}"),
        ("C.4", "beta < gap/2 (never needed; excludes C.6)", v["beta"] < gap / 2, f"{v['beta']:g}, {gap / 2:g}"),
        ("C.5", "invariant targets are the largest", v["sigma_inv"] > largest, f"{v['sigma_inv']:g}, {largest:g}"),
        ("C.6", "alpha beta > mixed inconsistent target", ab > mixed, f"{ab:.3g}, {mixed:.3g}"),
        ("C.8", "two balanced layers, small start", small, start),
        ("C.10", "stage 1 ends inside the mixing window", inside, window_text),
    )
    return [Assumption(*row) for row in rows]
