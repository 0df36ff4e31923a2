"""The stored results of the language models are what their studies ask for: complete, clean, and stopped by themselves."""

import json

import pytest

from common import results
from figures.make import LANGUAGE
from lm_experiments.studies import named


@pytest.mark.parametrize(("study", "scale"), LANGUAGE)
def test_every_pipeline_is_there_and_stage_2_stopped_by_itself(study, scale):
    measured = LANGUAGE[study, scale]
    settings = named(study, scale)
    rows = results.read(measured.file).to_pylist()
    found = sorted((row["tokens_post"], row["seed"], row["exposure"], row["lr_ft"]) for row in rows)
    assert found == sorted(
        (one.tokens_post, one.seed, one.recipe.exposure, one.stage3.lr)
        for one in (cell.settings for cell in settings.cells())
    )
    assert {row["replay"] for row in rows} == {settings.base.recipe.replay}
    assert not any("dirty" in row["code_version"] for row in rows)
    stopping = bool(settings.base.stage2.patience)
    assert {bool(row["lm.stopped_early"]) for row in rows} == {stopping}
    ended = json.loads(measured.file.with_suffix(".json").read_text())["stage_2"]
    assert ended["stopped_early"] == ended["with_early_stopping"]
    assert bool(ended["with_early_stopping"]) == stopping


def test_replay_keeps_the_general_text():
    """Within a third of a nat of where stage 1 left it; with D_post alone it comes within a nat of guessing."""
    kept, lost = (results.read(LANGUAGE[name, "nano"].file).to_pylist() for name in ("fig3a-replay", "fig3a"))
    for row in kept:
        assert row["lm.loss_pre_after_post"] - row["lm.loss_pre_after_pre"] < 1 / 3
    assert max(row["lm.loss_pre_after_post"] for row in lost) > 6
