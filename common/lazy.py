"""The public names of a room, imported when first asked for: `import room` costs nothing, and `dir(room)` shows them and nothing else."""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any


def public(
    room: str, homes: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """`__all__`, `__getattr__` and `__dir__` of a package.

    Args:
        room: the package's `__name__`.
        homes: module -> the public names that it defines. A name may be that of a module of the package: then it is what the module
            defines, whichever is imported first.
    """
    where = {name: module for module, names in homes.items() for name in names}

    class Room(ModuleType):
        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in where and isinstance(value, ModuleType)):  # what importing such a module would put there
                super().__setattr__(name, value)

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        value = getattr(import_module(where[name]), name)
        setattr(sys.modules[room], name, value)
        return value

    sys.modules[room].__class__ = Room
    return sorted(where), get, lambda: sorted(where)
