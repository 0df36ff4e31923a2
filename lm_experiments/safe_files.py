"""JSON and tensors in files that are written whole or not at all, and read with suspicion.

Nothing is unpickled. What was cut short or altered is `Damaged`; what nobody of ours can have written is refused with `WrongUse`.
"""

import errno
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import files
from common.settings import WrongUse
from lm_experiments.paths import Damaged

if TYPE_CHECKING:
    import torch

LARGEST_JSON = 1 << 20

Tensors = Mapping[str, "torch.Tensor"]


def refuse(path: Path, what: str) -> WrongUse:
    """The error for a file or folder that training cannot have written."""
    return WrongUse(
        f"{path} is refused: {what}. Remove its folder, or choose another one, and run the same command again."
    )


def regular(path: Path) -> None:
    """Raises `WrongUse` for a symbolic link, a device and the like, `Damaged` where there is nothing."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError as error:
        raise Damaged(f"{path.name} is missing") from error
    if not stat.S_ISREG(kind):
        raise refuse(path, "it is not an ordinary file")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a run folder.

    Raises:
        WrongUse: the file is a link, or larger than a megabyte.
        Damaged: it is missing, or no JSON object.
    """
    regular(path)
    if path.stat().st_size > LARGEST_JSON:
        raise refuse(path, f"it is larger than {LARGEST_JSON:,} bytes")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path.name} is no JSON") from error
    if not isinstance(found, dict):
        raise Damaged(f"{path.name} holds no JSON object")
    return found


def write_json(path: Path, document: Any) -> None:
    """As `common.files.write_json`, but a link that lies there is replaced, not followed. Raises `OSError` where the disk is full."""
    if path.is_symlink():
        path.unlink()
    files.write_json(path, document)


def write_tensors(path: Path, tensors: Tensors) -> None:
    """Write a safetensors file under a temporary name and rename it. Raises `OSError` where the disk is full."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    temporary = path.with_name(f".{path.name}.partial")
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata={"format": "pt"})
        temporary.replace(path)
    except SafetensorError as error:
        full = "No space left" in str(error)
        raise OSError(errno.ENOSPC if full else errno.EIO, f"{path} could not be written ({error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tensors(path: Path, like: Tensors) -> dict[str, "torch.Tensor"]:
    """Read a safetensors file that must hold exactly the names, dtypes and shapes of `like` (which may be on the meta device).

    Raises:
        WrongUse: it holds other tensors, or is a link.
        Damaged: it is no safetensors file.
    """
    from safetensors import SafetensorError, safe_open

    regular(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = set(file.keys())
            if names != set(like):
                odd = sorted(names ^ set(like))[0]
                raise refuse(path, f"the tensor {odd[:80]} is {'not expected' if odd in names else 'missing'}")
            for name, wanted in like.items():
                found = file.get_slice(name)
                if list(found.get_shape()) != list(wanted.shape) or found.get_dtype() != _DTYPES[str(wanted.dtype)]:
                    raise refuse(
                        path,
                        f"{name} is {found.get_dtype()} of shape {found.get_shape()}, not {wanted.dtype} of {list(wanted.shape)}",
                    )
            return {name: file.get_tensor(name) for name in like}
    except SafetensorError as error:
        raise Damaged(f"{path.name} is no complete safetensors file") from error


_DTYPES = {
    "torch.float32": "F32",
    "torch.bfloat16": "BF16",
    "torch.float16": "F16",
    "torch.float64": "F64",
    "torch.int64": "I64",
}
