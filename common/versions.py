"""Which code made a result: its version for people, and a fingerprint of its sources for what must not be mixed."""

import functools
import hashlib
import subprocess
from importlib import metadata
from pathlib import Path


@functools.cache
def code_version() -> str:
    """Version, commit and whether tracked files were changed, e.g. `0.1.0+3f2a9c1d`; without git, the version alone."""
    try:
        version = metadata.version("early-exposure")
    except metadata.PackageNotFoundError:
        version = "0"
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return version
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=.dirty", "--abbrev=8", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return version
    return f"{version}+{found.stdout.strip()}"


@functools.cache
def fingerprint(*folders: Path) -> str:
    """Sixteen hex digits that name all Python sources below some folders; read once, when first asked for.

    `code_version` says of changed sources only that they were changed; two such changes have different fingerprints.
    """
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            for part in (path.relative_to(folder).as_posix().encode(), path.read_bytes()):
                digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()[:16]
