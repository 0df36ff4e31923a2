"""The verdicts of all studies, read back from the files that the studies wrote.

Such a file decides what is printed as a finding, so nothing in it is taken on trust: its size, its encoding, every name, type and
number is checked, and the command that makes it is the one known here, not the one it names.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

from common.settings import WrongUse
from sims.verdict import PREDICTIONS, UNPREDICTED, Finding, Verdict

LARGEST = 1_000_000
"""Bytes of a file; a study writes a few thousand."""
LONGEST = 400
"""Characters of a text in it."""


class Summary(NamedTuple):
    """What a study says."""

    study: str
    command: str
    """What makes its file."""
    code_version: str
    rows: int
    seconds: float
    verdicts: list[Verdict]


def gather(folder: Path, studies: Iterable[str]) -> tuple[list[Summary], list[str]]:
    """The summaries in a folder, in the order of the studies, and the studies that have none.

    Raises:
        WrongUse: there is no result at all, a file is damaged, or it belongs to no study.
    """
    names = list(studies)
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith("."))
    except OSError as error:
        raise WrongUse(
            f"'{folder}' cannot be read ({error}). Make the results with `{make(folder, 'all')}`."
        ) from error
    known = {path.stem: path for path in found if path.name != "verdicts.json"}
    if foreign := sorted(set(known) - set(names)):
        raise WrongUse(
            f"{known[foreign[0]]} is the result of no study of `python -m sims`. The studies are {', '.join(names)}; "
            "move other files elsewhere."
        )
    if not known:
        raise WrongUse(f"'{folder}' holds no result of a study. Make them with `{make(folder, 'all')}`.")
    return [read(known[name], name) for name in names if name in known], [name for name in names if name not in known]


def make(folder: Path, study: str) -> str:
    """The command that puts a study's result into a folder."""
    return f"python -m sims {study} --out {folder}"


def read(path: Path, study: str) -> Summary:
    """The summary of one study. Raises `WrongUse` naming the file, what is wrong with it, and the command that makes it."""
    try:
        return _summary(_document(path), study, make(path.parent, study))
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise WrongUse(
            f"{path} is not the result of the study {study} ({reason}). Make it again with `{make(path.parent, study)}`."
        ) from error


def _document(path: Path) -> Any:
    if not path.is_file():
        raise ValueError("it is not an ordinary file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    try:
        return json.loads(content.decode(), parse_constant=_no_number, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no complete JSON document: {error}") from error


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of a result")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name occurs twice in it")
    return made


def _summary(document: Any, study: str, command: str) -> Summary:
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    if _text(document, "study") != study:
        raise ValueError(f"it says that it is {document['study']!r}")
    verdicts = document.get("verdicts")
    if not isinstance(verdicts, list):
        raise ValueError("it has no list of verdicts")
    rows, seconds = (_number(document, name) for name in ("rows", "seconds"))
    if rows is None or seconds is None or rows != int(rows) or min(rows, seconds) < 0:
        raise ValueError("rows and seconds are no counts")
    judged = [_verdict(entry) for entry in verdicts]
    return Summary(study, command, _text(document, "code_version"), int(rows), seconds, judged)


def _verdict(entry: Any) -> Verdict:
    if not isinstance(entry, dict) or set(entry) != set(Verdict._fields):
        raise ValueError(f"a verdict in it does not have the fields {', '.join(Verdict._fields)}")
    prediction, model, finding, criterion = (
        _text(entry, name) for name in ("prediction", "model", "finding", "criterion")
    )
    if prediction not in (*PREDICTIONS, UNPREDICTED):
        raise ValueError(f"{prediction!r} is no prediction")
    if finding not in get_args(Finding):
        raise ValueError(f"{finding!r} is no finding")
    tested = finding != "not testable here"
    effect = _text(entry, "effect") if tested or entry["effect"] else ""
    value, low, high, least, most = (
        _number(entry, name) for name in ("value", "low", "high", "supported_from", "supported_to")
    )
    if value is None and tested:
        raise ValueError(f"a {finding} verdict on {prediction} has no value")
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise ValueError(f"the interval [{low}, {high}] of a verdict on {prediction} is none")
    if least is not None and most is not None and least > most:
        raise ValueError(f"the allowed range [{least}, {most}] of a verdict on {prediction} is none")
    outside = value is not None and ((least is not None and value < least) or (most is not None and value > most))
    if finding == "supported" and outside:
        raise ValueError(f"a supported verdict on {prediction} has a value outside what its criterion allows")
    variant = _text(entry, "variant") if entry["variant"] != "" else ""
    return Verdict(prediction, model, variant, finding, effect, value, low, high, criterion, least, most)  # type: ignore[arg-type]


def _text(document: Mapping[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or len(value) > LONGEST or not value.isprintable():
        raise ValueError(f"{name} is not a line of at most {LONGEST} characters")
    return value


def _number(document: Mapping[str, Any], name: str) -> float | None:
    value = document.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"{name} is no finite number")
    return float(value)
