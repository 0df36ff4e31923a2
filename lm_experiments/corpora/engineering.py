"""Chemical-engineering prose: the docstrings of the chemicals, thermo and fluids wheels, parsed and never imported."""

import ast
import re
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from zipfile import ZipFile

PACKAGES = ("chemicals", "thermo", "fluids")
SHORTEST = 200
"""Docstrings below this many characters say what a function is, and little more."""
_EXAMPLE = re.compile(r"^\s*>>>.*(?:\n(?!\s*$).*)*", re.MULTILINE)
_HEADING = re.compile(r"^Examples?\n-{3,}\n(?=\s*(?:[A-Z][A-Za-z ]+\n-{3,}\n|\Z))", re.MULTILINE)
_GAPS = re.compile(r"\n(?:[ \t]*\n){2,}")


def documents(archive: ZipFile) -> Iterator[str]:
    """One docstring of a module, class or function a document; without its doctests, which are not prose."""
    for name in sorted(archive.namelist()):
        if name.endswith(".py") and "/tests/" not in name:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(archive.read(name).decode())
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                    text = prose(ast.get_docstring(node, clean=False) or "")
                    if len(text) >= SHORTEST:
                        yield text


def prose(docstring: str) -> str:
    """A docstring without its doctests, and without a heading that is left with nothing under it."""
    text = _EXAMPLE.sub("", cleandoc(docstring))
    return _GAPS.sub("\n\n", _HEADING.sub("", text)).strip()
