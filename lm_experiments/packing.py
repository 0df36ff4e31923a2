"""From documents to token ids, in worker processes. What is finished is kept in shards, so that a build can be resumed.

Documents are cut into chunks in their order; a chunk's shard is named by the hash of its text, so a shard is used again
exactly when it holds what would be computed. The order of the ids never depends on how many processes there are.
"""

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt32

from common.settings import WrongUse
from lm_experiments import paths
from lm_experiments.tokenizers import Tokenizer, backend

CHUNK_BYTES = 2_000_000
"""About how much text a worker gets at a time, and a shard holds."""
PROCESS_BYTES = 8_000_000
"""Less text than this is not worth the start of a process."""

_DIGEST = hashlib.sha256().digest_size
"""Bytes at the end of a shard."""


class Source(NamedTuple):
    """A tokenizer as the processes are told of it."""

    file: Path
    sha256: str
    """Of the file, when it was opened."""


def pack(
    texts: Iterable[str], tokenizer: Tokenizer, shards: Path, *, workers: int
) -> Iterator[UInt32[np.ndarray, "size"]]:
    """The ids of the documents in their order, each followed by the end-of-text token; one array per chunk.

    Args:
        texts: the documents.
        tokenizer: gives the ids.
        shards: folder for finished chunks; the caller removes it when the store is complete.
        workers: processes; 1 for this one.

    Raises:
        OSError: the disk is full. Finished shards are kept.
        WrongUse: worker processes cannot start.
    """
    shards.mkdir(parents=True, exist_ok=True)
    source, ending = Source(tokenizer.folder / "tokenizer.json", tokenizer.sha256), tokenizer.end_of_text
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _begin) if workers > 1 else None
    pending: deque[Future[Path] | Path] = deque()
    try:
        with pool or nullcontext():
            for number, chunk in enumerate(_chunks(texts)):
                pending.append(_started(pool, chunk, source, ending, shards, number))
                while len(pending) > (2 * workers if pool else 0):
                    yield _finished(pending.popleft())
            while pending:
                yield _finished(pending.popleft())
    except BrokenProcessPool as error:
        raise WrongUse(
            "A process that tokenises could not start or was killed. In a script, put the call under `if __name__ == '__main__':`; "
            "where memory is short, use one worker."
        ) from error
    finally:
        for task in pending:
            if isinstance(task, Future):
                task.cancel()


def worthwhile(size: int | None) -> int:
    """How many processes to use for so many bytes of text."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, cores if size is None else size // PROCESS_BYTES))


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for text in texts:
        chunk.append(text)
        size += len(text)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _started(
    pool: Executor | None, chunk: list[str], source: Source, ending: int, shards: Path, number: int
) -> Future[Path] | Path:
    digest = hashlib.sha256()
    for text in chunk:
        digest.update(f"{len(text)}:".encode() + text.encode())
    shard = shards / f"{number:06d}-{digest.hexdigest()[:24]}.bin"
    if _kept(shard) is not None:
        return shard
    if pool:
        return pool.submit(encode, chunk, source, ending, shard)
    return encode(chunk, source, ending, shard)


def _finished(task: Future[Path] | Path) -> UInt32[np.ndarray, "size"]:
    shard = task.result() if isinstance(task, Future) else task
    if (ids := _kept(shard)) is None:
        raise paths.Damaged(f"{shard} was altered while the store was built. Run the same command again")
    return ids


def _kept(shard: Path) -> UInt32[np.ndarray, "size"] | None:
    """The ids of a shard; None where there is none, or one that was altered or belongs under another name."""
    try:
        data = shard.read_bytes()
    except FileNotFoundError:
        return None
    ids, told = data[:-_DIGEST], data[-_DIGEST:]
    return np.frombuffer(ids, dtype="<u4") if told == _digest(shard, ids) else None


def _digest(shard: Path, ids: bytes) -> bytes:
    return hashlib.sha256(shard.name.encode() + ids).digest()


def encode(chunk: list[str], source: Source, ending: int, shard: Path) -> Path:
    """Write the ids of one chunk to its shard, which appears only when complete. Runs in a worker process."""
    found = _backend(source).encode_batch_fast(chunk, add_special_tokens=False)
    ids = np.concatenate([np.array([*each.ids, ending], dtype="<u4") for each in found])
    temporary = shard.with_suffix(f".{os.getpid()}.partial")
    try:
        temporary.write_bytes(ids.tobytes() + _digest(shard, ids.tobytes()))
        temporary.replace(shard)
    except OSError as error:
        raise paths.room(error, shard) from error
    finally:
        temporary.unlink(missing_ok=True)
    return shard


@cache
def _backend(source: Source) -> Any:
    text = source.file.read_text()
    if hashlib.sha256(text.encode()).hexdigest() != source.sha256:
        raise paths.Damaged(
            f"{source.file} was replaced by another tokenizer while it was in use. Run the same command again"
        )
    return backend(text)


def _begin() -> None:
    os.environ["RAYON_NUM_THREADS"] = "1"
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A parent that was killed tells its workers nothing, and they would wait for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
