"""E2 to E5: the statistics on planted tables, the signs of their verdicts, and the table of accounts."""

import re

import numpy as np
import pytest

from common import results
from common.mechanisms import ACCOUNTS, Models, left, of_probes, of_runs
from lm_experiments.verdicts import verdicts
from lm_experiments.verdicts.mechanisms import __doc__ as STATEMENT

RATES = (1e-4, 3e-4, 1e-3)
SEEDS = range(6)


def runs(*, gain=0.2, decoy=0.0, by_distance=0.0, sam=0.1):
    """A `deciding` whose loss_ret falls along one line with loss_ft: by `gain` where D_post was exposed, and by `by_distance` a unit
    of the displacement in stage 2 that is saved."""
    models = [
        *(("real", dose, 0.0, 15.0 - dose, gain * dose) for dose in (0.0, 1.0)),
        *(("shuffled", dose, 0.0, 15.0 - dose, decoy * dose) for dose in (0.0, 1.0)),
        ("extra", 0.0, 0.0, 16.0, 0.0),
        ("slow", 0.0, 0.0, 15.0, 0.05),
        *(("anchored", 0.0, weight, moved, 0.0) for weight, moved in ((1e-3, 14.5), (3e-3, 12.0))),
        *(("SAM", dose, 0.0, 15.0, sam * dose) for dose in (0.0, 1.0)),
    ]
    rng = np.random.default_rng(0)
    rows = []
    for seed in SEEDS:
        offset = rng.normal()
        for i, (arm, dose, weight, moved, protected) in enumerate(models):
            for rate in RATES:
                ft = 3 - 500 * rate - 0.01 * i  # at one rate they are fine-tuned by unlike amounts
                ret = 6 + offset - ft - protected + by_distance * (moved - 15) + rng.normal(0, 1e-3)
                rows.append((arm, dose, weight, seed, rate, 2 + offset - protected / 2, ret, ft, moved))
    names = (
        "lm.variant",
        "exposure",
        "l2_to_start",
        "seed",
        "lr_ft",
        "loss_im",
        "loss_ret",
        "loss_ft",
        "lm.moved_post",
    )
    return made(rows, names)


def made(rows, names, **others):
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    shared = {"engine": "lm", "study": "deciding", "scale": "nano", "pipeline": "a>b>c", "split": "independent", "tokens_post": 9,
              "config_hash": "0", "code_version": "0", "mixing": "add", "placement": "uniform"}  # fmt: skip
    return results.table({**shared, **columns, **others}, {"lm.variant": "text"})


def probes(**gain):
    """A table of probes: what an exposed model differs by in some columns."""
    usual = dict.fromkeys(("given_ft", "given_ret", "taken_ft", "taken_ret"), 0.0)
    usual |= {"noise_03": 1.0, "share_im": 0.2, "relearned_0": 4.0, "relearned_24": 3.0}
    names = list(usual)
    rows = []
    rng = np.random.default_rng(1)
    for seed in SEEDS:
        for arm in ("real", "shuffled"):
            for dose in (0.0, 1.0):
                for rate in RATES:
                    moved = dose if arm == "real" else 0.0
                    values = {name: usual[name] + moved * gain.get(name, 0.0) + rng.normal(0, 1e-3) for name in names}
                    ft = 3 - 500 * rate
                    ret = 6 - ft - 0.1 * moved  # M forgets less than U
                    values |= {"given_ft": ft, "given_ret": 6 - ft + moved * gain.get("given_ret", 0.0)}
                    values |= {"taken_ft": ft, "taken_ret": ret + moved * gain.get("taken_ret", 0.0)}
                    rows.append((arm, dose, 0.0, seed, rate, 2.0, ret, ft, *(values[name] for name in names)))
    columns = ("lm.variant", "exposure", "l2_to_start", "seed", "lr_ft", "loss_im", "loss_ret", "loss_ft")
    return made(rows, (*columns, *(f"probe.{name}" for name in names)))


def primary(found, claim):
    (one,) = (one for one in found if one.claim == claim and one.primary)
    return one


def test_protection_that_distance_does_not_explain_supports_e2_and_distance_alone_does_not():
    found = verdicts([runs()])
    one = primary(found, "E2")
    assert one.status == "supported"
    assert one.value == pytest.approx(-0.2, abs=0.005)
    assert one.n == len(SEEDS)
    (beside,) = (
        other for other in found if other.claim == "E2" and other.variant == "shuffled" and other.effect == one.effect
    )
    assert beside.status == "undecided"
    assert not beside.primary
    moved = verdicts([runs(gain=0.0, by_distance=0.2)])  # M has moved less, and is protected by as much as U held there
    assert primary(moved, "E2").value == pytest.approx(0.0, abs=0.01)
    raw = next(one for one in moved if one.claim == "E2" and one.where.endswith(": loss_ret extra"))
    assert raw.value == pytest.approx(-0.4, abs=0.01)
    worse = primary(verdicts([runs(gain=-0.2)]), "E2")
    assert worse.status == "refuted"


def test_beyond_the_weights_of_l2_their_nearest_end_is_taken():
    table = runs(gain=0.0, by_distance=1.0)
    values = dict(table.to_pydict())
    at = [10.0 if (arm, dose) == ("real", 1.0) else moved for arm, dose, moved in zip(
        values["lm.variant"], values["exposure"], values["lm.moved_post"], strict=True)]  # fmt: skip
    place = table.column_names.index("lm.moved_post")
    import pyarrow as pa

    (one,) = (
        one
        for one in of_runs(table.set_column(place, "lm.moved_post", pa.array(at)))
        if one.primary and one.of == "real"
    )
    assert one.values.mean() == pytest.approx(-1.0 - (12.0 - 15.0), abs=0.01)


def test_forgetting_is_what_is_lost_after_stage_2():
    found = {one.name: one.values.mean() for one in of_runs(runs()) if one.of == "real"}
    assert found["loss_ret slow"] == pytest.approx(-0.15, abs=0.005)
    assert found["forgetting slow"] == pytest.approx(-0.15 + 0.1 - 0.025, abs=0.005)


def test_gains_of_sam_that_do_not_add_are_above_zero():
    found = verdicts([runs(gain=0.2, sam=0.05)])
    (one,) = (one for one in found if one.claim == "E3")
    assert (one.status, one.primary) == ("supported", False)
    assert one.value == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize(
    ("claim", "name", "moved", "value"),
    [("E3", "noise_03", -0.3, -0.3), ("E4", "share_im", -0.1, -0.1), ("E5", "relearned_24", -0.5, np.log(0.5 / 1.0))],
)
def test_what_is_below_zero_supports_and_what_is_above_refutes(claim, name, moved, value):
    found = verdicts([probes(**{name: moved})])
    one = primary(found, claim)
    assert one.status == "supported"
    if claim != "E5":
        assert one.value == pytest.approx(value, abs=0.005)
    assert primary(verdicts([probes(**{name: -moved})]), claim).status == "refuted"
    others = {"E3", "E4", "E5"} - {claim}
    assert all(primary(found, other).status == "undecided" for other in others)


def test_what_is_left_to_relearn_is_relative_to_what_was_forgotten():
    models = Models(probes(relearned_24=-0.5))
    assert left(models, ("real", 1.0, 0.0), 0, 24) == pytest.approx(np.log(0.5 / 2.0), abs=0.01)
    assert left(models, ("real", 0.0, 0.0), 0, 24) == pytest.approx(np.log(1.0 / 2.0), abs=0.01)
    none = primary(verdicts([probes(relearned_24=-1.5)]), "E5")  # below loss_im
    assert none.status == "not testable here"


def test_a_transplant_is_judged_against_the_model_that_was_changed():
    found = {(one.name, one.of): one for one in of_probes(probes(given_ret=-0.2, taken_ret=0.3))}
    assert found["given", "real"].values == pytest.approx([-0.2] * len(SEEDS))
    assert found["taken", "real"].values == pytest.approx([0.3] * len(SEEDS))
    assert found["taken", "shuffled"].values == pytest.approx([0.0] * len(SEEDS))
    assert (found["given", "real"].sign, found["taken", "real"].sign) == (-1, 1)


def test_probes_and_runs_of_a_study_are_judged_together_and_twice_the_same_is_refused():
    from common.settings import WrongUse

    found = verdicts([runs(), probes()], ["runs", "probes"])
    assert {one.claim for one in found if one.primary} >= {"E2", "E3", "E4", "E5"}
    with pytest.raises(WrongUse, match="share"):
        verdicts([probes(), probes()], ["one", "two"])


def test_the_accounts_are_those_of_the_statement():
    lines = re.findall(r"^    (\w+)((?:  +(?:below 0|0)){4})$", STATEMENT, re.MULTILINE)
    assert [name for name, _ in lines] == list(ACCOUNTS)
    for name, said in lines:
        told = [-1 if word == "below 0" else 0 for word in re.split(r"  +", said.strip())]
        assert told == list(ACCOUNTS[name].values())
