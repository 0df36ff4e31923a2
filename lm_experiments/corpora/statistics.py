"""How much two corpora share: the share of one's distinct word n-grams that the other has too."""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import UInt64

from lm_experiments.corpora import documents

LARGEST = 50_000_000
"""Bytes of text that a comparison reads of a corpus."""
_WORD = re.compile(r"\w+")
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What a comparison read of a corpus."""

    name: str
    documents: int
    duplicates: int
    empty: int
    bytes: int
    """Of distinct documents."""
    whole: bool
    """Whether that was all of it."""
    grams: dict[str, UInt64[np.ndarray, "_"]]
    """Hashes of the distinct n-grams, sorted, by split."""

    @cached_property
    def all_grams(self) -> UInt64[np.ndarray, "_"]:
        """The distinct n-grams of all splits."""
        return np.unique(np.concatenate(list(self.grams.values())))


def sample(name: str, n: int) -> Sample:
    """Read a corpus, up to `LARGEST` bytes, and hash its n-grams of words (lower case, without punctuation)."""
    found, size, whole = documents(name), 0, True
    texts: dict[str, list[str]] = {"train": [], "stop": [], "report": []}
    for split, text in found:
        texts[split].append(text)
        size += len(text.encode())
        if size > LARGEST:
            whole = False
            break
    return Sample(
        name=name,
        documents=found.documents,
        duplicates=found.duplicates,
        empty=found.empty,
        bytes=size,
        whole=whole,
        grams={split: ngrams(kept, n) for split, kept in texts.items()},
    )


def ngrams(texts: Iterable[str], n: int) -> UInt64[np.ndarray, "_"]:
    """The hashes of the distinct n-grams of words; none across two texts, none from a text of fewer words."""
    known: dict[str, int] = {}
    words: list[int] = []
    lengths = []
    for text in texts:
        found = _WORD.findall(text.lower())
        lengths.append(len(found))
        for word in found:
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")
            words.append(known[word])
    owners = np.repeat(np.arange(len(lengths)), lengths)
    if len(words) < n:
        return np.zeros(0, dtype=np.uint64)
    values = np.array(words, dtype=np.uint64)
    last = len(values) - n + 1
    hashes = np.zeros(last, dtype=np.uint64)
    for place in range(n):  # a polynomial in an odd number, modulo 2^64: the order of the words counts
        hashes = hashes * _ODD + values[place : place + last]
    return np.unique(hashes[owners[:last] == owners[n - 1 :]])


def shared(ours: UInt64[np.ndarray, "_"], theirs: UInt64[np.ndarray, "_"]) -> float:
    """Share of our n-grams that are among theirs, both sorted and distinct; not a number where we have none."""
    if not ours.size or not theirs.size:
        return 0.0 if ours.size else math.nan
    places = np.minimum(np.searchsorted(theirs, ours), theirs.size - 1)
    return float((theirs[places] == ours).mean())


def overlaps(samples: list[Sample]) -> list[dict[str, Any]]:
    """For every ordered pair of corpora, the share of the first one's n-grams that the second has; for each, of report's in train."""
    pairs = [
        {"of": ours.name, "in": theirs.name, "share": shared(ours.all_grams, theirs.all_grams)}
        for ours in samples
        for theirs in samples
        if ours is not theirs
    ]
    held_out = [
        {
            "of": f"{each.name}/report",
            "in": f"{each.name}/train",
            "share": shared(each.grams["report"], each.grams["train"]),
        }
        for each in samples
    ]
    return pairs + held_out
