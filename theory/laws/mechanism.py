"""A network that obeys the law Slin: linear regression on redundant features, solved exactly through the three stages.

D_post excites every mode of its targets through two features. One is its own; the other, with the share o of their squared norm (the
*overlap*), is excited by D_pre and D_ft as well, which want nothing of it. Let p and q be what the two contribute to the mode and
r = 1 - p - q what is missing. Gradient flow, gamma being the rate of the own feature and w = o/(1 - o):

    stage 1    p' = alpha gamma r           q' = alpha gamma w r - (1 - alpha) g q      D_pre holds the shared feature
    stage 2    p' = rho gamma r             q' = rho gamma w r                          nobody does
    stage 3    p' = 0                       q' = -g_ft q                                D_ft takes it back

So stage 1 leaves what it learns where stage 3 has no gradient: *provenance*. For alpha -> 0 at a given exposure x = alpha t_pre,
q = 0 after stage 1, and the loss, a sum of r^2 over a spectrum with density gamma^(a - 1) e^(-2 gamma d0), is the law Slin with

    L(e) = (e + d0)^-a,    m = rho/(1 - o),    kappa = o (1 - e^(-g_ft t_ft))

so that kappa < 1 - rho/m can be checked in a fit. `prove law-derived` derives all of it. Where D_ft wants of a shared feature something
of its own, unrelated to D_post, psi is the mean of its square. Source: not in the paper.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, namespace
from common.settings import Settings, setting
from theory.two_layer import SMALLEST_INIT

STEP, LOWEST = 0.2, -36.0
"""Of the quadrature in ln gamma, and ln of the least weight that counts."""


@dataclass(frozen=True, kw_only=True)
class RedundantFeatures(Settings):
    """Targets of D_post that a finite number of modes learns, each through a feature of its own and a shared one."""

    overlap: float = setting(0.6, low=0, high=0.99)
    """o: share of the squared norm of D_post's features that D_pre and D_ft excite."""
    hold: float = setting(1.0, low=0)
    """g: variance of the shared features under D_pre and D_ft."""
    slowest: float = setting(0.03, low=0, open_low=True)
    """Least gamma, the variance of an own feature under D_post."""
    fastest: float = setting(3.0, low=0, open_low=True)
    """Largest gamma; the modes lie between, at equal ratios."""
    power: float = setting(0.25, low=0, open_low=True)
    """a: exponent of the spectrum."""
    offset: float = setting(0.3, low=0)
    """d0: exposure to D_post that D_pre is worth."""
    init_scale: float = setting(1e-3, low=SMALLEST_INIT)
    """Initial scale of the weights of a network of two layers."""


class Residuals(NamedTuple):
    """What is missing of every mode after the stages."""

    first: Float[Array, "*modes"]
    second: Float[Array, "*modes"]
    third: Float[Array, "*modes"]


def solve(
    rate: Number,
    *,
    overlap: Number,
    alpha: Number,
    t_pre: Number,
    t_post: Number,
    step_ratio: Number = 1.0,
    erased: Number = 1.0,
    hold: Number = 1.0,
) -> Residuals:
    """What is missing of the modes after each stage, exactly; arguments are numbers or arrays that broadcast.

    Args:
        rate: gamma, of the feature that is D_post's own, per token of stage 1.
        overlap: o, the share of the squared norm of D_post's features that D_pre and D_ft excite, in [0, 1).
        alpha: weight of D_post in stage 1, in (0, 1).
        t_pre: tokens of stage 1.
        t_post: tokens of stage 2.
        step_ratio: rho, step size of stage 2 over that of stage 1.
        erased: 1 - e^(-g_ft t_ft), the share of a shared feature that stage 3 takes back.
        hold: g, the rate at which D_pre takes back a shared feature in stage 1.
    """
    shared = np.asarray(overlap) / (1 - np.asarray(overlap))
    learn, back = np.asarray(alpha * rate), np.asarray((1 - alpha) * hold)
    # (r, q)' = [[-learn (1 + w), back], [learn w, -back]] (r, q): two real rates, the slow one from the product of both
    half = (learn * (1 + shared) + back) / 2
    apart = np.sqrt((learn * (1 + shared) - back) ** 2 + 4 * learn * shared * back) / 2
    fast = half + apart
    slow = learn * back / fast
    both, between = np.exp(-slow * t_pre), np.exp(-fast * t_pre)
    turned = np.where(apart > 0, (both - between) / np.where(apart > 0, 2 * apart, 1.0), t_pre * both)
    missing = (both + between) / 2 + (half - learn * (1 + shared)) * turned
    held = learn * shared * turned
    after = missing * np.exp(-np.asarray(step_ratio * t_post * rate) * (1 + shared))
    lost = held + overlap * (missing - after)
    return Residuals(missing, after, after + erased * lost)


def spectrum(power: float, offset: float) -> tuple[Float[np.ndarray, "modes"], Float[np.ndarray, "modes"]]:
    """Rates and weights of the modes whose learning curve is (e + d0)^-a: the trapezoidal rule in ln gamma, exact to 1e-12.

    Args:
        power: a.
        offset: d0, in tokens.
    """
    from scipy.special import gammaln

    logs = np.arange(LOWEST / power, 4.0, STEP) - np.log(2 * offset)
    rates = np.exp(logs)
    weights = STEP * np.exp(power * (logs + np.log(2)) - 2 * offset * rates - gammaln(power))
    return rates, weights


def targets(values: Mapping[str, Number], modes: int) -> tuple[Float[Array, "modes"], Float[Array, "modes"]]:
    """Rates of a number of modes, at equal ratios, and the squares of what D_post wants of them, of sum 1: gamma^a e^(-2 gamma d0).

    Args:
        values: the numbers of `RedundantFeatures`; numpy or JAX.
        modes: how many.
    """
    xp = namespace(*values.values())
    rates = values["slowest"] * (values["fastest"] / values["slowest"]) ** (np.arange(modes) / max(modes - 1, 1))
    weights = xp.exp(values["power"] * xp.log(rates) - 2 * rates * values["offset"])
    return rates, weights / weights.sum()


def losses(
    power: float, offset: float, **stages: Number
) -> tuple[Float[Array, "*s"], Float[Array, "*s"], Float[Array, "*s"]]:
    """L(x), loss_im and loss_ret of the network, in units of A and without floor and psi.

    Args:
        power: a, of its spectrum.
        offset: d0, in tokens.
        stages: as for `solve`, arrays of one shape or numbers.
    """
    rates, weights = spectrum(power, offset)
    left = solve(rates, **{name: np.asarray(value, dtype=float)[..., None] for name, value in stages.items()})
    first, second, third = (np.square(part) @ weights for part in left)
    return first, second, third


def law_values(overlap: Number, step_ratio: Number, erased: Number) -> dict[str, Number]:
    """What m and kappa of Slin are in this network."""
    return {"post_worth": step_ratio / (1 - overlap), "undone": overlap * erased}
