"""The studies of the paper and beyond: what they say, the rules by which they shrink, and one pipeline of each end to end."""

import dataclasses
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from common import dotted, results
from common.console import Output
from common.settings import WrongUse
from lm_experiments.commands.plan import Plan
from lm_experiments.commands.run import Run
from lm_experiments.commands.studies import Studies, spelled
from lm_experiments.conduct import conduct
from lm_experiments.pipeline import Pipeline
from lm_experiments.studies import STUDIES, named
from lm_experiments.studies.placement import coordinates
from lm_experiments.studies.scaled import corpora_of, in_roles, on_corpora
from lm_experiments.studies.settings import Axis, PipelineSettings
from lm_experiments.studies.unstated import UNSTATED
from tests.lm_experiments import golden

DOCS = Path(__file__).parents[2] / "docs/studies.md"
SMOKES = [study for (_, scale), study in STUDIES.items() if scale == "smoke"]


@pytest.mark.parametrize("key", [("mitigation", "smoke"), ("fig10", "1b"), ("placement", "135m"), ("repeat", "smoke")])
def test_every_cell_is_a_pipeline_of_its_own(key):
    study = STUDIES[key]
    made = [cell.settings for cell in study.cells()]
    assert len(made) == study.size == len(set(made))


def test_the_1b_studies_are_enumerated_quickly():
    sizes = [named(name, "1b").size for name in ("fig8", "fig9", "fig10", "fig11", "fig12")]
    assert sizes == [80, 40, 84, 84, 84]
    began = time.perf_counter()
    assert len(list(named("fig8", "1b").cells())) == 80
    assert time.perf_counter() - began < 5


def tried(study, name):
    """Every value that a setting takes somewhere in a study."""
    own = [axis.values for arm in study.arms for axis in arm.axes if axis.field == name]
    fixed = [(arm.changes[name],) for arm in study.arms if name in arm.changes]
    return set(study.values(name)).union(*own, *fixed)


def test_the_paper_s_tables_are_in_the_studies():
    """Tables 1 to 10, written down a second time."""
    fig2, fig8 = named("fig2", "135m"), named("fig8", "1b")
    assert [(arm.changes["post"], arm.changes["ft"]) for arm in fig2.arms] == [
        ("musicpile", "chempile"), ("musicpile", "flan"), ("flan", "chempile"), ("flan", "musicpile"),
    ]  # fmt: skip
    assert tried(fig2, "stage2.lr") == {1e-4, 2e-4, 5e-4, 1e-3, 5e-3}
    assert tried(fig2, "stage2.batch") == {192, 480, 896}
    assert tried(fig8, "stage2.lr") == {1e-5, 2e-5, 5e-5, 1e-4, 2e-4}
    assert tried(fig8, "stage2.batch") == {512}
    for study, first, warmup in ((fig2, 8_700_000_000, 500), (fig8, 19_700_000_000, 100)):
        chosen = study.base
        assert (chosen.pre, chosen.stage1.seed, chosen.stage2.seed, chosen.length) == ("c4", 42, 40, 1_024)
        assert (chosen.stage1.lr, chosen.stage1.min_lr, chosen.stage1.warmup, chosen.stage1.batch) == (
            5e-4,
            5e-5,
            1_000,
            512,
        )
        assert (chosen.stage1.tokens, chosen.stage1.eval_every, chosen.stage1.patience) == (first, 1_000, 0)
        assert (chosen.stage2.min_lr, chosen.stage2.weight_decay, chosen.stage2.tokens) == (5e-5, 0.1, 2_000_000_000)
        assert (chosen.stage2.warmup, chosen.stage2.eval_every, chosen.stage2.patience) == (warmup, 100, 3)
        assert chosen.stage3.tokens == 200_000_000
        assert (chosen.tokens_post, chosen.precision) == (300_000_000, "bf16"), "Tables 3 to 5"
        stages = Pipeline(next(study.cells()), lambda _: golden.Endless()).last.lineage
        assert {(one.settings.betas, one.settings.clip) for one in stages} == {((0.9, 0.95), 1.0)}, "Table 5"
    model = fig8.base.model
    assert (model.hidden, model.heads, model.kv_heads, model.layers, model.mlp) == (1_728, 27, 27, 24, 4_608), "Table 2"
    assert (model.vocabulary, model.context, model.rope_theta) == (49_152, 8_192, 1e5)
    runs = [
        (cell.settings.recipe.dropout, cell.settings.stage2.lr, cell.settings.recipe.exposure)
        for name in ("fig10", "fig12")
        for cell in named(name, "1b").chosen(["music>instruction, dropout"]).changed({"stage3.lr": 5e-5}).cells()
    ]
    assert sorted(runs) == sorted((p, lr, e) for p in (0.02, 0.05) for lr in (1e-5, 2e-5, 5e-5) for e in (0.0, 1.0)), (
        "Table 10"
    )
    assert tried(named("fig7", "135m"), "recipe.rank") == {None, 64}
    assert tried(named("fig4", "135m"), "recipe.replay") == tried(named("fig6", "135m"), "recipe.replay") == {0.0, 0.01}
    sites = [tuple(axis.values) for arm in named("dropout-sites", "135m").arms for axis in arm.axes]
    assert sites == [(0.02, 0.05)] * 5


def test_choices_are_settings_and_reach_the_studies():
    for name, choice in UNSTATED.items():
        for setting in choice.values:
            dotted.known(PipelineSettings, setting)
        assert choice.reason, name
    base = named("fig2", "135m").base
    for name in ("stage-1-135m", "stopping-135m", "stage-3-schedule", "mixing", "measured"):
        for setting, value in UNSTATED[name].values.items():
            assert dotted.value_of(base, setting) == value, setting
    assert named("fig2", "135m").values("stage3.lr") == UNSTATED["stage-3-rates"].values["stage3.lr"]
    chosen = named("fig3b", "135m").base.stage2
    assert (chosen.batch, chosen.warmup, chosen.patience) == (192, 3, 0)


def test_the_page_says_what_the_code_says():
    text = DOCS.read_text()
    for key, choice in UNSTATED.items():
        assert f"| {key} | {choice.about} | {spelled(choice.values)} | {choice.reason} |" in text, key
    for name, found in Studies().run(Output(True)).items():
        sizes = ", ".join(f"{scale} {count:,}" for scale, count in found["pipelines"].items())
        assert f"| `{name}` | {found['about']} | {sizes} |" in text, name


def test_nano_is_made_by_the_rules():
    large, small = named("fig2", "135m").base, named("fig2", "nano").base
    assert (small.pre, small.post, small.ft, small.tokenizer_corpora) == ("general", "music", "chemistry", ("general",))
    assert (small.stage1.tokens, small.stage1.batch, small.stage1.lr, small.stage1.min_lr) == (3_999_744, 8, 3e-3, 3e-4)
    assert small.tokens_post / small.stage1.tokens == pytest.approx(large.tokens_post / large.stage1.tokens, rel=0.01)
    steps = [of.stage1.tokens / of.stage1.batch / of.length for of in (large, small)]
    assert small.stage1.warmup / steps[1] == pytest.approx(1_000 / steps[0], rel=0.01)
    assert (small.stage2.eval_every, small.stage1.seed) == (24, 0)
    assert named("fig2", "nano").values("stage2.batch") == (3, 8, 14)
    assert named("fig7", "nano").arms[1].changes["recipe.rank"] == 7


def test_corpora_are_replaced_wherever_a_study_names_them(tmp_path):
    study = named("fig2", "135m")
    assert corpora_of(study) == ("c4", "musicpile", "chempile", "flan")
    moved = on_corpora(study, {"musicpile": "file:tunes.abc", "c4": "general"})
    assert corpora_of(moved) == ("general", "file:tunes.abc", "chempile", "flan")
    assert moved.arms[3].changes["ft"] == "file:tunes.abc"
    run = Run(names=("fig2",), scale="135m", corpora=("flan=instruction",))
    assert "instruction" in corpora_of(run.studies()[0])
    assert "--corpora flan=instruction" in run.spelled_out("fig2")
    for wrong, words in (("flam=x", "has no corpus 'flam'. Did you mean flan"), ("flan", "not understood")):
        with pytest.raises(WrongUse, match=words):
            Run(names=("fig2",), scale="135m", corpora=(wrong,)).studies()


@pytest.mark.parametrize("study", SMOKES, ids=lambda study: study.name)
def test_own_corpora_take_the_place_of_those_that_arms_name(study):
    """`--pre --post --ft` with every study: nothing of its own is left in those roles, in the tokenizer or in the name of an arm."""
    own = in_roles(study, {"pre": "a", "post": "b", "ft": "c"})
    made = [cell.settings for cell in own.cells()]
    assert {(one.pre, one.post, one.ft, *one.trained_on) for one in made} == {("a", "b", "c", "a")}
    assert len(set(made)) == own.size
    assert not any("chemistry" in arm.name for arm in own.arms)
    assert {arm.axes for arm in own.arms} == {arm.axes for arm in study.arms}


def test_marin_s_coordinates():
    """A quarter of one pass over 3,000 tokens in stage 1, the rest in a stage 2 that is half D_pre."""
    found = coordinates(pre=8_750, exposed=750, post=4_500, replay=0.5)
    assert found == (0.75, 0.5, pytest.approx(4_500 / 13_250))
    assert found.duration * 13_250 * (1 - found.replay) == pytest.approx(3_000 * found.allocation), (
        "two imply the third"
    )
    assert coordinates(pre=9_000, exposed=3_000, post=0, replay=0.0)[::2] == (0, 0)


DIFFERENT = ("fig3b", "fig7", "placement")


def written(folder, name):
    """A small corpus of words of its own: one of two names that had the same text would be one corpus in two roles."""
    draw = np.random.default_rng(list(name.encode()))
    words = ["".join(draw.choice(list("abcdefghijklmnopqrstuvwxyz"), 2 + i % 5)) for i in range(400)]
    texts = [" ".join(draw.choice(words, 60)) for _ in range(1_000 if name == "general" else 300)]
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({"text": text}) for text in texts))
    return f"file:{path}"


@pytest.fixture(scope="module")
def carried(tmp_path_factory):
    """Figure 2 and the last arm, with the largest exposure, of those that differ, or of all where EARLY_EXPOSURE_EVERY is set, on text from
    files; and the folder of their stages."""
    folder = tmp_path_factory.mktemp("carried")
    chosen = []
    for study in SMOKES:
        if "EARLY_EXPOSURE_EVERY" in os.environ or study.name in (*DIFFERENT, "fig2"):
            ends = tuple(Axis(axis.field, axis.values[-1:]) for axis in study.axes)
            last = dataclasses.replace(study.chosen([study.arms[-1].name]), axes=ends)
            one = study if study.name == "fig2" else last
            chosen.append(on_corpora(one, {name: written(folder, name) for name in corpora_of(study)}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "min_lr")
        found = conduct(chosen, folder / "runs", 1, Output(True))
    return chosen, found, folder / "runs"


def test_a_pipeline_of_every_study_goes_down_the_whole_path(carried, tmp_path):
    chosen, found, _ = carried
    for study in chosen:
        conducted = found[study.name]
        assert not conducted.failed
        rows = conducted.table.to_pylist()
        assert len(rows) == study.size
        for row, cell in zip(rows, study.cells(), strict=True):
            assert {name: row[name] for name in cell.settings.recipe.columns} == cell.settings.recipe.columns
            shares = row["lm.exposed_tokens"], row["lm.tokens_seen_post"] * (1 - row["replay"])
            assert row["lm.allocation"] == pytest.approx(shares[1] / sum(shares))
            assert row["lm.duration"] == pytest.approx(
                row["lm.tokens_seen_post"] / (row["tokens_pre"] + row["lm.tokens_seen_post"])
            )
    results.write(found["fig7"].table, tmp_path / "fig7.parquet")
    assert results.read(tmp_path / "fig7.parquet")["rank"].to_pylist() == [2]


def test_shared_prefixes_save_what_the_plan_says(carried, monkeypatch):
    """The eight pipelines of Figure 2 share one stage 1 of D_pre alone and one per D_post with it, and two stages 2 per D_post."""
    chosen, found, runs = carried
    monkeypatch.setattr(Plan, "studies", lambda self: chosen)
    planned = Plan(names=("these",), accelerator="h100").run(Output(True))
    trained = {kind: [0, 0] for kind in ("pre", "post", "ft")}
    for done in runs.glob("*/done"):
        of = trained[json.loads((done.parent / "spec.json").read_text())["science"]["kind"]]
        of[0] += 1
        of[1] += json.loads((done.parent / "outcome.json").read_text())["tokens"]
    said = [planned["by_stage"][f"stage {number}"] for number in (1, 2, 3)]
    assert [[one["stages"], one["tokens"]] for one in said] == list(trained.values())
    assert found["fig2"].remarks["stages"] == {"pre": 3, "post": 4, "ft": 8}
    rows = [row for one in found.values() for row in one.table.to_pylist()]
    unshared = sum(row["tokens_pre"] + row["lm.tokens_seen_post"] + row["tokens_ft"] for row in rows)
    assert planned["saved"] == pytest.approx(1 - sum(tokens for _, tokens in trained.values()) / unshared)


def test_a_study_can_be_looked_at(capsys):
    told = Studies(name="fig7", scale="1b" if ("fig7", "1b") in STUDIES else "135m").run(Output(True))
    assert told["pipelines"] == 960
    assert told["arms"]["music>chemistry, LoRA"]["changes"]["recipe.rank"] == 64
    assert set(Studies(unstated=True).run(Output(True))) == set(UNSTATED)
    with pytest.raises(WrongUse, match="is not known"):
        Studies(name="fig77").run(Output(True))
