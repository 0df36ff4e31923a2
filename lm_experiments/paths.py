"""Where downloads, tokenizers and token stores are kept, and how a folder there comes into being: whole, or not at all."""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock

from common.settings import WrongUse

VARIABLE = "EARLY_EXPOSURE_CACHE"


class Damaged(OSError):
    """A file is not what was written there: cut short, altered or gone. Exit code 1 where nothing older serves in its place."""


MAKE_ROOM = f"Make room there, or set {VARIABLE} to a folder on another disk, and run the same command again; what is complete is kept"


def cache() -> Path:
    """The data directory: `$EARLY_EXPOSURE_CACHE`, or `~/.cache/early-exposure`. Made where it is missing.

    Raises:
        WrongUse: it cannot be made or written.
    """
    folder = Path(os.environ.get(VARIABLE) or "~/.cache/early-exposure")
    try:
        folder = folder.expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except (OSError, ValueError, RuntimeError):  # RuntimeError: ~NAME of nobody here
        writable = False
    if not writable:
        raise WrongUse(
            f"The data directory {folder} cannot be written. Set {VARIABLE} to a folder that you may write to."
        )
    return folder


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """Hold the right to make `target`: a second process that wants to make it waits, and then finds it made.

    What a killed process left half-written is removed first.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_name(f".{target.name}.lock")):
        remove_partial(target)
        yield


def remove_partial(target: Path) -> None:
    """Remove what killed processes left of a folder; only for whoever alone may make it."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*partial"):
        shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def publishing(target: Path, remedy: str = MAKE_ROOM) -> Iterator[Path]:
    """A temporary folder beside `target` that becomes `target` when the block ends well, and vanishes when it does not.

    What was at `target` before is replaced. A full disk is reported as an `OSError` that says where room is needed, and the remedy.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    except OSError as error:
        raise room(error, target, remedy) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def room(error: OSError, target: Path, remedy: str = MAKE_ROOM) -> OSError:
    """The error to raise in place of `error`: for a full disk, one that says which disk, and what can be done."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return OSError(error.errno, f"The disk is full: {target.name} could not be written below {target.parent}. {remedy}")


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
