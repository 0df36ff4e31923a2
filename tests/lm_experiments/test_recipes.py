"""Recipes as language models carry them out: decoys and other derived text, what reaches which stage, and chains of real stages."""

import dataclasses
import json
from collections import Counter

import numpy as np
import pytest
import torch

from common.recipe import Recipe
from common.settings import WrongUse
from lm_experiments import checkpoints, derived, models
from lm_experiments.derived import Name
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.pipeline import Pipeline
from lm_experiments.stages import ensure, folder_of
from lm_experiments.studies import STUDIES
from lm_experiments.studies.settings import Cell
from lm_experiments.studies.smoke import SMOKE
from tests.lm_experiments import golden
from tests.lm_experiments.test_stages import STORES, first, second
from tests.lm_experiments.tiny import LENGTH, SHAPE, Text, lines

GOLDEN = json.loads(golden.FILE.read_text())
NANO = models.PRESETS["nano"]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Derived text.

BASE = Text(5, 16 * 40 + 1)


def opened(kind, seed=3, first=0, count=20, model=None):
    name = str(Name(kind, seed, first, count, "music/train"))
    assert derived.source(name) == "music/train"
    return derived.opened([name, "music/train"], {"music/train": BASE}, LENGTH, model)[name]


def windows(store, count=20):
    return np.stack([store.window(i, LENGTH) for i in range(count)])


def test_names_are_read_as_they_are_written():
    name = Name("bigram", 3, 0, 256, "file:a:b#text/train")
    assert derived.parsed(str(name)) == name
    assert derived.parsed("file:1:2:3:x/train") is None
    assert derived.source("music/train") == "music/train"


def test_shuffled_windows_hold_the_same_tokens_in_another_order():
    plain, found = windows(BASE), windows(opened("shuffled"))
    assert all(Counter(a) == Counter(b) for a, b in zip(plain.tolist(), found.tolist(), strict=True))
    assert (plain != found).mean() > 0.8
    assert np.array_equal(found, windows(opened("shuffled")))
    assert not np.array_equal(found, windows(opened("shuffled", seed=4)))


def test_bigram_windows_have_the_pairs_of_the_corpus_and_no_longer_ones():
    """The text is a random walk in steps of 1, 2 or 5: so is a resample, and it goes through a token's followers evenly."""
    found = windows(opened("bigram"))
    assert set(np.unique(np.diff(found, axis=1) % SHAPE.vocabulary)) <= {1, 2, 5}
    pairs = {pair for window in windows(BASE) for pair in zip(window[:-1].tolist(), window[1:].tolist(), strict=True)}
    assert {pair for window in found for pair in zip(window[:-1].tolist(), window[1:].tolist(), strict=True)} <= pairs
    assert not {tuple(window[:8]) for window in found} & {tuple(window[:8]) for window in windows(BASE, 40)}
    assert np.array_equal(found, windows(opened("bigram")))
    assert not np.array_equal(found, windows(opened("bigram", seed=4)))


def test_text_beyond_a_corpus_is_the_rest_of_its_store():
    assert np.array_equal(windows(opened("beyond", first=20)), windows(BASE, 40)[20:])
    with pytest.raises(WrongUse, match="music/train holds 40 windows of 16 tokens; beyond needs 30 after the first 20"):
        opened("beyond", first=20, count=30)


def test_generated_text_is_what_the_model_writes():
    model = models.build(dataclasses.replace(SHAPE, init_std=1.0), 0).eval()  # far from uniform
    store = opened("generated", count=40, model=model)
    found = windows(store, 40)
    again = opened("generated", count=40, model=model)
    assert np.array_equal(np.stack([again.window(i, LENGTH) for i in reversed(range(40))])[::-1], found)
    assert not np.array_equal(found, windows(opened("generated", seed=4, count=40, model=model), 40))
    assert np.array_equal(found[:, 0], windows(BASE, 40)[:, 0])
    with torch.no_grad():
        logits = model(input_ids=torch.from_numpy(found[:, :-1])).logits.double().log_softmax(-1)
    wanted = -(logits.exp() * logits).sum(-1).mean().item()  # the entropy, which text of the model has as its loss
    ids = torch.from_numpy(found)[:, 1:, None]
    loss = -logits.gather(-1, ids)[..., 0]
    assert loss.mean().item() == pytest.approx(wanted, abs=4 * loss.std().item() / loss.numel() ** 0.5)
    assert wanted < np.log(SHAPE.vocabulary) - 0.5
    with pytest.raises(WrongUse, match="the first stage has none"):
        opened("generated")


# What reaches which stage.


class Sized:
    """A store of noise, of the size that is asked for."""

    fingerprint = "f"

    def __init__(self, size=3_000, seed=0):
        self.size, self.seed = size, seed

    def windows(self, length):
        return self.size

    def window(self, index, length):
        return np.random.default_rng([self.seed, index]).integers(0, NANO.vocabulary, length + 1)


def pipeline(changes=None, store=lambda name: Sized(), **recipe):
    given = {"other": "engineering", "draw": "prefix", "recipe": Recipe(**{"exposure": 0.5, **recipe})} | (
        changes or {}
    )
    made = dataclasses.replace(SMOKE.base, **given)
    return Pipeline(Cell(SMOKE, "", made, {}), store)


REACHES = [
    ({"rank": 4}, {"post": {"rank": 4}}),
    ({"rank": 4, "dropout": 0.1}, {"post": {"rank": 4, "rank_dropout": 0.1}}),
    ({"dropout": 0.1}, {"post": {"dropout": models.Dropout(embed=0.1, attn=0.1, resid=0.1, mlp=0.1)}}),
    ({"l2_to_start": 0.5}, {"post": {"l2_to_start": 0.5}}),
    ({"ewc": 1e3}, {"post": {"ewc": 1e3, "ewc_on": "beyond:0:0:160:general/train"}}),
    ({"sam": 0.1}, {"post": {"sam": 0.1}}),
    ({"sam_pre": 0.1}, {"pre": {"sam": 0.1}}),
    ({"rank_ft": 4}, {"ft": {"rank": 4}}),
    ({"l2_to_start_ft": 0.5}, {"ft": {"l2_to_start": 0.5}}),
    ({"ewc_ft": 1e3}, {"ft": {"ewc": 1e3, "ewc_on": "beyond:0:0:64:music/train"}}),
    ({"ewc_ft": 1e3, "ewc_ft_on": "pre"}, {"ft": {"ewc": 1e3, "ewc_on": "beyond:0:0:160:general/train"}}),
    ({"noise_ft": 0.05, "noise_scale": "absolute"}, {"ft": {"damage": None}}),
    ({"bits_ft": 8}, {"ft": {"damage": None}}),
]


@pytest.mark.parametrize(("recipe", "wanted"), REACHES, ids=lambda value: "-".join(value))
def test_an_intervention_reaches_its_stage_and_no_other(recipe, wanted):
    plain, found = pipeline(), pipeline(**recipe)
    for kind, node in found.nodes.items():
        usual = plain.nodes[kind]
        assert node.plan == usual.plan
        changed = {
            field.name: getattr(node.settings, field.name)
            for field in dataclasses.fields(node.settings)
            if getattr(node.settings, field.name) != getattr(usual.settings, field.name)
        }
        expected = dict(wanted.get(kind, {}))
        if "damage" in expected:
            told = changed["damage"]
            expected["damage"] = told
            assert (told.noise, told.bits) == (recipe.get("noise_ft", 0.0), recipe.get("bits_ft", 0))
            assert told.scale == recipe.get("noise_scale", "relative")
        assert changed == expected, kind
        if node.settings.ewc:
            assert derived.source(node.settings.ewc_on) in dict(node.data)


STORES_SEEN = [
    ({"exposed": "shuffled"}, "pre", "shuffled:1000:0:64:music/train", 32),
    ({"exposed": "bigram"}, "pre", "bigram:1000:0:64:music/train", 32),
    ({"exposed": "sibling"}, "pre", "beyond:0:64:64:music/train", 32),
    ({"exposed": "other"}, "pre", "engineering/train", 32),
    ({"exposed": "pre"}, "pre", "beyond:0:160:64:general/train", 32),
    ({"exposed": "ft"}, "pre", "chemistry/train", 32),
    ({"replay": 0.25, "replay_from": "generated"}, "post", "generated:1000:0:160:general/train", 32),
    ({"overlap": 0.25}, "ft", "beyond:0:64:64:music/train", 16),
    ({"replay_ft": 0.25}, "ft", "music/train", 16),
    ({"replay_ft": 0.25, "replay_ft_from": "pre"}, "ft", "general/train", 16),
    ({"replay_ft": 0.25, "replay_ft_from": "generated"}, "ft", "generated:1000:0:64:music/train", 16),
]


@pytest.mark.parametrize(("recipe", "kind", "store", "count"), STORES_SEEN, ids=lambda value: str(value))
def test_a_stage_reads_the_text_that_the_recipe_says(recipe, kind, store, count):
    plain, found = pipeline(), pipeline(**recipe)
    part = found.nodes[kind].plan.parts[1]
    assert (part.store, part.count) == (store, count)
    assert derived.source(store) in dict(found.nodes[kind].data)
    assert found.nodes[kind].settings == plain.nodes[kind].settings
    assert found.nodes[kind].plan.steps == plain.nodes[kind].plan.steps, "at equal tokens"
    for other in {"pre", "post", "ft"} - {kind}:
        assert found.nodes[other].plan == plain.nodes[other].plan
    if kind == "pre":
        own, usual = found.nodes["pre"].plan.layout, plain.nodes["pre"].plan.layout
        base = [window[part == 0][:128] for part, window in (own, usual)]
        assert np.array_equal(*base), "D_pre in the same order"


def test_extra_passes_lengthen_stage_2_alone():
    plain, found = pipeline(), pipeline(extra=0.5)
    assert found.nodes["post"].plan.parts[0].count == plain.nodes["post"].plan.parts[0].count + 32
    assert found.nodes["pre"].plan == plain.nodes["pre"].plan


def test_more_than_one_pass_of_exposure_repeats_windows():
    plan = pipeline(exposure=2.5).nodes["pre"].plan
    part, window = plan.layout
    assert sorted(Counter(Counter(window[part == 1].tolist()).values())) == [2, 3]
    assert (part == 1).sum() == 160


def test_a_store_that_is_too_small_is_refused_before_anything_is_trained():
    with pytest.raises(
        WrongUse, match="music/train holds 100 windows of 128 tokens; beyond needs 64 after the first 64"
    ):
        _ = pipeline(store=lambda name: Sized(100 if name == "music/train" else 3_000), exposed="sibling").nodes
    with pytest.raises(WrongUse, match="cannot realise exposed = other: no other corpus is named"):
        _ = pipeline({"other": ""}, exposed="other").nodes


def test_settings_of_a_stage_reach_its_training():
    stage = dataclasses.replace
    base = SMOKE.base
    changes = {
        "stage1": stage(base.stage1, eval_every=7, seed=42, weight_decay=0.2),
        "stage2": stage(
            base.stage2, min_lr=5e-5, seed=40, dropout=models.Dropout(resid=0.1), eval_every=100, patience=3
        ),
        "stage3": stage(base.stage3, warmup=3, dropout=models.Dropout(attn=0.1)),
    }
    nodes = pipeline(changes).nodes
    first, second, third = (nodes[kind].settings for kind in ("pre", "post", "ft"))
    assert (first.seed, second.seed, third.seed) == (1042, 1040, 1000)
    assert [nodes[kind].plan.seed for kind in nodes] == [1042, 1040, 1000]
    assert (first.eval_every, first.keep_best, first.patience, first.weight_decay) == (7, False, 0, 0.2)
    assert nodes["pre"].stop_on == ("general/stop", 16)
    assert (second.min_lr, second.eval_every, second.keep_best, second.patience) == (5e-5, 100, True, 3)
    assert (first.min_lr, third.min_lr, third.warmup_steps) == (pytest.approx(3e-4), pytest.approx(3e-5), 3)
    assert (second.dropout, third.dropout) == (models.Dropout(resid=0.1), models.Dropout(attn=0.1))
    split = pipeline(changes, split="compute-matched").nodes
    assert split["post"].plan.seed == split["pre"].plan.seed == 1042, "one pass, in one order"
    with pytest.raises(WrongUse, match="exclude each other"):
        _ = pipeline(changes, dropout=0.1).nodes


@pytest.mark.parametrize("key", GOLDEN)
def test_a_study_trains_as_it_is_written_down(key):
    """The settings of one of its cells: what a study means does not change by accident."""
    assert golden.stages(key) == GOLDEN[key]


def test_every_study_is_written_down():
    assert set(GOLDEN) == {"/".join(key) for key in STUDIES}, "python -m tests.lm_experiments.golden"


def test_orders_are_paired_across_lambda():
    made = [pipeline(exposure=exposure) for exposure in (0.0, 0.5, 1.0)]
    base = []
    for one in made:
        part, window = one.nodes["pre"].plan.layout
        base.append(window[part == 0][:160].tolist())
    assert base[0] == base[1] == base[2]
    assert len({one.nodes["ft"].plan.fingerprint() for one in made}) == 1
    assert len({one.nodes["post"].plan.fingerprint() for one in made}) == 1
    assert len({one.nodes[kind].settings.seed for one in made for kind in one.nodes}) == 1


# Chains of real stages.


def test_a_stage_begins_with_the_weights_that_its_parent_left(tmp_path):
    """The first training loss of a child is that of its parent's saved model on the same windows."""
    parent = first()
    child = second(parent)
    child = dataclasses.replace(child, settings=dataclasses.replace(child.settings, log_every=1))
    last = dataclasses.replace(second(child), kind="ft", settings=dataclasses.replace(child.settings, lr=3e-2))
    ensure(last, tmp_path, STORES.__getitem__, lambda _: None)
    for before, after in ((parent, child), (child, last)):
        model = checkpoints.load_model(folder_of(before, tmp_path), parent.model)
        batch = after.plan.open(STORES).batch(0)

        class Batch:
            def windows(self, length, batch=batch):
                return len(batch)

            def window(self, index, length, batch=batch):
                return batch[index]

        wanted = evaluate(model, {"x": EvalSet(store=Batch(), windows=len(batch), length=8)}, 16)["x"]
        assert lines(folder_of(after, tmp_path))[0]["loss"] == pytest.approx(wanted, rel=1e-5)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


SHORT = {
    "stage1": dataclasses.replace(SMOKE.base.stage1, tokens=4_096, warmup=1),
    "stage2": dataclasses.replace(SMOKE.base.stage2, tokens=4_096, eval_every=0, patience=0, warmup=1),
    "stage3": dataclasses.replace(SMOKE.base.stage3, tokens=2_048, warmup=1),
    "tokens_post": 2_048, "report_windows": 2,
}  # fmt: skip
CHAINS = [
    {"exposed": "shuffled", "replay": 0.25, "replay_from": "generated", "rank": 2},
    {"exposed": "bigram", "ewc": 1e3},
    {"exposed": "sibling", "overlap": 0.25},
    {"replay_ft": 0.5, "replay_ft_from": "generated", "l2_to_start_ft": 0.1},
    {"ewc_ft": 1e3, "replay_ft": 0.25},
    {"rank_ft": 2},
    {"noise_ft": 0.05, "bits_ft": 8},
]


@pytest.mark.parametrize("recipe", CHAINS, ids=lambda recipe: "-".join(recipe))
def test_a_pipeline_of_every_kind_is_carried_out(root, recipe):
    made = pipeline(SHORT, **recipe)
    outcomes = {}
    for node in made.nodes.values():
        outcome = ensure(node, root, made.stores, lambda _: None)
        outcomes[node.hash] = dataclasses.asdict(outcome)
    row = made.row(outcomes)
    assert {name: row[name] for name in recipe} == recipe
    assert row["lm.moved_post"] > 0
    assert row["lm.moved_ft"] > 0
    assert row["tokens_ft"] == (0 if "noise_ft" in recipe else 2_048)
    written = json.loads((folder_of(made.last, root) / "ledger.json").read_text())
    assert {entry["store"]: entry["seen"] for entry in written["entries"]}.get("chemistry/train", 0) == (
        0 if "noise_ft" in recipe else 16 - made.last.plan.parts[-1].count * (len(made.last.plan.parts) > 1)
    )


@pytest.mark.parametrize(
    ("stage", "said"), [("post", "pre = general and post = general"), ("ft", "pre = general and ft = general")]
)
def test_two_stages_cannot_have_the_same_text(stage, said):
    (cell, *_) = SMOKE.changed({stage: "general"}).cells()
    with pytest.raises(WrongUse, match=f"{said} are the same text"):
        Pipeline(cell, lambda _: golden.Endless())
    begun = SMOKE.changed({stage: "general", "begin_at": "stage2", "init_from": "there"})
    Pipeline(next(iter(begun.cells())), lambda _: golden.Endless())  # nobody trains on D_pre
