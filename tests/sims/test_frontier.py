"""The frontier study: its sweeps agree with the closed form, and its verdicts follow the data, both ways."""

import numpy as np
import pytest

from common import results
from common.frontier import box_shares
from common.results import column
from common.settings import WrongUse
from common.verdicts import UNPREDICTED
from sims import simulate
from sims.studies.frontier import ADAPTER_RANK, ALONE, FAMILIES, FRONTIER, OBSERVED, PAIRS, converged, sweeps
from sims.studies.frontier_verdicts import judge, sweep
from theory.models import MODELS
from theory.stages import predict

POST, FT = np.array([0.3, 1.0, 3.0]), np.array([0.02, 0.3, 3.0])


def closed_form(model, mixed, settings, seeds=1):
    """The study's rows of one model, from the theory; every seed the same."""
    post, ft = (grid.reshape(-1) for grid in np.meshgrid(POST, FT, indexing="ij"))
    parts = []
    for alpha in (0.0, mixed):
        recipe = "mixed" if alpha else "unmixed"
        for label, values in ALONE.items():
            losses = MODELS[model].predict(settings | values | {"alpha": alpha, "t_post": post, "t_ft": ft})
            losses = {name: np.broadcast_to(loss, post.shape) for name, loss in losses._asdict().items()}
            for seed in range(seeds):
                parts.append(
                    losses | {"method": f"{recipe}+{label}" if label else recipe, "alpha": alpha, "seed": seed}
                )
    return [part | {"model": model, "t_post": post, "t_ft": ft} for part in parts]


def converged_rows(gap):
    """Adapters whose unmixed loss_im exceeds the mixed one by `gap` times what is predicted."""
    beta = 0.9
    made = []
    for rank in (2, 3, 4):
        for alpha, name in ((0.0, "unmixed"), (0.2, "mixed")):
            excess = gap * (2 * PAIRS - rank) * beta**2 if alpha == 0 else 0.0
            losses = dict.fromkeys(("loss_im", "loss_ret", "loss_ft", "loss_pre"), excess + 0.01)
            made.append(losses | {"method": f"converged_lora_{name}", "alpha": alpha, "rank": rank, "seed": 0})
    return [part | {"model": "plain", "t_post": 40.0, "t_ft": 0.02, "sims.k": float(PAIRS)} for part in made]


def table(parts, **settings):
    """Rows as a results table."""
    fixed = {"engine": "sims", "study": "frontier", "config_hash": "0", "code_version": "0"}
    fixed |= {"t_pre": settings["t_pre"], "rank": None, "sims.k": 1.0}
    fixed |= {"problem.beta": settings["beta"], "problem.init_scale": settings["init_scale"]}
    tables = []
    for part in parts:
        size = max((len(value) for value in part.values() if np.ndim(value)), default=1)
        tables.append(
            {name: [value] * size if np.ndim(value) == 0 else list(value) for name, value in (fixed | part).items()}
        )
    joined = {name: [entry for part in tables for entry in part[name]] for name in tables[0]}
    return results.table(joined, {name: "real" for name in joined if "." in name})


PLAIN = {"sigma_ft": 0.8, "t_pre": 20.0, "beta": 0.9, "init_scale": 1e-3}
RP = {"t_pre": 100.0, "beta": 1.0, "init_scale": 1e-3}


def findings(made):
    return {(v.claim, v.effect.split(",")[0]): v.status for v in made}


@pytest.fixture(scope="module")
def plain():
    return table(closed_form("plain", 0.2, PLAIN) + converged_rows(1.0), **PLAIN)


def test_what_the_closed_form_gives_supports_every_prediction_of_the_plain_model(plain):
    made = judge(plain)
    assert {v.claim for v in made} == {"P5", "P12", "P15", "T3", UNPREDICTED}
    assert {v.status for v in made if v.claim != "T3"} == {"supported"}


def test_forgetting_reverses_in_the_plain_model_and_not_with_redundant_pathways(plain):
    """Theorem 5.3: the mixed model, better after a short stage 2, has more to lose in a long stage 3."""
    (found,) = (v for v in judge(plain) if v.claim == "T3")
    assert found.status == "refuted"
    post, ft = (grid.reshape(-1) for grid in np.meshgrid(POST, FT, indexing="ij"))
    unmixed, mixed = (predict(PLAIN | {"alpha": alpha, "t_post": post, "t_ft": ft}) for alpha in (0.0, 0.2))
    excess = (mixed.loss_ret - mixed.loss_im) - (unmixed.loss_ret - unmixed.loss_im)
    assert found.value == pytest.approx(excess.max() / unmixed.loss_ret.mean())
    (found,) = (v for v in judge(table(closed_form("rp", 0.03, RP), **RP)) if v.claim == "T3")
    assert found.status == "supported"


def test_an_intervention_that_helps_refutes_p5():
    parts = closed_form("plain", 0.2, PLAIN)
    helped = [
        part | {"loss_ret": 0.5 * part["loss_ret"]} if part["method"] == "unmixed+replay" else part for part in parts
    ]
    found = findings(judge(table(helped + converged_rows(1.0), **PLAIN)))
    assert found["P5", "largest fall of loss_ret by replay"] == "refuted"
    assert found["P5", "largest fall of loss_ret by decay"] == "supported"


def test_a_gap_at_low_rank_of_half_the_size_refutes_p12_but_not_at_full_rank(plain):
    made = judge(table(closed_form("plain", 0.2, PLAIN) + converged_rows(0.5), **PLAIN))
    assert [v.status for v in made if v.claim == "P12"] == ["refuted", "refuted", "supported"]
    assert [v.value for v in made if v.claim == "P12"] == pytest.approx([0.5, 0.5, 0.0])


@pytest.mark.parametrize(("loss", "which"), [("loss_ret", "deviation"), ("loss_ft", "difference")])
def test_a_frontier_that_moves_otherwise_refutes_p15(loss, which):
    parts = [
        part | {loss: part[loss] + 0.1} if part["method"] == "mixed" else part
        for part in closed_form("plain", 0.2, PLAIN)
    ]
    made = judge(table(parts + converged_rows(1.0), **PLAIN))
    refuted = [v.effect for v in made if v.claim == "P15" and v.status == "refuted"]
    assert len(refuted) == 1
    assert which in refuted[0]


def test_replay_multiplies_and_dropout_helps_with_separate_units_by_the_closed_form():
    parts = closed_form("rp", 0.03, RP, seeds=5)
    assert {v.status for v in judge(table(parts, **RP))} == {"supported"}
    useless = [
        part | {"loss_ret": parts[0]["loss_ret"]} if part["method"] in ("mixed", "mixed+dropout") else part
        for part in parts
    ]
    made = judge(table(useless, **RP))
    assert [v.status for v in made if "by dropout" in v.effect] == ["refuted"]


def test_the_sweep_is_ordered_by_seed_and_times():
    parts = closed_form("plain", 0.2, PLAIN, seeds=2)
    shuffled = [{**part, **{n: part[n][::-1] for n in part if np.ndim(part[n])}} for part in reversed(parts)]
    one, two = ({"t": table(p, **PLAIN)} for p in (parts, shuffled))
    names = ("model", "method", "seed", "t_post", "t_ft", "loss_ret")
    known = [{name: column(t["t"], name) for name in names} for t in (one, two)]
    np.testing.assert_array_equal(*(sweep(k, "plain", "mixed", "loss_ret") for k in known))
    assert sweep(known[0], "plain", "mixed", "loss_ret").shape == (2, len(POST), len(FT))


def test_random_starts_have_twenty_seeds_and_every_model_every_method():
    for name, family in FAMILIES.items():
        made = sweeps(name)
        assert family.seeds >= 20 or family.setup.init != "random"
        assert len(made) == len(ALONE) + (family.setup.activation == "linear")
        assert all(case.setup.dropout_masks != "off" for case in made if "dropout" in case.values)
        assert [case.setup.rank for case in made if case.setup.rank is not None] in ([], [ADAPTER_RANK])
    assert FRONTIER.cases()[-1].model == converged()[-1].model


def test_the_plain_sweep_is_the_closed_form():
    case = sweeps("plain")[0]
    values = {"alpha": np.array([0.0, 0.2]), "t_post": 1.0, "t_ft": 3.0, "seed": 0, **FAMILIES["plain"].values}
    found = simulate(case.setup, values).losses
    times = 3.0 * np.array(OBSERVED)[:, None]
    exact = MODELS["plain"].predict({k: v for k, v in values.items() if k != "seed"} | {"t_ft": times})
    for name in ("loss_ret", "loss_ft", "loss_pre"):
        np.testing.assert_allclose(getattr(found, name), getattr(exact, name), rtol=0.05, atol=2e-3)


def test_an_unmixed_adapter_of_rank_k_misses_the_specialised_modes():
    case = next(case for case in converged() if case.model == "plain" and case.setup.rank == PAIRS)
    loss = simulate(case.setup, case.values).losses.loss_im
    np.testing.assert_allclose(loss, [PAIRS * 0.9**2, 0.0], atol=1e-4)


def test_box_shares_do_not_depend_on_units_and_need_an_area():
    sets = [np.random.default_rng(seed).random((7, 2)) for seed in range(3)]
    shares = box_shares(sets)
    assert all(0 < share < 1 for share in shares)
    np.testing.assert_allclose(box_shares([points * [1000.0, 0.1] + [5.0, -2.0] for points in sets]), shares)
    low, high = np.min(sets, axis=(0, 1)), np.max(sets, axis=(0, 1))
    assert box_shares([*sets, np.stack([low, high])])[-1] == pytest.approx(1.0)
    with pytest.raises(WrongUse, match="no area"):
        box_shares([np.array([[0.0, 1.0], [2.0, 1.0]])])


@pytest.mark.parametrize("lost", ["mixed", "unmixed+replay"])
def test_a_seed_of_which_a_run_is_missing_is_left_out_of_everything_that_is_compared(lost):
    """Loss differs by seed far more than by method: one pair of unequal seeds would show."""
    parts = closed_form("rp", 0.03, RP, seeds=6)
    parts = [part | {"loss_ret": part["loss_ret"] + 100 * part["seed"]} for part in parts]
    gone = next(i for i, part in enumerate(parts) if (part["method"], part["seed"]) == (lost, 1))
    whole = [part for part in parts if part["seed"] != 1]
    parts[gone] = {name: value[1:] if np.ndim(value) else value for name, value in parts[gone].items()}
    found, expected = (judge(table(some, **RP)) for some in (parts, whole))
    assert [(v.status, v.value) for v in found] == [(v.status, pytest.approx(v.value)) for v in expected]
