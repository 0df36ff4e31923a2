"""A fit: its parameters, floors and scale, what it leaves over, and its curves in nats."""

from dataclasses import dataclass

import numpy as np

from common.arrays import Array, Float
from theory.fitting.models import model_losses
from theory.fitting.points import Points


@dataclass(frozen=True)
class Fit:
    """A least-squares fit and what it leaves over."""

    values: dict[str, float]
    """Nonlinear parameters."""
    fixed: tuple[str, ...]
    """Which of them were held."""
    scale: float
    """Nats per unit of model loss."""
    floors: dict[float, float]
    """Size of D_post (tokens) -> floor in nats."""
    residuals: Float[np.ndarray, "rows 2"]
    """Observed minus fitted, nats; held-out rows included."""
    parameters: int
    """Fitted numbers, floors and scale included."""
    model: str = "plain"
    """A name in `theory.fitting.models.FAMILIES`."""
    groups: int = 1
    """Groups of ranks of its spectrum, if it has one."""

    @property
    def rmse(self) -> float:
        """Root mean square residual, nats."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    @property
    def aicc(self) -> float:
        """Corrected Akaike criterion for Gaussian residuals; infinite where there are too few points."""
        return aicc(self.residuals, self.parameters)

    def curve(self, exposure: Array, tokens: float, matched: bool) -> Float[Array, "rows 2"]:
        """Fitted loss_im and loss_ret in nats along lambda for one size and split."""
        count = len(exposure)
        rows = Points(exposure, np.full(count, tokens), np.full(count, int(matched)), np.zeros((count, 2)))
        return self.floors[tokens] + self.scale * model_losses(self.values, rows, self.model, self.groups)


def aicc(residuals: Float[np.ndarray, "rows 2"], parameters: int) -> float:
    """`n ln(RSS/n) + 2 p n/(n - p - 1)`, p the fitted numbers and the variance; infinite where n <= p + 1."""
    n, p = residuals.size, parameters + 1
    return float(n * np.log(np.mean(residuals**2)) + 2 * p * n / (n - p - 1)) if n > p + 1 else float("inf")
