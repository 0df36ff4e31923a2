"""Where the gradient of D_ft falls: its share in what D_post uses and D_pre does not (experiment E4).

    inputs    of a linear layer with inputs x: C = E[x x^T] on D_post and on D_pre. The generalised eigenvectors C_post v = mu C_pre v
              with the largest mu, an eighth of them, span what D_post uses most relative to D_pre. G is the gradient of the layer's
              matrix (outputs x inputs), P the orthogonal projection onto that span.  share = sum |G P|^2 / sum |G|^2 over layers
    Fisher    of a matrix: F_post/F_pre, diagonal empirical Fisher information (`lm_experiments.pulls`); the eighth of the entries with
              the largest ratio in each matrix.                                       share = sum G_there^2 / sum G^2 over layers

Chance is one eighth in the second and near it in the first. The layers are those of the blocks (queries, keys, values, outputs, the three
of the MLP). The head is left out: its matrix is that of the embeddings, and its gradient that of both. D_pre's side is damped by
`DAMPING` times its mean, so that what neither corpus uses has no ratio. All three corpora by held-out windows, as in `subject`.
"""

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.arrays import Float
from lm_experiments.evaluation import EvalSet
from lm_experiments.kernels import fast
from lm_experiments.plan import Kind
from lm_experiments.probes.subject import AT_A_TIME, Subject
from lm_experiments.pulls import fisher

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

EIGHTH = 8
DAMPING = 1e-3
FISHER_WINDOWS = 32


def subspaces(subject: Subject, kind: Kind) -> dict[str, float]:
    """Both shares of D_ft's gradient in the model that a stage left."""
    model = subject.model(kind)
    layers = linear(model)
    slope = {name: part.double().numpy() for name, part in subject.gradient(model, "ft").items()}
    post, pre = (second_moments(model, subject.text(text)) for text in ("post", "pre"))
    by_inputs = [inside(slope[f"{name}.weight"], projection(post[name], pre[name])) for name in layers]
    informed = [_fisher(model, subject.text(text, FISHER_WINDOWS)) for text in ("post", "pre")]
    chosen = [largest(*(found[f"{name}.weight"] for found in informed)) for name in layers]
    energy = [float((slope[f"{name}.weight"] ** 2).sum()) for name in layers]
    by_fisher = [float((slope[f"{name}.weight"][there] ** 2).sum()) for name, there in zip(layers, chosen, strict=True)]
    after = {"post": "im", "ft": "ret"}[kind]
    return {f"share_{after}": sum(by_inputs) / sum(energy), f"fisher_share_{after}": sum(by_fisher) / sum(energy)}


def linear(model: "LlamaForCausalLM") -> list[str]:
    """Names of the linear layers, the head left out."""
    return [name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and name != "lm_head"]


@torch.no_grad()
def second_moments(model: "LlamaForCausalLM", on: EvalSet) -> dict[str, Float[np.ndarray, "inputs inputs"]]:
    """E[x x^T] of the inputs of every linear layer, over all tokens of some windows."""
    modules = dict(model.named_modules())
    found: dict[str, Any] = dict.fromkeys(linear(model), 0.0)

    def watch(name: str) -> Any:
        def seen(_: Any, given: tuple[torch.Tensor, ...]) -> None:
            x = given[0].flatten(0, -2).double()
            found[name] = found[name] + x.T @ x

        return seen

    with ExitStack() as hooks, fast(model):
        for name in found:
            hooks.callback(modules[name].register_forward_pre_hook(watch(name)).remove)
        for first in range(0, on.windows, AT_A_TIME):
            windows = on.rows(first, min(AT_A_TIME, on.windows - first))
            model.model(input_ids=windows[:, :-1], use_cache=False)
    return {name: (total / (on.windows * on.length)).numpy() for name, total in found.items()}


def projection(
    post: Float[np.ndarray, "inputs inputs"], pre: Float[np.ndarray, "inputs inputs"]
) -> Float[np.ndarray, "inputs kept"]:
    """An orthonormal basis of the eighth of the generalised eigenvectors that D_post uses most relative to D_pre."""
    from scipy.linalg import eigh

    size = len(pre)
    damped = pre + DAMPING * np.trace(pre) / size * np.eye(size)
    _, vectors = eigh(post, damped)  # in rising order
    basis: Float[np.ndarray, "inputs kept"] = np.linalg.qr(vectors[:, -max(1, size // EIGHTH) :])[0]
    return basis


def inside(slope: Float[np.ndarray, "outputs inputs"], basis: Float[np.ndarray, "inputs kept"]) -> float:
    """Squared Frobenius norm of what of a gradient lies in a subspace of its inputs."""
    return float(((slope @ basis) ** 2).sum())


def largest(
    post: Float[np.ndarray, "outputs inputs"], pre: Float[np.ndarray, "outputs inputs"]
) -> tuple[np.ndarray, ...]:
    """Places of the eighth of a matrix's entries whose information on D_post is largest relative to D_pre's."""
    ratio = post / (pre + DAMPING * pre.mean())
    order = np.argsort(ratio, axis=None, kind="stable")[-max(1, ratio.size // EIGHTH) :]
    return np.unravel_index(order, ratio.shape)


def _fisher(model: "LlamaForCausalLM", on: EvalSet) -> dict[str, Any]:
    with fast(model):
        found = fisher(model, on)
    return {name: part.double().numpy() for (name, _), part in zip(model.named_parameters(), found, strict=True)}
