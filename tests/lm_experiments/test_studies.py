"""Studies end to end: the smoke study down the whole path, failures that stay local, and settings that fit together."""

import dataclasses
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tyro

from common import results
from common.console import Output, run
from common.settings import WrongUse
from lm_experiments import checkpoints, launch, paths
from lm_experiments.commands.run import Run
from lm_experiments.conduct import conduct
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.ledger import Disagreement
from lm_experiments.models import PRESETS
from lm_experiments.pipeline import Pipeline, StoreFactory
from lm_experiments.stages import folder_of
from lm_experiments.studies import STUDIES, named
from lm_experiments.studies.settings import COLUMNS, SEARCH_SEEDS, Arm, Axis
from lm_experiments.studies.smoke import SMOKE
from tests.lm_experiments.test_stages import STORES, first, second

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


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The smoke study, carried out through the command line."""
    folder = tmp_path_factory.mktemp("smoke")
    arguments = ["run", "smoke", "--workers", "1", "--out", str(folder), "--runs", str(folder / "runs"), "--json"]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    return folder


def test_smoke_goes_down_the_whole_path(smoke):
    rows = results.read(smoke / "smoke.parquet").to_pylist()
    assert [row["exposure"] for row in rows] == [0.0, 1.0]
    for row in rows:
        assert all(0 < row[loss] < 8 for loss in ("loss_im", "loss_ret", "loss_ft", "loss_pre"))
        assert row["engine"] == "lm"
        assert row["pipeline"] == "general>music>chemistry"
        assert row["code_version"] == results.code_version()
    plain, mixed = rows
    assert (plain["lm.exposed_tokens"], mixed["lm.exposed_tokens"]) == (0, 8192)
    assert mixed["tokens_pre"] - plain["tokens_pre"] == 8192
    assert mixed["lm.loss_post_after_pre"] < plain["lm.loss_post_after_pre"]  # it has seen music
    remarks = json.loads((smoke / "smoke.json").read_text())
    assert remarks["stages"] == {"pre": 2, "post": 2, "ft": 2}
    assert remarks["command"].startswith("python -m lm_experiments run smoke")
    assert remarks["stage_2"]["with_early_stopping"] == 2
    ledgers = [json.loads(path.read_text()) for path in (smoke / "runs").glob("*/ledger.json")]
    assert remarks["tokens_trained"] == sum(one["tokens"] for one in ledgers)


def test_a_row_is_what_its_saved_models_give(smoke):
    """Every loss of a row, measured again on the models that lie in the folders: no column holds another's number."""
    row = next(row for row in results.read(smoke / "smoke.parquet").to_pylist() if row["exposure"] == 1)
    made = next(one for one in _smoke_pipelines() if one.settings.recipe.exposure == 1)
    models_of = {
        kind: checkpoints.load_model(folder_of(node, smoke / "runs"), PRESETS["nano"])
        for kind, node in made.nodes.items()
    }
    for column, kind, corpus in (
        ("loss_im", "post", "music"),
        ("loss_ret", "ft", "music"),
        ("loss_ft", "ft", "chemistry"),
        ("loss_pre", "ft", "general"),
        ("lm.loss_post_after_pre", "pre", "music"),
        ("lm.loss_pre_after_post", "post", "general"),
        ("lm.loss_ft_after_post", "post", "chemistry"),
    ):
        chosen = EvalSet(store=made._stores(f"{corpus}/report"), windows=16, length=128)
        assert row[column] == pytest.approx(evaluate(models_of[kind], {"x": chosen}, 16)["x"], rel=1e-5), column
    assert len({round(row[name], 4) for name in ("loss_im", "loss_ret", "loss_ft", "loss_pre")}) == 4


def test_a_finished_study_is_only_read(smoke, monkeypatch, capsys):
    def tables():
        return results.read(smoke / "smoke.parquet").to_pylist()

    before = tables()
    stamps = {path: path.stat().st_mtime_ns for path in (smoke / "runs").glob("[0-9a-f]*/*")}
    arguments = ["run", "smoke", "--workers", "2", "--out", str(smoke), "--runs", str(smoke / "runs")]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    assert tables() == before
    assert {path: path.stat().st_mtime_ns for path in (smoke / "runs").glob("[0-9a-f]*/*")} == stamps
    heard = capsys.readouterr()
    assert "Means over seeds" in heard.out
    assert "done at step" not in heard.err


def test_a_killed_study_ends_with_the_same_bits(smoke, tmp_path):
    """Only the launcher is killed: its workers must go with it, or they would hold their folders against the second run."""
    command = [
        sys.executable,
        *f"-m lm_experiments run smoke --exposures 1 --workers 2 --out {tmp_path} --runs {tmp_path}/runs".split(),
    ]
    launcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while launcher.poll() is None and not any((tmp_path / "runs").glob("*/done")):  # others are at work then
        time.sleep(0.02)
    launcher.kill()
    assert launcher.wait() == -signal.SIGKILL, "it ended before it could be killed"
    assert not (tmp_path / "smoke.parquet").exists()
    again = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert again.returncode == 0, again.stderr
    for name in ("model.safetensors", "metrics.jsonl", "ledger.json"):
        found = {path.parent.name: path.read_bytes() for path in (tmp_path / "runs").glob(f"*/{name}")}
        assert len(found) == 3
        assert found == {folder: (smoke / "runs" / folder / name).read_bytes() for folder in found}


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


def test_a_row_says_every_setting(smoke):
    row = results.read(smoke / "smoke.parquet").to_pylist()[0]
    assert {name: row[name] for name in COLUMNS} == SMOKE.base.columns
    assert row["lm.stage2.batch"] == 8


def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(paths.VARIABLE, str(tmp_path / "cache"))
    for changes, says in (
        ({"post": "file:nowhere.txt"}, "is nothing to read"),
        ({"ft": "c4"}, "Give --max-tokens"),
        ({"scale": "nana"}, "Did you mean nano"),
        ({"vocabulary": 49_152}, "or --scale 135m or 1b"),
        ({"length": 1_024}, "or --scale 135m or 1b"),
    ):
        with pytest.raises(WrongUse, match=says):
            conduct([SMOKE.changed(changes)], tmp_path / "runs", 1, Output(True))
    assert not (tmp_path / "cache" / "tokenizers").exists()
    assert not (tmp_path / "runs").exists()


def test_the_draw_of_d_post_is_the_seeds_and_stored_studies_keep_theirs():
    drawn = SMOKE.changed({"recipe.exposure": 0.0}).over(Axis("seed", (1, 2)))
    assert [pipeline.nodes["post"].plan.parts[0].store for pipeline in pipelines(drawn)] == [
        "music/train~1",
        "music/train~2",
    ]
    stored = pipelines(named("fig3a", "nano").changed({"seed": 1}))[0]
    assert stored.nodes["post"].plan.parts[0].store == "music/train"


def broken_stores():
    """Stores of which one kills the process that opens it, and one raises."""

    def open_named(name):
        if name == "a/report":
            os._exit(9)
        if name == "b/report":
            raise OSError("unreadable")
        return STORES[name]

    return open_named


def test_a_failure_stays_with_its_descendants(tmp_path):
    good = first(measured=(), data=(("a/train", "f"), ("b/train", "f")))
    killed = first(measured=(), data=(*good.data, ("a/report", "f")))
    raising = first(measured=(), data=(*good.data, ("b/report", "f")))
    nodes = [second(killed), second(raising), raising, good]
    heard = []
    found = launch.run(nodes, tmp_path, broken_stores, 1, Output(True), {}, lambda node, _: heard.append(node.hash))
    assert set(found.outcomes) == {good.hash} == set(heard)
    assert set(found.failures) == {killed.hash, raising.hash}
    assert "exit code 9" in found.failures[killed.hash].message
    assert "unreadable" in found.failures[raising.hash].message
    assert found.failures[killed.hash].folder == folder_of(killed, tmp_path)


def test_a_failed_pipeline_is_named_and_the_exit_code_is_1(smoke, tmp_path, capsys):
    """A damaged stage 2 of one lambda: the other is tabled, beside the whole table; the message names the folder."""
    pipeline = next(pipeline for pipeline in _smoke_pipelines() if pipeline.settings.recipe.exposure == 1)
    runs = tmp_path / "runs"
    runs.mkdir()
    for path in (smoke / "runs").iterdir():
        if path.is_dir():
            (runs / path.name).mkdir()
            for file in path.iterdir():
                os.link(file, runs / path.name / file.name)
    outcome = folder_of(pipeline.nodes["post"], runs) / "outcome.json"
    outcome.unlink()
    outcome.write_text("{}")
    whole = (smoke / "smoke.parquet").read_bytes()
    (tmp_path / "smoke.parquet").write_bytes(whole)
    arguments = ["run", "smoke", "--workers", "1", "--out", str(tmp_path), "--runs", str(runs)]
    with pytest.raises(SystemExit) as stop:
        run("lm_experiments", COMMANDS, "test", arguments)
    assert stop.value.code == 1
    heard = " ".join(capsys.readouterr().err.split())
    assert pipeline.nodes["post"].hash in heard
    assert "1 pipelines are not complete" in heard
    assert results.read(tmp_path / "smoke.partial.parquet")["exposure"].to_pylist() == [0.0]
    assert len(json.loads((tmp_path / "smoke.partial.json").read_text())["failed"]) == 1
    assert (tmp_path / "smoke.parquet").read_bytes() == whole


def _smoke_pipelines():
    stores = StoreFactory.of(SMOKE.base)()
    return [Pipeline(cell, stores) for cell in SMOKE.cells()]


def test_wrong_use_trains_nothing(tmp_path, capsys):
    arguments = ["run", "smoke", "--out", str(tmp_path), "--runs", str(tmp_path / "runs"), "--workers", "0"]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 2
    other = dataclasses.replace(SMOKE.changed({"tokenizer_corpora": ("music",)}), name="other")
    with pytest.raises(WrongUse, match="different tokenizers"):
        conduct([SMOKE, other], tmp_path / "runs", 1, Output(True))
    assert not Path(tmp_path / "runs").exists()


def test_a_ledger_that_disagrees_ends_the_run_before_any_row(smoke, monkeypatch):
    def disagree(*_):
        raise Disagreement("stage 1: counted otherwise")

    monkeypatch.setattr("lm_experiments.pipeline.check_ledger", disagree)
    monkeypatch.setattr(Pipeline, "row", lambda *_: pytest.fail("a row was made"))
    with pytest.raises(Disagreement, match="counted otherwise"):
        conduct([SMOKE], smoke / "runs", 1, Output(True))


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
