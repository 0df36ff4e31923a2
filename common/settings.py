"""Settings: frozen, keyword-only dataclasses that check themselves and say what to do about a wrong value.

A field's admissible range is written once, beside its default, and is used for single values (`__post_init__`)
and for the axes of a sweep (`check`). What decides a result is hashed (`config_hash`); fields made with
`science=False` (workers, paths, verbosity) are not.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from common.arrays import is_traced


class WrongUse(ValueError):
    """A request that cannot be carried out as asked: names the setting, its value and the remedy. Exit code 2.

    Example:
        >>> from common.recipe import Recipe
        >>> Recipe(replay=2.0)
        Traceback (most recent call last):
        common.settings.WrongUse: replay = 2 is outside its range [0, 1]. Choose every value of replay inside that range.
    """


_ANY = {"low": -math.inf, "high": math.inf, "open_low": False}


def setting(
    default: Any = dataclasses.MISSING,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    open_low: bool = False,
    science: bool = True,
    about: str = "",
) -> Any:
    """A dataclass field: numbers lie in [low, high] (or (low, high] with `open_low`); `about` is its meaning as a column."""
    bounds = {"low": low, "high": high, "open_low": open_low}
    ranged = isinstance(default, int | float) or default is dataclasses.MISSING or bounds != _ANY
    return dataclasses.field(
        default=default, metadata={**(bounds if ranged else {}), "science": science, "about": about}
    )


def ranges(cls: type) -> dict[str, Mapping[str, Any]]:
    """The admissible range of every field of a settings class that has one."""
    return {field.name: field.metadata for field in dataclasses.fields(cls) if "low" in field.metadata}


def check(name: str, value: Any, bounds: Mapping[str, Any]) -> None:
    """Raise `WrongUse` where a number, or any entry of an array, is not finite or leaves its range.

    Traced values pass unchecked: inside a JAX transformation there is no number to look at yet.
    """
    if value is None or isinstance(value, str | bool) or is_traced(value):
        return
    try:
        entries = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError) as error:
        raise WrongUse(f"{name} = {str(value)[:40]} is not a number that fits ({error}). Give one number.") from error
    low, high = bounds["low"], bounds["high"]
    if entries.size:
        least, most = entries.min(), entries.max()
        above = least > low or (least == low and not bounds["open_low"])
        if above and least >= -sys.float_info.max and most <= min(high, sys.float_info.max):
            return  # the common case in two passes and without temporaries; nan fails it
    if not np.isfinite(entries).all():
        raise WrongUse(f"{name} = {entries[~np.isfinite(entries)].flat[0]:g} is not finite. Give finite numbers only.")
    too_low = entries <= low if bounds["open_low"] else entries < low
    wrong = too_low | (entries > high)
    if wrong.any():
        bracket = "(" if bounds["open_low"] or math.isinf(low) else "["
        close = ")" if math.isinf(high) else "]"
        raise WrongUse(
            f"{name} = {entries[wrong].flat[0]:g} is outside its range {bracket}{low:g}, {high:g}{close}. "
            f"Choose every value of {name} inside that range."
        )


def check_number(name: str, value: Any, bounds: Mapping[str, Any], *, whole: bool = False) -> None:
    """Raise `WrongUse` where a setting is no number, or array of numbers, in its range; with `whole`, where it does not count.

    Traced values pass unchecked.
    """
    if is_traced(value):
        return
    if np.asarray(value).dtype.kind not in "iuf":
        raise WrongUse(f"{name} = {str(value)[:40]} is not a number. Give one number, or an array of numbers.")
    check(name, value, bounds)
    if whole and np.any(np.asarray(value, dtype=float) % 1):
        raise WrongUse(f"{name} = {np.max(value):g} counts something. Give whole numbers.")


def is_lambda(name: str) -> bool:
    """Whether a name is lambda, spelt in some way: a Python keyword, so that nothing here can have that name."""
    said = name.rpartition(".")[2].strip("_").lower()
    return said in ("lam", "λ") or difflib.SequenceMatcher(None, said, "lambda").ratio() > 0.8


def meant(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: the nearest known ones, or all of them."""
    names = list(known)
    if is_lambda(name) and (exposure := [one for one in names if one.rpartition(".")[2] == "exposure"]):
        return f"lambda is called {exposure[0]} here."
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(close)}?" if close else f"Choose from {', '.join(names)}."


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise `WrongUse` where a named choice is not one of those there are, or is several at once."""
    if not isinstance(value, str):
        shown = str(value)[:40]
        raise WrongUse(
            f"{name} = {shown} is no name, and {name} is one name for the whole call. Choose one of {', '.join(choices)}."
        )
    if value not in choices:
        close = difflib.get_close_matches(value, choices, n=1, cutoff=0.5)
        near = f"Did you mean {close[0]}? " if close else ""
        raise WrongUse(f"{name} = {value!r} is not known. {near}Choose one of {', '.join(choices)}.")


def check_rank(rank: object) -> None:
    """Raise `WrongUse` where a single rank is not a whole number from 1 (None: no adapter)."""
    if rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 1):
        raise WrongUse(f"rank = {rank!r} is no rank of an adapter. Choose a whole number from 1, or None to train all.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of the settings dataclasses: checks every ranged field when an instance is made, and that there are no others."""

    def __new__(cls, *_: Any, **given: Any) -> Any:
        """An instance to fill. Raises `WrongUse` where a keyword is no field; what is missing is Python's to tell."""
        if not given.keys() <= cls.__dataclass_fields__.keys():
            name, known = next(name for name in given if name not in cls.__dataclass_fields__), cls.__dataclass_fields__
            raise WrongUse(f"{name!r} is no setting of {cls.__name__}. {meant(name, known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check all ranges. Raises `WrongUse`."""
        for name, bounds in ranges(type(self)).items():
            check(name, getattr(self, name), bounds)


def canonical(value: Any, *, defaults: bool = True) -> Any:
    """What of a value is science, as plain JSON data: dataclasses by field order, lists in their order.

    Args:
        value: settings, or plain data that may hold them.
        defaults: whether fields at their default are said too.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {
            field.name: canonical(getattr(value, field.name), defaults=defaults)
            for field in dataclasses.fields(value)
            if field.metadata.get("science", True)
            and (defaults or canonical(getattr(value, field.name)) != canonical(_default(field)))
        }
        return {type(value).__name__: kept}
    if isinstance(value, Mapping):
        return {str(key): canonical(entry, defaults=defaults) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(entry, defaults=defaults) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return canonical(value.tolist())
    return value


def _default(field: dataclasses.Field[Any]) -> Any:
    return field.default if field.default_factory is dataclasses.MISSING else field.default_factory()


def config_hash(*values: Any) -> str:
    """Sixteen hex digits that name a configuration; any change of a scientific field, or of an order, changes it.

    Fields of settings that are at their default are left out, so that a setting which is added later, off by default, keeps the
    names of everything that was made before. Changing a default therefore changes what a name means: do not.

    Example:
        >>> len(config_hash({"alpha": 0.2})), config_hash({"alpha": 0.2}) == config_hash({"alpha": 0.3})
        (16, False)
    """
    said = [canonical(value, defaults=False) for value in values]
    text = json.dumps(said, sort_keys=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
