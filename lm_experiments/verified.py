"""Which finished files were compared with their checksums before, so that a large one is not read at every start.

    <root>/.verified.json    file -> [size, mtime_ns, ctime_ns, inode, sha256]

A file of which all four are as they were is taken for what it was; `verify=True` reads it all the same, which finds what a failing
disk changes behind the back of the file system. A file that changed within the last two seconds is not remembered: another change
in the same tick of the clock would not be seen.
"""

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from common.files import atomic_write
from lm_experiments.paths import sha256

NAME = ".verified.json"
RACY_NS = 2_000_000_000
LARGEST = 1 << 26


class Verified:
    """The index of one folder of runs. Losing it, or an entry, costs reading files again and nothing else."""

    def __init__(self, root: Path, *, verify: bool = False) -> None:
        """Args: root: folder of all runs; verify: believe nothing that is remembered."""
        self.root, self._verify = root, verify
        self._known = {} if verify else self._read()
        self._new: dict[str, list[Any]] = {}

    def _read(self) -> dict[str, Any]:
        path = self.root / NAME
        with contextlib.suppress(OSError, ValueError, RecursionError):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                told = json.loads(path.read_bytes())
                return told if isinstance(told, dict) else {}
        return {}

    def matches(self, path: Path, wanted: str) -> bool:
        """Whether a file has the SHA-256 `wanted`, which is remembered. Raises `OSError` where it cannot be read."""
        name = f"{path.parent.name}/{path.name}"
        seen = path.stat()
        stamp = [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino, wanted]
        if self._known.get(name) == stamp or self._new.get(name) == stamp:
            return True
        if sha256(path) != wanted:
            return False
        if time.time_ns() - max(seen.st_mtime_ns, seen.st_ctime_ns) > RACY_NS:
            self._new[name] = stamp
        return True

    def save(self) -> None:
        """Keep what was verified, beside what other processes kept meanwhile; entries of stages that are gone are dropped."""
        if not self._new:
            return
        merged = {
            name: stamp for name, stamp in (self._read() | self._new).items() if os.path.lexists(self.root / name)
        }
        with contextlib.suppress(OSError), atomic_write(self.root / NAME) as temporary:  # a full disk: nothing is lost
            temporary.write_text(json.dumps(merged) + "\n")
        self._known |= self._new
        self._new = {}
