"""What a study or a sweep keeps of itself until its table is complete: the folder of parts, whose it is, and what in it is whole.

    .NAME.parts/   lock   owner.json   the parts        -> NAME.parquet, and the folder is gone

A part says what it is part of, and carries a checksum: one that is damaged, or lies under another's name, is told and made again.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import socket
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from common.console import Failed
from common.files import atomic_write, target, write_json


@contextlib.contextmanager
def folder_for(table: Path) -> Iterator[Path]:
    """The folder of parts of a table, held by this process alone; it vanishes when the block ends well.

    Raises:
        Failed: another process is at work on the same table; says which.
        WrongUse: the table cannot be written there.
    """
    from filelock import FileLock, Timeout

    final = target(table)
    name = final.name.removesuffix(".parquet")
    parts, finished = (final.with_name(f".{name}.{word}") for word in ("parts", "finished"))
    parts.mkdir(exist_ok=True)
    lock, owner = FileLock(parts / "lock", timeout=0), parts / "owner.json"
    try:
        lock.acquire()
    except Timeout as error:
        raise Failed(
            f"'{table}' is being made by {_who(owner)}. Wait for it, or stop it, and run the same command again; or choose another --out."
        ) from error
    with lock:
        shutil.rmtree(finished, ignore_errors=True)  # of a run that was killed while it tidied up
        write_json(owner, {"pid": os.getpid(), "host": socket.gethostname()})
        try:
            yield parts
        except BaseException:
            if {path.name for path in parts.iterdir()} <= {"lock", "owner.json"}:  # nothing to go on with
                shutil.rmtree(parts, ignore_errors=True)
            raise
        parts.rename(finished)  # at once: a folder that is half deleted must not be taken for the parts of another run
        shutil.rmtree(finished, ignore_errors=True)


def _who(owner: Path) -> str:
    try:
        told = json.loads(owner.read_text())
        return f"process {told['pid']} on {told['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def write_note(path: Path, note: Mapping[str, Any]) -> None:
    """Keep what is to be known of a part, with its name and a checksum. Raises `WrongUse` where it cannot be written."""
    told = {**note, "part": path.stem}
    write_json(path, {**told, "digest": _digest(told)})


def read_note(path: Path) -> dict[str, Any] | None:
    """What `write_note` kept; None where there is nothing, or something else."""
    try:
        told = json.loads(path.read_text())
        digest = told.pop("digest")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return told if digest == _digest(told) and told["part"] == path.stem else None


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def write_arrays(path: Path, **arrays: Any) -> None:
    """Keep arrays under the name of their part. Raises `WrongUse` where they cannot be written."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, part=np.array(path.stem), **arrays)


def read_arrays(path: Path) -> dict[str, Any] | None:
    """What `write_arrays` kept; None where it is damaged, or of another part."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:  # compares checksums
            arrays = {name: kept[name] for name in kept.files}
        return arrays if str(arrays.pop("part")) == path.stem else None
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile):
        return None


def pieces_of(parts: Path, name: str, say: Callable[[str], None]) -> dict[int, tuple[int, Path]]:
    """The pieces NAME.FIRST-LAST.npz of a sweep that are there and whole: first point -> point after the last, and file.

    Args:
        parts: the folder.
        name: names the sweep and what made it.
        say: told of pieces that are damaged; they are removed.
    """
    found: dict[int, tuple[int, Path]] = {}
    for path in parts.glob(f"{name}.*-*.npz"):
        if (bounds := re.fullmatch(r"(\d+)-(\d+)", path.stem.removeprefix(f"{name}."))) is None:
            continue
        if read_arrays(path) is None:
            say(f"A finished piece of the sweep is damaged ({path.name}); what it held is done again.")
            path.unlink()
        else:
            found[int(bounds[1])] = int(bounds[2]), path
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
