"""How far apart the models of a pipeline are in function: barriers on the straight lines between them, and CKA of their last hidden layer.

    barrier    largest excess of the D_post loss over the straight line between the losses of the ends, at 11 points; 0 where there is none
    CKA        |Y^T X|^2 / (|X^T X| |Y^T Y|), Frobenius norms, X and Y centred (tokens x width): linear CKA, Kornblith et al. 2019,
               arXiv 1905.00414; over the tokens of D_post's held-out windows, after the last norm

Supporting pictures: nothing is judged by them.
"""

import json
from typing import TYPE_CHECKING

import numpy as np
import torch

from common.arrays import Float
from lm_experiments.evaluation import EvalSet
from lm_experiments.kernels import fast
from lm_experiments.plan import Kind
from lm_experiments.probes.subject import AT_A_TIME, Subject
from lm_experiments.probes.weights import between, copied, put

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

POINTS = 11


def connected(subject: Subject, one: Kind, other: Kind) -> dict[str, float | str]:
    """Barrier, the losses on the way (JSON), and CKA between the models that two stages left."""
    model, start, end = subject.model(one), copied(subject.model(one)), copied(subject.model(other))
    losses, ends = [], []
    for share in np.linspace(0, 1, POINTS).tolist():
        put(model, between(start, end, share))
        losses.append(subject.quick_loss(model))
        if share in (0.0, 1.0):
            ends.append(hidden(model, subject.text("post")))
    name = f"{one}_{other}"
    return {f"barrier_{name}": barrier(losses), f"path_{name}": json.dumps(losses), f"cka_{name}": cka(*ends)}


def connected_after(subject: Subject) -> dict[str, float | str]:
    """The same after stage 3, and CKA with the model before stage 2."""
    ends = [hidden(subject.model(kind), subject.text("post")) for kind in ("pre", "ft")]
    return {**connected(subject, "post", "ft"), "cka_pre_ft": cka(*ends)}


def barrier(losses: list[float]) -> float:
    """The largest excess over the straight line between the first and the last."""
    return float(np.max(np.array(losses) - np.linspace(losses[0], losses[-1], len(losses))))


@torch.no_grad()
def hidden(model: "LlamaForCausalLM", on: EvalSet) -> Float[np.ndarray, "tokens width"]:
    """The last hidden states of all tokens of some windows."""
    found = []
    with fast(model):
        for first in range(0, on.windows, AT_A_TIME):
            windows = on.rows(first, min(AT_A_TIME, on.windows - first))
            found.append(model.model(input_ids=windows[:, :-1], use_cache=False).last_hidden_state.flatten(0, 1))
    states: Float[np.ndarray, "tokens width"] = torch.cat(found).double().numpy()
    return states


def cka(one: Float[np.ndarray, "tokens width"], other: Float[np.ndarray, "tokens width"]) -> float:
    """Linear centred kernel alignment, between 0 and 1."""
    x, y = one - one.mean(0), other - other.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))
