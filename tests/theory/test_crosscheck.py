"""The cross-check: reading anybody's study, what it says out of sample, verdicts, exclusions and oddities."""

import json
import os
import time

import numpy as np
import pandas as pd
import pytest

from common import results, verdict_table
from common.console import run
from common.gates import standing
from common.published import RESULTS
from common.settings import WrongUse
from theory.commands.crosscheck import Crosscheck
from theory.crosscheck.effect import effects, gates_of
from theory.crosscheck.judge import excluded, verdicts
from theory.crosscheck.oddities import oddities, published_oddities
from theory.crosscheck.outside import from_measured, held_out, transferred
from theory.crosscheck.reading import read_studies, read_study

STORED = RESULTS / "lm"
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)


def call(capsys, *arguments):
    code = run("theory", {"crosscheck": Crosscheck, "again": Crosscheck}, "test", ["crosscheck", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def frame(split="independent", phi=0.3, noise=0.002, seeds=6, **more):
    """A study that obeys S with its learning curve measured: forgetting is .1 + phi (start - im)."""
    draws = np.random.default_rng(3)
    rows = []
    for seed in range(seeds):
        for lam in LAMBDAS:
            seen = 0.0 if split == "independent" else lam
            im = (
                2.0 - 0.01 * lam
                if split == "independent"
                else 1.6 + 0.5 * (1 + 3 * (1 - seen) + seen) ** -0.5 + 0.2 * lam**2
            )
            start = im + 1.5 * (1 - lam) ** 2 / (1 + 4 * lam)
            rows.append(
                {
                    "exposure": lam,
                    "loss_im": im,
                    "loss_ret": im + 0.1 + phi * (start - im),
                    "loss_post_after_pre": start,
                    "seed": seed,
                }
            )
    made = pd.DataFrame(rows).assign(split=split, **more)
    for name in ("loss_im", "loss_ret"):
        made[name] += noise * draws.standard_normal(len(made))
    return made


def test_a_study_from_csv_frame_and_table_is_the_same(tmp_path):
    data = frame(tokens_post=3e7, lr_ft=1e-4)
    data.to_csv(tmp_path / "own.csv", index=False)
    from_csv, from_frame = read_study(tmp_path / "own.csv"), read_study(data=data)
    for study in (from_csv, from_frame):
        (curve,) = study.curves
        assert curve.im.shape == (6, 5)
        assert curve.tokens == 3e7
        assert curve.start is not None
        assert not any(text.startswith(("seed", "tokens_post")) for text in study.missing)
    assert np.array_equal(from_csv.curves[0].ret, from_frame.curves[0].ret)
    unmixed = data.assign(method=np.where(data["exposure"] == 0, "unmixed", "mixed"))
    assert len(read_study(data=unmixed).curves) == 1
    rates = pd.concat([data, data.assign(lr_ft=3e-4)])
    assert [curve.lr_ft for curve in read_study(data=rates).curves] == [1e-4, 3e-4]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("exposure,loss_im\n0,2\n1,2\n", "lacks the column loss_ret"),
        ("exposure,loss_im,loss_ret\n0,2,x\n1,2,2\n", "loss_ret = 'x' in row 1"),
        ("exposure,loss_im,loss_ret\n0,2,2\n1,,2\n", "loss_im in row 2"),
        ("exposure,loss_im,loss_ret\n0,2\n", "line 2: 2 entries under 3 columns"),
        ("exposure,loss_im,loss_ret\n-1,2,2\n1,2,2\n", "exposure = -1"),
        ("exposure,loss_im,loss_ret\n0,2,2\n0,2,2\n1,2,2\n", "several rows have exposure = 0"),
        ("exposure,loss_im,loss_ret\n1,2,2\n", "no curve along lambda"),
        ("exposure,loss_im,loss_ret,split\n0,2,2,both\n1,2,2,both\n", "split = 'both'"),
        ("exposure,loss_im,loss_ret\n", "no line of numbers"),
        ("exposure,loss_im,loss_ret\n\n", "no line of numbers"),
        ("exposure;loss_im;loss_ret\n0;2,5;2\n", "line 1: columns are separated by semicolons"),
        ("exposure\tloss_im\tloss_ret\n0\t2\t2\n", "separated by tabs"),
        (
            "exposure,loss_im,loss_ret\n0,2,2\n\n0,5,2,2\n",
            "line 4: 4 entries under 3 columns. Give one entry for each column. Decimal commas",
        ),
        (
            'exposure,loss_im,loss_ret\n0,2,2\n"0,5",2,2\n',
            "exposure = '0,5' in row 2 is not a number. Correct it (decimals have a point)",
        ),
        ("exposure,loss_im,loss_ret,loss_im\n0,2,2,3\n", "line 1: the column loss_im is there 2 times"),
        ("exposure,loss_im,loss_ret\n0,2,2\n50,2,2\n", "exposure = 50 in row 2 is above 8"),
        ("lambda,loss_im,loss_ret\n0,2,2\n", "lacks the column exposure"),
    ],
)
def test_a_malformed_csv_is_named(capsys, outside, text, says):
    (outside / "own.csv").write_text(text)
    code, _, errors = call(capsys, "own.csv", "--out", "made")
    assert code == 2
    assert says in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (outside / "made").exists()


def test_a_mark_before_the_first_name_is_no_part_of_it(tmp_path):
    (tmp_path / "own.csv").write_bytes(b"\xef\xbb\xbfexposure,loss_im,loss_ret\r\n0,2,2.5\r\n8,2,2.4\r\n")
    (curve,) = read_study(tmp_path / "own.csv").curves
    assert curve.exposure.tolist() == [0, 8]


def test_gates_are_told_by_testbed_and_stand_in_every_verdict():
    study = read_studies([str(STORED / "nano" / "controlled.parquet")])
    stands = {testbed: standing(made) for testbed, made in gates_of(study, None, 200_000).items()}
    assert stands == {"nano general>instruction>chemistry": "met", "nano general>instruction>engineering": "fails V1"}
    told = {
        (verdict.where, verdict.gates) for verdict in verdicts(study, effects(study), stands) if verdict.claim == "C1"
    }
    assert {gates for _, gates in told} == set(stands.values())
    assert all((">chemistry" in where) == (gates == "met") for where, gates in told)
    assert {one.gates for one in verdicts(study, effects(study), stands) if one.claim == "C8"} == {"met / fails V1"}
    assert gates_of(read_study(data=frame()), None, None) == {}


def test_measured_forgetting_is_predicted_by_the_law_that_made_it():
    study = read_study(data=frame())
    by = {one.model: one for one in from_measured("", list(study.curves))}
    assert by["S measured"].values["phi"] == pytest.approx(0.3, abs=0.01)
    assert by["S measured"].error < 0.01 < by["null"].error / 4
    assert by["line"].error > by["S measured"].error
    flat = {one.model: one for one in from_measured("", list(read_study(data=frame(phi=0.0)).curves))}
    assert flat["S measured"].values["phi"] == pytest.approx(0.0, abs=0.01)


def test_verdicts_and_exclusions_follow_the_seeds():
    study = read_study(data=frame())
    found = effects(study)
    by = {verdict.claim: verdict for verdict in verdicts(study, found)}
    assert by["C1"].status == by["P2"].status == "supported"
    assert by["P4"].status == "not testable here"
    against = {one.model: one for one in excluded(study, found, held_out(study))}
    assert against["null (constant forgetting)"].excluded
    few = read_study(data=frame(seeds=3))
    assert {v.status for v in verdicts(few, effects(few)) if v.claim == "C1"} == {"undecided"}
    flat = read_study(data=frame(phi=0.0))
    assert not any(one.excluded for one in excluded(flat, effects(flat), held_out(flat)))
    dipping = read_study(data=frame("compute-matched"))
    assert {v.claim for v in verdicts(dipping, effects(dipping))} >= {"C2", "P3"}
    got = {one.model: one for one in excluded(dipping, effects(dipping), [])}
    assert got["plain at equal step sizes"].excluded == (0 < effects(dipping)[0].best < 1)


def test_the_published_points_show_their_oddities(capsys):
    began = time.perf_counter()
    code, text, _ = call(capsys, "published", "--json")
    assert code == 0
    assert time.perf_counter() - began < 60  # 6 s on a free core
    document = json.loads(text)
    said = "\n".join(document["oddities"])
    for words in (
        "compute-matched 30M: lambda = 1 retains worse than 0",
        "compute-matched 150M: lambda = 1 retains worse than 0",
        "loss_im at lambda = 0.75 is 2.282, above 2.132 without any stage 2",
        "C4>FLAN>ChemPile; loss_ft, loss_ret): mixed has 14% less hypervolume",
        "Figure 6 b_right (C4>MusicPile>FLAN; loss_ret, loss_ft): replay alone beats mixing",
        "every drawn vertex is a hull vertex in 90 of 90 series",
    ):
        assert words in said
    assert "compute-matched 300M: lambda = 1" not in said
    errors = {one["model"]: one["error"] for one in document["predictions"] if one["how"] == "a curve left out"}
    assert errors["S"] < errors["null"]
    assert {one["status"] for one in document["verdicts"] if one["claim"] in ("C1", "C2")} == {"undecided"}


def test_a_healthy_frontier_is_not_odd():
    assert not any("Figure 2 " in said for said in published_oddities())
    assert oddities(read_study(data=frame(noise=0.0, phi=0.0))) == []


def test_the_command_says_what_is_missing_and_writes(capsys, outside):
    (outside / "own.csv").write_text(
        "exposure,loss_im,loss_ret\n" + "".join(f"{lam},2.0,{2.3 - lam / 10}\n" for lam in LAMBDAS)
    )
    code, text, _ = call(capsys, "own.csv", "--out", "made")
    assert code == 0
    for word in ("Missing", "tokens_post", "seed, at least 5", "null", "C1", "4. Against models: nothing"):
        assert word in text
    assert "  gates" not in text
    assert verdict_table.read(outside / "made" / "crosscheck_verdicts.parquet").num_rows >= 3
    table = results.read(outside / "made" / "crosscheck.parquet")
    assert set(table["study"].to_pylist()) == {"crosscheck"}
    assert call(capsys, "published", "own.csv")[0] == 2
    assert call(capsys, "own.csv", "own.csv")[0] == 2
    code, text, _ = call(capsys, "own.csv", "--tokens-post", "3e7", "--json")
    assert {one["how"] for one in json.loads(text)["predictions"]} >= {"from the published study"}


def test_what_is_no_text_is_refused_and_not_waited_for(capsys, outside):
    os.mkfifo(outside / "pipe")
    (outside / "bytes").write_bytes(b"\xff\xfe")
    for name, said in (("pipe", "it is not an ordinary file"), ("bytes", "it is not text in UTF-8")):
        code, _, errors = call(capsys, name, "--out", "made")
        assert (code, f"({said})" in errors) == (2, True)


def test_the_published_fits_transfer_to_their_own_points():
    from common.published import load

    study = read_study(data=load(3))
    by = {one.model: one.error for one in transferred(study)}
    assert by["plain"] < by["no change"]
    with pytest.raises(WrongUse, match="cannot be read"):
        read_study(__import__("pathlib").Path("nowhere.csv"))
