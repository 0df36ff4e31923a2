"""Verdicts: planted effects are found, planted nulls are not, one seed decides nothing, and curves are compared at matched loss_ft."""

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from common import results
from common.console import run
from common.curves import NOTABLE
from common.published import load
from common.recipe import COLUMNS
from common.settings import WrongUse
from common.verdict_table import load as load_verdicts
from common.verdicts import data_hash
from lm_experiments.commands.verdicts import STORED, Verdicts
from lm_experiments.verdicts import verdicts
from lm_experiments.verdicts.claims import MOSTLY, UNTESTED, _best
from lm_experiments.verdicts.groups import groups, matched, pooled

LAMBDAS = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
FLAT = np.zeros(5)
FALLING = -0.3 * LAMBDAS
BOWL = (LAMBDAS - 0.5) ** 2


def study(
    im, ret, *, split="independent", seeds=8, noise=0.01, lr_ft=(1e-4,), ft=None, missing=(), sizes=(1000,), more=()
):
    """A table in which loss_im and loss_ret follow curves over lambda, plus an offset per seed and noise per pipeline."""
    rng = np.random.default_rng(7)
    rows = []
    for size in sizes:
        for seed in range(seeds):
            offset = rng.normal(0, 0.3)
            for j, exposure in enumerate(LAMBDAS):
                before = 2 + im[j] + offset + rng.normal(0, noise)
                for rate in lr_ft:
                    after = 3 + ret[j] + offset + rng.normal(0, noise)
                    fitted = 1.0 if ft is None else ft(exposure, rate)
                    if (seed, exposure) not in missing:
                        rows.append(
                            (split, size, seed, exposure, rate, before, after if ft is None else after - fitted, fitted)
                        )
    names = ("split", "tokens_post", "seed", "exposure", "lr_ft", "loss_im", "loss_ret", "loss_ft")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    made = {"engine": "lm", "study": f"made {split}", "scale": "nano", "pipeline": "a>b>c", "replay": 0.0}
    made |= {"mixing": "add", "placement": "uniform", "dropout": 0.0, "l2_to_start": 0.0, **dict(more)}
    return results.table(columns | made | {"config_hash": "0", "code_version": "0"})


def means_alone(verdict):
    return verdict.effect.split("means alone: ")[1]


def decisions(table, claim, variant=""):
    return [(one.status, means_alone(one)) for one in verdicts([table]) if (one.claim, one.variant) == (claim, variant)]


def test_a_latent_benefit_is_supported():
    table = study(FLAT, FALLING)
    assert decisions(table, "C1") == [("supported", "supported")]
    assert decisions(table, "C1", "mostly") == [("supported", "supported")]


def test_data_frames_are_judged_as_their_tables():
    table = study(FLAT, FALLING)
    told = [(one.claim, one.status, one.value) for one in verdicts([table])]
    assert [(one.claim, one.status, one.value) for one in verdicts([table.to_pandas()])] == told


def test_a_benefit_seen_at_once_is_not_latent():
    table = study(0.3 * FALLING, FALLING)
    assert NOTABLE < 0.3 < MOSTLY
    assert decisions(table, "C1") == [("refuted", "refuted")]
    assert decisions(table, "C1", "mostly") == [("supported", "supported")]


@pytest.mark.parametrize("ret", [-FALLING, FLAT])
def test_no_benefit_is_refuted(ret):
    assert decisions(study(FLAT, ret), "C1", "mostly") == [("refuted", "refuted")]


def test_a_rising_loss_im_counts_as_movement_too():
    assert decisions(study(-0.8 * FALLING, FALLING), "C1", "mostly")[0][0] == "refuted"


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
    """With pure noise, the lowest interior lambda of each study looks better than the ends; measured in other seeds it does not."""
    rng = np.random.default_rng(0)
    loss = rng.normal(size=(2000, 5, 5))
    found = [_best(one, [1, 2, 3], 0) for one in loss]
    naive = [one[:, 1:4].mean(axis=0).min() - one[:, 0].mean() for one in loss]
    assert abs(np.mean([one.value for one in found])) < 0.06
    assert np.mean(naive) < -0.3
    assert np.mean([one.high < 0 for one in found]) < 0.03


def test_ranks_across_recipes():
    assert decisions(study(-FALLING, BOWL), "C8")[0][0] == "supported"
    assert decisions(study(FALLING, FALLING), "C8")[0][0] == "refuted"
    both = [study(-FALLING, FALLING), study(-FALLING, FALLING, split="compute-matched")]
    found = [one for one in verdicts(both) if one.claim == "C8"]
    assert [one.where.split(", D_post")[0] for one in found] == [
        "independent",
        "compute-matched",
        "independent; compute-matched",
    ]
    assert "10 recipes" in found[-1].effect
    assert found[0].value == pytest.approx(-1)


def test_verdicts_across_tables_name_all_their_data():
    """Of two tables of one study (here at two sizes of the model), too."""
    matched_rows = study(-FALLING, BOWL, split="compute-matched")
    columns = {name: matched_rows[name].to_pylist() for name in matched_rows.column_names}
    small, large = (results.table(columns | {"config_hash": scale, "scale": scale}) for scale in ("nano", "micro"))
    both = [study(-FALLING, FALLING), small, large]
    across = [one for one in verdicts(both) if ";" in one.where]
    assert across
    assert {one.data for one in across} == {", ".join(sorted(map(data_hash, both)))}
    assert {one.study for one in across} == {"made compute-matched, made independent"}


def test_a_row_in_two_tables_is_refused_and_not_judged_twice(tmp_path, capsys):
    table = study(FLAT, FALLING)
    for other in (table, table.slice(table.num_rows - 1)):
        with pytest.raises(WrongUse, match=r"table 1 and table 3 share .* rows, which would be judged twice .*seed = "):
            verdicts([table, study(FLAT, FALLING, split="compute-matched"), other])
    path = str(results.write(table, tmp_path / "one.parquet"))
    code = run("lm_experiments", {"verdicts": Verdicts, "other": Verdicts}, "", ["verdicts", path, path])
    assert code == 2
    assert f"{path} and {path} share 40 rows" in capsys.readouterr().err


def test_a_few_recipes_have_no_rank():
    table = study(FLAT, FALLING)
    keep = pa.array([row in (0.0, 1.0) for row in table["exposure"].to_pylist()])
    assert not any(one.claim == "C8" for one in verdicts([table.filter(keep)]))


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_few_seeds_decide_nothing(seeds):
    table = study(FLAT, FALLING, seeds=seeds)
    assert decisions(table, "C1") == [("undecided", "supported")]


def test_one_endpoint_of_a_claim_is_primary():
    """It is at matched loss_ft, and pooled over the sizes of D_post; without several sizes, of the one there is."""

    def frontier(lam, rate):
        return 1 - 500 * rate + 0.1 * lam

    rates = (1e-4, 3e-4, 1e-3)
    table = study(FLAT, FALLING, lr_ft=rates, ft=frontier, sizes=(1000, 2000))
    (main,) = [one for one in verdicts([table]) if one.primary]
    assert (main.claim, main.variant, main.where) == ("C1", "", "independent, D_post 1,000 and 2,000, matched loss_ft")
    (alone,) = [one for one in verdicts([study(FLAT, FALLING, lr_ft=rates, ft=frontier)]) if one.primary]
    assert alone.where == "independent, D_post 1,000, matched loss_ft"
    assert not any(one.primary for one in verdicts([study(FLAT, FALLING)]))
    both = [table, study(-FALLING, BOWL, split="compute-matched", lr_ft=rates, ft=frontier, sizes=(1000, 2000))]
    assert sorted(one.claim for one in verdicts(both) if one.primary) == ["C1", "C2", "C8"]
    replayed = table.set_column(table.schema.get_field_index("replay"), "replay", pa.array([0.25] * table.num_rows))
    assert not any(one.primary for one in verdicts([replayed]))


def test_pooling_takes_the_mean_over_sizes_in_the_same_seeds():
    table = study(
        FLAT, FALLING, sizes=(1000, 2000), lr_ft=(1e-4, 1e-3), ft=lambda lam, rate: 1 - 500 * rate, missing={(3, 0.5)}
    )
    found = matched(groups(table))
    (one,) = pooled(found)
    assert one.sizes == (1000, 2000)
    assert 3 not in one.seeds
    assert np.allclose(one.ret, (found[0].ret + found[1].ret) / 2)


def test_only_whole_seeds_count():
    (group,) = groups(study(FLAT, FALLING, missing={(1, 0.5), (3, 0.0)}))
    assert group.seeds == (0, 2, 4, 5, 6, 7)
    assert group.im.shape == (6, 5)


def test_matched_loss_ft_removes_what_only_shifts_along_the_frontier():
    """loss_ret = 3 + d(lambda) - loss_ft, and lambda changes loss_ft as well: at equal loss_ft only d is left."""
    table = study(FLAT, FALLING, noise=0.0, lr_ft=(1e-4, 3e-4, 1e-3), ft=lambda lam, rate: 1 - 500 * rate + 0.1 * lam)
    found = groups(table)
    assert [group.key["lr_ft"] for group in found] == [1e-4, 3e-4, 1e-3]
    assert not np.allclose(found[0].ret[:, -1] - found[0].ret[:, 0], -0.3)
    (one,) = matched(found)
    assert one.is_matched
    assert np.allclose(one.ret - one.ret[:, :1], FALLING)
    assert any("matched loss_ft" in verdict.where for verdict in verdicts([table]))
    apart = study(FLAT, FALLING, lr_ft=(1e-4, 1e-3), ft=lambda lam, rate: 10 * lam - rate)
    assert matched(groups(apart)) == []


def test_the_published_points_say_what_one_seed_can():
    found = verdicts([load(3)])
    assert {one.status for one in found} == {"undecided"}
    points = {
        variant: [means_alone(one) for one in found if (one.claim, one.variant) == ("C1", variant)]
        for variant in ("", "mostly")
    }
    assert points[""] == ["refuted", "supported", "supported"]  # 30M, 150M, 300M, as `theory headline` counts
    assert points["mostly"] == [means_alone(one) for one in found if one.claim == "C2"] == ["supported"] * 3


COMMANDS = {"verdicts": Verdicts, "other": Verdicts}


@pytest.fixture(scope="module")
def judged_again(tmp_path_factory):
    """What `verdicts` prints of all stored tables, and its file."""
    out, printed = tmp_path_factory.mktemp("stored") / "verdicts.parquet", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert run("lm_experiments", COMMANDS, "test", ["verdicts", "--out", str(out)]) == 0
    return printed.getvalue(), out


def test_the_command_reads_tables_and_the_published_points(tmp_path, capsys, judged_again):
    path, out = results.write(study(FLAT, FALLING), tmp_path / "made.parquet"), tmp_path / "verdicts.parquet"
    assert run("lm_experiments", COMMANDS, "test", ["verdicts", str(path), "--json", "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [one["status"] for one in printed if one["claim"] == "C1"] == ["supported"] * 2
    assert [vars(one) for one in load_verdicts(out)] == printed
    assert not any(one["exploratory"] for one in printed)
    shown, _ = judged_again
    assert "means alone" in shown
    assert "Not testable here: C7." in shown
    assert max(len(line) for line in shown.partition("Gates: ")[0].splitlines()) <= 120
    assert "fails V2, V4, V6" in " ".join(shown.split())


BETWEEN = {"lm.loss_pre_after_pre": 3.6, "lm.loss_pre_after_post": 4.2, "lm.loss_post_after_pre": 5.0}
"""What gates V2 and V4 read, and find well."""


def test_every_verdict_says_whether_its_testbed_met_its_gates():
    def said(*tables):
        return {one.gates for one in verdicts(tables)}

    well, badly = BETWEEN, BETWEEN | {"lm.loss_post_after_pre": 9.0}
    met, fails = (f"{one} (V1, V3, V6 not in the table)" for one in ("none fails", "fails V2"))
    assert said(study(FLAT, FALLING, more=well)) == {met}
    assert said(study(FLAT, FALLING, more=badly)) == {fails}
    assert said(study(FLAT, FALLING)) == {"not known"}
    assert said(load(3)) == {""}
    both = pa.concat_tables([study(FLAT, FALLING, more=well | {"pipeline": "well"}), study(FLAT, FALLING, more=badly)])
    assert [one.gates for one in verdicts([both]) if one.claim == "C1"].count(met) == 2
    across = [study(FLAT, FALLING, more=well), study(-FALLING, BOWL, split="compute-matched", more=badly)]
    assert f"{met} / {fails}" in said(*across)


def test_another_criterion_on_the_same_seeds_is_exploratory(tmp_path, capsys, monkeypatch):
    path, out = results.write(study(FLAT, FALLING), tmp_path / "made.parquet"), tmp_path / "verdicts.parquet"
    arguments = ["verdicts", str(path), "--out", str(out)]
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    monkeypatch.setattr("lm_experiments.verdicts.claims.PREDICTS", 0.5)
    assert run("lm_experiments", COMMANDS, "test", arguments) == 0
    assert {one.claim for one in load_verdicts(out) if one.exploratory} == {"C8"}
    assert "exploratory" in capsys.readouterr().out


def test_the_stored_verdicts_are_those_of_the_stored_tables(judged_again):
    made, kept = load_verdicts(judged_again[1]), load_verdicts(STORED / "verdicts.parquet")
    assert [replace(one, code_version="") for one in made] == [replace(one, code_version="") for one in kept]
    assert {one.claim for one in kept} >= set(UNTESTED)
    assert {one.status for one in kept if one.claim == "C7"} == {"not testable here"}


def test_a_table_without_a_lambda_study_is_refused():
    table = study(FLAT, FALLING)
    with pytest.raises(WrongUse, match="no lambda study"):
        groups(table.slice(0, 1))


OTHERS = {
    "mixing": "replace",
    "split": "compute-matched",
    "placement": "late",
    "window": 0.2,
    "replay": 0.25,
    "dropout": 0.1,
    "rank": 4,
}
TEXTS = {
    "exposed": "shuffled", "replay_from": "generated", "replay_ft_from": "pre", "ewc_ft_on": "pre", "noise_scale": "absolute",
}  # fmt: skip
OTHERS |= TEXTS | {
    name: 4 if kind == "whole" else 0.5
    for name, (kind, _) in COLUMNS.items()
    if name not in {*OTHERS, *TEXTS, "exposure"}
}
OTHERS |= {
    "l2_to_start": 0.5,
    "lr_pre": 1e-3,
    "lr_post": 1e-3,
    "lr_ft": 5e-4,
    "tokens_post": 7,
    "lm.variant": "batch 8",
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_differs_in_a_recipe_is_another_group(name):
    """And what differs in nothing is an error: one row would stand for both."""
    table = study(FLAT, FALLING)
    rows = [row | {"lm.variant": ""} for row in table.to_pylist()]
    changed = [row | {name: OTHERS[name], "loss_im": row["loss_im"] + 1} for row in rows]
    made = pa.Table.from_pylist(rows + changed)
    found = groups(made)
    assert len(found) == 2
    assert abs(found[0].im - found[1].im).mean() == pytest.approx(1)
    assert found[0].title != found[1].title or name.startswith("lr_p")
    with pytest.raises(WrongUse, match="Nothing tells them apart"):
        groups(pa.Table.from_pylist([*rows, rows[0]]))


def test_an_unknown_rate_is_not_matched():
    table = study(FLAT, FALLING)
    unknown = table.set_column(table.schema.get_field_index("lr_ft"), "lr_ft", pa.nulls(table.num_rows, pa.float64()))
    (group,) = groups(unknown)
    assert "lr_ft unknown" in group.title
    assert "matched" not in group.title
    assert matched([group]) == []
