"""Verdicts: planted effects are found, planted nulls are not, one seed decides nothing, and curves are compared at matched loss_ft."""

import json

import numpy as np
import pyarrow as pa
import pytest

from common import results
from common.console import run
from common.curves import NOTABLE
from common.published import load
from common.seeds import interval, mean_interval, resamples
from common.settings import WrongUse
from lm_experiments.commands.verdicts import Verdicts
from lm_experiments.verdicts import verdicts
from lm_experiments.verdicts.claims import MOSTLY, _picked
from lm_experiments.verdicts.groups import groups, matched

LAMBDAS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
FLAT = np.zeros(5)
FALLING = -0.3 * LAMBDAS
BOWL = (LAMBDAS - 0.5) ** 2


def study(im, ret, *, split="independent", seeds=5, noise=0.01, lr_ft=(1e-4,), ft=None, missing=()):
    """A table in which loss_im and loss_ret follow curves over lambda, plus an offset a seed and noise a pipeline."""
    rng = np.random.default_rng(7)
    rows = []
    for seed in range(seeds):
        offset = rng.normal(0, 0.3)
        for j, exposure in enumerate(LAMBDAS):
            before = 2 + im[j] + offset + rng.normal(0, noise)
            for rate in rates:
                after = 3 + ret[j] + offset + rng.normal(0, noise)
                fitted = 1.0 - 1000 * rate if ft is None else ft(exposure, rate)
                if (seed, exposure) not in missing:
                    rows.append((split, seed, exposure, rate, before, after if ft is None else after - fitted, fitted))
    names = ("split", "seed", "exposure", "lr_ft", "loss_im", "loss_ret", "loss_ft")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    made = {"engine": "lm", "study": "made", "scale": "nano", "pipeline": "a>b>c", "tokens_post": 1000}
    return results.table(columns | made | {"config_hash": "0", "code_version": "0"})


def decisions(table, claim):
    return [(one.verdict, one.point) for one in verdicts([table]) if one.claim == claim]


def test_a_latent_benefit_is_supported():
    table = study(FLAT, FALLING)
    assert decisions(table, "C1") == [("supported", "supported")]
    assert decisions(table, "C1 mostly") == [("supported", "supported")]


def test_a_benefit_seen_at_once_is_not_latent():
    table = study(0.3 * FALLING, FALLING)
    assert NOTABLE < 0.3 < MOSTLY
    assert decisions(table, "C1") == [("refuted", "refuted")]
    assert decisions(table, "C1 mostly") == [("supported", "supported")]


@pytest.mark.parametrize("ret", [-FALLING, FLAT])
def test_no_benefit_is_refuted(ret):
    assert decisions(study(FLAT, ret), "C1 mostly") == [("refuted", "refuted")]


def test_a_rising_loss_im_counts_as_movement_too():
    assert decisions(study(-0.8 * FALLING, FALLING), "C1 mostly")[0][0] == "refuted"


def test_noise_leaves_it_open():
    assert decisions(study(FLAT, 0.4 * FALLING, noise=0.15), "C1")[0][0] == "undecided"


def test_an_interior_optimum_is_supported_and_an_end_refutes_it():
    def matched_study(im, ret):
        return study(im, ret, split="compute-matched")

    assert decisions(matched_study(-FALLING, BOWL), "C2") == [("supported", "supported")]
    assert decisions(matched_study(-FALLING, -FALLING), "C2")[0][0] == "refuted"
    assert decisions(matched_study(-FALLING, FALLING), "C2")[0][0] == "refuted"
    assert decisions(matched_study(FALLING, BOWL), "C2")[0][0] == "refuted"


def test_the_best_of_several_is_not_praised_for_its_noise():
    """With pure noise, the lowest interior lambda of each study looks better than the ends; picked by other seeds it does not."""
    rng = np.random.default_rng(0)
    loss = rng.normal(size=(2000, 5, 5))
    honest = [_picked(one, [1, 2, 3]).mean() - one[:, 0].mean() for one in loss]
    naive = [one[:, 1:4].mean(axis=0).min() - one[:, 0].mean() for one in loss]
    assert abs(np.mean(honest)) < 0.02
    assert np.mean(naive) < -0.3


def test_ranks_across_recipes():
    assert decisions(study(-FALLING, BOWL), "C8")[0][0] == "supported"
    assert decisions(study(FALLING, FALLING), "C8")[0][0] == "refuted"
    both = [study(-FALLING, FALLING), study(-FALLING, FALLING, split="compute-matched")]
    found = [one for one in verdicts(both) if one.claim == "C8"]
    assert [one.where.split(",")[0] for one in found] == ["independent", "compute-matched", "all recipes"]
    assert "10 recipes" in found[-1].statement
    assert found[0].evidence["rank correlation"].value == pytest.approx(-1)


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_decide_nothing(seeds):
    table = study(FLAT, FALLING, seeds=seeds)
    assert decisions(table, "C1") == [("undecided", "supported")]


def test_only_whole_seeds_count():
    (group,) = groups(study(FLAT, FALLING, missing={(1, 0.5), (3, 0.0)}))
    assert group.seeds == (0, 2, 4)
    assert group.im.shape == (3, 5)


def test_matched_loss_ft_removes_what_only_shifts_along_the_frontier():
    """loss_ret = 3 + d(lambda) - loss_ft, and lambda changes loss_ft as well: at equal loss_ft only d is left."""
    table = study(FLAT, FALLING, noise=0.0, lr_ft=(1e-4, 3e-4, 1e-3), ft=lambda lam, rate: 1 - 500 * rate + 0.1 * lam)
    found = groups(table)
    assert [group.lr_ft for group in found] == [1e-4, 3e-4, 1e-3]
    assert not np.allclose(found[0].ret[:, -1] - found[0].ret[:, 0], -0.3)
    (one,) = matched(found)
    assert one.lr_ft is None
    assert np.allclose(one.ret - one.ret[:, :1], FALLING)
    assert any("matched loss_ft" in verdict.where for verdict in verdicts([table]))
    apart = study(FLAT, FALLING, lr_ft=(1e-4, 1e-3), ft=lambda lam, rate: 10 * lam - rate)
    assert matched(groups(apart)) == []


def test_the_published_points_say_what_one_seed_can():
    found = verdicts([load(3)])
    assert {one.verdict for one in found} == {"undecided"}
    points = {claim: [one.point for one in found if one.claim == claim] for claim in ("C1", "C1 mostly", "C2")}
    assert points["C1"] == ["refuted", "supported", "supported"]  # 30M, 150M, 300M, as `theory headline` counts
    assert points["C1 mostly"] == points["C2"] == ["supported"] * 3


def test_intervals_have_students_width_and_cover():
    values = np.random.default_rng(1).normal(size=40)
    found = mean_interval(values)
    half = 2.0227 * values.std(ddof=1) / np.sqrt(40)
    assert found.low == pytest.approx(found.value - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.value + half, abs=0.1 * half)
    assert len(resamples(4)) == 256
    assert mean_interval(values[:1]).low is None
    assert "[" not in str(mean_interval(values[:1]))
    pair = np.stack([values, 2 * values], axis=-1)
    ratio = interval(lambda drawn: drawn[..., 1].mean(axis=1) / drawn[..., 0].mean(axis=1), pair)
    assert (ratio.low, ratio.high) == (pytest.approx(2), pytest.approx(2))  # paired: what varies together cancels


def test_five_seeds_cover_what_they_promise():
    rng = np.random.default_rng(2)
    kept = [found.low <= 0 <= found.high for found in map(mean_interval, rng.normal(size=(1000, 5)))]
    assert 0.90 < np.mean(kept) < 0.97


def test_the_command_reads_tables_and_the_published_points(tmp_path, capsys):
    path = results.write(study(FLAT, FALLING), tmp_path / "made.parquet")
    assert (
        run("lm_experiments", {"verdicts": Verdicts, "other": Verdicts}, "test", ["verdicts", str(path), "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert [one["verdict"] for one in found if one["claim"] == "C1"] == ["supported"]
    assert run("lm_experiments", {"verdicts": Verdicts, "other": Verdicts}, "test", ["verdicts"]) == 0
    assert "means alone" in capsys.readouterr().out


def test_a_table_without_a_lambda_study_is_refused():
    table = study(FLAT, FALLING)
    with pytest.raises(WrongUse, match="no lambda study"):
        groups(table.slice(0, 1))


def test_replay_tells_groups_apart():
    rows = [
        {
            "replay": replay,
            "exposure": exposure,
            "seed": seed,
            "loss_im": 2.0 + replay,
            "loss_ret": 3.0 - exposure,
            "loss_ft": 1.0,
        }
        for replay in (0.0, 0.25)
        for exposure in (0.0, 1.0)
        for seed in range(3)
    ]
    shared = {"engine": "lm", "scale": "nano", "model": "llama", "pipeline": "a>b>c", "split": "independent"}
    found = groups(pa.Table.from_pylist([row | shared | {"tokens_post": 100, "lr_ft": 1e-3} for row in rows]))
    assert [(group.replay, len(group.seeds), group.im[0, 0]) for group in found] == [(0.0, 3, 2.0), (0.25, 3, 2.25)]
    assert "replay 0.25" in found[1].title
