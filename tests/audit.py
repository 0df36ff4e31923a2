"""`make audit`: what of the toolkit's packages is pinned, what is not, what is installed at another version, and what no code uses.

    pinned      named in pyproject.toml, with its version in constraints.txt
    unpinned    named there without one
    differs     installed here at another version than the pin
    unused      named there, and imported by no file of the toolkit, nor run by name
    unhashed    needed without extras, or to build, and not in constraints-core.txt at that version with the hashes of its files

What builds must be pinned in pyproject.toml itself, because no constraints reach a plain `pip install .`. The extras have no hashes:
`pip install torch==2.13.0` takes another build from every index (the one without CUDA has a hash of its own), and pip asks for hashes
of all packages of a command or of none. Exit code 1 where there is anything but pinned ones.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("common", "theory", "sims", "lm_experiments", "figures", "paper", "gallery", "benchmarks", "tests")
RUN = {"ruff", "mypy", "import-linter", "scipy-stubs", "hatchling", "editables", "pytest-xdist"}
"""Used by the Makefile, by other packages or by the build, not by an import."""
IMPORTED = {"pytest-xdist": "xdist", "pillow": "PIL", "markdown-it-py": "markdown_it", "mini-racer": "py_mini_racer"}
"""Package -> module, where the names differ by more than a dash."""


class Audit(NamedTuple):
    """Names of packages, each with what is to be said of it."""

    pinned: dict[str, str]
    unpinned: list[str]
    differs: list[str]
    unused: list[str]
    unhashed: list[str]


class Named(NamedTuple):
    """What pyproject.toml asks for: package -> requirement."""

    build: dict[str, str]
    core: dict[str, str]
    extras: dict[str, str]


def named(pyproject: str) -> Named:
    """The packages that pyproject.toml names."""
    found = tomllib.loads(pyproject)
    project = found["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    listed = (found["build-system"]["requires"], project["dependencies"], extras)
    return Named(*({_plain(re.split(r"[<>=!~\[; ]", one)[0]): one for one in some} for some in listed))


def pins(constraints: str) -> dict[str, str]:
    """Package -> version, of constraints.txt."""
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    split = (line.partition("==") for line in lines if not line.startswith("--"))
    return {_plain(name): version.split()[0] for name, equals, version in split if equals}


def imported(texts: Iterable[str]) -> set[str]:
    """The top-level modules that Python sources import, wherever in the file."""
    found: set[str] = set()
    for text in texts:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)  # importorskip("torch"), import_module("torch")
    return found


def hashed(core: str) -> dict[str, str]:
    """Package -> version, of what constraints-core.txt has with hashes."""
    found = re.findall(
        r"^([A-Za-z0-9._-]+)==([^\s;]+)[^\\\n]*((?:\\\n +--hash=sha256:[0-9a-f]{64} ?)*)", core, flags=re.M
    )
    return {_plain(name): version for name, version, hashes in found if hashes}


def audit(
    pyproject: str, constraints: str, core: str, modules: set[str], version: Callable[[str], str | None]
) -> Audit:
    """Compare them.

    Args:
        pyproject: text of pyproject.toml.
        constraints: text of constraints.txt.
        core: text of constraints-core.txt.
        modules: that the code imports.
        version: of an installed package; None where it is not installed.
    """
    asked, pinned, sure = named(pyproject), pins(constraints), hashed(core)
    names = sorted({*asked.build, *asked.core, *asked.extras})
    loose = {name for name, said in asked.build.items() if said.partition("==")[2] != pinned.get(name)}
    here = {name: version(name) for name in names}
    return Audit(
        pinned={name: pinned[name] for name in names if name in pinned and name not in loose},
        unpinned=[name for name in names if name not in pinned or name in loose],
        differs=[
            f"{name} {found} for {pinned[name]}"
            for name, found in here.items()
            if name in pinned and found is not None and found.partition("+")[0] != pinned[name]
        ],
        unused=[
            name for name in names if name not in RUN and IMPORTED.get(name, name.replace("-", "_")) not in modules
        ],
        unhashed=sorted(
            {name for name in (*asked.build, *asked.core) if name not in sure}
            | {name for name in pins(core) if sure.get(name) != pinned.get(name)}
        ),
    )


def installed(name: str) -> str | None:
    """The version of an installed package; None where there is none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Print the audit of this checkout."""
    sources = (path.read_text() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    found = audit(
        *((ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt", "constraints-core.txt")),
        modules=imported(sources),
        version=installed,
    )
    print(f"{len(found.pinned)} packages are named and pinned; constraints.txt pins what they need besides.")
    for what in ("unpinned", "differs", "unused", "unhashed"):
        print(f"{what}: {', '.join(getattr(found, what)) or 'none'}")
    sys.exit(1 if any(found[1:]) else 0)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


if __name__ == "__main__":
    main()
