"""Parts of a study: found again by the same sources, not by others."""

import shutil
from pathlib import Path

import pytest

import sims.study
from common import results
from sims.cases import Case
from sims.run import Simulation
from sims.setup import Setup
from sims.study import SOURCES, Study, part_name, run_study

CASE = Case("plain", Setup(steps=(60, 40, 30)), {"t_pre": 4.0, "t_post": 2.0, "init_scale": 0.3, "alpha": [0.0, 0.3]})


def test_the_rooms_that_decide_a_result_name_its_parts():
    assert {folder.name for folder in SOURCES} == {"common", "sims", "theory"}
    assert all((folder / "__init__.py").exists() for folder in SOURCES)


@pytest.mark.parametrize("changed", ["training.py", "studies/depth.py"])
def test_a_study_does_not_go_on_with_parts_of_other_sources(changed, tmp_path, monkeypatch):
    folders = [tmp_path / "one" / "sims", tmp_path / "two" / "sims"]
    for folder in folders:
        shutil.copytree(Path(sims.study.__file__).parent, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folders[1] / changed).write_text((folders[1] / changed).read_text() + "\n")
    ran, simulate_all = [], sims.study.simulate

    def interrupted(setup, values, **more) -> Simulation:
        if len(ran) % 2:
            ran.append("interrupted")
            raise KeyboardInterrupt
        ran.append("done")
        return simulate_all(setup, values, **more)

    monkeypatch.setattr(sims.study, "simulate", interrupted)
    study = Study(
        "trial", "a trial", lambda: [CASE, CASE._replace(values={**CASE.values, "beta": 0.5})], lambda table: []
    )
    names = []
    for folder in folders:
        monkeypatch.setattr(sims.study, "SOURCES", (folder,))
        names.append(part_name("trial", CASE))
        with pytest.raises(KeyboardInterrupt):
            run_study(study, tmp_path / "out")
    assert len(set(names)) == 2
    assert ran == ["done", "interrupted"] * 2  # the second begins anew ...
    assert len(list((tmp_path / "out" / ".trial.parts").glob("*.json"))) == 2
    monkeypatch.setattr(sims.study, "simulate", simulate_all)
    monkeypatch.setattr(sims.study, "SOURCES", (folders[0],))
    assert results.read(run_study(study, tmp_path / "out").table).num_rows == 4  # ... and the first goes on
