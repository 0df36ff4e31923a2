"""The stored results of the language models are what their studies ask for: complete, clean, and stopped by themselves."""

import json
import shlex

import pytest

from common import results
from figures.make import CONTROLS, LANGUAGE
from lm_experiments.studies import Axis, named


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


@pytest.mark.parametrize("measured", CONTROLS, ids=lambda one: one.study)
def test_the_controls_are_whole_parts_of_their_studies(measured):
    """Every arm and dose of the command that is named beside them, in all seeds, from a clean checkout."""
    words = shlex.split(measured.command)
    study = named(measured.study, measured.file.parent.name)
    if "--exposures" in words:  # otherwise the study as it stands
        doses = [float(word) for word in words[words.index("--exposures") + 1 : words.index("--arms")]]
        arms = words[words.index("--arms") + 1 : words.index("--out")]
        study = study.chosen(arms).over(Axis("recipe.exposure", tuple(doses)))
    rows = results.read(measured.file).to_pylist()
    wanted = {
        (cell.arm, one.seed, one.recipe.exposure, one.recipe.exposed, one.stage3.lr)
        for cell in study.cells()
        for one in [cell.settings]
    }
    assert {(row["lm.variant"], row["seed"], row["exposure"], row["exposed"], row["lr_ft"]) for row in rows} == wanted
    assert len(rows) == len(wanted)
    assert len({row["seed"] for row in rows}) == 8
    assert not any("dirty" in row["code_version"] for row in rows)


def test_replay_keeps_the_general_text():
    """Within a third of a nat of where stage 1 left it; with D_post alone it comes within a nat of guessing."""
    kept, lost = (results.read(LANGUAGE[name, "nano"].file).to_pylist() for name in ("fig3a-replay", "fig3a"))
    for row in kept:
        assert row["lm.loss_pre_after_post"] - row["lm.loss_pre_after_pre"] < 1 / 3
    assert max(row["lm.loss_pre_after_post"] for row in lost) > 6
