"""One cell of a stored table, done again: by the settings that its row says, and compared with what is stored.

A run depends on its settings and its seed alone, so on the same libraries the numbers are equal to the last bit; `TOLERANCE` is for others.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from common import results, verdict_table
from common.losses import LOSSES
from common.published import RESULTS
from common.rows import column_name
from common.settings import WrongUse, config_hash, meant
from paper.provenance import command, tables

TOLERANCE = 1e-6
"""Relative; absolute below 1."""
ANSWERS = "theory/answers"


class Again(NamedTuple):
    """A cell, and the same cell now."""

    table: str
    row: int
    stored: dict[str, Any]
    now: dict[str, Any]

    @property
    def differs(self) -> list[str]:
        """Names whose values are not the same."""
        return [name for name, value in self.stored.items() if not _near(value, self.now.get(name))]


def _near(before: Any, now: Any) -> bool:
    if isinstance(before, float) and isinstance(now, float):
        return abs(before - now) <= TOLERANCE * max(abs(before), 1.0)
    return bool(before == now)


def rerun(name: str, row: int = 0) -> Again:
    """Do a cell again.

    Args:
        name: the table, below the folder of results and without its suffix, e.g. sims/leakage.
        row: which row, from 0.

    Raises:
        WrongUse: no such table or row, or one that cannot be done by the settings of a row; then it names the command.
    """
    name = name.removeprefix("paper/results/").removesuffix(".parquet").removesuffix(".json")
    if name == ANSWERS:
        return _answers(row)
    if name not in tables():
        raise WrongUse(f"table = {name!r} is not stored. {meant(name, [*tables(), ANSWERS])}")
    room = name.split("/", maxsplit=1)[0]
    if room == "lm" or name in ("sims/verdicts", "theory/crosscheck", "theory/crosscheck_verdicts"):
        why = "a row needs all stages of its pipeline" if room == "lm" else "a row needs all the others"
        raise WrongUse(f"table = {name}: one cell of it cannot be done again, {why}. Make it with `{command(name)}`.")
    found = (verdict_table if name == "theory/verdicts" else results).read(RESULTS / f"{name}.parquet")
    if not 0 <= row < found.num_rows:
        raise WrongUse(f"row = {row} is not in {name}. Choose one from 0 to {found.num_rows - 1}.")
    stored = found.slice(row, 1).to_pylist()[0]
    if name == "theory/verdicts":
        return Again(name, row, *_theorem(stored))
    kept = {loss: stored[loss] for loss in LOSSES if stored[loss] is not None}
    now = _fitted(stored) if name == "theory/fits" else _simulated(stored)
    return Again(name, row, kept, {loss: now[loss] for loss in kept})


def _theorem(stored: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    from theory.commands.verdicts import by_proof, by_published_points

    made = [by_proof(stored["claim"])] if stored["engine"] == "theory" else by_published_points()
    now = next(one for one in made if (one.claim, one.where) == (stored["claim"], stored["where"]))
    return {name: stored[name] for name in ("status", "value")}, {"status": now.status, "value": now.value}


def _fitted(stored: Mapping[str, Any]) -> dict[str, float]:
    """The curve of a fit at the parameters of its row."""
    from theory.fitting.laws import law_losses
    from theory.fitting.models import GROUPS, model_losses
    from theory.fitting.points import SPLITS, Points
    from theory.laws.forms import FORMS

    v = {
        name.removeprefix("problem."): value
        for name, value in stored.items()
        if name.startswith("problem.") and value is not None
    }
    v |= {"t_ft": stored["t_ft"]} if stored["t_ft"] is not None else {}
    matched = np.array([SPLITS.index(stored["split"])])
    place = Points(np.array([stored["exposure"]]), np.array([float(stored["tokens_post"])]), matched, np.zeros((1, 2)))
    if stored["model"] in FORMS:
        losses = law_losses(FORMS[stored["model"]], v, place)
    else:
        groups = GROUPS if "strength_decay" in v else 1
        losses = v["floor"] + v["scale"] * np.asarray(model_losses(v, place, stored["model"], groups))
    return dict(zip(("loss_im", "loss_ret"), map(float, np.asarray(losses)[0]), strict=True))


def _simulated(stored: Mapping[str, Any]) -> dict[str, float]:
    """One run of a study, found among its cases by the configuration and the settings of the row."""
    from sims.run import complete, simulate
    from sims.studies import STUDIES

    study = STUDIES[stored["study"]]
    if stored["engine"] == "theory":
        return _closed(study, stored)
    for case in study.cases():
        if config_hash(study.name, case.model, case.setup) != stored["config_hash"]:
            continue
        if study.run:
            own = [name for name, value in stored.items() if isinstance(value, str) and name != "code_version"]
            made = results.table(study.run(case, study.name)).to_pylist()
            return next(row for row in made if all(row[name] == stored[name] for name in ("seed", *own)))
        settings = complete(case.setup, case.values)
        for observation, fraction in enumerate(case.setup.observe):
            runs = {
                name: np.broadcast_to(np.asarray(value, dtype=float), case.size)
                for name, value in settings.items()
                if not isinstance(value, str)
            }
            seen = runs | {"t_ft": runs["t_ft"] * fraction}
            here = np.flatnonzero(_meets(seen, stored))
            if here.size:
                one = {name: float(values[here[0]]) for name, values in runs.items()}
                losses = simulate(case.setup, one, workers=1).losses
                return {name: float(np.ravel(loss)[observation]) for name, loss in zip(LOSSES, losses, strict=True)}
    raise WrongUse(
        f"study = {study.name}: no case of it has the settings of that row any more. Make the table with `{command('sims/' + study.name)}`."
    )


def _closed(study: Any, stored: Mapping[str, Any]) -> dict[str, float]:
    """A row of the closed form that stands beside a study."""
    for columns in study.closed_form() if study.closed_form else ():
        made = results.table(columns)
        settings = {
            name: results.column(made, name)
            for name in made.column_names
            if name in stored
            and (name.startswith("problem.") or name in ("alpha", "t_pre", "t_post", "t_ft", "exposure"))
        }
        here = np.flatnonzero(_meets(settings, stored))
        if columns["model"] == stored["model"] and here.size:
            return {loss: float(results.column(made, loss)[here[0]]) for loss in LOSSES}
    raise WrongUse(
        f"study = {study.name}: no closed form of it has the settings of that row. Choose a row with engine sims."
    )


def _meets(settings: Mapping[str, Any], stored: Mapping[str, Any]) -> Any:
    """Which of some runs have the settings of a row, as far as it says them."""
    size = max((np.size(values) for values in settings.values()), default=0)
    same = np.ones(size, dtype=bool)
    for name, values in settings.items():
        said = stored.get(name if name in stored else column_name(name))
        if said is not None:
            same &= np.isclose(values, said, rtol=1e-12, atol=0.0)
    return same


def _answers(row: int) -> Again:
    from paper.answers import COMMANDS, differences, measured, stored

    if row:
        raise WrongUse(
            f"row = {row}: {ANSWERS} has no rows. Leave it out; all {len(COMMANDS)} answers are made again, in a minute."
        )
    before, now = stored(), {name: one["answer"] for name, one in measured()["answers"].items()}
    wrong = {name: differences(before.get(name), now[name]) for name in now}
    return Again(
        ANSWERS,
        0,
        dict.fromkeys(now, "as stored"),
        {name: "; ".join(said) or "as stored" for name, said in wrong.items()},
    )
