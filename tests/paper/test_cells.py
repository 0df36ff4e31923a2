"""Numbers of the text that are made of several rows: beside a second way to them, and where a study has no verdict yet."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from common.mechanisms import of_probes, of_runs
from common.published import RESULTS
from common.seeds import Interval, quantile
from common.settings import WrongUse
from lm_experiments.studies.frontiers import MITIGATION
from lm_experiments.studies.sensitivity import AS_IT_IS, CHOICES
from lm_experiments.verdicts.frontiers import ASKED
from paper import deciding, frontiers, language, reading
from paper.reading import by_seed, cell, paired

FIG4 = {
    "study": "fig4-controlled",
    "where": frontiers.CHEMISTRY,
    "status": "undecided",
    "variant": "",
    "claim": "C5",
    "primary": False,
}


def rows(name):
    return pq.read_table(RESULTS / f"lm/{name}.parquet").to_pylist()


def value(macros, name):
    (one,) = (one for one in macros if one.name == name)
    return one.value()


@pytest.fixture
def verdicts(monkeypatch):
    """Rows in the place of the stored verdicts."""
    given = []
    monkeypatch.setattr(reading, "verdict_rows", lambda engine: given)
    return given


def judged(words, view=0, **own):
    """A verdict on frontiers."""
    effect = f"hypervolume, share of the box: {words}, {frontiers.VIEWS[view]}"
    return FIG4 | {"effect": effect, "value": 0.5, "low": 0.25, "high": 0.75} | own


def test_a_study_without_a_table_is_said_to_have_none(verdicts):
    verdicts.append(judged("mixed minus unmixed", study="fig2-controlled"))
    lines = frontiers._frontier_rows().split(r" \\")
    assert lines[0] == r"mixed $-$ unmixed & \ensuremath{0.50\ [0.25,\ 0.75]}\xspace & -- & -- & --"
    assert lines[1].strip().splitlines() == [
        r"\addlinespace",
        r"mixed with dropout $-$ mixed & \multicolumn{4}{l}{no verdict yet}",
    ]
    assert frontiers._placement_rows().count(r"\multicolumn{2}{l}{no verdict yet}") == len(frontiers.PLACED)
    assert frontiers._choice_rows().count("no verdict yet") == len(frontiers.CHOICES)
    assert ": Figure 4, Figure 6, Figure 7, mitigation, placement and the choices left open;" in frontiers._not_run()


def test_once_it_has_one_its_numbers_stand_there(verdicts):
    verdicts += [
        judged("mixed+replay minus mixed", view=1, value=None, low=None, high=None, status="not testable here"),
        judged("mixed+dropout minus mixed", where=frontiers.ENGINEERING),
    ]
    dropout, replay = frontiers._frontier_rows().split(r" \\")[1:3]
    assert dropout.endswith(r"$-$ mixed & -- & \ensuremath{0.50\ [0.25,\ 0.75]}\xspace & -- & --")
    assert replay.endswith(r"$-$ mixed & -- & -- & not testable & --")
    verdicts[:] = [judged("", study=study) for study in frontiers.STUDIES]
    assert (frontiers._not_run(), frontiers._low_rank()) == ("", "")
    verdicts.append(judged("", study="fig7-controlled", claim="C6", primary=True))
    assert frontiers._low_rank().endswith(", is undecided. ")
    verdicts[-2] |= {"where": "untied: raw effect", "status": "refuted"}
    assert (
        frontiers._choice_rows()
        .split(r" \\")[1]
        .endswith(r"apart & \ensuremath{0.500\ [0.250,\ 0.750]}\xspace refuted & --")
    )


def test_two_verdicts_in_the_place_of_one_are_refused(verdicts):
    verdicts += [judged("", variant=name) for name in "ab"]
    with pytest.raises(WrongUse, match="has 2 verdicts with"):
        cell("lm", study="fig4-controlled")


def test_every_question_of_the_studies_has_a_row():
    asked = {study: {(one.more, one.less) for one in some} for study, some in ASKED.items()}
    assert {study: set(pairs) for study, pairs in frontiers.FRONTIERS} == asked
    assert {view for some in ASKED.values() for view in (f"({', '.join(one.view)})" for one in some)} == set(
        frontiers.VIEWS
    )
    assert set(frontiers.CHOICES) == set(CHOICES) - {AS_IT_IS}
    shown = {name.split(" 0.")[0].removesuffix(" 8").removesuffix(" 4") for name in frontiers.MEANS}
    assert shown == {arm.name.partition(", ")[0] for arm in MITIGATION.arms}


def test_every_statistic_of_the_experiments_is_there_or_left_out_by_name():
    made = [
        *of_runs(pq.read_table(RESULTS / f"{deciding.TABLE}.parquet")),
        *of_probes(pq.read_table(RESULTS / f"{deciding.PROBES}.parquet")),
    ]
    own = {(one.claim, one.name): one for one in made if one.of == "real"}
    shown = {(claim, name) for claim, name, _ in (*deciding.PRIMARY, *deciding.SECONDARY)}
    assert {key for key, one in own.items() if one.primary} == {(claim, name) for claim, name, _ in deciding.PRIMARY}
    left_out = ("forgetting", "loss_ret L2", "step_bend", "share_ret")
    assert {key for key in own if not key[1].startswith(left_out)} == shown
    lines = deciding._rows().replace("\\addlinespace\n", "").split(" \\\\")[:-1]
    for line, (claim, name, _) in zip(lines, (*deciding.PRIMARY, *deciding.SECONDARY), strict=True):
        mean = float(np.mean(own[claim, name].values))
        assert line.split(" & ")[2].startswith(rf"\ensuremath{{{mean + 0.0:.3f}".replace("-0.000", "0.000")), (
            claim,
            name,
        )


def test_pairs_are_those_of_a_seed():
    made = paired({2: 5.0, 1: 3.0}, {1: 1.0, 2: 1.0})
    assert (made.value, made.high) == (3.0, pytest.approx(3.0 + quantile(1) * 1.0))
    with pytest.raises(KeyError):
        paired({1: 3.0}, {1: 1.0, 2: 1.0})
    assert sorted(by_seed(language.FEW, "loss_im", {"lm.variant": "real", "exposure": 0.5, "lr_ft": 1e-4})) == list(
        range(20, 28)
    )


def test_made_facts_along_lambda():
    few = rows("pico/few-facts")
    real = {(row["exposure"], row["lr_ft"], row["seed"]): row["loss_ret"] for row in few if row["lm.variant"] == "real"}
    above = below = 0
    for dose in (0.1, 0.5, 1.0, 2.0):
        for rate in (1e-4, 2e-4, 3e-4):
            change = np.array([real[dose, rate, seed] - real[0.0, rate, seed] for seed in range(20, 28)])
            half = quantile(7) * change.std(ddof=1) / 8**0.5
            above, below = above + (change.mean() > half), below + (change.mean() < -half)
    made = language._along()
    assert [value(made, f"Few{word}") for word in ("Contrasts", "Above", "Below")] == [12, above, below]
    assert value(made, "FewOneMiddle").value == pytest.approx(
        np.mean([real[1.0, 2e-4, s] - real[0.0, 2e-4, s] for s in range(20, 28)])
    )
    table = value(made, "FewRows").split(" \\\\\n")
    assert table[0] == r"$\lambda$ & 0 & 0.1 & 0.5 & 1 & 2"
    flat = [
        np.mean([row["loss_im"] for row in few if (row["lm.variant"], row["exposure"]) == ("real", dose)])
        for dose in (0, 0.1, 0.5, 1, 2)
    ]
    assert table[2] == " & ".join([r"$\Lim$", *(f"{one:.3f}" for one in flat)])
    assert table[-1].split(" & ")[3] == f"{np.mean([real[0.5, 3e-4, seed] for seed in range(20, 28)]):.2f}"
    twice = [row for row in rows("pico2/few-facts") if row["lr_ft"] == 1.5e-4]
    for word, arm, dose in (("Unexposed", "real", 0.0), ("Exposed", "real", 2.0), ("Decoy", "shuffled", 2.0)):
        kept = [row["loss_ret"] for row in twice if (row["lm.variant"], row["exposure"]) == (arm, dose)]
        assert len(kept) == 5
        assert value(made, f"Twice{word}") == pytest.approx(np.mean(kept))


def test_what_care_in_stage_2_and_grafts_do():
    runs = [row for row in rows("nano/deciding") if row["lr_ft"] == 3e-4 and row["exposure"] == 0]
    mean = {
        (arm, weight, name): np.mean([row[name] for row in runs if (row["lm.variant"], row["l2_to_start"] or 0.0) == (arm, weight)])
        for arm, weight in (("real", 0.0), ("anchored", 1e-3), ("slow", 0.0), ("extra", 0.0))
        for name in ("loss_ret", "lm.moved_post")
    }  # fmt: skip
    made = deciding.deciding()
    for word, arm, weight in (("Held", "anchored", 1e-3), ("Slow", "slow", 0.0), ("Extra", "extra", 0.0)):
        difference = mean[arm, weight, "loss_ret"] - mean["real", 0.0, "loss_ret"]
        assert value(made, f"{word}Ret").value == pytest.approx(difference)
    nearer = 1 - mean["anchored", 1e-3, "lm.moved_post"] / mean["real", 0.0, "lm.moved_post"]
    assert value(made, "HeldNearer") == round(100 * nearer)
    probes = [row for row in rows("nano/deciding-probes") if row["lm.variant"] == "real" and row["lr_ft"] == 3e-4]
    for word, column, dose in (("Whole", "loss_im", 0), ("Given", "probe.given_im", 1), ("Taken", "probe.taken_im", 1)):
        assert value(made, f"Graft{word}") == pytest.approx(
            np.mean([row[column] for row in probes if row["exposure"] == dose])
        )


def test_one_testbed_of_those_over_which_d1_is_judged(verdicts):
    verdicts.append({"effect": "share: a>b +0.001 [-0.063, +0.065]; c?d=2>e -0.622 [-3.216, +1.973]"})
    assert deciding._testbed("c?d", {}) == Interval(value=-0.622, low=-3.216, high=1.973)
    assert deciding._testbed("a>b", {}).high == 0.065
    with pytest.raises(WrongUse, match="nothing of x>y"):
        deciding._testbed("x>y", {})


def test_how_many_times_what_exposure_keeps():
    kept = {row["effect"]: row["value"] for row in rows("verdicts") if row["study"] == "mitigation-controlled"}
    alone = kept["loss_ret at matched loss_ft: none, mixed minus unmixed"]
    for word, data in (("Pre", "D_pre"), ("Post", "D_post")):
        own = kept[f"loss_ret at matched loss_ft: replay of {data} in stage 3 minus none, unmixed"]
        assert value(frontiers.frontiers(), f"Replay{word}Times") == pytest.approx(own / alone)


def test_how_many_signs_the_simulated_accounts_keep():
    told = [
        row["status"]
        for row in pq.read_table(RESULTS / "sims/verdicts.parquet").to_pylist()
        if row["study"] == "mechanisms"
    ]
    made = deciding.deciding()
    assert (value(made, "SimsPromised"), value(made, "SimsAccounts")) == (told.count("supported"), len(told))


def test_what_an_effect_says_in_words(verdicts):
    verdicts.append({"model": "pico2", "effect": "loss_ret, real minus no exposure (raw effect -0.285)"})
    words, raw = (
        language._of_effect("A", r"real minus (.*) \(", {"model": "pico2"}),
        language._of_effect("A", r"raw effect ([+-][\d.]+)", {"model": "pico2"}),
    )
    assert (words.value(), raw.value()) == ("no exposure", -0.285)
    with pytest.raises(WrongUse, match="and not 'nothing'"):
        language._of_effect("A", "nothing", {"model": "pico2"}).value()
