"""Settings by dotted names, as `stage2.lr`: which there are, reading, changing and parsing them, and settings out of plain JSON data.

One rule serves axes, arms, command-line options, columns of tables and study files, so a field that is added to a settings class is all of
these at once.
"""

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from common.settings import WrongUse, check, meant, ranges

S = TypeVar("S")


class Leaf(NamedTuple):
    """A setting that holds no further settings."""

    type: Any
    about: str
    """What its documentation says."""


@cache
def leaves(cls: type) -> dict[str, Leaf]:
    """Every setting of a settings class by its dotted name, those of nested settings included, in the order of the fields."""
    return dict(_leaves(cls))


def _leaves(cls: type) -> Iterator[tuple[str, Leaf]]:
    types_of, documented = _types(cls), _documented(cls)
    for field in dataclasses.fields(cls):
        kind = types_of[field.name]
        if dataclasses.is_dataclass(kind):
            for name, leaf in leaves(typing.cast(type, kind)).items():
                yield f"{field.name}.{name}", leaf
        else:
            yield field.name, Leaf(kind, documented.get(field.name) or field.metadata.get("about", ""))


@cache
def _types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _documented(cls: type) -> dict[str, str]:
    """The strings under the fields of a class and of its bases; nothing where there is no source to read."""
    found: dict[str, str] = {}
    for one in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(one):
            continue
        try:
            body = typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(one))).body[0]).body
        except (OSError, TypeError, SyntaxError, IndexError):
            continue
        for field, after in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(after, ast.Expr):
                text = getattr(after.value, "value", None)
                if isinstance(text, str):
                    found[field.target.id] = " ".join(text.split())
    return found


def known(cls: type, name: str) -> Leaf:
    """The setting of that dotted name. Raises `WrongUse` with the nearest names where there is none."""
    if name not in leaves(cls):
        raise WrongUse(f"{name} is no setting. {meant(name, leaves(cls))}")
    return leaves(cls)[name]


def value_of(settings: Any, name: str) -> Any:
    """The value of a setting by its dotted name."""
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


def changed(settings: S, changes: Mapping[str, Any], within: str = "") -> S:
    """Settings with other values, all put in place at once, so that only the result must make sense.

    Args:
        settings: a settings dataclass, or one that holds others.
        changes: dotted name -> value; a whole part, such as `stage2`, may be named too.
        within: what the settings are a part of, as `stage2.`: said before their names where one is refused.

    Raises:
        WrongUse: an unknown name, a value of another type, or one that the settings refuse.

    Example:
        >>> from common.recipe import Recipe
        >>> changed(Recipe(), {"exposure": 0.5}).exposure
        0.5
    """
    cls: type = type(settings)
    here: dict[str, Any] = {}
    below: dict[str, dict[str, Any]] = {}
    names, bounds = _types(cls), ranges(cls)
    for name, value in changes.items():
        head, _, rest = name.partition(".")
        if rest and head in names and dataclasses.is_dataclass(names[head]):
            below.setdefault(head, {})[rest] = value
        elif not rest and head in names and dataclasses.is_dataclass(names[head]) and isinstance(value, names[head]):
            here[head] = value
        else:
            here[head] = fitting(within + name, value, known(cls, name).type)
            if name in bounds:
                check(within + name, here[head], bounds[name])
    for head, inner in below.items():
        here[head] = changed(here.get(head, getattr(settings, head)), inner, f"{within}{head}.")
    return dataclasses.replace(settings, **here)  # type: ignore[type-var]


def fitting(name: str, value: Any, kind: Any) -> Any:
    """A value as the type of its field: whole numbers pass for real ones, lists for tuples. Raises `WrongUse` for another type."""
    for option in _options(kind):
        origin, given = typing.get_origin(option), typing.get_args(option)
        if option is type(None):
            if value is None:
                return None
        elif origin is Literal:
            if value in given:
                return value
        elif origin is tuple:
            if isinstance(value, list | tuple):
                inner = [given[0]] * len(value) if given[1:] == (...,) else list(given)
                if len(inner) == len(value):
                    return tuple(fitting(name, entry, one) for entry, one in zip(value, inner, strict=True))
        elif option is float:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        elif option is int and isinstance(value, float) and value.is_integer():
            return int(value)
        elif isinstance(value, option) and not (option is int and isinstance(value, bool)):
            return value
    raise WrongUse(f"{name} = {value!r} is of the wrong type. Give {spelled(kind)}.")


def parsed(name: str, text: str, kind: Any) -> Any:
    """A value out of a command line, as the type of its field. Raises `WrongUse` where it is none."""
    options = _options(kind)
    if type(None) in options and text.lower() in ("none", "null"):
        return None
    for option in options:
        if option is bool and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if option in (int, float):
            try:
                return fitting(name, float(text) if option is float or "e" in text.lower() else int(text), option)
            except ValueError:
                continue
        if typing.get_origin(option) is Literal and text in typing.get_args(option):
            return text
        if typing.get_origin(option) is tuple:
            return tuple(parsed(name, part, typing.get_args(option)[0]) for part in text.split("+"))
        if option is str:
            return text
    raise WrongUse(f"{name} = {text} is of the wrong type. Give {spelled(kind)}.")


def _options(kind: Any) -> tuple[Any, ...]:
    union = typing.get_origin(kind) in (typing.Union, types.UnionType)
    return typing.get_args(kind) if union else (kind,)


def plain_type(kind: Any) -> Any:
    """The type of a field without its None; the first of several."""
    return next(option for option in _options(kind) if option is not type(None))


def spelled(kind: Any) -> str:
    """What a field holds, in words."""
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", type(None): "null"}
    found = []
    for option in _options(kind):
        if typing.get_origin(option) is Literal:
            found.append("one of " + ", ".join(map(str, typing.get_args(option))))
        elif typing.get_origin(option) is tuple:
            found.append("several of: " + spelled(typing.get_args(option)[0]))
        else:
            found.append(words.get(option, str(option)))
    return " or ".join(found)


def from_plain(cls: type[S], data: Any, at: str = "") -> S:
    """A settings dataclass out of plain JSON data, nested ones included; what is left out has its default.

    Raises:
        WrongUse: no object, an unknown or missing field, or a wrong value: names the field.
    """
    where = f"{at}." if at else ""
    if not isinstance(data, Mapping):
        raise WrongUse(f"{at or cls.__name__} must be an object of settings, not {type(data).__name__}.")
    kinds = typing.get_type_hints(cls)
    made: dict[str, Any] = {}
    for name, value in data.items():
        if name not in kinds:
            raise WrongUse(f"{where}{name} is no setting. {meant(str(name), kinds)}")
        nested = dataclasses.is_dataclass(kinds[name])
        made[name] = (
            from_plain(typing.cast(type, kinds[name]), value, f"{where}{name}")
            if nested
            else fitting(f"{where}{name}", value, kinds[name])
        )
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if needed and field.name not in made:
            raise WrongUse(f"{where}{field.name} is missing. Give {spelled(kinds[field.name])}.")
    try:
        return cls(**made)
    except WrongUse as error:
        raise WrongUse(f"{at}: {error}" if at else str(error)) from error


def options(cls: type, *, leave: Collection[str] = ()) -> type:
    """A dataclass with one command-line option for every setting of `cls`, under its dotted name; None where it is not given.

    Args:
        cls: a settings class.
        leave: dotted names that get no option.
    """
    from tyro.conf import arg

    made: list[tuple[str, Any, Any]] = []
    for name, leaf in leaves(cls).items():
        if name not in leave:
            kind = plain_type(leaf.type)
            metavar = {int: "INT", float: "FLOAT", str: "STR"}.get(kind)
            described = arg(name=name, help=leaf.about, help_behavior_hint="", metavar=metavar)
            made.append(
                (name.replace(".", "__"), Annotated[leaf.type | None, described], dataclasses.field(default=None))
            )
    return dataclasses.make_dataclass(f"{cls.__name__}Options", made, frozen=True, kw_only=True)


def given(chosen: Any) -> dict[str, Any]:
    """Dotted name -> value of the options that were given."""
    return {
        field.name.replace("__", "."): value
        for field in dataclasses.fields(chosen)
        if (value := getattr(chosen, field.name)) is not None
    }
