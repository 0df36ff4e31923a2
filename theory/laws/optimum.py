"""Where the retained loss of S is lowest along lambda, for one pass over D_post in all (compute-matched), in closed form.

    loss_ret(lambda) = const + A [(1 - phi) (lambda D + m (1 - lambda) D + d0)^-a + phi (lambda D + d0)^-a]

It is convex in lambda for every m > 0. With k = [(m - 1)(1 - phi)/phi]^(1/(1 + a)), for m > 1,

    lambda*     = [m + (1 - k) d0/D] / (m - 1 + k), where that lies in [0, 1], else the nearer end
    interior    (m - 1) [d0/(m D + d0)]^(1 + a)  <  phi/(1 - phi)  <  m - 1
    smallest D  (k - 1) d0/m: below it lambda = 0 is best, and the dip vanishes

For m <= 1 a token is worth no less in stage 1, so that lambda = 1 is best. `prove law-optimum` derives all of it.

Slin is convex as well. With R = m D/d0 its minimum is

    above 0     (m - 1)(1 - kappa)^2 (1 + R)^-(1 + a) + (m - 2) kappa (1 - kappa) (1 + R/2)^-(1 + a)  <  kappa^2
    below 1     kappa  <  1 - 1/m, which its network obeys at equal step sizes whatever it is (`prove law-derived`)
"""

import numpy as np

from common.arrays import Array, Bool, Float, Number


def balance(lost: Number, post_worth: Number, power: Number) -> Float[Array, "..."]:
    """k: how much more stage 2 must know than stage 1, in (exposure + d0), where loss_ret is lowest. Infinite at lost = 0."""
    with np.errstate(divide="ignore"):
        odds = (1 - np.asarray(lost, dtype=float)) / lost
        return np.asarray((np.maximum(post_worth - 1, 0.0) * odds) ** (1 / (1 + np.asarray(power, dtype=float))))


def best_exposure(
    lost: Number, post_worth: Number, power: Number, offset: Number, corpus: Number
) -> Float[Array, "..."]:
    """lambda*: the exposure at which loss_ret of S is lowest.

    Args:
        lost: phi.
        post_worth: m.
        power: a.
        offset: d0, in the unit of the corpus.
        corpus: D.
    """
    k = balance(lost, post_worth, power)
    finite = np.where(np.isfinite(k), k, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = (post_worth + (1 - finite) * offset / np.asarray(corpus, dtype=float)) / (post_worth - 1 + finite)
    found = np.where(np.isfinite(k), inner, 0.0)
    return np.where(np.asarray(post_worth) <= 1, 1.0, np.clip(found, 0.0, 1.0))


def smallest_corpus(lost: Number, post_worth: Number, power: Number, offset: Number) -> Float[Array, "..."]:
    """D below which lambda = 0 is best; negative where exposure helps at every size."""
    return np.asarray((balance(lost, post_worth, power) - 1) * offset / post_worth)


def interior(lost: Number, post_worth: Number, power: Number, reach: Number) -> Bool[Array, "..."]:
    """Whether the minimum lies inside (0, 1); `reach` is m D/d0, how far one pass in stage 2 goes beyond what D_pre is worth."""
    odds = np.asarray(lost, dtype=float) / np.maximum(1 - np.asarray(lost, dtype=float), 1e-300)
    low = (post_worth - 1) * (1 + np.asarray(reach, dtype=float)) ** -(1 + np.asarray(power, dtype=float))
    return np.asarray((low < odds) & (odds < post_worth - 1))


def interior_redundant(undone: Number, post_worth: Number, power: Number, reach: Number) -> Bool[Array, "..."]:
    """Whether the minimum of Slin lies inside (0, 1): `undone` is kappa, `reach` is m D/d0."""
    k, m, r = (np.asarray(value, dtype=float) for value in (undone, post_worth, reach))
    decay = -(1 + np.asarray(power, dtype=float))
    late, between = (1 + r) ** decay, (1 + r / 2) ** decay
    rises = (m - 1) * (1 - k) ** 2 * late + (m - 2) * k * (1 - k) * between < k**2
    return np.asarray(rises & (k < 1 - 1 / m))
