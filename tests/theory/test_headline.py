"""`python -m theory headline`: about the sweep that the demo makes, and about no other."""

import numpy as np
import pytest

from tests.theory.test_cli import call, call_json


def test_the_headline_is_about_its_own_sweep(capsys, outside, monkeypatch):
    axes = "alpha=0:0.5:3 beta=0.3:2.5:2"
    monkeypatch.setattr("theory.commands.headline.SWEEP", axes)
    monkeypatch.setattr("theory.commands.headline.published_changes", lambda: pytest.fail("the sweep is checked first"))
    out = "out/theory/headline_sweep.parquet"
    assert call(capsys, "sweep", "alpha=0:0.5:3", "beta=0.3:2.4:2", "--out", out)[0] == 0
    code, _, err = call(capsys, "headline")
    assert (code, "another sweep" in err, axes in err) == (2, True, True)
    assert call(capsys, "sweep", *axes.split(), "--out", out)[0] == 0
    with pytest.raises(BaseException, match="checked first"):
        call(capsys, "headline")


def test_the_demo_makes_the_headline_sweep():
    from pathlib import Path

    from theory.commands.headline import SWEEP, TABLE

    makefile = (Path(__file__).resolve().parents[2] / "Makefile").read_text()
    assert f"SWEEP := {SWEEP}\n" in makefile
    assert f"HEADLINE := {TABLE}\n" in makefile
    assert "theory sweep $(SWEEP) --out $(HEADLINE)" in makefile


def test_headline_on_a_small_sweep(capsys, outside, study):
    assert (
        call(
            capsys,
            "sweep",
            "alpha=0:0.5:6",
            "beta=0.3:2.5:5",
            "sigma_ft=0.1:1.3:4",
            "t_post=0.05:5:8:log",
            "t_ft=0.01:10:8:log",
            "--out",
            "s.parquet",
        )[0]
        == 0
    )
    overlay = str(study("overlay"))
    code, got = call_json(capsys, "headline", "--sweep", "s.parquet", "--overlay", overlay)
    assert code == 0
    assert got["paper"]["latent"] == 2
    assert got["paper"]["loss_ret"] == pytest.approx([-0.094765, -0.113188, -0.124672], abs=1e-6)
    assert got["sweep"]["latent"] == 0 < got["sweep"]["gain"]
    assert got["fit"]["argmin_3b"] == [0.0, 0.0, 0.0]
    assert got["fit"]["stars_3b"] == [0.25, 0.25, 0.5]
    assert np.mean(got["fit"]["change_3a"]["loss_im"]) < np.mean(got["paper"]["loss_im"])
    assert call(capsys, "sweep", "t_ft=0.1,1", "--out", "wrong.parquet")[0] == 0
    assert call(capsys, "headline", "--sweep", "wrong.parquet", "--overlay", overlay)[0] == 2
    assert call(capsys, "sweep", "alpha=0,0.1", "t_ft=1,2", "--model", "rp", "--out", "rp.parquet")[0] == 0
    code, _, err = call(capsys, "headline", "--sweep", "rp.parquet", "--overlay", overlay)
    assert (code, "rp model" in err) == (2, True)
