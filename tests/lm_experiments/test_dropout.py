"""Dropout masks: of seed, step and sequence alone, with the share that is asked for."""

import pytest
import torch

from lm_experiments import models
from lm_experiments.dropout import Dropout, everywhere, installed
from lm_experiments.loss import LossOf
from tests.lm_experiments.tiny import SHAPE, Plain, lines, run, windows

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


def dropped_loss(pieces, dropout, seed=0, step=0, **changes):
    """Summed loss and gradients of a batch that is cut into pieces."""
    model = models.build(SHAPE, 0).train()
    if changes.get("checkpointed"):
        model.activation_checkpointing_enable()
    ids, first, total = windows(4), 0, 0.0
    with installed(model, dropout) as masks:
        for piece in torch.split(ids, pieces):
            masks.at(seed, step, first, len(piece), CPU)
            first += len(piece)
            loss = LossOf(model)(piece) * len(piece)
            loss.backward()
            total += loss.item()
    return total, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


@pytest.mark.parametrize("site", ["embed", "attn", "resid", "mlp"])
def test_masks_do_not_depend_on_how_a_batch_is_cut(site):
    dropout = Dropout(**{site: 0.4})
    whole, gradient = dropped_loss(4, dropout)
    for pieces, changes in ((1, {}), ([3, 1], {}), (4, {"checkpointed": True})):
        found, other = dropped_loss(pieces, dropout, **changes)
        assert found == pytest.approx(whole, rel=1e-6)
        assert torch.allclose(other, gradient, rtol=1e-3, atol=1e-6)
    others = [dropped_loss(4, dropout, seed=1)[0], dropped_loss(4, dropout, step=1)[0], dropped_loss(4, Dropout())[0]]
    assert len({round(loss, 6) for loss in (whole, *others)}) == 4


def test_masks_drop_the_share_that_is_asked_for_and_no_pattern(tmp_path):
    model = models.build(SHAPE, 0)
    with installed(model, Dropout()) as masks:
        masks.at(0, 0, 0, 64, CPU)
        kept = torch.stack([masks.drop(torch.ones(64, 1000), 0.3, site) for site in range(4)])
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / 0.7])
    dropped = (kept == 0).double()
    assert dropped.mean().item() == pytest.approx(0.3, abs=0.005)
    rows = dropped.flatten(0, 1)
    assert (rows.mean(1) - 0.3).abs().max() < 5 * (0.21 / 1000) ** 0.5
    assert (rows.mean(0) - 0.3).abs().max() < 5 * (0.21 / 256) ** 0.5
    between = torch.corrcoef(rows) - torch.eye(len(rows))
    assert between.abs().max() < 6 / 1000**0.5  # 33,000 pairs
    assert torch.corrcoef(torch.stack([rows[:, :-1].flatten(), rows[:, 1:].flatten()]))[0, 1].abs() < 0.01


def test_micro_batches_of_a_stage_have_the_masks_of_the_whole(tmp_path):
    found = [run(tmp_path / str(micro), dropout=everywhere(0.2), micro_batch=micro).losses for micro in (0, 1, 3)]
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)
    assert run(tmp_path / "seed", dropout=everywhere(0.2), seed=1).losses != found[0]


def test_masks_change_from_step_to_step(tmp_path):
    """The same windows at the same weights: only the masks can make the losses differ."""

    class Constant(Plain):
        def batch(self, step):
            return super().batch(0)

    changes = {"lr": 1e-12, "min_lr": 0.0, "weight_decay": 0.0, "max_steps": 4, "log_every": 1}
    run(tmp_path / "dropped", Constant(), dropout=everywhere(0.2), **changes)
    run(tmp_path / "plain", Constant(), **changes)
    assert len({line["loss"] for line in lines(tmp_path / "dropped")}) == 4
    assert len({round(line["loss"], 6) for line in lines(tmp_path / "plain")}) == 1
