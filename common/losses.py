"""The four losses that every engine reports.

    loss_im    on D_post, right after post-training (immediate)
    loss_ret   on D_post, after fine-tuning         (retained)
    loss_ft    on D_ft, after fine-tuning
    loss_pre   on D_pre, after fine-tuning

`forgetting = loss_ret - loss_im`. In the linear model a loss is a sum over modes, `sum_i count_i c_i (a_i - s_i)^2`, not
halved; in a language model it is nats per token on held-out text.
"""

from typing import Any, NamedTuple

from common.arrays import Array, Float

LOSSES = ("loss_im", "loss_ret", "loss_ft", "loss_pre")


class Losses(NamedTuple):
    """The four losses, each of the shape of the settings.

    Example:
        >>> from theory import predict
        >>> losses = predict(t_ft=[0.1, 1.0, 10.0])
        >>> (losses.loss_ret - losses.loss_im).round(3).tolist()
        [0.145, 0.87, 1.0]
    """

    loss_im: Float[Array, "*settings"]
    loss_ret: Float[Array, "*settings"]
    loss_ft: Float[Array, "*settings"]
    loss_pre: Float[Array, "*settings"]

    def to_pandas(self, **settings: Any) -> Any:
        """A data frame with a row per setting, in C order.

        Args:
            settings: further columns, e.g. the axes of the settings, that broadcast against the losses.

        Raises:
            WrongUse: pandas is not installed, or a column does not broadcast.

        Example:
            >>> from theory import predict
            >>> predict(alpha=[0.0, 0.2]).to_pandas(alpha=[0.0, 0.2]).columns.tolist()
            ['alpha', 'loss_im', 'loss_ret', 'loss_ft', 'loss_pre']
        """
        from common.frames import frame

        return frame({**settings, **self._asdict()})


def weighted_squares(weight: Float[Array, "modes ..."], gap: Float[Array, "modes ..."]) -> Float[Array, "..."]:
    """`sum over modes of weight x gap^2`, the loss of one task; weight = count x variance."""
    return (weight * (gap * gap)).sum(0)
