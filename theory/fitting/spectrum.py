"""A spectrum of specialised features: the r-th most frequent one has strength r^-p and frequency r^-q of the first.

    target     beta_r = beta r^-p          (in the redundant-pathway models all targets of the r-th pair scale with r^-p)
    variance   c_r = r^-q under D_post     (1 for the first, as in the model without a spectrum)

Why a variance is a frequency: a feature of frequency f is present in a fraction f of the samples, and contributes in
proportion to the gradient flow, `da/dt = 4 c a (s - a)`, and to the loss, `c (a - s)^2`. A corpus of N tokens is expected to
hold it N f times. Flow on a mixture only ever sees the product of weight, variance and time, so the exposure of feature r in
stage 1 is `c_r x lambda N pace`, its expected count in what stage 1 sees of the corpus, and `c_r t_post` in stage 2. A
feature is learned once its exposure passes `ln(beta_r/delta^2)/(4 beta_r)`; the ranks for which it does grow with the
exposure as a power, so a larger corpus teaches more and rarer features. There is no cut-off at a count of one: what is too
rare to be learned in any stage is a constant that the floor takes up.

D_pre and D_ft do not see specialised features. In the redundant-pathway models every specialised feature has a general
partner, whose variance under D_pre and D_ft stays 1: what is rare is its use in D_post. Pairs do not share outputs, so they stay
independent of each other, and each is the ordinary model with its D_post times multiplied by c_r and its targets by r^-p.

Hundreds of ranks are taken in groups: the first few singly, then each edge two fifths beyond the last, a group standing at the
geometric mean of its ranks. p and q are the two parameters. One group, or p and q large, is the model without a spectrum.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from common.arrays import Array, Float, Number, namespace
from common.settings import WrongUse

GROUPS = 16
"""Groups of ranks; together they reach to rank 307 (our choice: the integrated models cost in proportion)."""

WIDENING = 1.4
"""Ratio of consecutive edges; losses differ by a few hundredths from those of single ranks (tested)."""


class Ranks(NamedTuple):
    """Groups of ranks."""

    rank: Float[np.ndarray, "groups"]
    """Geometric mean of the ranks in the group."""
    size: Float[np.ndarray, "groups"]
    """How many features the group stands for."""


def ranks(groups: int = GROUPS, widening: float = WIDENING) -> Ranks:
    """Consecutive groups of the ranks 1, 2, 3, ...

    Args:
        groups: how many; 1 is the first rank alone.
        widening: ratio of consecutive edges, once groups hold more than one rank; 1 keeps every rank single.

    Raises:
        WrongUse: fewer than one group.
    """
    if groups < 1:
        raise WrongUse(f"groups = {groups} of a spectrum is too few. Choose at least 1.")
    edges = [1]
    for _ in range(groups):
        edges.append(max(edges[-1] + 1, round(edges[-1] * widening)))
    middle = [np.exp(np.mean(np.log(np.arange(low, high)))) for low, high in pairwise(edges)]
    return Ranks(np.array(middle), np.diff(edges).astype(float))


class Spectrum(NamedTuple):
    """Features by rank, the ranks leading; the axes behind them broadcast against the settings."""

    strength: Float[Array, "groups ..."]
    """r^-p: target, as a fraction of the first feature's."""
    frequency: Float[Array, "groups ..."]
    """r^-q: variance under D_post, as a fraction of the first feature's."""
    size: Float[np.ndarray, "groups ..."]
    """Features that the group stands for."""


def power_law(strength_decay: Number, frequency_decay: Number, groups: int = GROUPS) -> Spectrum:
    """The spectrum with exponents p and q, numbers or arrays over settings (numpy, or JAX to differentiate)."""
    made = ranks(groups)
    xp = namespace(strength_decay, frequency_decay)
    ndim = max(np.ndim(strength_decay), np.ndim(frequency_decay))
    log_rank = np.log(made.rank).reshape(-1, *(1,) * ndim)
    return Spectrum(
        xp.exp(-strength_decay * log_rank), xp.exp(-frequency_decay * log_rank), made.size.reshape(-1, *(1,) * ndim)
    )
