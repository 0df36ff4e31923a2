"""Held-out loss: what it is, and what it does not depend on."""

import numpy as np
import pytest
import torch

from common.settings import WrongUse
from lm_experiments import models
from lm_experiments.evaluation import EvalSet, evaluate
from tests.lm_experiments.tiny import LENGTH, SHAPE, Text


def test_it_is_the_mean_over_all_tokens_of_the_chosen_windows():
    model, store = models.build(SHAPE, 0).eval(), Text(1)
    held = store.windows(LENGTH)
    windows = torch.from_numpy(np.stack([store.window(i * held // 7, LENGTH) for i in range(7)]))
    with torch.no_grad():
        logits = model(input_ids=windows[:, :-1]).logits.double()
    wanted = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten()).item()
    found = evaluate(model, {"a": EvalSet(store=store, windows=7, length=LENGTH)}, 3)
    assert found == {"a": pytest.approx(wanted, rel=1e-6)}


def test_it_does_not_depend_on_the_batch_nor_change_the_model():
    model = models.build(SHAPE, 0).train()
    sets = {name: EvalSet(store=Text(seed), windows=13, length=LENGTH) for name, seed in (("a", 1), ("b", 2))}
    first = evaluate(model, sets, 1)
    assert list(first) == ["a", "b"]
    for batch in (2, 5, 13, 50):
        assert evaluate(model, sets, batch) == pytest.approx(
            first, rel=1e-6
        )  # float32 products differ with their shape
    assert model.training


def test_a_set_that_the_store_does_not_hold_is_refused():
    with pytest.raises(WrongUse, match="windows = 9"):
        EvalSet(store=Text(0, size=8 * LENGTH), windows=9, length=LENGTH)
