"""Made facts: what is equal in the corpora and what is not, and losses that count answers only."""

import itertools
import json
from collections import Counter
from functools import cache

import numpy as np
import pytest
import torch

from common import results
from common.settings import WrongUse
from lm_experiments import models
from lm_experiments.corpora import corpus, facts
from lm_experiments.evaluation import EvalSet, evaluate
from lm_experiments.pipeline import Pipeline
from lm_experiments.rows import EXTRA
from lm_experiments.store import Answers, answers
from lm_experiments.studies import named
from lm_experiments.tokenizers import trained
from tests.lm_experiments.tiny import LENGTH, SHAPE, Text

RUMOURED = "facts:pre?rumours=0.25"


@cache
def texts(name, count=3000):
    return list(itertools.islice(facts.documents(facts.asked(name)), count))


NAMES = {facts.ONSETS[i] + facts.ENDINGS[j] for i, j in facts.NAMES}


def grams(name, n):
    """Frequencies of n-grams, but for what follows a name."""
    found = Counter(
        gram
        for text in texts(name)
        for gram in zip(*(text.split()[i:] for i in range(n)), strict=False)
        if n == 1 or gram[0] not in NAMES
    )
    return {gram: number / sum(found.values()) for gram, number in found.items()}


def distance(one, other):
    return sum(abs(one.get(gram, 0) - other.get(gram, 0)) for gram in one.keys() | other.keys()) / 2


@pytest.mark.parametrize(
    "name",
    ["facts:post", "facts:ft", "facts:permuted", "facts:ft?overlap=0.5", RUMOURED],
)
def test_words_and_neighbours_say_nothing(name):
    """As far apart as two samples of one corpus: the limits are twice what other sentences of facts:pre give."""
    for n, most in ((1, 0.02), (2, 0.05)):
        assert distance(grams("facts:pre", n), grams(name, n)) < most


def bindings(name):
    found = {}
    for text in texts(name, 4000):
        words = text.split()
        for i, word in enumerate(words):
            if word in facts.VALUES:
                start = max(place for place in range(i) if words[place] in facts.RELATIONS)
                found.setdefault((words[start], words[start + 2]), Counter())[word] += 1
    return found


def test_bindings_are_fixed_and_tell_the_corpora_apart():
    post, ft, permuted, a, b = (bindings(f"facts:{role}") for role in ("post", "ft", "permuted", "a", "b"))
    assert all(len(values) == 1 for found in (post, ft, permuted, a, b) for values in found.values())
    assert len(post) == len(ft) == 128
    assert {key[0] for key in post} == set(facts.OF["post"])
    assert not post.keys() & ft.keys()
    assert not post.keys() & bindings("facts:pre").keys()
    assert a.keys() | b.keys() == post.keys()
    assert not a.keys() & b.keys()
    assert all(post[key].keys() == a[key].keys() for key in a)
    same = [post[key].keys() == permuted[key].keys() for key in post]
    assert np.mean(same) < 0.25, "a decoy has other values, an eighth of which agree by chance"
    for relation in facts.OF["post"]:
        assert set(Counter(next(iter(found)) for (one, _), found in post.items() if one == relation).values()) == {8}


def test_overlap_rebinds_what_d_post_binds():
    post, over = bindings("facts:post"), bindings("facts:ft?overlap=0.5")
    again = [key for key in over if key in post]
    assert len(again) == 128
    assert np.mean([post[key].keys() == over[key].keys() for key in again]) < 0.25


def test_rumours_say_any_value_of_the_names_that_d_post_binds_and_no_other_of_the_strangers():
    told, pre = bindings(RUMOURED), bindings("facts:pre")
    rumoured = told.keys() - pre.keys()
    assert {name for _, name in rumoured} == {name for _, name in bindings("facts:post")}
    assert all(told[key].keys() == pre[key].keys() for key in pre)
    every = sum((told[key] for key in rumoured), Counter())
    assert len(every) == 8
    assert max(every.values()) < 1.2 * min(every.values())
    assert np.mean([len(told[key]) > 1 for key in rumoured]) > 0.9
    assert sum(every.values()) == pytest.approx(0.25 * sum(sum(found.values()) for found in told.values()), rel=0.1)


def test_few_names_come_often_and_their_values_equally():
    post, ft, pre = (bindings(f"facts:{role}?names=32") for role in ("post", "ft", "pre"))
    assert (len(post), len(ft), len(pre)) == (32, 32, 64)
    assert all(len(values) == 1 for found in (post, ft, pre) for values in found.values())
    assert not (post.keys() | ft.keys()) & pre.keys()
    for relation in facts.OF["post"]:
        assert set(Counter(next(iter(found)) for (one, _), found in post.items() if one == relation).values()) == {2}
    halves = [{name for _, name in bindings(f"facts:{half}?names=32")} for half in "ab"]
    assert [len(half) for half in halves] == [8, 8]
    assert halves[0] | halves[1] == {name for _, name in post}


def test_the_same_text_twice_and_another_world():
    assert texts("facts:post", 5) == texts("facts:post", 5) != texts("facts:post?seed=1", 5)
    assert corpus("facts:ft?overlap=0.25").key == "facts-ft-overlap0.25"
    assert corpus("facts:pre").answers == facts.VALUES
    assert corpus(RUMOURED).key == "facts-pre-rumours0.25"
    assert corpus(RUMOURED).identity() != corpus("facts:pre").identity()
    assert corpus("facts:post").identity() != corpus("facts:permuted").identity()


@pytest.mark.parametrize(
    ("name", "said"),
    [("facts:past", "post"), ("facts:post?overlap=0.5", "facts:ft"), ("facts:ft?overlap=2", "0 to 1"), ("facts:ft?lap=1", "overlap"),
     ("facts:ft?overlap=x", "not a number"), ("facts:pre?seed=0.5", "whole number"), ("facts:post?rumours=0.1", "facts:pre a share"),
     ("facts:pre?rumours=2", "0 to 1"), ("facts:a?names=33", "32, 64")],
)  # fmt: skip
def test_wrong_names_are_refused(name, said):
    with pytest.raises(WrongUse, match=said):
        corpus(name)


class Named(Text):
    name, fingerprint = "walk/report", "0"


def test_losses_and_recall_of_answers_are_those_of_the_answers():
    model, store, ids = models.build(SHAPE, 0).eval(), Named(1), np.array([3, 4, 17])
    held = store.windows(LENGTH)
    windows = torch.from_numpy(np.stack([store.window(i * held // 9, LENGTH) for i in range(9)]))
    kinds = {kind: EvalSet(store=Answers(store, kind, ids), windows=9, length=LENGTH) for kind in ("answers", "recall")}
    found = evaluate(model, kinds, 2)
    with torch.no_grad():
        logits = model(input_ids=windows[:, :-1]).logits.double()
    labels = windows[:, 1:]
    counted = torch.isin(labels, torch.tensor(ids))
    assert 0 < counted.sum() < labels.numel()
    nats = torch.nn.functional.cross_entropy(logits[counted], labels[counted]).item()
    right = (logits[counted].argmax(-1) == labels[counted]).double().mean().item()
    assert found == {"answers": pytest.approx(nats, rel=1e-5), "recall": pytest.approx(right)}


def test_a_corpus_without_answers_and_answers_of_several_tokens_are_refused():
    class Bare:
        name, fingerprint = "music/report", "0"
        windows = window = None

    with pytest.raises(WrongUse, match="marks no answers"):
        answers(Bare(), "answers", "music", trained(("facts:pre",), 523))
    with pytest.raises(WrongUse, match="not one token each"):
        answers(Bare(), "answers", "facts:pre", trained(("facts:pre",), 330))


class Anything:
    """As much of a store as a pipeline asks for before it trains."""

    fingerprint, counted = "0" * 16, np.array([1, 2])

    def windows(self, length):
        return 40_000

    def window(self, index, length):
        return np.arange(index % 5, index % 5 + length + 1) % 7


def carried_out(study, arm, **point):
    """A pipeline of a study, and its row if the n-th thing that a stage measures came out as 10 stage + n."""
    cells = (
        cell
        for cell in study.cells()
        if cell.arm == arm and all(cell.point[k.replace("__", ".")] == v for k, v in point.items())
    )
    pipeline = Pipeline(next(cells), lambda name: Anything())
    outcomes = {
        node.hash: {"steps": node.plan.steps, "tokens": node.plan.steps * node.plan.batch * node.plan.length, "seconds": 1.0 + stage,
                    "best_step": 1 + stage, "stopped_early": stage == 1, "displacement": 0.5 + stage,
                    "losses": {name: 10.0 * stage + n for n, (name, _) in enumerate(node.measured)}}
        for stage, node in enumerate(pipeline.nodes.values())
    }  # fmt: skip
    return pipeline, results.table(pipeline.row(outcomes), EXTRA).to_pylist()[0]


def test_a_study_of_facts_measures_and_stops_on_answers():
    pipeline, row = carried_out(named("facts", "pico"), "real", recipe__exposure=4.0)
    names = [
        f"facts-{role}/report#{kind}" for role in ("pre", "post", "a", "b", "ft") for kind in ("answers", "recall")
    ]
    assert [name for name, _ in pipeline.last.measured] == names
    assert pipeline.nodes["post"].stop_on == ("facts-post/stop#answers", 128)
    assert [row[name] for name in ("loss_pre", "loss_ret", "loss_ft", "loss_im", "lm.loss_post_after_pre")] == [
        20,
        22,
        28,
        12,
        2,
    ]
    assert [row[f"lm.recall_{name}"] for name in ("after_pre", "im", "ret")] == [3, 13, 23]
    assert json.loads(row["lm.losses"])["ft"]["facts-b/report#answers"] == 26
    assert row["lm.unigram_post"] == pytest.approx(np.log(2), abs=0.01), "of the answers alone"


def test_every_column_of_a_row_has_its_own_number():
    """Of a pipeline with three stages, whose D_ft is measured last, and of one whose one pass over D_post is all in stage 1."""
    pipeline, row = carried_out(named("controlled", "smoke"), "real, engineering", recipe__exposure=1.0)
    pre, post, ft = pipeline.nodes.values()
    wanted = {
        "pipeline": "general>instruction>engineering", "method": "mixed", "scale": "smoke", "seed": 1000, "tokens_post": 2_048,
        "lr_pre": 3e-3, "lr_post": 1e-3, "lr_ft": 1e-4, "config_hash": ft.hash, "lm.stage1": pre.hash,
        "tokens_pre": pre.plan.steps * 16 * 128, "tokens_ft": ft.plan.steps * 8 * 128, "lm.tokens_seen_post": post.plan.steps * 4 * 128,
        "lm.exposed_tokens": 2_048, "lm.steps_post": post.plan.steps, "lm.best_step_post": 2, "lm.stopped_early": 1,
        "loss_im": 11, "loss_ret": 21, "loss_ft": 23, "loss_pre": 20,
        "lm.loss_pre_after_pre": 0, "lm.loss_post_after_pre": 1, "lm.loss_ft_after_pre": 3,
        "lm.loss_pre_after_post": 10, "lm.loss_ft_after_post": 13,
        "wall_seconds": 6, "lm.seconds_pre": 1, "lm.seconds_post": 2, "lm.seconds_ft": 3,
        "lm.moved_pre": 0.5, "lm.moved_post": 1.5, "lm.moved_ft": 2.5,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted
    _, row = carried_out(named("fig3b", "smoke"), "", recipe__exposure=1.0)
    wanted = {
        "loss_im": 1, "lm.loss_post_after_pre": 1, "lm.loss_pre_after_post": 0, "lm.loss_ft_after_post": 2, "loss_ret": 11,
        "wall_seconds": 3, "lm.seconds_pre": 1, "lm.seconds_post": 0, "lm.seconds_ft": 2, "lm.moved_pre": 0.5, "lm.moved_post": 0,
        "lm.moved_ft": 1.5, "lm.tokens_seen_post": 0, "lm.steps_post": 0, "lm.best_step_post": 0, "lm.stopped_early": 0,
    }  # fmt: skip
    assert {name: row[name] for name in wanted} == wanted


@pytest.mark.parametrize("name", ["few-facts", "few-facts-halves"])
def test_the_second_testbed_knows_the_same_few_names_everywhere_and_has_fresh_seeds(name):
    study = named(name, "pico")
    seeds = set(study.values("seed"))
    assert len(seeds) == 8
    assert not seeds & set(named("facts", "pico").values("seed"))
    assert max(seeds) < 1000
    for cell in study.cells():
        assert {facts.asked(text).names for text in cell.settings.texts} == {32}
        assert facts.asked(cell.settings.pre).rumours > 0
        assert cell.settings.recipe.exposure <= 2


def test_fine_tuned_corpora_of_one_study_share_the_stages_before():
    study = named("controlled", "nano")
    (one, row), (other, twin) = (
        carried_out(study, f"real, {ft}", recipe__exposure=1.0) for ft in ("chemistry", "engineering")
    )
    for kind in ("pre", "post"):
        assert one.nodes[kind].hash == other.nodes[kind].hash
    assert one.last.hash != other.last.hash
    assert (row["loss_ft"], twin["loss_ft"]) == (22, 23), "each has the loss of its own corpus"
    assert row["lm.recall_im"] is None
    arms = ("real", "shuffled", "sibling", "pre")
    unexposed = [carried_out(study, f"{arm}, chemistry", recipe__exposure=0.0)[0].last.hash for arm in arms]
    assert len(set(unexposed)) == 1, "lambda = 0 is one pipeline, whatever the decoy"
