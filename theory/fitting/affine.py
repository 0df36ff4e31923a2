"""From model loss to nats: one floor a size of D_post and one scale, none negative, solved for inside the fit.

    loss in nats = floor(size of D_post) + scale x model loss

The floor of a size is shared by both halves of a study: it is what is left of the same corpus for the same model however it
was trained, and sharing it lets one half predict the other. Both are linear parameters, so their best values are known for
whatever the rest is (variable projection). Rows of weight 0 take no part.
"""

from typing import NamedTuple

from common.arrays import Array, Float, namespace


class Groups(NamedTuple):
    """Which rows share a floor, and how much each row weighs."""

    member: Float[Array, "rows sizes"]
    """1 where a row has that size."""
    weight: Float[Array, "rows"]
    """0 for rows that are held out."""


def means(losses: Float[Array, "*starts rows 2"], groups: Groups) -> Float[Array, "*starts sizes"]:
    """Mean loss of each size, over both losses; 0 where a size has no weight."""
    member = groups.member * groups.weight[:, None]
    return (losses.sum(-1) @ member) / (2 * member.sum(0) + 1e-300)


def centre(losses: Float[Array, "*starts rows 2"], groups: Groups) -> Float[Array, "*starts rows 2"]:
    """Losses minus the mean of their size: what is left once each size has its own floor. Held-out rows are 0."""
    left = losses - (means(losses, groups) @ groups.member.T)[..., None]
    return left * groups.weight[:, None]


def best_scale(
    losses: Float[Array, "*starts rows 2"], observed: Float[Array, "rows 2"], groups: Groups
) -> Float[Array, "*starts"]:
    """The scale that brings model losses closest to the observations, with scale and all floors non-negative."""
    mine, theirs = centre(losses, groups), centre(observed, groups)
    best = (mine * theirs).sum((-2, -1)) / ((mine * mine).sum((-2, -1)) + 1e-300)
    xp = namespace(best)
    present = (groups.member * groups.weight[:, None]).sum(0) > 0
    ceilings = xp.where(present, means(observed, groups) / (means(losses, groups) + 1e-300), xp.inf)
    return xp.minimum(best.clip(0.0), ceilings.min(-1))
