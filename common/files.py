"""Files that appear under their name only when complete, in folders that are made for them."""

import contextlib
import glob
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common.settings import WrongUse


def target(path: Path | str) -> Path:
    """Where a file will go: links followed, folders made. Raises `WrongUse` where no ordinary file can be put there."""
    try:
        found = Path(path).resolve()
        found.parent.mkdir(parents=True, exist_ok=True)
        if not Path(path).name:
            raise OSError("it has no name")
        ordinary(found)
        if not os.access(found.parent, os.W_OK):
            raise PermissionError("no permission to write there")
        os.fspath(found).encode()  # libraries that write are given the name as UTF-8
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        raise WrongUse(
            f"'{path}' cannot be written ({reason(error)}). Choose a file in a folder you may write to."
        ) from error
    return found


def reason(error: BaseException) -> str:
    """Why something cannot be read or written, in words: Python's own for text and nesting say nothing to a reader."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text in UTF-8"
    if isinstance(error, UnicodeEncodeError):
        return "its name is not UTF-8"
    return str(error)


def ordinary(path: Path | str) -> None:
    """Raise `OSError` where something is there that is no ordinary file: a pipe would be waited for, for ever."""
    if Path(path).exists() and not Path(path).is_file():
        raise OSError("it is not an ordinary file")


def folder(path: Path | str) -> Path:
    """A folder that files can be put into, made where it is missing. Raises `WrongUse` where there can be none."""
    try:
        found = Path(path).resolve()
        os.fspath(found).encode()
        found.mkdir(parents=True, exist_ok=True)
        if not os.access(found, os.W_OK):
            raise PermissionError("no permission to write there")
    except (OSError, ValueError, RuntimeError) as error:
        raise WrongUse(
            f"'{path}' cannot be used as a folder ({reason(error)}). Choose one that you may write to."
        ) from error
    return Path(path)


@contextlib.contextmanager
def atomic_write(path: Path | str) -> Iterator[Path]:
    """A temporary name beside a file to write to; it becomes the file if the block does not raise, and else vanishes.

    What killed processes left of the same file is removed first.

    Raises:
        WrongUse: no ordinary file can be put there.
    """
    final = target(path)
    remove_abandoned(final)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.partial")
    try:
        yield temporary
        temporary.replace(final)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_abandoned(final: Path) -> None:
    """Delete the temporary files `.NAME.PID.partial` of a file whose processes are gone."""
    for left in final.parent.glob(f".{glob.escape(final.name)}.*.partial"):
        pid = left.name.removeprefix(f".{final.name}.").removesuffix(".partial")
        if pid.isdecimal():
            try:
                os.kill(int(pid), 0)  # signal 0 only asks whether there is such a process
            except (ProcessLookupError, OverflowError):
                with contextlib.suppress(OSError):
                    left.unlink()
            except PermissionError:  # somebody else's, and running
                pass


def write_json(path: Path, document: Any) -> None:
    """Write plain data as JSON; numbers must be finite. Raises `WrongUse` where the file cannot be written."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
