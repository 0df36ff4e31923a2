"""Packed token stores: one flat, memory-mapped array of token ids a (corpus, tokenizer, split).

    tokens.bin      the ids of all documents, each followed by the end-of-text token; little-endian uint16 or uint32
    manifest.json   what they are, how many, and the SHA-256 of tokens.bin

A store appears under its name only when it is complete. Its fingerprint comes from its content, so equal fingerprints mean
equal data, wherever and however it was built. Window i of length n is tokens[i n : i n + n + 1]: n inputs, n labels.
"""

import hashlib
import json
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64, Shaped

from common.settings import WrongUse, config_hash
from lm_experiments import paths
from lm_experiments.corpora import Corpus, Documents, Report, hub, splits
from lm_experiments.corpora import corpus as corpus_named
from lm_experiments.packing import pack, worthwhile
from lm_experiments.tokenizers import Tokenizer

SPLITS = tuple(splits.FRACTIONS)
FORMAT = 1
_DTYPES: dict[str, np.dtype[Any]] = {"uint16": np.dtype("<u2"), "uint32": np.dtype("<u4")}
ENTRIES = {
    "format", "name", "tokens", "dtype", "vocabulary", "sha256", "corpus", "split", "tokenizer", "key", "documents", "text_bytes",
    "complete", "duplicates", "digest",
}  # fmt: skip
"""What a manifest can hold: any other name is a changed one."""
_LARGEST_MANIFEST = 1 << 20
_ALWAYS_VERIFIED = 1 << 28
_BYTES_A_TOKEN = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Store:
    """An opened store. Reading it never copies more than the windows asked for."""

    name: str
    """Corpus and split, e.g. "music/train"."""
    fingerprint: str
    """Sixteen hex digits made from the tokens and the tokenizer."""
    tokens: Shaped[np.ndarray, "size"]
    """The ids, memory-mapped, unsigned."""
    folder: Path
    manifest: Mapping[str, Any]
    """What manifest.json says: documents, duplicates, bytes, tokens, vocabulary, tokenizer, sha256, ..."""

    def windows(self, length: int) -> int:
        """How many whole windows of `length` predicted tokens there are."""
        return max(0, (len(self.tokens) - 1) // length)

    def window(self, index: int, length: int) -> Int64[np.ndarray, "positions"]:
        """Window `index`: `length + 1` ids, inputs `[:-1]` and labels `[1:]`. Raises `IndexError` beyond the last."""
        if not 0 <= index < self.windows(length):
            raise IndexError(
                f"{self.name} has {self.windows(length)} windows of {length} tokens; there is no window {index}."
            )
        return self.tokens[index * length : (index + 1) * length + 1].astype(np.int64)


class Drawn:
    """A store with its windows in an order that a seed decides: the first so many are a sample, and a smaller one is part of a larger.

    A file or a hub corpus comes in the order of its source, so that its first windows would be of one kind.
    """

    def __init__(self, store: Store, seed: int) -> None:
        """Args: store: whose windows; seed: of the draw."""
        self._store, self._seed, self._orders = store, seed, {}  # type: Store, int, dict[int, Any]
        self.name, self.fingerprint = f"{store.name}~{seed}", store.fingerprint

    def windows(self, length: int) -> int:
        """How many whole windows of `length` predicted tokens there are."""
        return self._store.windows(length)

    def window(self, index: int, length: int) -> Int64[np.ndarray, "positions"]:
        """The window that was drawn as number `index`, as `Store.window`. Raises `IndexError` beyond the last."""
        if length not in self._orders:
            key = hashlib.sha256(f"draw/{self._seed}/{self._store.name}".encode()).digest()[:16]
            bits = np.random.Philox(key=np.frombuffer(key, dtype=np.uint64)).random_raw(self.windows(length))
            self._orders[length] = np.argsort(bits, kind="stable")
        order = self._orders[length]
        return self._store.window(int(order[index]) if 0 <= index < len(order) else len(order), length)


class Answers:
    """A store of which only the answers count when a loss is measured: the words that its corpus marks as such.

    name#answers    nats per answer
    name#recall     share of the answers that are the model's first choice among all tokens
    """

    def __init__(self, store: Any, kind: str, counted: Int64[np.ndarray, "ids"]) -> None:
        """Args: store: whose windows; kind: answers or recall; counted: ids of the answers."""
        self._store, self.kind, self.counted = store, kind, counted
        self.name, self.fingerprint = f"{store.name}#{kind}", store.fingerprint
        self.windows, self.window = store.windows, store.window


def answers(store: Any, kind: str, corpus: str, tokenizer: Tokenizer) -> Answers:
    """The answers of a store.

    Args:
        store: of the corpus.
        kind: answers or recall.
        corpus: its name.
        tokenizer: with which it was built.

    Raises:
        WrongUse: the corpus marks no answers, or one of them is not a token of its own.
    """
    words = corpus_named(corpus).answers
    if not words:
        raise WrongUse(
            f"measured_as = answers, but {corpus} marks no answers. Choose measured_as tokens, or a corpus of facts."
        )
    ids = tokenizer.encode([f" {word}" for word in words])
    if several := [word for word, found in zip(words, ids, strict=True) if len(found) != 1]:
        raise WrongUse(
            f"The answers {', '.join(several)} of {corpus} are not one token each. Choose a larger vocabulary."
        )
    return Answers(store, kind, np.array(sorted(found[0] for found in ids), dtype=np.int64))


def write(
    folder: Path, name: str, pieces: Iterable[Shaped[np.ndarray, "..."]], *, vocabulary: int, about: Mapping[str, Any]
) -> Store:
    """Write a store from pieces of token ids, in order, and open it. It appears only when complete.

    Args:
        folder: where it will be.
        name: corpus and split.
        pieces: 1-d arrays of ids below `vocabulary`.
        vocabulary: size of the tokenizer's vocabulary; decides uint16 or uint32.
        about: further entries of the manifest, of `ENTRIES`; `tokenizer` (its fingerprint) counts in the store's fingerprint.

    Raises:
        WrongUse: no token at all, or an id outside the vocabulary.
        OSError: the disk is full.
    """
    kind = "uint16" if vocabulary <= 1 << 16 else "uint32"
    digest, count = hashlib.sha256(), 0
    with paths.publishing(folder) as temporary:
        with (temporary / "tokens.bin").open("wb") as file:
            for piece in pieces:
                if piece.size and not 0 <= int(piece.min()) <= int(piece.max()) < vocabulary:
                    raise WrongUse(
                        f"{name} holds the token id {int(piece.max())}, outside its vocabulary of {vocabulary}. "
                        "Build it with the tokenizer that made the ids."
                    )
                data = piece.astype(_DTYPES[kind]).tobytes()
                digest.update(data)
                count += piece.size
                file.write(data)
        if count == 0:
            raise WrongUse(
                f"{name} would be empty: its corpus has no document in this split. Give more documents: a hundred are few, "
                "and ?split= cuts a text into more."
            )
        manifest = {
            "format": FORMAT, "name": name, "tokens": count, "dtype": kind, "vocabulary": vocabulary,
            "sha256": digest.hexdigest(), **about,
        }  # fmt: skip
        manifest["digest"] = config_hash(manifest)
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return read(folder)


def read(folder: Path, *, thorough: bool = False) -> Store:
    """Open a store. Its size is always checked, its checksum below 256 MB or when `thorough`.

    Raises:
        Damaged: something is missing, altered or truncated.
    """
    try:
        manifest = _manifest(folder)
        data = folder / "tokens.bin"
        kind = _DTYPES[manifest["dtype"]]
        size = data.stat().st_size
        if size != manifest["tokens"] * kind.itemsize:
            raise ValueError(f"tokens.bin has {size:,} bytes in place of {manifest['tokens'] * kind.itemsize:,}")
        if (thorough or size <= _ALWAYS_VERIFIED) and paths.sha256(data) != manifest["sha256"]:
            raise ValueError("tokens.bin does not match its checksum")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise paths.Damaged(
            f"The token store {folder} is damaged ({error}). Remove that folder and run the same command again; the store is built anew"
        ) from error
    return Store(
        name=manifest["name"],
        fingerprint=config_hash(manifest["sha256"], manifest["dtype"], manifest.get("tokenizer")),
        tokens=np.memmap(data, dtype=kind, mode="r"),
        folder=folder,
        manifest=manifest,
    )


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise ValueError("manifest.json is far too large")
    manifest = json.loads(path.read_text())
    if not isinstance(manifest, dict) or manifest["format"] != FORMAT:
        raise ValueError("manifest.json is not the manifest of a store of this version")
    for name, kind in (("name", str), ("tokens", int), ("dtype", str), ("vocabulary", int), ("sha256", str)):
        if not isinstance(manifest[name], kind):
            raise ValueError(f"{name} in manifest.json is not of type {kind.__name__}")
    if unknown := sorted(set(manifest) - ENTRIES):
        raise ValueError(f"manifest.json has the unknown entry {unknown[0]!r}")
    told = manifest.pop("digest", None)  # older stores have none
    if told not in (None, config_hash(manifest)):
        raise ValueError("manifest.json was altered: its checksum does not match")
    return manifest


def open_store(
    corpus: str,
    tokenizer: Tokenizer,
    split: str,
    *,
    max_tokens: int | None = None,
    workers: int | None = None,
    progress: Report | None = None,
) -> Store:
    """Open the store of one split of a corpus, building it where the cache has none yet.

    Args:
        corpus: its name, see `lm_experiments.corpora`.
        tokenizer: from `tokenizers.trained` or `tokenizers.load`.
        split: train, stop or report.
        max_tokens: keep only the first tokens; what is kept is a prefix of the larger store.
        workers: processes that tokenise; default as many as the text is worth. Decides nothing about the result.
        progress: called with what is being done and how much of it is.

    Raises:
        WrongUse: no such corpus or split, no document in it, or a hub corpus without `max_tokens`.
        Damaged: the store, or a file it is made from, was altered, or another store lies where this one belongs.
        OSError: the disk is full, or the hub or the package index cannot be reached.
    """
    if split not in SPLITS:
        raise WrongUse(f"Split {split!r} is not known. Choose from {', '.join(SPLITS)}.")
    if max_tokens is not None and max_tokens < 1:
        raise WrongUse(f"max_tokens = {max_tokens} is too small. Choose at least 1, or None for all.")
    if max_tokens is None and corpus.partition("@")[0] in hub.HUB:
        raise WrongUse(f"{corpus} is too large to be packed whole without being asked for. Give max_tokens.")
    chosen = corpus_named(corpus)
    key = config_hash(
        "store", FORMAT, chosen.key, chosen.identity(), split, splits.FRACTIONS, tokenizer.fingerprint, max_tokens
    )
    folder = paths.cache() / "stores" / key
    if not folder.exists():
        with paths.exclusive(folder):
            if not folder.exists():
                _build(folder, chosen, tokenizer, split, max_tokens, workers, progress)
    shutil.rmtree(_shards(folder), ignore_errors=True)  # left by a process that was killed while it removed them
    opened = read(folder)
    asked = _about(folder, chosen, tokenizer, split) | {
        "name": f"{chosen.key}/{split}",
        "vocabulary": tokenizer.vocabulary,
    }
    for name, value in asked.items():
        if (found := opened.manifest.get(name, value if name == "key" else None)) != value:  # older stores have no key
            raise paths.Damaged(
                f"The token store {folder} is not the one that was asked for: its {name} is {found!r}, not {value!r}. Remove that "
                "folder and run the same command again; the store is built anew"
            )
    return opened


def _about(folder: Path, chosen: Corpus, tokenizer: Tokenizer, split: str) -> dict[str, Any]:
    """What the manifest says of a store's origin; `key` is the name of its folder, the hash of all that decides it."""
    return {"corpus": chosen.key, "split": split, "tokenizer": tokenizer.fingerprint, "key": folder.name}


def _shards(folder: Path) -> Path:
    """Where finished chunks are kept until the store is complete."""
    return folder.with_name(f".{folder.name}.shards")


def _build(
    folder: Path,
    chosen: Corpus,
    tokenizer: Tokenizer,
    split: str,
    max_tokens: int | None,
    workers: int | None,
    progress: Report | None,
) -> None:
    found = Documents(name=chosen.name, texts=chosen.read())
    name, size, shards = f"{chosen.key}/{split}", chosen.size(), _shards(folder)
    about = _about(folder, chosen, tokenizer, split)
    lengths: list[int] = []

    def texts() -> Iterator[str]:
        for place, text in found:
            if place == split:
                lengths.append(len(text.encode()))
                yield text

    def pieces() -> Iterator[Shaped[np.ndarray, "..."]]:
        kept = documents = 0
        worth = min((size or math.inf), (max_tokens or math.inf) * _BYTES_A_TOKEN)
        processes = workers or worthwhile(None if worth == math.inf else int(worth))
        for piece in pack(texts(), tokenizer, shards, workers=processes):
            piece = piece[: None if max_tokens is None else max_tokens - kept]
            kept += piece.size
            documents += int(np.count_nonzero(piece == tokenizer.end_of_text))
            yield piece
            if progress:
                parts = [found.size / size if size else 0.0, kept / max_tokens if max_tokens else 0.0]
                progress(f"pack {chosen.label}/{split}", min(1.0, max(parts)) or None)
            if kept == max_tokens:
                break
        complete = kept != max_tokens  # otherwise the reader has run ahead of what is kept, and its counts mean nothing
        about.update(documents=documents, text_bytes=sum(lengths[:documents]), complete=complete)
        about.update(duplicates=found.duplicates if complete else None)

    write(folder, name, pieces(), vocabulary=tokenizer.vocabulary, about=about)
