"""The folder of a stage: whose it is while it is trained, how it is sealed, and what is believed of it afterwards.

    <root>/<hash>/   spec.json, what training writes, ledger.json, and done, which comes last and lists the SHA-256 of the rest

A folder with `done` is read back after its checksums were compared; any other is trained, from its last checkpoint on. The folder is
held by a lock of the operating system, which a process that dies gives back; `owner.json` only says whom to wait for.
"""

import contextlib
import json
import os
import socket
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from common import results
from common.settings import WrongUse
from lm_experiments import checkpoints, paths, served
from lm_experiments.ledger import Ledger
from lm_experiments.verified import Verified

if TYPE_CHECKING:
    from lm_experiments.stages import Node
    from lm_experiments.training import Outcome

KEPT = ("spec.json", "model.safetensors", "config.json", "outcome.json", "ledger.json", "metrics.jsonl")
"""What a finished stage consists of, and `done` vouches for."""
MODEL, PRUNED = "model.safetensors", "pruned.json"
LONGEST_FOLDER = 10_000


class Occupied(RuntimeError):
    """Another process is at work on the folder: says which, and what to do."""


def folder_of(node: "Node", root: Path) -> Path:
    """Where a stage is kept."""
    return root / node.hash


def finished(node: "Node", root: Path, verified: Verified | None = None, *, whole: bool = False) -> "Outcome | None":
    """The outcome of a stage whose folder is complete and unaltered; None where it is not done.

    Args:
        node: the stage.
        root: folder of all runs.
        verified: what is known of files that were read before; None reads the index of `root`.
        whole: whether a stage whose model was pruned is not done.

    Raises:
        WrongUse: `done` is there, and the folder is not what it vouches for.
    """
    from lm_experiments.outcomes import read_outcome

    folder = folder_of(node, root)
    if not folder.exists() and not folder.is_symlink():
        return None
    inspect(folder, root)
    if not (folder / "done").exists():
        return None
    verified = verified or Verified(root)
    try:
        vouched = checkpoints.read_json(folder / "done")
        if vouched["hash"] != node.hash or set(vouched["files"]) != set(KEPT):
            raise ValueError("it belongs to another stage")
        pruned = (folder / PRUNED).exists() and not (folder / MODEL).exists()
        if pruned and checkpoints.read_json(folder / PRUNED) != {MODEL: vouched["files"][MODEL]}:
            raise ValueError(f"{PRUNED} belongs to another stage")
        if pruned and whole:
            return None
        for name in KEPT:
            if pruned and name == MODEL:
                continue
            if not verified.matches(folder / name, vouched["files"][name]):
                raise ValueError(f"{name} was altered")
        return read_outcome(folder)[0]
    except (checkpoints.Damaged, OSError, ValueError, KeyError, TypeError) as error:
        raise WrongUse(
            f"The finished stage {folder} is damaged ({error}). Remove that folder and run the same command again."
        ) from error


def told(node: "Node", root: Path, outcome: "Outcome") -> dict[str, Any]:
    """The fields of a finished stage's outcome, under `ledger` its ledger (None where that is of before it had
    checksums), and under `ended` when it was sealed, in seconds since 1970.

    Raises:
        WrongUse: the ledger is none.
    """
    folder = folder_of(node, root)
    try:
        booked = Ledger.read(checkpoints.read_json(folder / "ledger.json"))
        return {**asdict(outcome), "ledger": booked, "ended": (folder / "done").stat().st_mtime}
    except (checkpoints.Damaged, OSError, KeyError, TypeError, ValueError) as error:
        raise WrongUse(
            f"The ledger of {folder} is damaged ({error}). Remove that folder and run the same command again."
        ) from error


def prune(folder: Path, *, only_look: bool = False) -> int:
    """Remove the model of a finished stage, which still counts as done; returns its bytes, 0 where nothing is there to remove.

    Args:
        folder: of the stage.
        only_look: remove nothing.

    Raises:
        WrongUse: `done` is no such mark, or a link.
    """
    model = folder / MODEL
    if not (folder / "done").exists() or not model.is_file() or model.is_symlink():
        return 0
    size = model.stat().st_size
    if not only_look:
        try:
            checksum = checkpoints.read_json(folder / "done")["files"][MODEL]
        except (checkpoints.Damaged, KeyError, TypeError) as error:
            raise WrongUse(
                f"The finished stage {folder} is damaged ({error}). Remove that folder and run it again."
            ) from error
        checkpoints.write_json(folder / PRUNED, {MODEL: checksum})
        model.unlink()
        served.remove(folder)
    return size


def inspect(folder: Path, root: Path) -> None:
    """Refuse a folder that leads elsewhere: outside `root`, or through symbolic links, devices and the like. Raises `WrongUse`."""

    def refuse(what: str) -> None:
        raise WrongUse(f"The run folder {folder} is refused: {what}. Remove it, or choose another --runs.")

    if folder.resolve().parent != root.resolve() or folder.is_symlink():
        refuse("it leads outside the folder of runs")
    if not folder.is_dir():
        refuse("it is no folder")
    for count, path in enumerate(folder.rglob("*")):
        try:
            kind = path.lstat().st_mode
        except FileNotFoundError:  # another process is at work here; it will be found to hold the folder
            continue
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            refuse(f"{path.relative_to(folder)} is neither a file nor a folder")
        if path.suffix == ".json" and path.stat().st_size > checkpoints.LARGEST_JSON:
            refuse(f"{path.relative_to(folder)} is larger than {checkpoints.LARGEST_JSON:,} bytes")
        if count > LONGEST_FOLDER:
            refuse(f"it holds more than {LONGEST_FOLDER:,} files")


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The only process that writes into the folder. Raises `Occupied` with the pid and host of the one that does."""
    lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)
    owner = folder / "owner.json"
    try:
        lock.acquire()
    except Timeout as error:
        told: Mapping[str, Any] = {}
        with contextlib.suppress(checkpoints.Damaged):
            told = checkpoints.read_json(owner)
        raise Occupied(
            f"The stage {folder} is being trained by process {told.get('pid', 'unknown')} on {told.get('host', 'an unknown host')}. "
            "Wait for it, or stop it, and run the same command again"
        ) from error
    try:
        checkpoints.write_json(owner, {"pid": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def specify(node: "Node", folder: Path) -> None:
    """Write spec.json, or compare the folder's with what is asked for. Raises `WrongUse` where it is another stage's."""
    path = folder / "spec.json"
    if path.exists():
        try:
            told = checkpoints.read_json(path)
            same = told["hash"] == node.hash and _agree(told["science"], json.loads(json.dumps(node.science)))
        except (checkpoints.Damaged, KeyError):
            same = False
        if not same:
            raise WrongUse(f"{path} describes another stage. Remove {folder} and run the same command again.")
        return
    checkpoints.write_json(path, {"hash": node.hash, "science": node.science, "code_version": results.code_version()})


def _agree(told: Any, wanted: Any) -> bool:
    """Whether a spec says nothing else; one of an older version lacks settings that came later, at their default as the hash proves."""
    if isinstance(told, dict) and isinstance(wanted, dict):
        return all(name in wanted and _agree(value, wanted[name]) for name, value in told.items())
    return bool(told == wanted)


def seal(node: "Node", folder: Path) -> None:
    """Write `done`: the stage is complete."""
    checkpoints.write_json(
        folder / "done", {"hash": node.hash, "files": {name: paths.sha256(folder / name) for name in KEPT}}
    )
    served.remove(folder)
