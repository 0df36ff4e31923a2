"""A study as a file: JSON that a person can review and keep under version control, and that `run FILE` carries out.

    format, hash    which kind of file it is, and what its content was when it was saved: a change is noticed, and has to be accepted
    name, about     of the study, as in the results table
    base            every setting of a pipeline, those at their default too, so that a later default changes nothing
    axes            [{"field": "stage2.lr", "values": [...]}, ...], the first one varies slowest
    arms            [{"name": ..., "changes": {"recipe.dropout": 0.1}, "axes": [...]}, ...]

What decides nothing about the result (workers, folders, micro-batches) is not in it. Corpora and models are named as on the command line,
relative to where that is run.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common import dotted
from common.files import atomic_write
from common.settings import WrongUse, meant
from lm_experiments.studies.settings import Arm, Axis, PipelineSettings, Study

FORMAT = 1
KEYS = ("format", "hash", "name", "about", "base", "axes", "arms")
LARGEST = 8 << 20
"""Bytes of a file: many times the largest study."""


def is_file(name: str) -> bool:
    """Whether that is the file of a study, not the name of one."""
    return name.lower().endswith(".json")


def document(study: Study) -> dict[str, Any]:
    """A study as plain data, with its hash."""
    found = _plain(_study(_plain(study)))  # once through: every number is of the type of its setting
    return {"format": FORMAT, "hash": hash_of(found), **found}


def hash_of(content: Mapping[str, Any]) -> str:
    """Sixteen hex digits that name what a file says, whatever its line breaks and the order of its keys; `hash` itself left out."""
    said = {key: value for key, value in content.items() if key not in ("format", "hash")}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def write(study: Study, path: Path) -> str:
    """Write a study, and return its hash. Raises `WrongUse` where the name is no file of a study, or another study is there already."""
    if not is_file(path.name):
        raise WrongUse(
            f"--save-study {path}: end its name in .json, by which `run` tells a file from the name of a study."
        )
    made = document(study)
    if path.exists() and (not path.is_file() or path.read_text(errors="replace") != _text(made)):
        raise WrongUse(f"{path} is there and is not this study. Remove it, or save the study under another name.")
    with atomic_write(path) as temporary:
        temporary.write_text(_text(made))
    return str(made["hash"])


def read(path: Path) -> Study:
    """The study of a file.

    Raises:
        WrongUse: there is none, it is no JSON, a key is unknown (with the nearest one) or missing, a value is wrong, or it was
            changed since it was saved: names the key.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise WrongUse(f"it is larger than {LARGEST:,} bytes.")
        told = json.loads(path.read_text(), object_pairs_hook=_once)
        _keys(told, KEYS, "", needed=KEYS[:-2])
        if told["format"] != FORMAT:
            raise WrongUse(
                f"format = {told['format']} is not {FORMAT}, which this version reads. Save the study again."
            )
        made = _study(told)
        if told["hash"] != (found := hash_of(told)):
            raise WrongUse(
                f"hash = {told['hash']!r}, but its content is {found}: it was changed since it was saved. If that was meant, write "
                f'"hash": "{found}" into it; if not, take the change back.'
            )
        return made
    except WrongUse as error:
        raise WrongUse(f"{path}: {error}") from error
    except OSError as error:
        raise WrongUse(
            f"There is no study file {path} ({error.strerror}). `python -m lm_experiments plan STUDY --save-study FILE` writes one."
        ) from error
    except (ValueError, RecursionError) as error:
        raise WrongUse(f"{path} is no JSON ({error}). Mend it there, or save the study again.") from error


def _text(made: Mapping[str, Any]) -> str:
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def _plain(study: Study) -> dict[str, Any]:
    def axes(of: Iterable[Axis]) -> list[Any]:
        return [{"field": name, "values": list(values)} for name, values in of]

    arms = [{"name": arm.name, "changes": _changes(arm.changes), "axes": axes(arm.axes)} for arm in study.arms]
    return {
        "name": study.name,
        "about": study.about,
        "base": dataclasses.asdict(study.base),
        "axes": axes(study.axes),
        "arms": arms,
    }


def _changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted name -> value, a whole part of the settings by its single ones."""
    found: dict[str, Any] = {}
    for name, value in changes.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            found |= {f"{name}.{leaf}": dotted.value_of(value, leaf) for leaf in dotted.leaves(type(value))}
        else:
            found[name] = value
    return found


def _study(told: Mapping[str, Any]) -> Study:
    base = dotted.from_plain(PipelineSettings, told["base"], "base")
    axes = _axes(told.get("axes", []), "axes")
    arms = []
    for i, arm in enumerate(_several(told.get("arms", [{"name": ""}]), "arms")):
        here = f"arms[{i}]"
        _keys(arm, Arm._fields, here, needed=("name",))
        changes = arm.get("changes", {})
        if not isinstance(changes, Mapping):
            raise WrongUse(f"{here}.changes must be an object of settings, not {type(changes).__name__}.")
        fitted = {name: _fitting(f"{here}.changes.", name, value) for name, value in changes.items()}
        arms.append(Arm(_word(arm["name"], f"{here}.name"), fitted, _axes(arm.get("axes", []), f"{here}.axes")))
    return Study(
        name=_word(told["name"], "name"), about=_word(told["about"], "about"), base=base, axes=axes, arms=tuple(arms)
    )


def _axes(told: Any, at: str) -> tuple[Axis, ...]:
    made = []
    for i, axis in enumerate(_several(told, at)):
        here = f"{at}[{i}]"
        _keys(axis, Axis._fields, here, needed=Axis._fields)
        name = _word(axis["field"], f"{here}.field")
        values = _several(axis["values"], f"{here}.values")
        made.append(Axis(name, tuple(_fitting(f"{here}: ", name, value) for value in values)))
    return tuple(made)


def _fitting(where: str, name: str, value: Any) -> Any:
    try:
        kind = dotted.known(PipelineSettings, name).type
    except WrongUse as error:
        raise WrongUse(f"{where}{error}") from error
    return dotted.fitting(f"{where}{name}", value, kind)


def _keys(told: Any, known: Iterable[str], at: str, *, needed: Iterable[str]) -> None:
    """Raise `WrongUse` for what is no object, an unknown key or one that is missing."""
    where = f"{at}." if at else ""
    if not isinstance(told, Mapping):
        raise WrongUse(f"{at or 'a study file'} must be an object, not {type(told).__name__}.")
    for key in told:
        if key not in known:
            raise WrongUse(f"{where}{key} is no key of a study file. {meant(str(key), known)}")
    for key in needed:
        if key not in told:
            raise WrongUse(f"{where}{key} is missing. `plan STUDY --save-study FILE` writes a file that has all keys.")


def _several(told: Any, at: str) -> list[Any]:
    if not isinstance(told, list):
        raise WrongUse(f"{at} must be a list, not {type(told).__name__}.")
    return told


def _word(told: Any, at: str) -> str:
    if not isinstance(told, str):
        raise WrongUse(f"{at} must be a text, not {type(told).__name__}.")
    return told


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise WrongUse(
            f"{next(key for key in keys if keys.count(key) > 1)} is there twice in one object. Keep one of the two."
        )
    return found
