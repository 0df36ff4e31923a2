"""What is done to a command and to its files: SIGKILL by the clock or at a change of names on the disk, and damage to a file."""

import os
import random
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

STEPS = ("replace", "rename", "unlink", "rmdir")
"""What changes names on the disk: between two of these lies every state that a kill can leave, the tidying up included."""


class Steps:
    """How often names were changed, and at which change the process ends."""

    taken = 0
    last = -1
    """The process dies in the place of this one; -1: of none."""


def count_steps(last: int = -1) -> None:
    """From now on changes of names are counted, and this process is killed in the place of number `last`."""
    Steps.taken, Steps.last = 0, last
    for name in STEPS:
        setattr(os, name, _counted(getattr(os, name)))


def _counted(step: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **more: Any) -> Any:
        if Steps.taken == Steps.last:
            os.kill(os.getpid(), signal.SIGKILL)
        Steps.taken += 1
        return step(*args, **more)

    return call


def files(folder: Path) -> list[Path]:
    """Ordinary files that hold something, locks left out."""
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and not path.name.endswith("lock")
    )


def kind(path: Path) -> str:
    """Files of the same kind have the same name up to what is counted or hashed in it."""
    stem = path.name if len(path.stem) < 16 else path.suffix
    return f"{path.parent.parent.name if path.parent.name else ''}/{stem}"


def _forge(data: bytearray, chance: random.Random) -> int:
    """Put another digit or letter in the place of one, so that a file stays one of its kind and says something else: anywhere in a
    document, in the dotted names of columns of a parquet file. Returns the place."""
    alphabets = (b"0123456789", b"abcdefghijklmnopqrstuvwxyz")
    spans = [(0, len(data))]
    if footer := _footer(data):
        spans = [one.span() for one in re.compile(rb"[a-z_]{2,}\.[a-z_]{2,}").finditer(data, footer)]
    letters = [i for span in spans for i in range(*span) if any(data[i] in one for one in alphabets)]
    place = chance.choice(letters or [0])
    (others,) = [one for one in alphabets if data[place] in one] or [b"?"]
    data[place] = chance.choice(others.replace(data[place : place + 1], b"") or b"?")
    return place


def _footer(data: bytearray) -> int:
    """Where the footer of a parquet file begins, which says what its pages are; 0 in a file that is none."""
    if data[-4:] != b"PAR1":
        return 0
    return max(0, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))


def damage(folder: Path, chance: random.Random) -> str:
    """Damage one file, every kind of file and of damage as often; says what was done."""
    by_kind: dict[str, list[Path]] = {}
    for path in files(folder):
        by_kind.setdefault(kind(path), []).append(path)
    path = chance.choice(by_kind[chance.choice(sorted(by_kind))])
    others = [other for other in files(folder) if other.suffix == path.suffix and other != path]
    ways = ["flip", "flip", "truncate", "swap" if others else "flip", "delete", "zero"]
    way = chance.choice(ways + ["letter"] * 4 * (path.suffix in (".json", ".jsonl", ".parquet")))
    name = path.relative_to(folder)
    if way == "delete":
        path.unlink()
    elif way == "swap":
        other = chance.choice(others)
        aside = path.with_name("aside")
        shutil.move(path, aside)
        shutil.move(other, path)
        shutil.move(aside, other)
        return f"swap {name} {other.relative_to(folder)}"
    else:
        data = bytearray(path.read_bytes())
        place = chance.randrange(len(data))
        if way == "letter":
            place = _forge(data, chance)
        elif way == "flip":
            data[place] ^= 1 << chance.randrange(8)
        elif way == "zero":
            data[place : place + 64] = bytes(len(data[place : place + 64]))
        else:
            del data[place:]
        path.write_bytes(bytes(data))
        return f"{way} {name} at {place} of {len(data)}"
    return f"{way} {name}"
