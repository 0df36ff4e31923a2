"""How much the D_post loss rises when weights are moved: at random, and along the gradient of D_ft (experiment E3).

    random       sigma r eps, eps standard normal, r a matrix's root mean square     sigma .03 and .1, five draws (`lm_experiments.damage`)
    gradient     -g/|g|, g the gradient of D_ft's loss, over all parameters: a step of length 1 as fine-tuning begins, down D_ft's loss

For both also with the opposite sign, and the second difference L(theta + d) + L(theta - d) - 2 L(theta), nats per token. Draws depend on
the pipeline's seed, not on its recipe: all models of one seed get the same.
"""

from statistics import fmean

from lm_experiments.damage import Damage, apply
from lm_experiments.probes.subject import Subject
from lm_experiments.probes.weights import copied, put, restored

SIGMAS = {"03": 0.03, "10": 0.1}
DRAWS = 5
LENGTH = 1.0
"""Of the step along the gradient; all weights as one vector."""


def noise(subject: Subject) -> dict[str, float]:
    """Rise of the D_post loss after stage 2 under random noise, means over the draws, and second differences."""
    model = subject.model("post")
    found: dict[str, float] = {}
    before = subject.quick_loss(model)
    for name, sigma in SIGMAS.items():
        rises, bends = [], []
        for draw in range(DRAWS):
            with restored(model) as start:
                apply(model, Damage(noise=sigma), DRAWS * subject.pipeline.settings.seed + draw)
                there = copied(model)
                up = subject.quick_loss(model)
                put(model, {key: 2 * tensor - there[key] for key, tensor in start.items()})
                rises.append(up - before)
                bends.append(up + subject.quick_loss(model) - 2 * before)
        found |= {f"noise_{name}": fmean(rises), f"noise_bend_{name}": fmean(bends)}
    return found


def direction(subject: Subject) -> dict[str, float]:
    """Rise of the D_post loss after a step along D_ft's gradient, as fine-tuning goes and against it, and the second difference."""
    model = subject.model("post")
    before = subject.quick_loss(model)
    slope = subject.gradient(model, "ft")
    norm = sum(part.double().square().sum().item() for part in slope.values()) ** 0.5
    with restored(model) as start:
        rises = []
        for sign in (-1, 1):
            put(model, start | {key: start[key] + sign * LENGTH / norm * part for key, part in slope.items()})
            rises.append(subject.quick_loss(model) - before)
    return {"step_along": rises[0], "step_against": rises[1], "step_bend": sum(rises), "gradient_ft": norm}
