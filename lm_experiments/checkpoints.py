"""What training leaves in its folder, written whole or not at all, and read with suspicion.

    checkpoint-<step>/   model.safetensors  optimizer.safetensors  state.json  manifest.json      two newest kept
    best-<step>/         model.safetensors                                     manifest.json      while a checkpoint needs it
    model.safetensors  config.json     the finished model

A manifest lists size and SHA-256 of the files beside it. A folder whose files do not match is `Damaged`: it was cut short or
altered, and an older one serves. One that matches but is not ours (symbolic links, paths, a huge JSON, tensors of another name,
dtype or shape) is refused with `WrongUse`. Nothing is unpickled; only safetensors and JSON are ever read.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.settings import WrongUse
from lm_experiments import paths
from lm_experiments.paths import Damaged
from lm_experiments.safe_files import (
    LARGEST_JSON,
    Tensors,
    read_json,
    read_tensors,
    refuse,
    regular,
    write_json,
    write_tensors,
)

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM

    from lm_experiments.models import ModelSettings

__all__ = [
    "LARGEST_JSON",
    "Damaged",
    "clear",
    "load_model",
    "numbered",
    "publishing",
    "read",
    "read_best",
    "read_json",
    "read_tensors",
    "refuse",
    "regular",
    "save",
    "save_best",
    "save_model",
    "verify",
    "weights",
    "write_json",
    "write_tensors",
]

KEPT = 2
MAKE_ROOM = "Make room there and run the same command again; training goes on from the last checkpoint, which is intact"


@contextmanager
def publishing(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target`, with its manifest, when the block ends well, and vanishes when it does not."""
    paths.remove_partial(target)  # a stage is trained by one process at a time
    with paths.publishing(target, MAKE_ROOM) as temporary:
        yield temporary
        files = {
            path.name: {"bytes": path.stat().st_size, "sha256": paths.sha256(path)}
            for path in sorted(temporary.iterdir())
        }
        write_json(temporary / "manifest.json", files)


def verify(folder: Path, names: tuple[str, ...]) -> None:
    """Compare a folder with its manifest.

    Raises:
        WrongUse: a link, a path, a foreign file.
        Damaged: something is missing, cut short or altered.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise refuse(folder, "it is not an ordinary folder")
    manifest = read_json(folder / "manifest.json")
    if foreign := {path.name for path in folder.iterdir()} - {*names, "manifest.json"}:
        raise refuse(folder / sorted(foreign)[0], "training writes no such file")
    if foreign := set(manifest) - set(names):
        raise refuse(folder / "manifest.json", f"it lists {sorted(foreign)[0][:80]}")
    for name in names:
        path = folder / name
        regular(path)
        told = manifest.get(name)
        if told != {"bytes": path.stat().st_size, "sha256": paths.sha256(path)}:
            raise Damaged(f"{name} does not match its checksum")


def numbered(folder: Path, kind: str) -> dict[int, Path]:
    """The folders `<kind>-<step>` by step, in order."""
    found = {int(m[1]): path for path in folder.iterdir() if (m := re.fullmatch(rf"{kind}-(\d{{1,12}})", path.name))}
    return dict(sorted(found.items()))


def save(folder: Path, step: int, tensors: Mapping[str, Tensors], state: Mapping[str, Any]) -> None:
    """Write checkpoint-<step>, keep the two newest, and of the best weights those that a kept checkpoint refers to.

    Args:
        folder: of the stage.
        step: optimiser steps done.
        tensors: by file: "model" and "optimizer".
        state: JSON data; its `best_step` names the best weights so far.

    Raises:
        OSError: the disk is full; what was there before is intact.
    """
    with publishing(folder / f"checkpoint-{step}") as temporary:
        for name, held in tensors.items():
            write_tensors(temporary / f"{name}.safetensors", held)
        write_json(temporary / "state.json", dict(state))
    kept = numbered(folder, "checkpoint")
    for number in list(kept)[:-KEPT]:
        shutil.rmtree(kept.pop(number))
    oldest = min((int(read_json(path / "state.json")["best_step"]) for path in kept.values()), default=0)
    for number, path in numbered(folder, "best").items():
        if number < oldest:
            shutil.rmtree(path)


def read(path: Path, like: Mapping[str, Tensors]) -> tuple[dict[str, Any], dict[str, dict[str, "torch.Tensor"]]]:
    """State and tensors of a checkpoint.

    Args:
        path: its folder.
        like: names, dtypes and shapes that "model" and "optimizer" must have.

    Raises:
        Damaged: it was cut short or altered.
        WrongUse: training cannot have written it.
    """
    verify(path, (*(f"{name}.safetensors" for name in like), "state.json"))
    state = read_json(path / "state.json")
    return state, {name: read_tensors(path / f"{name}.safetensors", held) for name, held in like.items()}


def save_best(folder: Path, step: int, weights: Tensors) -> None:
    """Write best-<step>. Older ones stay until no checkpoint refers to them."""
    with publishing(folder / f"best-{step}") as temporary:
        write_tensors(temporary / "model.safetensors", weights)


def read_best(folder: Path, step: int, like: Tensors) -> dict[str, "torch.Tensor"]:
    """The weights of best-<step>. Raises `Damaged` or `WrongUse`."""
    verify(folder / f"best-{step}", ("model.safetensors",))
    return read_tensors(folder / f"best-{step}" / "model.safetensors", like)


def clear(folder: Path) -> None:
    """Remove checkpoints, best weights and what an interrupted write left."""
    for path in [
        *numbered(folder, "checkpoint").values(),
        *numbered(folder, "best").values(),
        *folder.glob(".*.partial"),
    ]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def weights(model: "LlamaForCausalLM") -> dict[str, "torch.Tensor"]:
    """A model's tensors by name, a tied matrix once."""
    held = dict(model.state_dict())
    if model.config.tie_word_embeddings:
        held.pop("lm_head.weight", None)
    return held


def save_model(folder: Path, model: "LlamaForCausalLM", held: Tensors) -> None:
    """Write model.safetensors and config.json, for `AutoModelForCausalLM.from_pretrained(folder)`."""
    write_tensors(folder / "model.safetensors", held)
    write_json(folder / "config.json", model.config.to_dict())


def load_model(folder: Path, settings: "ModelSettings") -> "LlamaForCausalLM":
    """A finished model, made from its settings; config.json is only compared with them and never reaches transformers.

    Args:
        folder: of the stage that left it.
        settings: what the stage's spec says of the model. Tensors are compared with it before any memory is taken.

    Raises:
        WrongUse: links, a configuration that is not that of the settings, or weights that are not.
    """
    import torch
    from transformers import LlamaForCausalLM

    from lm_experiments.models import assembled, configuration

    try:
        with torch.device("meta"):
            model = LlamaForCausalLM(configuration(settings))
        _compare_configuration(folder / "config.json", model.config.to_dict())
        held = read_tensors(folder / "model.safetensors", weights(model))
    except Damaged as error:
        raise WrongUse(f"The model in {folder} is damaged ({error}). Remove that folder and train it again.") from error
    return assembled(settings, held)


def _compare_configuration(path: Path, usual: Mapping[str, Any]) -> None:
    """Refuse a config.json that says anything but `usual`; one of another transformers may lack or add entries of that version."""
    told, wanted = read_json(path), json.loads(json.dumps(usual))
    version = "transformers_version"
    names = told.keys() | wanted.keys() if told.get(version) == wanted[version] else told.keys() & wanted.keys()
    for name in sorted(names - {version}):
        if told.get(name) != wanted.get(name):
            raise refuse(
                path, f"{name[:80]} is {str(told.get(name))[:80]}, not {wanted.get(name)} as the stage's spec says"
            )
