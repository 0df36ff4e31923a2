"""What came of a case, in a word: the folder that a command left is compared with the one of a run that nobody touched."""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

FAULTS = ("lost", "different", "stuck", "left over", "silent")
PASSING = ("seconds", "files", "sha256", "time")
"""Entries with these in their names may differ between two runs of the same: times, and checksums of files that hold times."""
TOLD = "from_plan"
"""What may differ after damage where the command says it: how many windows a ledger takes from the plan, their record being gone."""
UNCOUNTED = ("lock", ".verified.json", "owner.json")
"""Ends of names of files that may stay or not: locks of the operating system, and an index that is only there to save time."""


class Ended(NamedTuple):
    """A command that has ended, or was ended because it was stuck."""

    code: int
    """Negative: the signal that ended it."""
    said: str
    seconds: float
    steps: int
    """Changes of names on the disk; 0 where it was killed."""
    modules: list[str]
    """That it had imported; none where it was killed."""
    stuck: bool


def outcome(folder: Path) -> dict[str, str]:
    """What counts of every file: tables and JSON without times, the bytes of models and tokens; of the rest that it is there."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.endswith(UNCOUNTED)]
    contents = {str(path.relative_to(folder)): _content(path, folder) for path in found}
    ledgers = [path for path in found if path.name == "ledger.json"]
    return contents | {
        f"{path.relative_to(folder)}: {TOLD}": str(json.loads(path.read_text())[TOLD]) for path in ledgers
    }


def _content(path: Path, folder: Path) -> str:
    import pyarrow.parquet as pq

    if any(part.startswith(".") for part in path.relative_to(folder).parts):
        return ""
    if path.suffix == ".parquet":
        table = pq.read_table(path, partitioning=None)
        data = repr([(name, table[name].to_pylist()) for name in table.column_names if not _passes(name)])
    elif path.suffix in (".json", ".jsonl"):
        documents = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
        data = json.dumps([_lasting(json.loads(each)) for each in documents], sort_keys=True).replace(str(folder), "")
    elif path.suffix in (".safetensors", ".bin"):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    else:
        return ""
    return hashlib.sha256(data.encode()).hexdigest()


def _passes(name: str) -> bool:
    return any(word in name for word in (*PASSING, TOLD))


def _lasting(told: Any) -> Any:
    if isinstance(told, dict):
        return {name: _lasting(value) for name, value in told.items() if not _passes(name)}
    return [_lasting(value) for value in told] if isinstance(told, list) else told


def differing(wanted: dict[str, str], found: dict[str, str]) -> list[str]:
    """Files that are not the same, those that are missing on one side included."""
    return sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def judged(wanted: dict[str, str], ended: Ended, folder: Path, *, may_refuse: bool) -> tuple[str, str]:
    """The word for what came of a case, "same", "refused" or one of `FAULTS`, and what shows it.

    Args:
        wanted: the outcome of the untouched run.
        ended: the command that was carried out last.
        folder: where.
        may_refuse: whether an error in words is right; a command that was only killed has to end well.
    """
    if ended.stuck:
        return "stuck", f"after {ended.seconds:.0f} s"
    shown = f"exit code {ended.code}: {ended.said[-600:]}"
    in_words = "Traceback" not in ended.said and "fault of the program" not in ended.said
    if not in_words or ended.code < 0 or (ended.code and "error:" not in ended.said):
        return "silent", shown
    if ended.code:
        return ("refused", "") if may_refuse else ("lost", shown)
    try:
        found = outcome(folder)
    except Exception as error:
        return "lost", f"the outcome cannot be read: {error}"
    odd = differing(wanted, found)
    if may_refuse and TOLD in ended.said:
        odd = [name for name in odd if not name.endswith(TOLD)]
    if gone := [name for name in odd if name not in found]:
        return "lost", ", ".join(gone)
    if wrong := [name for name in odd if name in wanted]:
        return "different", ", ".join(wrong)
    return ("left over", ", ".join(odd)) if odd else ("same", "")
