"""D1: what is left of exposure over its decoys, at each rate and at matched loss_ft. E1: which half of D_post is protected."""

import json

import numpy as np
import pytest

from common import results
from common.recipe import COLUMNS
from lm_experiments.verdicts import verdicts

RATES = (1e-4, 1e-3)


def made(rows, names, **others):
    """A results table of rows, with what all of them share."""
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    shared = {
        "engine": "lm",
        "pipeline": "a>b>c",
        "split": "independent",
        "tokens_post": 1000,
        "config_hash": "0",
        "code_version": "0",
    }
    extra = {name: "text" for name in ("lm.variant", "lm.losses") if name in columns | others}
    return results.table(columns | shared | others, extra)


def study(gain, *, seeds=8, noise=0.005, shift=0.0):
    """Lambda studies whose loss_ret falls by `gain[exposed]` at lambda 1; `shift` moves loss_ft of the decoys along one frontier."""
    rng = np.random.default_rng(3)
    rows = []
    for seed in range(seeds):
        offset = rng.normal(0, 0.3)
        for exposed, fall in gain.items():
            for exposure in (0.0, 0.25, 1.0):
                for rate in RATES:
                    fitted = 2.0 - 300 * rate - (shift if exposed != "post" and exposure else 0.0)
                    retained = 5 + offset - fitted - fall * exposure + rng.normal(0, noise)
                    rows.append((exposed, f"{exposed}, c", seed, exposure, rate, 2 + offset, retained, fitted))
    names = ("exposed", "lm.variant", "seed", "exposure", "lr_ft", "loss_im", "loss_ret", "loss_ft")
    usual = {"mixing": "add", "placement": "uniform", "dropout": 0.0, "replay": 0.0, "l2_to_start": 0.0}
    return made(rows, names, study="made", scale="nano", **usual)


def judged(table, variant="", where="matched"):
    return [one for one in verdicts([table]) if one.claim == "D1" and one.variant == variant and where in one.where]


def test_what_no_decoy_does_is_supported_and_primary_at_matched_loss_ft():
    (one,) = judged(study({"post": 0.2, "shuffled": 0.1, "sibling": 0.0}))
    assert one.status == "supported"
    assert one.primary
    assert one.n == 8
    assert one.value == pytest.approx(-0.1, abs=0.01), "the strongest decoy decides"
    assert "real minus shuffled" in one.effect
    assert "raw effect -0.2" in one.effect


def test_a_decoy_that_does_as_much_or_more_leaves_nothing():
    table = study({"post": 0.1, "shuffled": 0.1, "sibling": 0.0})
    assert judged(table)[0].status == "undecided"
    assert judged(table, "sibling")[0].status == "supported"
    assert judged(study({"post": 0.1, "shuffled": 0.2}))[0].status == "refuted"


def test_a_decoy_that_does_harm_lets_no_exposure_stand_for_it():
    """Exposure that does nothing is below such a decoy, and lowers nothing; what is lowered then is judged against no exposure."""
    harmed = study({"post": 0.0, "shuffled": -0.2})
    (one,) = judged(harmed)
    assert one.status == "undecided"
    assert one.value == pytest.approx(0.0, abs=0.01)
    assert "real minus no exposure" in one.effect
    (beside,) = judged(harmed, "shuffled")
    assert (beside.status, beside.value) == ("supported", pytest.approx(-0.2, abs=0.01)), "the decoy alone is read too"
    (helped,) = judged(study({"post": 0.1, "shuffled": -0.2}))
    assert (helped.status, helped.value) == ("supported", pytest.approx(-0.1, abs=0.01))
    assert judged(study({"post": -0.1, "shuffled": -0.2}))[0].status == "refuted"


def test_decoys_are_compared_at_equal_loss_ft():
    """Moved along one frontier, a decoy neither gains nor loses: at one rate it seems to, at matched loss_ft it does not."""
    table = study({"post": 0.1, "shuffled": 0.1}, shift=0.05)
    assert judged(table, where="lr_ft 0.0001")[0].value == pytest.approx(-0.05, abs=0.01)
    assert judged(table)[0].value == pytest.approx(0.0, abs=0.01)


def test_seeds_that_a_decoy_lacks_are_left_out_and_a_study_without_decoys_has_no_d1():
    import pyarrow.compute as pc

    table = study({"post": 0.2, "shuffled": 0.1})
    few = table.filter(pc.or_(pc.equal(table["exposed"], "post"), pc.less(table["seed"], 6)))
    assert judged(few)[0].n == 6
    assert not judged(table.filter(pc.equal(table["exposed"], "post")))
    assert set(COLUMNS) >= {"exposed"}


def halves(gain_a, gain_b, noise=0.02, options=""):
    """A provenance study: loss_ret of both halves falls with exposure to the first."""
    rng = np.random.default_rng(6)
    rows = []
    for seed in range(8):
        offset = rng.normal(0, 0.3)
        for exposure in (0.0, 4.0):
            for rate in RATES:
                a, b = (
                    1.0 + offset + 100 * rate - exposure / 4 * gain + rng.normal(0, noise) for gain in (gain_a, gain_b)
                )
                after = {"facts-permuted-a/report#answers": 9.0} | {
                    f"facts-{half}{options}/report#answers": loss for half, loss in (("a", a), ("b", b))
                }
                before = dict.fromkeys(after, 0.1)
                rows.append(
                    (seed, exposure, rate, json.dumps({"pre": before, "post": before, "ft": after}), (a + b) / 2)
                )
    names = ("seed", "exposure", "lr_ft", "lm.losses", "loss_ret")
    own = {
        "study": "provenance",
        "scale": "pico",
        "exposed": "other",
        "loss_im": 0.1,
        "loss_ft": 2.0,
        "lm.variant": "half",
    }
    return made(rows, names, **own)


@pytest.mark.parametrize(
    ("gains", "statuses"),
    [((0.4, 0.0), ("supported", "supported", "undecided")), ((0.3, 0.3), ("undecided", "supported", "supported")),
     ((0.0, 0.4), ("refuted", "undecided", "supported"))],
)  # fmt: skip
def test_which_half_is_protected(gains, statuses):
    tables = [halves(*gains, options=options) for options in ("", "-names32")]
    found, few = ([one for one in verdicts([table]) if one.claim in ("E1", "D1")] for table in tables)
    assert [one.value for one in few] == [one.value for one in found], "options of the corpora do not hide the halves"
    assert tuple(one.status for one in found) == statuses
    assert found[0].primary
    assert found[0].value == pytest.approx(gains[0] - gains[1], abs=0.03)
    assert found[2].value == pytest.approx(gains[1], abs=0.03)
