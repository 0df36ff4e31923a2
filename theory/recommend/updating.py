"""One's own few measurements as evidence about published draws.

Parameters may differ from the published ones by a factor (`SHAPE_SPREAD`), coefficients by what `PRIOR` says. The weights of draws and
accounts are how well they predict the measurements, from which an account may be off by its error out of sample.
"""

from dataclasses import replace

import numpy as np

from theory.fitting.points import Points
from theory.laws.forms import FORMS
from theory.recommend.members import Ensemble
from theory.recommend.plan import Plan

SHAPE_SPREAD = 0.4
"""Standard deviation of ln(own parameter / published one): our choice, half as much again or two thirds."""
PRIOR = {"floor": (2.0, 0.0), "amplitude": (0.0, 0.5), "constant": (0.15, 0.0), "lost": (0.0, 0.5), "repetition": (0.05, 0.0),
         "slope": (0.0, 0.5), "scale": (0.0, 0.5)}  # fmt: skip
"""Standard deviation of own coefficients about published ones: nats, and as a share of them. Our choice; tokenizers move floors."""


def updated(ensemble: Ensemble, own: Points, plan: Plan, noise: float, seed: int = 0, copies: int = 6) -> Ensemble:
    """The accounts after a few measurements of one's own.

    Args:
        ensemble: published accounts.
        own: measurements; any number of rows.
        plan: what is asked; measurements are at its D_pre.
        noise: standard deviation of a measured loss, nats.
        seed: of the spread.
        copies: of every draw, each with a spread of its own.
    """
    generator = np.random.default_rng(seed)
    made = []
    for one in ensemble.members:
        if one.name not in FORMS and not plan.usual:
            continue
        many = copies if len(one.chance) > 1 else 1  # what has a best fit alone is integrated, or weighs little
        shape = {name: np.repeat(value, many, axis=0) for name, value in one.shape.items()}
        if many > 1:
            shape = {
                name: value * np.exp(SHAPE_SPREAD * generator.standard_normal(value.shape))
                for name, value in shape.items()
            }
        prior = np.repeat(one.coefficients, many, axis=0)
        spread = np.array([PRIOR[name] for name in one.terms])
        deviation = np.hypot(spread[:, 0], spread[:, 1] * np.abs(prior)) + 1e-6
        parts = []
        for curve in own.curves:
            where = own.of(curve)
            there = replace(plan, tokens_post=curve.tokens)
            if curve.split != plan.split:
                there = replace(there, split=curve.split, passes=None, budget=None)  # type: ignore[arg-type]
            parts.append((one.columns(shape, there, own.exposure[where]), own.loss[where]))
        whole = np.concatenate([part.reshape(len(prior), -1, len(one.terms)) for part, _ in parts], axis=1)
        seen = np.concatenate([loss.reshape(-1) for _, loss in parts])
        broad = whole * deviation[:, None, :]
        wrongness = float(np.hypot(noise, one.error))
        covariance = broad @ np.swapaxes(broad, -1, -2)
        size = np.trace(covariance, axis1=-2, axis2=-1)[:, None, None]
        covariance = covariance + (wrongness**2 + 1e-10 * size) * np.eye(
            len(seen)
        )  # amplitudes of steep laws exceed any noise
        off = seen - (whole @ prior[..., None])[..., 0]
        solved = np.linalg.solve(covariance, off[..., None])[..., 0]
        evidence = -0.5 * ((off * solved).sum(-1) + np.linalg.slogdet(covariance)[1])
        evidence = np.where(np.isfinite(evidence), evidence, -np.inf)
        # a draw from the posterior of the coefficients: a draw from the prior, moved by what its own errors ask for (Matheron)
        drawn = prior + deviation * generator.standard_normal(prior.shape)
        gap = seen + wrongness * generator.standard_normal((len(prior), len(seen))) - (whole @ drawn[..., None])[..., 0]
        moved = drawn + deviation * (np.swapaxes(broad, -1, -2) @ np.linalg.solve(covariance, gap[..., None]))[..., 0]
        chance = np.repeat(one.chance, many) * np.exp(evidence - evidence.max())
        mean = float(
            np.log(np.average(np.exp(evidence - evidence.max()), weights=np.repeat(one.chance, many))) + evidence.max()
        )
        made.append((replace(one, shape=shape, coefficients=moved, chance=chance / chance.sum()), mean))
    top = max(mean for _, mean in made)
    members = tuple(replace(one, weight=one.weight * float(np.exp(mean - top))) for one, mean in made)
    widened = (
        "The interval may be wider than without measurements: your setting need not be the published one, so parameters may "
        f"differ from the published ones by a factor of {np.exp(SHAPE_SPREAD):.2g} (one standard deviation); a few runs narrow it in part."
    )
    how = f"{ensemble.how}, times the evidence of {own.loss.size} losses of your own"
    return replace(
        ensemble,
        members=members,
        how=how,
        source=f"{ensemble.source}, and your own measurements",
        error=noise,
        spread=widened,
    )
