"""Probes of trained models: what each measures where the answer is known, and that an interrupted command ends as one that was not."""

import json

import numpy as np
import pytest
import torch

from common import results
from common.console import Output, run
from lm_experiments.checkpoints import load_model
from lm_experiments.commands import COMMANDS
from lm_experiments.conduct import planned
from lm_experiments.damage import Damage, apply
from lm_experiments.probes import connectivity, noise, subspaces, transplant
from lm_experiments.probes.continued import relearned
from lm_experiments.probes.subject import Subject, gradient
from lm_experiments.probes.table import REALS
from lm_experiments.probes.weights import copied, put, restored
from lm_experiments.stages import ensure, finished, folder_of, told
from lm_experiments.studies import named
from tests.lm_experiments import tiny

STUDY = ("deciding", "--scale", "smoke", "--arms", "real")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the runs."""
    return tmp_path_factory.mktemp("probes")


@pytest.fixture(scope="module")
def subjects(folder):
    """U and M of `deciding` at smoke scale, trained."""
    opener, pipelines = planned([named("deciding", "smoke").chosen(["real"])], Output(True))
    stores = opener()
    for one in pipelines:
        ensure(one.last, folder / "runs", stores, lambda _: None)
    return [Subject(one, folder / "runs", stores) for one in pipelines]


@pytest.fixture(scope="module")
def rows(subjects, folder):
    """Of the results table: U's and M's."""

    def outcome(node):
        return told(node, folder / "runs", finished(node, folder / "runs"))

    return [one.pipeline.row({node.hash: outcome(node) for node in one.nodes.values()}) for one in subjects]


def probe(folder, *arguments):
    return run(
        "lm_experiments", COMMANDS, "test", ["probe", *STUDY, "--runs", str(folder / "runs"), "--json", *arguments]
    )


def test_losses_are_those_of_the_table(subjects, rows):
    for subject, row in zip(subjects, rows, strict=True):
        assert subject.loss(subject.model("post")) == pytest.approx(row["loss_im"], rel=1e-6)
        assert subject.loss(subject.model("ft")) == pytest.approx(row["loss_ret"], rel=1e-6)


def test_a_model_is_itself_again_after_noise():
    from lm_experiments import models

    model = models.build(tiny.SHAPE, 0)
    before = copied(model)
    with restored(model):
        apply(model, Damage(noise=0.1), 3)
        assert any(not torch.equal(before[name], tensor) for name, tensor in copied(model).items())
    assert all(torch.equal(before[name], tensor) for name, tensor in copied(model).items())


def test_more_noise_does_more_and_its_draws_are_the_same_for_all_models_of_a_seed(subjects, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        noise, "apply", lambda model, damage, seed: (drawn.append((damage.noise, seed)), apply(model, damage, seed))
    )
    found = [noise.noise(subject) for subject in subjects]
    assert found[0]["noise_10"] > found[0]["noise_03"] > -0.01
    assert drawn[:10] == drawn[10:]
    assert len(set(drawn)) == 2 * noise.DRAWS
    assert noise.noise(subjects[0]) == found[0]


def test_a_step_along_the_gradient_lowers_the_loss_whose_gradient_it_is(subjects):
    model, text = subjects[0].model("post"), subjects[0].text("ft")
    from lm_experiments.evaluation import evaluate

    slope = gradient(model, text)
    norm = sum(float(part.square().sum()) for part in slope.values()) ** 0.5
    losses = []
    for size in (-1e-2, 0.0, 1e-2):
        start = copied(model)
        put(model, start | {name: start[name] + size / norm * part for name, part in slope.items()})
        losses.append(evaluate(model, {"x": text}, 16)["x"])
        put(model, start)
    assert (losses[2] - losses[0]) / 2e-2 == pytest.approx(norm, rel=0.02)
    measured = noise.direction(subjects[0])
    put(model, start | {name: start[name] - part / norm for name, part in slope.items()})  # as fine-tuning begins
    before = subjects[0].loss(subjects[0].model("post"))
    assert measured["step_along"] == pytest.approx(subjects[0].loss(model) - before, abs=1e-5)
    assert measured["gradient_ft"] == pytest.approx(norm, rel=1e-4)
    assert measured["step_bend"] == pytest.approx(measured["step_along"] + measured["step_against"])


def test_the_share_of_a_planted_gradient_is_one_and_of_an_orthogonal_one_nothing():
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(16, 16)))[0]
    pre = turn @ np.diag(np.ones(16)) @ turn.T
    post = turn @ np.diag([9.0, 8.0, *np.ones(14)]) @ turn.T  # two of sixteen: an eighth
    basis = subspaces.projection(post, pre)
    assert basis.shape == (16, 2)
    inside = rng.normal(size=(5, 2)) @ turn[:, :2].T
    outside = rng.normal(size=(5, 14)) @ turn[:, 2:].T
    assert subspaces.inside(inside, basis) == pytest.approx((inside**2).sum())
    assert subspaces.inside(outside, basis) == pytest.approx(0, abs=1e-12)


def test_what_d_pre_uses_too_is_not_what_only_d_post_uses():
    post, pre = np.diag([9.0, 3.0, *np.ones(6)]), np.diag([9.0, *np.ones(7)])
    assert np.abs(subspaces.projection(post, pre)[:, 0]) == pytest.approx(np.eye(8)[1])


def test_coordinates_are_those_of_the_largest_ratio():
    post, pre = np.ones((4, 4)), np.ones((4, 4))
    post[1, 2], post[3, 0] = 5.0, 4.0
    pre[0, 0], post[0, 0] = 10.0, 9.0  # much information, as much of it on D_pre
    assert set(zip(*(axis.tolist() for axis in subspaces.largest(post, pre)), strict=True)) == {(1, 2), (3, 0)}


def test_second_moments_are_those_of_what_enters_a_layer(subjects):
    model, text = subjects[0].model("post"), subjects[0].text("post", 3)
    found = subspaces.second_moments(model, text)
    assert len(found) == 7 * len(model.model.layers)
    seen = []
    layer = model.model.layers[0].self_attn
    handle = layer.q_proj.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    with torch.no_grad():
        model(input_ids=text.rows(0, 3)[:, :-1])
    handle.remove()
    x = torch.cat(seen).flatten(0, 1).double().numpy()
    assert found["model.layers.0.self_attn.q_proj"] == pytest.approx(x.T @ x / len(x), rel=1e-4, abs=1e-6)
    shares = subspaces.subspaces(subjects[0], "post")
    assert all(0 < share < 1 for share in shares.values())


def test_nothing_transplanted_changes_nothing(subjects, rows):
    """M in the place of both: the models, losses and stage 3 of the pipeline itself."""
    found = transplant.transplanted(subjects[1], subjects[1])
    for name in ("given", "taken"):
        for loss in ("im", "ret", "ft"):
            assert found[f"{name}_{loss}"] == pytest.approx(rows[1][f"loss_{loss}"], rel=1e-6), (name, loss)


def test_what_was_given_is_theta_u_plus_what_exposure_left(subjects, monkeypatch):
    models = []
    monkeypatch.setattr(
        transplant, "fine_tuned", lambda _, model: models.append(copied(model)) or {"ret": 0.0, "ft": 0.0}
    )
    transplant.transplanted(subjects[1], subjects[0])
    name = "model.layers.0.mlp.up_proj.weight"
    (plain, mixed), (plain_post, mixed_post) = (
        [copied(subject.model(kind))[name] for subject in subjects] for kind in ("pre", "post")
    )
    assert torch.allclose(models[0][name], plain_post + mixed - plain, atol=1e-6)
    assert torch.allclose(models[1][name], mixed_post - mixed + plain, atol=1e-6)


def test_relearning_starts_at_loss_ret_and_stops_where_stage_2_has_no_more_steps(subjects, rows):
    found = relearned(subjects[0])
    assert found["relearned_0"] == pytest.approx(rows[0]["loss_ret"], rel=1e-6)
    steps = subjects[0].nodes["post"].plan.steps
    assert [step for step in (6, 12, 24, 48) if found[f"relearned_{step}"] is not None] == [
        step for step in (6, 12, 24, 48) if step <= steps
    ]
    assert found["relearned_6"] < found["relearned_0"]


def test_barriers_are_above_the_straight_line_and_cka_knows_rotations(subjects, rows):
    assert connectivity.barrier([1.0, 2.0, 2.0]) == pytest.approx(0.5)
    assert connectivity.barrier([1.0, 1.0, 2.0]) == 0
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5))
    turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    assert connectivity.cka(x, 3 * x @ turn + 1) == pytest.approx(1)
    assert connectivity.cka(x, rng.normal(size=(200, 5))) < 0.2
    found = connectivity.connected(subjects[0], "post", "ft")
    path = json.loads(found["path_post_ft"])
    assert (path[0], path[-1]) == (pytest.approx(rows[0]["loss_im"]), pytest.approx(rows[0]["loss_ret"]))


def test_an_interrupted_command_ends_as_one_that_was_not(folder, subjects, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert probe(folder, "--out", str(whole), "--only", "noise", "direction") == 0
    calls = []
    own = noise.direction

    def interrupted(subject):
        calls.append(subject)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return own(subject)

    monkeypatch.setattr(noise, "direction", interrupted)
    some = "--out", str(cut), "--only", "noise", "direction"
    assert probe(folder, *some) == 130
    assert not (cut / "deciding-probes.parquet").exists()
    kept = {path.name: path.read_text() for path in (cut / ".deciding-probes").iterdir()}
    assert len(kept) == 3  # both of one model, the noise of the other
    assert probe(folder, *some) == 0
    assert all((cut / ".deciding-probes" / name).read_text() == text for name, text in kept.items())
    assert json.loads((cut / "deciding-probes.json").read_text())["reused"] == len(kept)
    one, other = (results.read(place / "deciding-probes.parquet") for place in (whole, cut))
    measured = [name for name in one.column_names if name.startswith(("probe.noise", "probe.step", "probe.gradient"))]
    assert one.select(measured).equals(other.select(measured))
    assert other["probe.share_im"].null_count == other.num_rows
    (damaged, *_) = (cut / ".deciding-probes").iterdir()
    damaged.write_text("{}")
    assert probe(folder, *some) == 0  # measured again
    assert results.read(cut / "deciding-probes.parquet").equals(other)


def test_the_table_has_the_rows_of_the_study_and_every_measurement(folder, rows, tmp_path):
    assert probe(folder, "--out", str(tmp_path)) == 0
    found = results.read(tmp_path / "deciding-probes.parquet").to_pylist()
    for row, wanted in zip(found, rows, strict=True):
        assert {name: row[name] for name in wanted if name != "code_version"} == {
            name: value for name, value in wanted.items() if name != "code_version"
        }
    absent = [{name for name in REALS if row[f"probe.{name}"] is None} for row in found]
    later = {f"relearned_{step}" for step in (12, 24, 48)}  # than stage 2 of this scale has steps
    assert absent[1] == later
    assert absent[0] == later | {name for name in REALS if name.startswith(("given", "taken"))}
    said = json.loads((tmp_path / "deciding-probes.json").read_text())
    assert said["command"] == "python -m lm_experiments probe deciding --scale smoke --arms real"


def test_models_that_are_not_there_are_said(folder, subjects, tmp_path, capsys):
    assert (
        run("lm_experiments", COMMANDS, "test", ["probe", *STUDY, "--runs", str(tmp_path), "--out", str(tmp_path)]) == 2
    )
    said = capsys.readouterr().err
    assert "run deciding" in said
    assert "Traceback" not in said
    model = folder_of(subjects[1].nodes["ft"], folder / "runs")
    assert load_model(model, subjects[1].nodes["pre"].model) is not None
    away = model.rename(model.with_name("away"))
    try:
        assert probe(folder, "--out", str(tmp_path), "--only", "noise") == 0
        assert "Left out: real" in capsys.readouterr().err
        assert results.read(tmp_path / "deciding-probes.parquet").num_rows == 1
    finally:
        away.rename(model)
