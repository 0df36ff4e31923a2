"""The study of unstated choices changes one at a time, and a choice that moves the effect is told from one that does not."""

from dataclasses import replace

import numpy as np
import pytest

from common import results
from common.gates import MET
from lm_experiments.pipeline import Pipeline
from lm_experiments.studies import named
from lm_experiments.studies.sensitivity import AS_IT_IS, CHOICES
from lm_experiments.verdicts import verdicts
from lm_experiments.verdicts.controls import choice
from lm_experiments.verdicts.groups import groups
from lm_experiments.verdicts.sensitivity import sensitivity
from tests.lm_experiments.golden import Endless

RATES = (1e-4, 2e-4, 3e-4)


def test_one_choice_at_a_time_is_made_otherwise():
    study = named("few-sensitivity", "pico").changed({"seed": 60, "stage3.lr": 2e-4, "recipe.exposure": 2.0})
    made = {cell.arm: Pipeline(cell, lambda _: Endless()).nodes for cell in study.cells()}
    for exposed in ("real", "shuffled"):
        base = made[f"{exposed}, {AS_IT_IS}"]
        nodes = {name: made[f"{exposed}, {name}"] for name in CHOICES if name != AS_IT_IS}
        assert nodes["constant"]["post"].hash == base["post"].hash
        assert nodes["constant"]["ft"].settings.min_lr == base["ft"].settings.lr > base["ft"].settings.min_lr
        assert nodes["replaced"]["pre"].plan.steps < base["pre"].plan.steps == nodes["first"]["pre"].plan.steps
        assert [nodes[name]["pre"].model.tied for name in nodes] == [True, False, True, True]
        assert [nodes[name]["post"].plan.parts[0].store.count("~60") for name in nodes] == [1, 1, 0, 1]


def table(moved):
    """Forgetting 1, a raw effect of -.2 and half of that over the decoy; under a choice, real exposure gains `moved` more."""
    rng = np.random.default_rng(3)
    rows = []
    for name, extra in {AS_IT_IS: 0.0, **moved}.items():
        for seed in range(60, 65):
            for exposed in ("post", "shuffled"):
                for exposure in (0.0, 2.0):
                    gain = (0.1 if exposed == "shuffled" else 0.2 + extra) * exposure / 2
                    noise = rng.normal(0, 0.005) if exposure else 0.0
                    for rate in RATES:
                        rows.append({
                            "seed": seed, "exposed": exposed, "exposure": exposure, "lr_ft": rate, "loss_im": 1.0,
                            "loss_ret": 2.0 + 1e3 * rate - gain + noise, "loss_ft": 2.0 - 1e3 * rate, "lm.variant":
                            f"{'real' if exposed == 'post' else exposed}, {name}", "config_hash": f"{name}{rate}{exposure}{exposed}",
                        })  # fmt: skip
    stamp = {
        "engine": "lm", "study": "few-sensitivity", "model": "llama", "scale": "pico", "pipeline": "a>b>c", "method": "mixed",
        "split": "independent", "mixing": "add", "placement": "uniform", "tokens_post": 16_384, "code_version": "0",
    }  # fmt: skip
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return results.table(columns | stamp, {"lm.variant": "text"})


def test_a_choice_that_moves_the_effect_is_told_from_one_that_does_not():
    found = verdicts([table({"first": 0.0, "constant": 0.5})])
    told = {(one.variant, one.where): one for one in found if one.claim == "-"}
    assert {key: one.status for key, one in told.items()} == {
        ("first", "first: raw effect"): "supported",
        ("first", "first: over the decoy effect"): "supported",
        ("constant", "constant: raw effect"): "refuted",
        ("constant", "constant: over the decoy effect"): "refuted",
    }
    assert told["constant", "constant: raw effect"].value == pytest.approx(-0.5, abs=0.02)
    beyond = [one for one in found if one.claim == "D1" and one.primary]
    assert sorted(one.where.split("lambda 2, ")[1].split(",")[0] for one in beyond) == sorted(
        [AS_IT_IS, "constant", "first"]
    )
    assert {one.n for one in beyond} == {5}


def test_a_choice_stands_with_the_gates_of_the_two_testbeds_it_compares():
    found = groups(table({"first": 0.0, "untied": 0.0}))
    marked = [replace(one, gates="fails V3" if choice(one) == "untied" else MET) for one in found]
    assert {one.variant: one.gates for one in sensitivity(marked)} == {"first": MET, "untied": f"{MET} / fails V3"}
