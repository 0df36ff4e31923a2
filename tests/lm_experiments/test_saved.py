"""A study as a file: what is written is what is run, and what was changed by hand is noticed."""

import json
from dataclasses import replace

import pytest
import tyro

from common import dotted
from common.console import run
from common.settings import WrongUse
from lm_experiments.commands import COMMANDS
from lm_experiments.commands.run import Run
from lm_experiments.dropout import Dropout
from lm_experiments.pipeline import Pipeline
from lm_experiments.studies import STUDIES, named, saved
from lm_experiments.studies.settings import Arm, Axis
from lm_experiments.studies.smoke import SMOKE
from tests.lm_experiments.test_studies import Sized

FLAGS = "smoke --seeds 3 4 --stage2.lr 2e-3 --recipe.replay .25 --axis stage3.batch=4,8 --axis recipe.rank=none,2"


def asked(*arguments):
    return tyro.cli(Run, args=list(arguments), config=(tyro.conf.OmitArgPrefixes,))


def hashes(study):
    return [node.hash for cell in study.cells() for node in Pipeline(cell, lambda _: Sized()).nodes.values()]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.json"
    saved.write(*asked(*FLAGS.split()).studies(), path)
    return path


def test_a_file_trains_the_stages_of_the_flags_that_made_it(file):
    (flags,) = asked(*FLAGS.split()).studies()
    (again,) = asked(str(file)).studies()
    assert again == flags
    assert hashes(again) == hashes(flags)
    assert len(set(hashes(flags))) > 8
    (other,) = asked(str(file), "--stage3.lr", "1e-2", "--seeds", "9").studies()
    assert {cell.settings.seed for cell in other.cells()} == {9}
    assert not set(hashes(other)) & set(hashes(flags))


@pytest.mark.parametrize("key", STUDIES, ids="-".join)
def test_every_study_comes_back(tmp_path, key):
    study = STUDIES[key]
    saved.write(study, tmp_path / "study.json")
    found = saved.read(tmp_path / "study.json")
    assert (found.name, found.about, found.base, found.axes) == (study.name, study.about, study.base, study.axes)
    assert [arm.name for arm in found.arms] == [arm.name for arm in study.arms]
    for mine, theirs in zip(found.arms, study.arms, strict=True):
        assert mine.axes == theirs.axes
        assert dotted.changed(study.base, mine.changes) == dotted.changed(study.base, theirs.changes)
    assert saved.document(found) == saved.document(study)


def test_parts_of_settings_are_written_by_their_names(tmp_path):
    study = replace(SMOKE, arms=(Arm("dropped", {"stage2.dropout": Dropout(attn=0.1)}),))
    saved.write(study, tmp_path / "study.json")
    found = saved.read(tmp_path / "study.json")
    assert found.arms[0].changes["stage2.dropout.attn"] == 0.1
    assert hashes(found) == hashes(study)


def test_the_file_says_all_and_names_itself(file):
    told = json.loads(file.read_text())
    assert tuple(told) == saved.KEYS
    assert told["base"]["stage2"]["lr"] == 2e-3
    assert told["base"]["stage1"]["weight_decay"] == 0.1, "what is at its default too"
    assert {"field": "recipe.rank", "values": [None, 2]} in told["axes"]
    file.write_text(json.dumps({key: told[key] for key in reversed(told)}))
    saved.read(file)  # neither order nor line breaks are content
    assert saved.hash_of(told) == told["hash"]


def edit(file, change):
    told = json.loads(file.read_text())
    change(told)
    file.write_text(json.dumps(told))


def rename(where, old, new):
    where[new] = where.pop(old)


SPOILT = {
    "a key": (lambda t: rename(t, "axes", "axis"), r"axis is no key of a study file\. Did you mean axes"),
    "a key of an arm": (lambda t: t["arms"][0].update(change={}), r"arms\[0\]\.change is no key .* Did you mean changes"),
    "a setting": (lambda t: rename(t["base"], "tokens_post", "token_post"), "base.token_post is no setting. Did you mean tokens_post"),
    "a nested setting": (lambda t: rename(t["base"]["stage2"], "lr", "rl"), "base.stage2.rl is no setting. Did you mean lr"),
    "an axis": (lambda t: t["axes"][0].update(field="recipe.exposur"), r"axes\[0\]: recipe.exposur is no setting. Did you mean"),
    "a change": (lambda t: t["arms"][0].update(changes={"stage2.dropot": 1}), r"arms\[0\]\.changes\.stage2.dropot is no setting"),
    "a type": (lambda t: t["base"]["stage1"].update(batch="many"), "base.stage1.batch = 'many' is of the wrong type. Give a whole number"),
    "a range": (lambda t: t["base"]["stage1"].update(lr=-1), "base.stage1: lr = -1 is outside its range"),
    "a value of an axis": (lambda t: t["axes"][0].update(values=["no"]), r"axes\[0\]: recipe.exposure = 'no' is of the wrong type"),
    "a list": (lambda t: t.update(arms={}), "arms must be a list, not dict"),
    "an object": (lambda t: t.update(base=3), "base must be an object"),
    "a missing key": (lambda t: t.pop("name"), "name is missing"),
    "no hash": (lambda t: t.pop("hash"), "hash is missing"),
    "a missing setting": (lambda t: t["base"].pop("scale"), "base.scale is missing"),
    "the format": (lambda t: t.update(format=9), "format = 9 is not 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILT)
def test_a_malformed_file_is_refused_by_the_name_of_the_key(file, case):
    change, says = SPOILT[case]
    edit(file, change)
    with pytest.raises(WrongUse, match=rf"mine\.json: {says}"):
        saved.read(file)


def test_a_change_is_noticed_until_it_is_accepted(file):
    edit(file, lambda told: told["base"]["stage2"].update(lr=4e-3))
    with pytest.raises(WrongUse, match="it was changed since it was saved") as refused:
        saved.read(file)
    found = str(refused.value).split('"hash": "')[1][:16]
    edit(file, lambda told: told.update(hash=found))
    assert saved.read(file).base.stage2.lr == 4e-3


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "is no JSON"), ("[]", "must be an object, not list"), ("[" * 100_000, "is no JSON"),
     ('{"format": 1, "format": 1}', "format is there twice"), (None, "There is no study file")],
)  # fmt: skip
def test_what_is_no_study_is_refused(tmp_path, text, says):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(WrongUse, match=says):
        saved.read(path)


def test_a_file_is_not_overwritten_by_another_study(file, tmp_path):
    before = file.read_bytes()
    with pytest.raises(WrongUse, match="is not this study"):
        saved.write(SMOKE, file)
    saved.write(saved.read(file), file)
    assert file.read_bytes() == before
    with pytest.raises(WrongUse, match=r"end its name in \.json"):
        saved.write(SMOKE, tmp_path / "study")


def test_plan_saves_and_reads(outside, capsys):
    def told(*arguments):
        assert run("lm_experiments", COMMANDS, "test", [*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    flags = ("smoke", "--exposures", "1", "--seeds", "0", "1", "--recipe.dropout", "0.1", "--accelerator", "a100")
    first = told("plan", *flags, "--save-study", "mine.json")
    assert told("plan", "mine.json", "--accelerator", "a100") == first
    assert told("studies", "mine.json")["axes"]["seed"] == [0, 1]
    assert sorted(path.name for path in outside.iterdir()) == ["mine.json"]
    for arguments, says in (
        (("plan", "smoke", "fig2", "--save-study", "two.json"), "holds one study"),
        (("plan", "mine.json", "--scale", "micro"), "is a study of scale nano, not micro"),
        (("plan", "mine.json", "smoke"), "Two studies are called smoke"),
        (("plan", "their.json"), "There is no study file"),
    ):
        assert run("lm_experiments", COMMANDS, "test", list(arguments)) == 2
        assert says in capsys.readouterr().err, arguments


def test_run_saves_before_it_trains(outside, monkeypatch):
    monkeypatch.setattr("lm_experiments.conduct.conduct", lambda *_, **__: {})
    assert run("lm_experiments", COMMANDS, "test", ["run", "smoke", "--seeds", "5", "--save-study", "mine.json"]) == 0
    assert saved.read(outside / "mine.json") == named("smoke", "nano").over(Axis("seed", (5,)))


def test_the_command_of_a_file_is_repeated_as_it_was_given(file):
    command = asked(str(file), "--seeds", "1", "--micro-batch", "2", "--trackers", "tensorboard", "--compile", "yes")
    assert command.spelled_out("smoke") == f"python -m lm_experiments run {file} --seeds 1"
    again = asked(*command.arguments())
    assert again.studies() == command.studies()
    assert again.execution == command.execution
