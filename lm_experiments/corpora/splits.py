"""Exact-duplicate removal, and the split of a corpus into train, stop and report by the hash of each document.

`stop` decides when training stops and which checkpoint is kept, `report` gives the losses that are reported, so that the
choice does not flatter the number. A document's split depends on nothing but its text: adding documents moves no other.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from common.settings import WrongUse

FRACTIONS = {"train": 0.90, "stop": 0.05, "report": 0.05}


def digest(text: str) -> bytes:
    """The hash that identifies a document."""
    return hashlib.sha256(text.encode()).digest()


def split_of(key: bytes) -> str:
    """The split of the document with this hash."""
    place = int.from_bytes(key[:8], "big") / 2**64
    for name, fraction in FRACTIONS.items():
        if place < fraction:
            return name
        place -= fraction
    return "report"


@dataclass(kw_only=True)
class Documents:
    """The documents of a corpus, each once, with its split; counts while it is read."""

    name: str
    texts: Iterable[str]
    documents: int = 0
    duplicates: int = 0
    empty: int = 0
    size: int = 0
    """Characters read, duplicates included; for showing progress."""
    _seen: set[bytes] = field(default_factory=set)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Pairs of split and text, blank space around the text removed. Raises `WrongUse` for text that is not Unicode."""
        for text in self.texts:
            text = text.strip()
            try:
                key = digest(text)
            except UnicodeEncodeError as error:
                raise WrongUse(
                    f"A document of {self.name} is no valid text ({error}): {text[:40]!a}. Repair or remove it."
                ) from error
            self.size += len(text)
            if not text:
                self.empty += 1
            elif key[:16] in self._seen:
                self.duplicates += 1
            else:
                self._seen.add(key[:16])
                self.documents += 1
                yield split_of(key), text
