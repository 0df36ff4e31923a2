"""Frontiers and variants of the language models: what is drawn is what the table and the verdicts say."""

from functools import cache

import matplotlib.pyplot as plt
import numpy as np
import pytest

from common import results
from common.frontier import lower_left_hull, pareto_set
from common.published import RESULTS, load
from common.seeds import mean_interval
from common.settings import WrongUse
from common.sweeps import VIEWS, sweeps
from common.variants import compared, curves
from figures import style
from figures.decoy_curves import along_lambda
from figures.language_models import both_halves
from figures.make import PICTURES
from figures.measured_frontiers import attainment, beside, hypervolumes
from figures.of_the_paper import SOURCES
from figures.variants import mitigation, placement
from tests.lm_experiments.settled import settled

RATES = {1e-4: 0, 3e-4: 1, 1e-3: 2}


@cache
def table(name):
    rng = np.random.default_rng(1)

    def rule(chosen, arm):
        recipe, along = (
            chosen.recipe,
            0.3 * RATES[chosen.stage3.lr] + 0.1 * (chosen.stage2.batch > 16) + rng.normal(0, 0.02),
        )
        gain = 0.06 * recipe.exposure + 0.05 * bool(recipe.dropout) + 0.3 * recipe.replay_ft
        return 3.4, 3.5 + along - gain, 3.7 - 0.7 * along, 3.9 + 0.3 * along - gain + rng.normal(0, 0.05)

    return settled(f"{name}-controlled", "nano", rule)


@pytest.fixture(autouse=True)
def look():
    style.apply()
    yield
    plt.close("all")


@pytest.mark.parametrize("number", [2, 4, 6, 7])
def test_our_frontiers_stand_beside_the_published_ones(number):
    figure = beside(load(number), table(f"fig{number}"))
    axes = [ax for ax in figure.axes if ax.axison]
    titles = [ax.get_title(loc="left") for ax in axes if ax.get_title(loc="left")]
    assert [title.startswith("published") for title in titles] == [True, *([True] if number > 2 else []), False, False]
    assert titles[-2:] == ["nano: instruction → chemistry", "nano: instruction → engineering"]
    assert len(axes) == (6 if number == 2 else 4)
    one, view = sweeps(table(f"fig{number}"))[0], VIEWS[0] if number == 2 else VIEWS[0][::-1]
    ax = axes[-4 if number == 2 else -2]
    assert style.AXES[view[0]] in ax.get_xlabel()
    drawn = {line.get_marker(): [] for line in ax.lines}
    for line in ax.lines:
        drawn[line.get_marker()].append(line.get_xydata())
    for method in one.points:
        mean = one.seen(method, view).mean(axis=0)
        hulls = [points for marker, some in drawn.items() if marker not in ("D", "None") for points in some]
        assert any(np.array_equal(points, mean[lower_left_hull(mean)]) for points in hulls), method
        assert any(np.array_equal(points, mean[pareto_set(mean)]) for points in drawn["D"]), method


def test_gains_in_hypervolume_are_those_of_the_verdicts():
    figure = hypervolumes(*(table(f"fig{number}") for number in (2, 4, 6, 7)))
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert len(labels) == 10
    one = sweeps(table("fig4"))[1]
    for ax, view in zip(figure.axes, VIEWS, strict=True):
        shares = one.shares(view)
        found = mean_interval(shares["mixed+dropout"] - shares["mixed"])
        place = labels.index("dropout, on top of mixing") + 0.75 * 0.25
        (point,) = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_ydata()[0] == pytest.approx(place)
                    and line.get_marker() == "s"]  # fmt: skip
        assert point.get_xdata()[0] == pytest.approx(found.value)
        ends = [
            line.get_xdata() for line in ax.lines if np.allclose(line.get_ydata(), place) and len(line.get_xdata()) == 2
        ]
        assert np.allclose(ends, [[found.low, found.high]])
    assert len(hypervolumes(table("fig2")).axes[0].get_yticklabels()) == 1


def test_attainment_needs_both_methods_with_the_same_settings():
    assert [ax.get_title(loc="left") for ax in attainment(table("fig2")).axes][:2] == [
        "nano: instruction → chemistry", "3 seeds of 12 settings, either method",
    ]  # fmt: skip
    rows = [row for row in table("fig2").to_pylist() if not (row["exposure"] and row["lr_ft"] == 1e-3)]
    fewer = results.table({name: [row[name] for row in rows] for name in rows[0]})
    with pytest.raises(WrongUse, match="same settings and seeds"):
        attainment(fewer)
    with pytest.raises(WrongUse, match="has no unmixed runs"):
        attainment(table("fig7"))


def points(ax, marker):
    return {
        round(float(line.get_ydata()[0]), 6): float(line.get_xdata()[0])
        for line in ax.lines
        if line.get_marker() == marker and len(line.get_xdata()) == 1
    }


def test_variants_are_where_their_differences_at_matched_loss_ft_are():
    found = curves(table("mitigation"))
    left, right = mitigation(table("mitigation")).axes
    names = [text.get_text() for text in left.get_yticklabels()]
    place = names.index("replay of D_post in stage 3")
    for dose, marker, shift in ((0.0, "o", -0.14), (1.0, "s", 0.14)):
        pair = compared(found, (names[place], dose), ("none", dose))
        assert points(left, marker)[place + shift] == pytest.approx((pair[:, 0] - pair[:, 1]).mean())
    assert [name for name in names if name.endswith("*")] == ["noise 0.03*", "noise 0.1*", "rounding 8*", "rounding 4*"]
    assert len(points(right, "D")) == len(names) == 13
    assert len(points(left, "o")) == 8, "neither none nor damage"
    left, right = placement(table("placement")).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["uniform", "early", "late", "anneal"]
    assert (len(points(left, "D")), len(points(right, "D"))) == (4, 3)
    pair = compared(curves(table("placement")), ("late", 1.0), ("uniform", 1.0))
    assert points(right, "D")[2] == pytest.approx((pair[:, 0] - pair[:, 1]).mean())


def test_both_halves_of_figure_3_have_each_loss_and_the_decoy_where_it_was_measured():
    def rule(chosen, arm):
        recipe, late = chosen.recipe, RATES[chosen.stage3.lr]
        fall = (
            recipe.exposure
            * (0.1 if recipe.exposed == "shuffled" else 0.2)
            * (1 if recipe.split == "independent" else -1)
        )
        return 3.0 - 0.5 * fall + 0.1 * chosen.seed, 3.5 - fall * (1 + late) + 0.1 * chosen.seed, 1.0, 2.0

    axes = np.array(both_halves(load(3), settled("fig3-controlled", "nano", rule)).axes).reshape(3, 4)
    assert [ax.get_ylabel().partition("\n")[0] for ax in axes[:, 0]] == [
        "published, 135M", "nano: instruction → chemistry", "nano: instruction → engineering",
    ]  # fmt: skip
    found = [{line.get_marker(): line.get_xydata() for line in ax.lines if len(line.get_xdata()) > 1} for ax in axes[1]]
    assert np.allclose(found[0]["o"], [[dose, -0.1 * dose] for dose in (0, 0.25, 0.5, 1)])
    assert np.allclose(found[0]["X"], [[dose, -0.05 * dose] for dose in (0, 1)])
    for late, marker in enumerate("os^"):
        assert np.allclose(found[1][marker], [[dose, -0.2 * (1 + late) * dose] for dose in (0, 0.25, 0.5, 1)])
        assert np.allclose(found[3][marker], [[dose, 0.2 * (1 + late) * dose] for dose in (0, 0.25, 0.5)])
    assert "X" not in found[2]
    assert axes[1, 0].get_ylim() == axes[1, 1].get_ylim()


def test_decoys_are_a_layer_along_lambda_at_the_doses_they_have():
    def rule(chosen, arm):
        fall = chosen.recipe.exposure * (0.2 if arm == "real" else 0.1)
        return 1.0 - 0.1 * fall + 0.01 * chosen.seed, 1.5 - fall + 0.01 * chosen.seed, 1.0, 2.0

    few = settled("few-facts", "pico", rule, (20, 21))
    figure = along_lambda(load(3), results.read(RESULTS / "lm" / "nano" / "controlled.parquet"), few)
    assert len(figure.axes) == 16
    assert [ax.axison for ax in figure.axes[:4]] == [True, True, False, False]
    for ax, part in ((figure.axes[12], 0.1), (figure.axes[13], 1.0)):
        lines = {line.get_marker(): line.get_xydata() for line in ax.lines if line.get_marker() in ("o", "s", "X")}
        assert np.allclose(lines["o"], [[dose, -0.2 * part * dose] for dose in (0, 0.1, 0.5, 1, 2)])
        for decoy in ("s", "X"):
            assert np.allclose(lines[decoy], [[dose, -0.1 * part * dose] for dose in (0, 2)])
    rows = [row for row in load(3).to_pylist() if row["split"] == "independent" and row["tokens_post"] == 30_000_000]
    losses = [row["loss_ret"] for row in sorted(rows, key=lambda row: row["exposure"])]
    assert np.allclose(figure.axes[1].lines[0].get_ydata(), np.array(losses) - losses[0])


def test_figures_of_the_paper_come_from_the_regime_that_meets_the_gates():
    own = SOURCES["lm:nano"]
    assert {number: [one.study for one in PICTURES[name].measured] for number, name in own.items() if number > 1} == {
        number: [f"fig{number}-controlled"] for number in (2, 3, 4, 6, 7)
    }
