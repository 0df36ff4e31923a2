"""The stage graph: a node is one trained stage, named by the hash of everything that decides it, its parent included.

    pre --- post --- ft, lr 1e-4          pipelines that agree up to a stage share its node, and so its folder
              \\----- ft, lr 3e-4

    <root>/<hash>/   spec.json, what training writes, ledger.json, and done, which comes last and lists the SHA-256 of the rest

What a folder holds, and when it is believed: `folders`.
"""

import contextlib
import os
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from common.settings import Settings, WrongUse, canonical, config_hash
from lm_experiments import checkpoints, derived, initial, journal, served
from lm_experiments.folders import (
    KEPT,
    MODEL,
    PRUNED,
    Occupied,
    finished,
    folder_of,
    held,
    inspect,
    prune,
    seal,
    specify,
    told,
)
from lm_experiments.initial import Start
from lm_experiments.interruption import Stopped
from lm_experiments.ledger import book
from lm_experiments.plan import Kind, Plan

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

    from lm_experiments.evaluation import EvalSet
    from lm_experiments.models import ModelSettings
    from lm_experiments.store import Store
    from lm_experiments.training import Outcome, Progress, StageSettings

__all__ = [
    "FORMAT",
    "KEPT",
    "MODEL",
    "PRUNED",
    "Node",
    "Occupied",
    "attempt",
    "ensure",
    "finished",
    "folder_of",
    "held",
    "inputs",
    "inspect",
    "prune",
    "told",
]

FORMAT = 1
"""Raised whenever the same settings would train another model, so that old folders are not taken for new ones."""


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
    start: Start | None = None
    """The model that a first stage begins with; None for fresh weights."""

    @cached_property
    def hash(self) -> str:
        """Sixteen hex digits, the name of the folder."""
        before = self.parent.hash if self.parent else None
        begun = (self.start,) if self.start else ()  # only where there is one: stages of before keep their names
        return config_hash(
            FORMAT,
            self.kind,
            self.plan,
            self.settings,
            self.measured,
            self.stop_on,
            self.data,
            self.model,
            before,
            *begun,
        )

    @property
    def science(self) -> dict[str, Any]:
        """All that decides it, as plain data."""
        told = {
            "format": FORMAT, "kind": self.kind, "parent": self.parent.hash if self.parent else None,
            "model": canonical(self.model), "plan": canonical(self.plan), "settings": canonical(self.settings),
            "measured": canonical(self.measured), "stop_on": canonical(self.stop_on), "data": canonical(self.data),
        }  # fmt: skip
        return told | ({"start": canonical(self.start)} if self.start else {})

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
            specify(node, folder)
            return None

        before: Outcome | None = _first(begin)
        if before is not None:
            return before
        outcome = _train(node, folder, root, stores, journal.Reporter(folder, report))

        def end() -> None:
            journal.tidy(folder)
            seal(node, folder)

        _first(end)
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


def inputs(
    node: Node, stores: Callable[[str], "Store"], model: "LlamaForCausalLM"
) -> tuple[dict[str, Any], dict[str, "EvalSet"], "EvalSet | None"]:
    """What a stage is given besides the model that it begins with: its stores, evaluation sets, and text of its Fisher information.

    Raises:
        WrongUse: a store is not the one that the stage was planned with.
    """
    from lm_experiments.evaluation import EvalSet

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
    opened |= derived.opened(node.read, opened, length, model if node.parent else None)
    prior = None
    if node.settings.ewc:
        on = opened[node.settings.ewc_on]
        prior = EvalSet(store=on, windows=min(node.settings.ewc_windows, on.windows(length)), length=length)
    return opened, sets, prior


def _train(
    node: Node, folder: Path, root: Path, stores: Callable[[str], "Store"], report: Callable[["Progress"], None]
) -> "Outcome":
    from lm_experiments import models
    from lm_experiments.training import train

    shape = node.lineage[0].model
    assert shape is not None
    before = folder_of(node.parent, root) if node.parent else None
    if before:
        model = checkpoints.load_model(before, shape)
    else:
        model = initial.load(node.start, shape) if node.start else models.build(shape, node.settings.seed)
    opened, sets, prior = inputs(node, stores, model)
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
