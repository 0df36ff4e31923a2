"""`python -m theory solve`: one setting, or a file of them, mode by mode and stage by stage."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from common import results
from common.console import Output
from common.files import ordinary, reason
from common.losses import LOSSES, Losses
from common.recipe import COLUMNS, Recipe
from common.settings import WrongUse, check, meant, ranges
from theory.commands.setting import Setting
from theory.features import modes_from_json
from theory.models import MODELS, OVERFLOW
from theory.realise import Budget, realise
from theory.stages import solve
from theory.thresholds import assumptions, exposure_time

STAGES = ("start", "pre", "post", "ft")


@dataclass(frozen=True, kw_only=True)
class Solve(Setting):
    """Solve one setting: the strength of every mode and the four losses, stage by stage.

    Or read settings from a file: a JSON object (or a list of them) with any of the options below as keys
    (`t_pre`, `sigma_post`, ...), plus `exposure`, or with per-mode arrays under `modes`:
    {"modes": {"variance": {"pre": [1, 0], "post": [1, 1], "ft": [1, 0]}, "sigma": {...}}, "alpha": 0.2}
    """

    exposure: float | None = None
    """lambda: if given, it decides alpha and t_pre (and t_post, if compute-matched) from the budget."""
    file: str | None = None
    """JSON file with settings; - reads standard input."""

    def run(self, out: Output) -> Any:
        """Solve, print tables, return the numbers."""
        if self.file is None:
            return self._solve_blocks({} if self.exposure is None else {"exposure": self.exposure}, out)
        document = _read_json(self.file)
        if isinstance(document, list):
            if not document:
                raise WrongUse(f"--file {self.file} holds an empty list. Put at least one JSON object in it.")
            return [self._solve_document(entry, out, f"{self.file}[{i}]") for i, entry in enumerate(document)]
        return self._solve_document(document, out, self.file)

    def _solve_document(self, document: Any, out: Output, name: str) -> Any:
        if not isinstance(document, Mapping):
            raise WrongUse(
                f"{name} is not a JSON object with settings. See `python -m theory solve --help` for the form."
            )
        try:
            return (self._solve_modes if "modes" in document else self._solve_blocks)(document, out)
        except WrongUse as error:
            raise WrongUse(f"In {name}: {error}") from error

    def _solve_blocks(self, given: Mapping[str, Any], out: Output) -> Any:
        model = MODELS[self.model]
        values = self._settings(given, model.defaults(), self.values())
        document = _report(*model.strengths(values), values, out, model.losses)
        if self.model != "plain":
            return document
        held = assumptions(values)
        out.table(
            "Assumptions of the paper (reported, not enforced)",
            ("", "assumption", "holds", "here"),
            [(entry.source, entry.statement, "yes" if entry.holds else "no", entry.numbers) for entry in held],
        )
        exposure = values["alpha"] * values["t_pre"] + values["t_post"]
        needed = float(exposure_time(values["beta"], values["init_scale"]))
        out.show(
            f"D_post exposure alpha t_pre + t_post = {exposure:.4g}; a specialised mode is half learned at {needed:.4g}."
        )
        return document | {"assumptions": [entry._asdict() for entry in held], "exposure_time": needed}

    def _solve_modes(self, given: Mapping[str, Any], out: Output) -> Any:
        modes = modes_from_json(given["modes"])
        others = {name: value for name, value in given.items() if name != "modes"}
        values = self._settings(others, asdict(self.schedule), asdict(self.schedule))
        names = tuple(f"mode {i + 1}" for i in range(len(modes.count)))
        solution = solve(modes, values)
        strengths = [np.broadcast_to(stage, (len(names),)).tolist() for stage in solution.strengths]
        return _report(names, strengths, solution.losses, values, out)

    def _settings(self, given: Mapping[str, Any], known: Mapping[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        """Everything that decides the solution: options, overridden by the given ones, overridden by the recipe's exposure."""
        recipe = {"exposure": self.exposure, "mixing": self.mixing, "split": self.split}
        spending = recipe | asdict(self.budget)
        checked = _checked(given, {**known, **spending})
        values = values | {name: value for name, value in checked.items() if name in known}
        for kind in (type(self.problem), type(self.schedule)):
            names = [field.name for field in fields(kind)]
            if set(names) <= set(values):
                kind(**{name: values[name] for name in names})
        spending |= {name: value for name, value in checked.items() if name in spending}
        budget = Budget(**{name: spending[name] for name in ranges(Budget)})
        exposure = 0.0 if spending["exposure"] is None else spending["exposure"]
        own = {name: value for name, value in values.items() if name in COLUMNS}
        chosen = Recipe(**own | {"exposure": exposure, "mixing": spending["mixing"], "split": spending["split"]})
        exposed = spending["exposure"] is not None
        self.refuse_ignored(exposed=exposed, split=spending["split"], document=checked)
        return values | realise(chosen, budget, self.model) if exposed else values


def _read_json(name: str) -> Any:
    try:
        if name != "-":
            ordinary(name)
        return json.loads(sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WrongUse(
            f"--file {name} cannot be read as JSON ({reason(error)}). Give a file with one JSON object or a list of them."
        ) from error


def _checked(given: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The given settings, each of the kind of its default: a number, a whole number, a name, or (default None) a number or null."""
    checked: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise WrongUse(f"{name!r} is no setting. {meant(name, known)}")
        default = known[name]
        if isinstance(default, str):
            if not isinstance(value, str):
                raise WrongUse(f"{name} = {str(value)[:40]} is not a name. Give one of its names, in quotes.")
        elif not (default is None and value is None):
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise WrongUse(f"{name} = {str(value)[:40]} is not a number. Give one number.")
            check(name, value, {"low": -np.inf, "high": np.inf, "open_low": False})
            if isinstance(default, int) or name == "rank":
                if value != int(value):
                    raise WrongUse(f"{name} = {value:g} counts something. Give a whole number.")
                value = int(value)
        checked[name] = value
    return checked


def _report(
    names: Sequence[str],
    stages: list[list[float]],
    found: Losses,
    settings: Mapping[str, Any],
    out: Output,
    known: tuple[str, ...] = LOSSES,
) -> dict[str, Any]:
    strengths = dict(zip(STAGES, stages, strict=True))
    losses = {name: float(getattr(found, name)) for name in known}
    if not np.isfinite(list(losses.values())).all() or not np.isfinite(stages).all():
        raise WrongUse(OVERFLOW)
    out.table(
        "Strength of the modes, w1 w2, after each stage",
        ("", *STAGES),
        [[name, *(strengths[stage][i] for stage in STAGES)] for i, name in enumerate(names)],
    )
    shown = [[name, results.SCHEMA[name][1], value] for name, value in losses.items()]
    out.table(
        "Losses",
        ("", "", "value"),
        [*shown, ["forgetting", "loss_ret - loss_im", losses["loss_ret"] - losses["loss_im"]]],
    )
    return {"settings": dict(settings), "modes": list(names), "strengths": strengths, "losses": losses,
            "forgetting": losses["loss_ret"] - losses["loss_im"]}  # fmt: skip
