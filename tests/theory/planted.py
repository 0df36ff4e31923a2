"""Studies that obey a known model, for fits to find."""

import numpy as np

from theory.fit import Points, model_losses
from theory.fitting.assessment import Options


def planted(model, true, noise=0.0, groups=1, sizes=(5e7, 2e8), exposure=(0.0, 0.25, 0.5, 0.75, 1.0)):
    """Both halves of a study that obeys a model, with floors 1.5 and 1.2 and scale 0.2."""
    rows = [(e, n, m) for m in (0, 1) for n in sizes for e in exposure]
    e, n, m = (np.array(column) for column in zip(*rows, strict=True))
    clean = Points(e, n, m, np.zeros((len(e), 2)))
    floor = np.where(n == sizes[0], 1.5, 1.2)[:, None]
    loss = floor + 0.2 * model_losses(true, clean, model, groups)
    return Points(e, n, m, loss + noise * np.random.default_rng(5).standard_normal(loss.shape))


PLAIN = {
    "sigma_post": 1.0,
    "pre_over_post": 0.3,
    "ft_over_post": 0.4,
    "beta": 0.9,
    "init_scale": 0.05,
    "pre_time": 6.0,
    "t_ft": 0.5,
    "pace": 1.0,
    "step_ratio": 1.0,
    "t_post_50M": 0.8,
    "t_post_200M": 1.6,
}
PAIR = PLAIN | {"beta": 1.0, "uncorrelated": 0.03, "pre_over_post": 0.9, "ft_over_post": 0.8}
QUICK = Options(starts=3, intervals=False, equal_steps=True, groups=5)
LAW = {
    "power": 0.3,
    "offset": 30.0,
    "post_worth": 2.5,
    "passes": 3.0,
    "floor": 0.8,
    "amplitude": 3.0,
    "constant": 0.15,
    "lost": 0.3,
}
"""The law S."""
