"""What the exposure left in the weights after stage 1, moved from one model into another (experiment E4).

    given      theta_post^U + (theta_pre^M - theta_pre^U)      does it protect a model that was never exposed?
    taken      theta_post^M - (theta_pre^M - theta_pre^U)      does the exposed model lose its protection with it?

M is exposed, U the unexposed model of the same seed. Both new models are measured, and go through the stage 3 of their pipelines.
"""

from lm_experiments.probes.continued import fine_tuned
from lm_experiments.probes.subject import Subject
from lm_experiments.probes.weights import copied, plus, put


def transplanted(exposed: Subject, unexposed: Subject) -> dict[str, float]:
    """loss_im, loss_ret and loss_ft of both, nats per token.

    Args:
        exposed: M.
        unexposed: U: of the same seed and stage 3.
    """
    mixed, plain = (copied(subject.model("pre")) for subject in (exposed, unexposed))
    found = {}
    for name, subject, add, subtract in (("given", unexposed, mixed, plain), ("taken", exposed, plain, mixed)):
        model = subject.model("post")
        put(model, plus(copied(model), add=add, subtract=subtract))
        found[f"{name}_im"] = subject.loss(model)
        found |= {f"{name}_{loss}": value for loss, value in fine_tuned(subject, model).items()}
    return found
