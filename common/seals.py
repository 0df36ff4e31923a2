"""A checksum of a whole parquet file, kept inside it: page checksums leave names, numbers of rows and places of pages unguarded.

    [pages] [SEAL and SHA-256 of all the rest] [footer] [length of footer] PAR1

What lies between pages and footer no reader looks at, because the footer says where every page is. A file without a seal is older, or
somebody else's, and taken as it is.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

SEAL = b"early-exposure seal 1\n"
_END = 8
"""Bytes after the footer: its length, and PAR1."""
_BLOCK = 1 << 20


def seal(path: Path) -> None:
    """Put the checksum into a finished parquet file. Raises `OSError` where the disk is full."""
    with path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = _footer(file, size)
        file.seek(start)
        footer = file.read()
        digest = _digest(file, start, footer)
        file.seek(start)
        file.write(SEAL + digest + footer)


def intact(path: Path) -> bool:
    """Whether a file is as it was sealed, or has no seal. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        if (place := _place(file)) is None:
            return True
        file.seek(place + len(SEAL))
        told = file.read(hashlib.sha256().digest_size)
        return told == _digest(file, place, file.read())


def sealed(path: Path) -> bool:
    """Whether a file has a seal, right or wrong. Raises `OSError` where it cannot be read."""
    with path.open("rb") as file:
        return _place(file) is not None


def _place(file: BinaryIO) -> int | None:
    """Where the seal begins; None without one."""
    place = _footer(file, file.seek(0, os.SEEK_END)) - len(SEAL) - hashlib.sha256().digest_size
    if place < 0:
        return None
    file.seek(place)
    return place if file.read(len(SEAL)) == SEAL else None


def _footer(file: BinaryIO, size: int) -> int:
    """Where the footer begins; -1 where the file is no parquet file."""
    if size < _END:
        return -1
    file.seek(size - _END)
    return size - _END - int.from_bytes(file.read(4), "little")


def _digest(file: BinaryIO, pages: int, footer: bytes) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while pages > 0 and (block := file.read(min(_BLOCK, pages))):
        digest.update(block)
        pages -= len(block)
    digest.update(footer)
    return digest.digest()
