"""The picture of E2 to E5: what is measured stands where the tables say, and accounts where the statement does."""

import matplotlib.pyplot as plt
import pytest

from common.mechanisms import ACCOUNTS, primaries
from figures.make import picture
from figures.mechanisms import EXPERIMENTS, SERIES
from tests.lm_experiments.test_mechanisms import probes, runs


def test_means_and_predictions_are_in_their_rows():
    tables = runs(), probes(noise_03=-0.02, share_im=0.003, relearned_24=0.3)
    figure = picture("mechanisms", *tables)
    found = primaries(*tables)
    assert set(found) == {(claim, of) for claim in EXPERIMENTS for of in SERIES}
    for ax, claim in zip(figure.axes, EXPERIMENTS, strict=True):
        marks = {
            (line.get_marker(), line.get_ydata()[0]): line.get_xdata()[0]
            for line in ax.lines
            if len(line.get_xdata()) == 1
        }
        for place, (of, (_, _, marker)) in enumerate(SERIES.items()):
            assert marks[marker, -place] == pytest.approx(found[claim, of].mean())
        for place, signs in enumerate(ACCOUNTS.values(), start=len(SERIES)):
            at = marks["D" if signs[claim] == 0 else "<", -place]
            assert (at < 0) == (signs[claim] < 0)
    plt.close("all")


def test_what_was_not_measured_is_said():
    figure = picture("mechanisms", runs(), probes(relearned_24=-1.5))  # relearned below loss_im: no logarithm
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [[], [], [], ["not defined"]]
    plt.close("all")
