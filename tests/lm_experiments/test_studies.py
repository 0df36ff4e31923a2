"""Studies: settings that fit together, stages that are shared, and heads that say what came out; carried out in `test_conduct`."""

import ast
import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import tyro

from common.console import run
from common.published import RESULTS
from common.settings import WrongUse
from lm_experiments import studies
from lm_experiments.commands.run import Run
from lm_experiments.pipeline import Pipeline
from lm_experiments.studies import STUDIES, named
from lm_experiments.studies.settings import SEARCH_SEEDS, Arm, Axis
from lm_experiments.studies.smoke import SMOKE

COMMANDS = {"run": Run, "other": Run}


class Sized:
    """A store of which only the size matters."""

    fingerprint = "f"

    def windows(self, length):
        return 6_000


def pipelines(study):
    return [Pipeline(cell, lambda _: Sized()) for cell in study.cells()]


def hashes(study, kind):
    return {pipeline.nodes[kind].hash for pipeline in pipelines(study) if kind in pipeline.nodes}


def test_models_share_what_they_can():
    """One size, five lambda, two seeds, three rates: ten stage-1 models serve both splits, and stage 2 serves all rates."""
    axes = Axis("seed", (0, 1)), Axis("tokens_post", (65_536,))
    added, matched = (named(name, "nano").over(*axes) for name in ("fig3a", "fig3b"))
    assert hashes(added, "pre") == hashes(matched, "pre")
    assert [len(hashes(added, kind)) for kind in ("pre", "post", "ft")] == [10, 10, 30]
    assert len(hashes(matched, "post")) == 8  # nothing is left for stage 2 at lambda = 1
    both = named("fig3a", "nano").over(axes[0])
    assert len(hashes(both, "pre")) == 2 * (1 + 4 * 2)  # lambda = 0 does not know the size


def test_seeds_are_paired_across_lambda():
    study = named("fig3a", "nano").changed({"seed": 3, "tokens_post": 32_768, "stage3.lr": 1e-4})
    mine = pipelines(study)
    assert len({one.nodes["pre"].settings.seed for one in mine}) == 1
    assert len({one.realised.plans["post"].fingerprint() for one in mine}) == 1
    assert len({one.realised.plans["pre"].fingerprint() for one in mine}) == len(mine)


def test_reporting_and_stopping_never_share_text():
    for name in ("fig3a", "fig3b"):
        for pipeline in pipelines(named(name, "nano").changed({"seed": 0})):
            for kind, node in pipeline.nodes.items():
                assert all(measured.endswith("/report") for measured, _ in node.measured)
                stops = name == "fig3a" and kind == "post"
                assert (node.stop_on is not None) == stops
                assert bool(node.settings.patience) == stops
                if stops:
                    assert node.stop_on[0] == "music/stop"


def test_sets_that_are_smaller_than_asked_are_said_by_the_names_of_their_corpora(tmp_path):
    (tmp_path / "tunes.txt").write_text("la la")
    small = named("fig3a", "nano").changed({"post": f"file:{tmp_path}/tunes.txt", "report_windows": 9_000})
    first, *said = Pipeline(next(small.cells()), lambda _: Sized()).smaller()
    assert first == "general/train holds 6000 windows of 128 tokens; stage 1 takes 9375, in 1.6 passes"
    assert all("/report holds 6000 windows of 128 tokens; 9000 were asked for" in line for line in said)
    assert [line.partition("~")[0].partition("/")[0] for line in said] == ["general", "tunes.txt", "chemistry"]
    with pytest.raises(WrongUse, match=r"^tunes.txt~.* holds 768,000 tokens for training; a D_post of 999,936"):
        _ = Pipeline(next(small.changed({"tokens_post": 10**6}).cells()), lambda _: Sized()).nodes


def test_results_use_seeds_that_no_search_has_seen():
    for (name, scale), study in STUDIES.items():
        if scale in ("smoke", "135m", "1b"):  # of the paper's one seed, or of none that counts
            continue
        searching = name.startswith("search") or name == "smoke"
        axes = [axis for arm in study.arms for axis in (*study.axes, *arm.axes) if axis.field == "seed"]
        seeds = {seed for axis in axes for seed in axis.values} or {study.base.seed}
        assert all((seed >= SEARCH_SEEDS) == searching for seed in seeds)


def test_studies_refuse_what_makes_no_sense():
    with pytest.raises(WrongUse, match="each once"):
        SMOKE.over(Axis("seed", (1, 1)))
    with pytest.raises(WrongUse, match="at least one batch"):
        SMOKE.changed({"tokens_post": 100})
    with pytest.raises(WrongUse, match="has no scale 'micro'"):
        named("smoke", "micro")
    with pytest.raises(WrongUse, match="'fig13' is not known"):
        named("fig13", "nano")
    with pytest.raises(WrongUse, match="music holds 768,000 tokens"):
        _ = pipelines(SMOKE.changed({"tokens_post": 1_000_000}))[0].nodes
    pulled = SMOKE.changed({"recipe.rank": 4, "recipe.l2_to_start": 0.5})
    with pytest.raises(WrongUse, match=r"cannot realise l2_to_start = 0\.5"):
        _ = pipelines(pulled)[0].nodes


def test_any_setting_is_an_axis_and_an_arm():
    """Arms x axes; what an arm sets itself takes the place of the axis, and every cell is resolved."""
    study = dataclasses.replace(
        SMOKE,
        arms=(Arm("mixed"), Arm("unmixed", {"recipe.exposure": 0.0}), Arm("late", {"recipe.placement": "late"},
                                                                         (Axis("recipe.exposure", (0.5,)),))),
    ).over(Axis("stage2.lr", (1e-3, 2e-3)))  # fmt: skip
    found = [(cell.arm, cell.settings.recipe.exposure, cell.settings.stage2.lr) for cell in study.cells()]
    rates = (1e-3, 2e-3)
    assert found == [
        *(("mixed", exposure, rate) for exposure in (0.0, 1.0) for rate in rates),
        *(("unmixed", 0.0, rate) for rate in rates),
        *(("late", 0.5, rate) for rate in rates),
    ]
    settings = [pipeline.nodes["post"].settings.lr for pipeline in pipelines(study.chosen(["late"]))]
    assert settings == [1e-3, 2e-3]
    with pytest.raises(WrongUse, match=r"recipe\.exposure is 0\.0 in the arm 'unmixed'"):
        study.changed({"recipe.exposure": 1.0})
    with pytest.raises(WrongUse, match=r"no arm 'lat'\. Did you mean late"):
        study.chosen(["lat"])
    with pytest.raises(WrongUse, match=r"stage2\.rl is no setting\. Did you mean stage2.lr"):
        SMOKE.over(Axis("stage2.rl", (1.0,)))
    with pytest.raises(WrongUse, match=r"wrong type\. Give a whole number"):
        SMOKE.over(Axis("stage2.batch", (1.5,)))


def test_the_command_line_reaches_every_setting():
    arguments = (
        "smoke --stage2.lr 2e-3 --post engineering --recipe.replay .25 --axis stage3.batch=4,8 --axis recipe.rank=none"
    )
    chosen = tyro.cli(Run, args=[*arguments.split(), "--seeds", "3", "4"], config=(tyro.conf.OmitArgPrefixes,))
    (study,) = chosen.studies()
    assert [(cell.settings.seed, cell.settings.stage3.batch) for cell in study.cells()][:4] == [
        (3, 4),
        (3, 8),
        (4, 4),
        (4, 8),
    ]
    assert study.base.stage2.lr == 2e-3
    assert study.base.post == "engineering"
    assert study.base.recipe.replay == 0.25
    again = tyro.cli(Run, args=shlex.split(chosen.spelled_out("smoke"))[4:], config=(tyro.conf.OmitArgPrefixes,))
    assert again.studies() == [study]
    words = ["controlled", "--pre", "a", "--post", "b", "--ft", "c", "--arms", "real", "shuffled"]
    (study,) = tyro.cli(Run, args=words, config=(tyro.conf.OmitArgPrefixes,)).studies()
    assert study.base.measured_too == ("c",)
    assert {(cell.arm, cell.settings.pre, cell.settings.post, cell.settings.ft) for cell in study.cells()} == {
        (arm, "a", "b", "c") for arm in ("real", "shuffled")
    }
    for wrong, says in (
        (("--axis", "stage2.dropot=1"), "Did you mean"),
        (("--axis", "stage2.lr"), "Write a setting and its values"),
        (("--axis", "stage2.lr=fast"), "Give a number"),
        (("--axis", "seed=1", "--seeds", "2"), "given two axes"),
        (("--axis", "stage2.lr=1", "--stage2.lr", "2"), "a value and an axis"),
        (("--scale", "135"), "has no scale '135'"),
    ):
        with pytest.raises(WrongUse, match=says):
            tyro.cli(Run, args=["smoke", *wrong], config=(tyro.conf.OmitArgPrefixes,)).studies()


def test_the_draw_of_d_post_is_the_seeds_and_stored_studies_keep_theirs():
    drawn = SMOKE.changed({"recipe.exposure": 0.0}).over(Axis("seed", (1, 2)))
    assert [pipeline.nodes["post"].plan.parts[0].store for pipeline in pipelines(drawn)] == [
        "music/train~1",
        "music/train~2",
    ]
    stored = pipelines(named("fig3a", "nano").changed({"seed": 1}))[0]
    assert stored.nodes["post"].plan.parts[0].store == "music/train"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--seeds", "-1"), "seed = -1 is outside its range"),
        (("--lr-ft", "0"), "stage3.lr = 0 is outside its range"),
        (("--exposures", "-1"), "recipe.exposure = -1 is outside its range"),
        (("--tokens-post", "10"), "tokens_post = 10 is too small"),
        (("--tokens-post", str(10**18)), "tokens_post = 1e+18 is outside its range [1, 1e+14]"),
        (("--stage1.tokens", str(10**15)), "stage1.tokens = 1e+15 is outside its range [1, 1e+14]"),
    ],
)
def test_a_wrong_value_is_named_in_one_line_before_anything_is_made(options, says, outside, monkeypatch, capsys):
    monkeypatch.setattr("lm_experiments.conduct.conduct", lambda *_, **__: pytest.fail("it is refused before"))
    assert run("lm_experiments", COMMANDS, "test", ["run", "smoke", *options]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says}"), said
    assert said.count("\n") == 1
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("file", sorted(Path(studies.__file__).parent.glob("*.py")), ids=lambda file: file.stem)
def test_the_head_of_a_study_says_its_command_its_cost_and_what_came_out(file):
    source = file.read_text()
    if not (made := re.findall(r"^\w+ = Study\(\n    name=\"([\w-]+)\"", source, re.MULTILINE)):
        return
    head = " ".join(ast.get_docstring(ast.parse(source)).split())
    assert re.search(rf"`python -m lm_experiments run ({'|'.join(made)})\b", head)
    assert re.search(rf"`plan ({'|'.join(made)})\b.*` says the cost", head)
    assert "What came out" in head or "Not run" in head
    stored = {path.stem for path in RESULTS.glob("lm/*/*.parquet")} & set(made)
    assert not stored or re.search(r"\d (hours|minutes)", head)
    assert not stored or "What came out" in head
