"""The generated JavaScript beside Python, in a JavaScript engine, on random settings."""

import json
import math
import random

import pytest
import sympy as sp

from gallery import explorer, formulas
from gallery.pages import asset
from theory import predict
from theory.proofs.symbols import logistic

CASES = 60


@pytest.fixture(scope="module")
def engine():
    """The page's formulas and models in V8."""
    from py_mini_racer import MiniRacer

    made = MiniRacer()
    made.eval('"use strict";' + formulas.javascript() + asset("model.js"))
    yield lambda text: json.loads(made.eval(f"JSON.stringify({text})"))
    made.close()


def drawn(seed: int) -> dict:
    """A state of the page, every slider anywhere in its range."""
    chance, data = random.Random(seed), explorer.page()
    state = dict(data["fixed"])
    for one in data["sliders"]:
        share = chance.random()
        low, high = (math.log(one[end]) if one["log"] else one[end] for end in ("low", "high"))
        at = low + share * (high - low)
        state[one["name"]] = math.exp(at) if one["log"] else at
    return state | {one["name"]: chance.choice(one["options"]) for one in data["choices"]}


def in_python(state: dict, model: str):
    """The same state, solved by `theory`."""
    given = {"exposure": state["exposure"], "split": state["split"], "model": model}
    matched = state["split"] == "compute-matched"
    if model == "S":
        own = ("floor", "amplitude", "power", "offset", "post_worth", "constant", "lost")
        given |= {name: state[name] for name in own}
        given |= {
            "pre_time": explorer.TOKENS_PRE,
            "post_time": state["corpus"],
            "passes": 1.0 if matched else state["passes"],
        }
        return predict(**given, **({} if matched else {"t_post": state["corpus"]}))
    names = explorer.PLAIN if model == "plain" else explorer.PATHWAYS
    given |= {name: state[mine] for name, mine in names.items() if name != "t_post" or not matched}
    return predict(**given, **{name: state[name] for name in ("pre_time", "post_time", "step_ratio")})


def test_the_plain_model_agrees_to_twelve_digits(engine):
    for seed in range(CASES):
        state = drawn(seed)
        expected, found = in_python(state, "plain"), engine(f"plainLosses({json.dumps(state)})")
        for name, value in found.items():
            assert value == pytest.approx(float(getattr(expected, name)), rel=1e-12, abs=1e-12), (seed, name)


def test_the_law_agrees_to_twelve_digits(engine):
    for seed in range(CASES):
        state = drawn(seed)
        expected, found = in_python(state, "S"), engine(f"lawLosses({json.dumps(state)})")
        assert found["loss_im"] == pytest.approx(float(expected.loss_im), rel=1e-12), seed
        assert found["loss_ret"] == pytest.approx(float(expected.loss_ret), rel=1e-12), seed


@pytest.mark.parametrize("model", ["rp", "rp-shared"])
def test_the_pathways_agree_to_the_tolerance_of_both_integrations(engine, model):
    for seed in range(CASES // 8):
        state = drawn(seed) | {"pathways": model}
        expected, found = in_python(state, model), engine(f"pathwayLosses({json.dumps(state)})")
        for name, value in found.items():
            assert value == pytest.approx(float(getattr(expected, name)), rel=1e-8, abs=1e-11), (seed, name)


def test_curves_that_are_drawn_are_good_to_a_pixel(engine):
    for seed in range(6):
        state = json.dumps(drawn(seed))
        exact, rough = (engine(f"pathwayLosses({state}, undefined, {kind})") for kind in ("EXACT", "ROUGH"))
        for name, value in rough.items():
            assert value == pytest.approx(exact[name], rel=1e-3, abs=1e-6), (seed, name)


def test_the_map_is_the_change_by_exposure(engine):
    state = drawn(3)
    for kind, losses in (("plain", "plainLosses"), ("pathways", "pathwayLosses")):
        column = engine(f"changeMap({json.dumps(state)}, [0.4], [0.1, 2], '{kind}')")[0]
        for change, time in zip(column, (0.1, 2), strict=True):
            there, without = (
                engine(f"{losses}({json.dumps(state | {'t_ft': time})}, {exposure}).loss_ret") for exposure in (0.4, 0)
            )
            assert change == pytest.approx(there - without, rel=1e-3, abs=1e-5)


def test_the_stage_is_the_logistic_of_the_proofs():
    strength = formulas.stage()["strength"]
    a, c, s, t = sp.symbols("a c s t", positive=True)
    plain = strength.subs({formulas.a: a, formulas.c: c, formulas.g: c * s, formulas.t: t}).rewrite(sp.exp)
    for values in ({a: 0.01, c: 0.7, s: 1.3, t: 2.0}, {a: 2.0, c: 1.0, s: 0.4, t: 0.3}):
        assert float(sp.N(plain.subs(values))) == pytest.approx(
            float(sp.N(logistic(a, c, s, t).subs(values))), rel=1e-13
        )


def test_every_function_is_told_its_arguments():
    for name, outputs in formulas.expressions().items():
        used = set().union(*(sp.sympify(one).free_symbols for one in outputs.values()))
        assert used <= set(formulas.ARGUMENTS[name]), name
