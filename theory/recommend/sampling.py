"""Parameters that explain the measurements about as well as the best ones, drawn in proportion to how well they do.

Density of the parameters that are searched for, flat in their logarithms inside the bounds: exp(-RSS / 2 s^2), the coefficients at
their best; those are then drawn from their normal distribution about it. s is the error *out of sample*: a law that predicts what it
has not seen with an error of .04 is not known better than that, however small its residuals.

The sampler is differential evolution (ter Braak 2006): every chain proposes a jump along the difference of two others, which takes
the scale and the direction of flat valleys from the chains themselves. All chains step in one call.
"""

import numpy as np

from common.arrays import Array, Float
from theory.fitting.solver import Problem

CHAINS = 60
STEPS = 260
SETTLED = 120
"""Steps that are thrown away; of the others every `APART`-th is kept."""
APART = 20


def sample(
    problem: Problem, best: Float[np.ndarray, "parameters"], error: float, generator: np.random.Generator
) -> Float[np.ndarray, "draws parameters"]:
    """Draws of the logarithms of the parameters.

    Args:
        problem: what was fitted.
        best: its best parameters (logarithms).
        error: s, nats.
        generator: of the chains.
    """
    low, high = problem.box
    given = (problem.points.loss, problem.everything)

    def density(at: Float[Array, "chains parameters"]) -> Float[np.ndarray, "chains"]:
        left = np.nan_to_num(np.asarray(problem.residual(at, *given)), nan=1e3, posinf=1e3, neginf=-1e3)
        return np.asarray(-np.square(left).sum(-1) / (2 * error**2))

    count = len(best)
    here = best + 0.1 * generator.standard_normal((CHAINS, count))
    here[0] = best
    here = here.clip(low, high)
    now, kept = density(here), []
    chains = np.arange(CHAINS)
    for step in range(STEPS):
        one, two = ((chains + shift) % CHAINS for shift in generator.permutation(np.arange(1, CHAINS))[:2])
        scale = (
            1.0 if step % 10 == 9 else 2.38 / np.sqrt(2 * count)
        )  # whole jumps take chains from one valley to another
        tried = here + scale * (here[one] - here[two]) + 1e-3 * generator.standard_normal(here.shape)
        inside = ((tried >= low) & (tried <= high)).all(-1)
        then = np.where(inside, density(tried.clip(low, high)), -np.inf)
        taken = np.log(generator.uniform(size=CHAINS)) < then - now
        here, now = np.where(taken[:, None], tried, here), np.where(taken, then, now)
        if step >= SETTLED and (step - SETTLED) % APART == 0:
            kept.append(here)
    return np.concatenate(kept)


def coefficients(
    columns: Float[Array, "draws numbers terms"],
    best: Float[Array, "draws terms"],
    error: float,
    positive: list[int],
    generator: np.random.Generator,
) -> Float[Array, "draws terms"]:
    """A draw of the coefficients for every draw of the parameters: normal about the best, some of them not negative."""
    scale = np.sqrt(np.square(columns).sum(-2)) + 1e-12
    unit = columns / scale[:, None, :]
    gram = np.swapaxes(unit, -1, -2) @ unit + 1e-9 * np.eye(best.shape[-1])
    half = np.linalg.cholesky(np.linalg.inv(gram))
    drawn = np.array(best)
    open_ = np.ones(len(best), dtype=bool)
    for _ in range(12):
        noise = generator.standard_normal(best.shape)
        tried = best + error * (half @ noise[..., None])[..., 0] / scale
        good = open_ & (tried[:, positive] >= 0).all(-1)
        drawn = np.where(good[:, None], tried, drawn)
        open_ &= ~good
    return drawn
