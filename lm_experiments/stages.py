"""The stage graph: a node is one trained stage, named by the hash of everything that decides it, its parent included.

    pre --- post --- ft, lr 1e-4          pipelines that agree up to a stage share its node, and so its folder
              \\----- ft, lr 3e-4

    <root>/<hash>/   spec.json, what training writes, ledger.json, and done, which comes last and lists the SHA-256 of the rest

A folder with `done` is read back after its checksums were compared; any other is trained, from its last checkpoint on. The folder is
held by a lock of the operating system, which a process that dies gives back; `owner.json` only says whom to wait for.
"""

import contextlib
import json
import os
import socket
import stat
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from common import results
from common.settings import Settings, WrongUse, canonical, config_hash
from lm_experiments import checkpoints, derived, journal, paths, served
from lm_experiments.interruption import Stopped
from lm_experiments.ledger import Ledger, book
from lm_experiments.plan import Kind, Plan
from lm_experiments.verified import Verified

if TYPE_CHECKING:
    from lm_experiments.models import ModelSettings
    from lm_experiments.store import Store
    from lm_experiments.training import Outcome, Progress, StageSettings

FORMAT = 1
"""Raised whenever the same settings would train another model, so that old folders are not taken for new ones."""
KEPT = ("spec.json", "model.safetensors", "config.json", "outcome.json", "ledger.json", "metrics.jsonl")
"""What a finished stage consists of, and `done` vouches for."""
MODEL, PRUNED = "model.safetensors", "pruned.json"
LONGEST_FOLDER = 10_000


class Occupied(RuntimeError):
    """Another process is at work on the folder: says which, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Node(Settings):
    """One stage of a pipeline, with all that decides its result."""

    kind: Kind
    plan: Plan
    settings: "StageSettings"
    measured: tuple[tuple[str, int], ...]
    """Stores whose loss is measured when the stage ends, each with how many of its windows (0 for all)."""
    stop_on: tuple[str, int] | None = None
    """The store that decides early stopping; None trains all steps."""
    data: tuple[tuple[str, str], ...]
    """Every store that is read, with its fingerprint."""
    model: "ModelSettings | None" = None
    """Of the first stage; later ones continue their parent's."""
    parent: "Node | None" = None

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits, the name of the folder."""
        before = self.parent.hash if self.parent else None
        return config_hash(
            FORMAT, self.kind, self.plan, self.settings, self.measured, self.stop_on, self.data, self.model, before
        )

    @property
    def read(self) -> list[str]:
        """Names of the stores that training reads, derived ones among them (`derived`)."""
        return list(
            dict.fromkeys([*(part.store for part in self.plan.parts), self.settings.ewc_on or self.plan.parts[0].store])
        )

    @property
    def lineage(self) -> list["Node"]:
        """The stages from the first to this one."""
        return [*(self.parent.lineage if self.parent else []), self]


def ensure(
    node: Node,
    root: Path,
    stores: Callable[[str], "Store"],
    report: Callable[["Progress"], None],
    *,
    whole: bool = False,
) -> "Outcome":
    """The outcome of a stage: read back where its folder is done, else trained, its parents first.

    Args:
        node: the stage.
        root: folder of all runs.
        stores: opens a token store by name.
        report: hears of progress.
        whole: whether its model is needed too, so that a pruned stage is trained again.

    Raises:
        Occupied: another process is training this stage.
        WrongUse: the folder is not one of ours, or was altered.
    """
    folder = folder_of(node, root)
    if (found := finished(node, root, whole=whole)) is not None:
        return found
    if node.parent is not None:
        ensure(node.parent, root, stores, report, whole=True)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:

        def begin() -> "Outcome | None":
            stack.enter_context(held(folder))
            if (found := finished(node, root, whole=whole)) is not None:  # somebody else was quicker
                return found
            inspect(folder, root)
            if (folder / PRUNED).exists():
                for name in ("done", *KEPT, PRUNED):
                    (folder / name).unlink(missing_ok=True)
            (folder / "failed.json").unlink(missing_ok=True)
            _specify(node, folder)
            return None

        before: Outcome | None = _first(begin)
        if before is not None:
            return before
        outcome = _train(node, folder, root, stores, journal.Reporter(folder, report))

        def seal() -> None:
            journal.tidy(folder)
            _seal(node, folder)

        _first(seal)
    return outcome


def _rank() -> int:
    return int(os.environ.get("RANK", "0"))


def _first(work: Callable[[], Any]) -> Any:
    """Let the first process of a stage do it; all get what it returns, or what it raises."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return work()
    import torch.distributed
    from accelerate import PartialState

    PartialState()  # meets the others
    told: list[Any] = [None, None]
    if _rank() == 0:
        try:
            told[0] = work()
        except Exception as error:
            told[1] = error
    torch.distributed.broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def attempt(
    node: Node, root: Path, stores: Callable[[str], "Store"], report: Callable[["Progress"], None]
) -> tuple[Literal["done", "occupied", "failed"], Any]:
    """`ensure`, in a word and what belongs to it: the fields of the outcome (`told`), or a message, which is kept as failed.json.

    Raises:
        Stopped: training was asked to end; the stage goes on from its checkpoint.
        OSError, KeyboardInterrupt: as they come from `report`.
    """
    try:
        return "done", told(node, root, ensure(node, root, stores, report))
    except Occupied as error:
        return "occupied", str(error)
    except (BrokenPipeError, Stopped):
        raise
    except Exception as error:
        if "EARLY_EXPOSURE_DEBUG" in os.environ:
            import traceback

            traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        journal.failed(folder_of(node, root), message)
        return "failed", message


def _train(
    node: Node, folder: Path, root: Path, stores: Callable[[str], "Store"], report: Callable[["Progress"], None]
) -> "Outcome":
    from lm_experiments import models
    from lm_experiments.evaluation import EvalSet
    from lm_experiments.training import train

    opened: dict[str, Any] = {name: stores(name) for name, _ in node.data}
    for name, fingerprint in node.data:
        if opened[name].fingerprint != fingerprint:
            raise WrongUse(
                f"The token store {name} is not the one that this stage was planned with ({opened[name].fingerprint}, not {fingerprint}). "
                "Run the study again; it plans with the stores as they are."
            )
    length = node.plan.length
    sets = {}
    for name, windows in [*node.measured, *([node.stop_on] if node.stop_on else [])]:
        held_windows = opened[name].windows(length)
        sets[name] = EvalSet(store=opened[name], windows=min(windows or held_windows, held_windows), length=length)
    shape = node.lineage[0].model
    assert shape is not None
    before = folder_of(node.parent, root) if node.parent else None
    model = checkpoints.load_model(before, shape) if before else models.build(shape, node.settings.seed)
    opened |= derived.opened(node.read, opened, length, model if before else None)
    prior = None
    if node.settings.ewc:
        on = opened[node.settings.ewc_on]
        prior = EvalSet(store=on, windows=min(node.settings.ewc_windows, on.windows(length)), length=length)
    stop_on = node.stop_on[0] if node.stop_on else None
    with contextlib.closing(served.Served(folder, node.plan, _rank())) as record:
        outcome = train(
            model, record.batches(opened), node.settings, sets, folder, stop_on=stop_on, report=report, prior=prior
        )

        def count() -> None:
            store, window, lost = record.slots(outcome.steps)
            if lost:
                message = f"What {lost} of the {len(window)} windows of {folder} were is counted from its plan, as their record is gone: "
                warnings.warn(f"{message}its ledger.json says so as from_plan.", stacklevel=2)
            found = book(node.plan, outcome.steps, record.names, store, window, lost)
            checkpoints.write_json(folder / "ledger.json", asdict(found))

        _first(count)
    return outcome


def folder_of(node: Node, root: Path) -> Path:
    """Where a stage is kept."""
    return root / node.hash


def finished(node: Node, root: Path, verified: Verified | None = None, *, whole: bool = False) -> "Outcome | None":
    """The outcome of a stage whose folder is complete and unaltered; None where it is not done.

    Args:
        node: the stage.
        root: folder of all runs.
        verified: what is known of files that were read before; None reads the index of `root`.
        whole: whether a stage whose model was pruned is not done.

    Raises:
        WrongUse: `done` is there, and the folder is not what it vouches for.
    """
    from lm_experiments.resuming import read_outcome

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


def told(node: Node, root: Path, outcome: "Outcome") -> dict[str, Any]:
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


def _specify(node: Node, folder: Path) -> None:
    """Write spec.json, or compare the folder's with what is asked for."""
    science = {
        "format": FORMAT, "kind": node.kind, "parent": node.parent.hash if node.parent else None,
        "model": canonical(node.model), "plan": canonical(node.plan), "settings": canonical(node.settings),
        "measured": canonical(node.measured), "stop_on": canonical(node.stop_on), "data": canonical(node.data),
    }  # fmt: skip
    path = folder / "spec.json"
    if path.exists():
        try:
            same = checkpoints.read_json(path)["science"] == json.loads(json.dumps(science))
        except (checkpoints.Damaged, KeyError):
            same = False
        if not same:
            raise WrongUse(f"{path} describes another stage. Remove {folder} and run the same command again.")
        return
    checkpoints.write_json(path, {"hash": node.hash, "science": science, "code_version": results.code_version()})


def _seal(node: Node, folder: Path) -> None:
    checkpoints.write_json(
        folder / "done", {"hash": node.hash, "files": {name: paths.sha256(folder / name) for name in KEPT}}
    )
    served.remove(folder)
