"""A model that somebody else pretrained, to begin with: found, compared with what is asked for, and named by its content.

    FOLDER         config.json, and model.safetensors or its parts (model.safetensors.index.json), as `save_pretrained` leaves them
    NAME@REVISION  the same on the Hugging Face hub, at a commit of 40 hex digits

Only JSON and safetensors are read, never a pickle, and no code of a repository is run: the model is built from our own settings, and
config.json must agree with them. Its fingerprint is that of its tensors, so a copy elsewhere, or the same weights cut into other files,
have the same one. Weights in bfloat16 or float16 are trained in float32.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.settings import Settings, WrongUse
from lm_experiments import tokenizers
from lm_experiments.corpora import hub
from lm_experiments.paths import Damaged
from lm_experiments.safe_files import read_json

if TYPE_CHECKING:
    import torch
    from transformers import LlamaForCausalLM

    from lm_experiments.models import ModelSettings

INDEX, WHOLE = "model.safetensors.index.json", "model.safetensors"
WANTED = ("*.safetensors", INDEX, "config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
"""What is fetched of a repository on the hub."""
SAME = ("vocab_size", "max_position_embeddings", "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "intermediate_size", "hidden_act", "attention_bias", "mlp_bias", "tie_word_embeddings", "rms_norm_eps",
        "rope_parameters")  # fmt: skip
"""Entries of config.json that decide what a model computes; vocabulary and context first."""
FLOATS = ("F32", "BF16", "F16")


@dataclass(frozen=True, kw_only=True)
class Start(Settings):
    """The model that a first stage begins with."""

    fingerprint: str
    """Of its weights."""
    folder: Path = field(metadata={"science": False})
    """Where they lie."""


def start(name: str, shape: "ModelSettings") -> Start:
    """The model of that name. Raises what `check` raises."""
    folder = check(name, shape)
    files = tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in _files(name, folder))
    return Start(fingerprint=_fingerprint(name, folder, shape, files), folder=folder)


def planned(name: str, shape: "ModelSettings") -> Start:
    """The same without reading its weights, or fetching anything: for `plan`, whose hashes mean nothing. Raises `WrongUse`."""
    folder = hub.local(name, "model")
    if folder is None:
        hub.pinned(name, "model")
        return Start(fingerprint=name, folder=Path(name))
    return Start(fingerprint=str(check(name, shape)), folder=folder)


def check(name: str, shape: "ModelSettings") -> Path:
    """The folder of a model that is of this shape, by its config.json and the headers of its files; fetched where it is on the hub.

    Raises:
        WrongUse: there is none, it has another shape (the first entry that differs is named), or its weights are no safetensors.
        ConnectionError: it must come from the hub, which cannot be reached.
    """
    folder = hub.local(name, "model") or _fetched(name)
    _compare(name, folder, shape)
    for _ in _handles(name, folder, shape):
        pass
    return folder.absolute()


def check_tokenizer(name: str, folder: Path, tokenizer: str) -> bool:
    """Whether the model's own tokenizer is there, and the one that is used: its ids are what the model knows words by.

    Args:
        name: of the model; folder: where it lies.
        tokenizer: the setting.

    Raises:
        WrongUse: it is there, and another one is used.
    """
    if not (folder / "tokenizer.json").is_file():
        return False
    own = tokenizers.load(str(folder)).fingerprint
    if not tokenizer or tokenizers.load(tokenizer).fingerprint != own:
        used = f"tokenizer = {tokenizer}" if tokenizer else "a BPE that is trained for the study"
        raise WrongUse(
            f"init_from = {name} comes with a tokenizer of its own, and {used} would give its ids other meanings. "
            f"Give --tokenizer {name}."
        )
    return True


def load(begun: Start, shape: "ModelSettings") -> "LlamaForCausalLM":
    """The model in float32. Raises `WrongUse` where it is no longer what was planned with."""
    from lm_experiments.models import assembled

    name, held, digest = str(begun.folder), {}, hashlib.sha256()
    for key, tensor in _tensors(name, begun.folder, shape):
        _add(digest, key, tensor)
        held[key] = tensor
    if digest.hexdigest()[:16] != begun.fingerprint:
        raise WrongUse(
            f"init_from = {name} is not the model that this stage was planned with: its weights have changed. Run the study again; it "
            "plans with the model as it is."
        )
    return assembled(shape, held)


def _fetched(name: str) -> Path:
    repository, revision = hub.pinned(name, "model")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    with suppress(
        LocalEntryNotFoundError, WrongUse
    ):  # a commit never changes: what was fetched before serves without the hub
        folder = Path(snapshot_download(repository, revision=revision, local_files_only=True))
        if (folder / "config.json").is_file() and _files(name, folder):
            return folder
    hub.reach(repository, revision, model=True)
    return Path(snapshot_download(repository, revision=revision, allow_patterns=list(WANTED)))


def _read(name: str, path: Path) -> dict[str, Any]:
    try:
        return read_json(path.resolve())  # the cache of the hub holds links
    except Damaged as error:
        raise WrongUse(
            f"init_from = {name} is no Hugging Face model: {error}. Give a folder that `save_pretrained` has written."
        ) from error


def _compare(name: str, folder: Path, shape: "ModelSettings") -> None:
    """Raise `WrongUse` for the first entry of config.json that is not as the shape says."""
    from transformers import LlamaConfig

    from lm_experiments.models import PRESETS, configuration

    told = _read(name, folder / "config.json")
    if (kind := told.get("model_type")) != "llama":
        raise WrongUse(
            f"init_from = {name} is of model_type {str(kind)[:40]!r}. Give a Llama decoder, as SmolLM2: those are what stages train."
        )
    try:
        found = LlamaConfig.from_dict(told).to_dict()
    except Exception as error:  # transformers has many kinds for a value of the wrong type
        raise WrongUse(
            f"{folder / 'config.json'} does not describe a Llama decoder ({' '.join(str(error).split())[:200]}). Fetch or save it again."
        ) from error

    def differing(preset: "ModelSettings") -> list[str]:
        wanted = json.loads(json.dumps(configuration(preset).to_dict()))
        return [key for key in SAME if found.get(key) != wanted.get(key)]

    if odd := differing(shape):
        wanted = configuration(shape).to_dict()
        scale = next((scale for scale, preset in PRESETS.items() if preset == shape), "the model")
        fitting = [other for other, preset in PRESETS.items() if not differing(preset)]
        remedy = f"Choose --scale {' or '.join(fitting)}" if fitting else "Choose a model of the same shape"
        said = ", ".join(f"{key} is {found.get(key)}, not {wanted.get(key)}" for key in odd[:3])
        raise WrongUse(f"init_from = {name} does not fit {scale}: {said}. {remedy}.")


def _files(name: str, folder: Path) -> list[Path]:
    """The files of the weights. Raises `WrongUse` where there are none, or only pickles."""
    if (folder / INDEX).exists():
        weights = _read(name, folder / INDEX).get("weight_map")
        parts = sorted(set(weights.values())) if isinstance(weights, dict) else []
        if not parts or any(not isinstance(part, str) or Path(part).name != part for part in parts):
            raise WrongUse(f"{folder / INDEX} names no files of this folder. Fetch or save the model again.")
        found = [folder / part for part in parts]
    else:
        found = [folder / WHOLE]
    if missing := [path for path in found if not path.is_file()]:
        pickles = sorted(path.name for end in ("bin", "pt", "pth") for path in folder.glob(f"*.{end}"))
        if pickles:
            raise WrongUse(
                f"init_from = {name} holds its weights as a pickle, {pickles[0]}, which could run any code when it is read. Give it as "
                "safetensors: `AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OTHER)` where you trust it."
            )
        raise WrongUse(f"init_from = {name} lacks {missing[0].name}. Give a folder that `save_pretrained` has written.")
    return found


def _handles(name: str, folder: Path, shape: "ModelSettings") -> Iterator[tuple[str, Any]]:
    """Every tensor of the model by its name, in order, with the open file that holds it; nothing is read but headers.

    Raises:
        WrongUse: a file is no safetensors, a tensor is missing, too many, of another shape or of whole numbers.
    """
    import torch
    from safetensors import SafetensorError, safe_open
    from transformers import LlamaForCausalLM

    from lm_experiments.checkpoints import weights
    from lm_experiments.models import configuration

    with torch.device("meta"):
        wanted = weights(LlamaForCausalLM(configuration(shape)))
    with ExitStack() as stack:
        held: dict[str, Any] = {}
        for path in _files(name, folder):
            try:
                file = stack.enter_context(safe_open(path, framework="pt", device="cpu"))
            except (SafetensorError, OSError) as error:
                raise WrongUse(f"{path} is no complete safetensors file ({error}). Fetch or save it again.") from error
            held |= dict.fromkeys(file.keys(), file)
        tied = shape.tied and "lm_head.weight" in held
        if tied and not torch.equal(
            *(held[key].get_tensor(key) for key in ("lm_head.weight", "model.embed_tokens.weight"))
        ):
            raise WrongUse(f"init_from = {name} says that its head is its embedding, and holds two different ones.")
        kept = {key for key in held if not (key.endswith("rotary_emb.inv_freq") or (tied and key == "lm_head.weight"))}
        if odd := sorted(kept ^ set(wanted)):
            raise WrongUse(
                f"init_from = {name}: the tensor {odd[0][:80]} is {'not expected' if odd[0] in kept else 'missing'}. Give a whole Llama "
                "decoder, without adapters."
            )
        for key in sorted(wanted):
            found, right = held[key].get_slice(key), list(wanted[key].shape)
            if found.get_shape() != right or found.get_dtype() not in FLOATS:
                raise WrongUse(
                    f"init_from = {name}: {key} is {found.get_dtype()} of shape {found.get_shape()}, not of real numbers of {right}."
                )
            yield key, held[key]


def _tensors(name: str, folder: Path, shape: "ModelSettings") -> Iterator[tuple[str, "torch.Tensor"]]:
    for key, file in _handles(name, folder, shape):
        yield key, file.get_tensor(key)


def _add(digest: Any, key: str, tensor: "torch.Tensor") -> None:
    import torch

    digest.update(f"{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
    digest.update(tensor.contiguous().view(torch.uint8).numpy())


@lru_cache(maxsize=64)
def _fingerprint(name: str, folder: Path, shape: "ModelSettings", files: tuple[Any, ...]) -> str:
    """Of the tensors; files: names, sizes and times, at another of which they are read again."""
    digest = hashlib.sha256()
    for key, tensor in _tensors(name, folder, shape):
        _add(digest, key, tensor)
    return digest.hexdigest()[:16]
