"""The command line that all rooms share: typed commands, one error paragraph, exit codes, and `--json`.

Exit codes: 0 done, 1 failed, 2 wrong use, 130 and 143 interrupted (`common.interrupts`). With `--json` standard output holds exactly
one JSON document, errors included; progress and remarks go to standard error.
"""

import dataclasses
import errno
import io
import json
import math
import os
import re
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from common import interrupts
from common.settings import WrongUse, is_lambda


class Failed(Exception):
    """A command that did what it was asked, with an outcome that is a failure: its message says all. Exit code 1."""


UNBROKEN = 100_000
"""Width of what is not read on a terminal: no line of it is ever broken."""
NARROWEST = 16
"""Characters that a column of prose needs at least; below that a table becomes blocks."""


class Output:
    """What a command prints. Readable text goes through `show`; with `--json` it is swallowed and `document` printed."""

    def __init__(self, as_json: bool) -> None:
        """Args: as_json: whether standard output is reserved for the JSON document."""
        from rich.console import Console

        self.as_json = as_json
        # no markup: names and paths may hold brackets
        wide = None if sys.stdout.isatty() else UNBROKEN
        self.console = Console(quiet=as_json, highlight=False, markup=False, width=wide)
        self.errors = Console(stderr=True, highlight=False, markup=False)

    def show(self, text: Any) -> None:
        """Print text or a rich renderable for a person."""
        self.console.print(text, soft_wrap=isinstance(text, str))

    def remark(self, text: str) -> None:
        """Print a line for a person on standard error, with `--json` too."""
        self.errors.print(text, soft_wrap=True)

    def table(self, title: str, heads: Sequence[str], rows: Sequence[Sequence[Any]], *, piped: int = UNBROKEN) -> None:
        """Print a small table; numbers to six significant digits.

        No number and no word is ever broken. Where a terminal is too narrow, prose wraps between words; where that is not enough, every
        row becomes a block of its own. What is not printed on a terminal is wrapped at `piped` columns; by default not at all.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        cells = [[f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
        self.console.print(Text(title, style="bold"), soft_wrap=True)
        room = piped if self.console.width == UNBROKEN else self.console.width
        widths = _widths(heads, cells, room)
        if widths is None:
            for row in cells:
                block = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
                block.add_column(width=max(map(len, heads)), no_wrap=True)
                block.add_column(overflow="fold")
                for head, cell in zip(heads, row, strict=True):
                    block.add_row(Text(head, style="bold"), cell)
                self.console.print(block, width=room)
                self.console.print()
            return
        made = Table(box=box.SIMPLE_HEAD)
        for i, (head, width) in enumerate(zip(heads, widths, strict=True)):
            words = i == 0 or not rows or isinstance(rows[0][i], str)
            made.add_column(head, justify="left" if words else "right", width=width)
        for row in cells:
            made.add_row(*row)
        self.console.print(made)

    @contextmanager
    def progress(self, task: str, total: int, unit: str) -> Iterator[Any]:
        """A progress bar with ETA on standard error; yields a function to call with the number of units done."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bars = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit + ", ETA"),
            TimeRemainingColumn(),
        )
        with Progress(*bars, console=self.errors, transient=True, disable=not sys.stderr.isatty()) as shown:
            handle = shown.add_task(task, total=total)
            yield lambda count: shown.advance(handle, count)


def _widths(heads: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Widths of the columns of a table so that only prose is wrapped, and only between words; None where that is not possible."""

    def longest(texts: Sequence[str]) -> int:
        return max((len(text) for text in texts), default=1)

    columns = [[row[i] for row in rows] for i in range(len(heads))]
    whole = [longest([head, *column]) for head, column in zip(heads, columns, strict=True)]
    room -= 3 * len(heads) + 1  # what stands between the columns
    if sum(whole) <= room:
        return whole
    prose = [longest(column) > NARROWEST and any(" " in cell for cell in column) for column in columns]
    least = [
        max(NARROWEST, longest([word for text in (head, *column) for word in text.split()]))
        if wraps
        else longest([*head.split(), *column])
        for head, column, wraps in zip(heads, columns, prose, strict=True)
    ]
    spare = room - sum(least)
    if spare < 0:
        return None
    wanted = sum(full - low for full, low in zip(whole, least, strict=True)) or 1
    return [low + spare * (full - low) // wanted for low, full in zip(least, whole, strict=True)]


Json = Annotated[bool, tyro.conf.arg(help="Print one JSON document on standard output, and nothing else there.")]
"""The option that every command has, under the name `json`."""


class Command(ABC):
    """A command: a dataclass of its options with `run`, which prints for people and returns the JSON document."""

    json: Json

    @abstractmethod
    def run(self, out: Output) -> Any:
        """Carry it out."""


def main(room: str, commands: Mapping[str, type[Command]], about: str) -> None:
    """Run one command of a room from `sys.argv` and exit."""
    code = run(room, commands, about, sys.argv[1:])
    if interrupts.heard():
        interrupts.leave(code)
    interrupts.finished(code)
    sys.exit(code)


def run(room: str, commands: Mapping[str, type[Command]], about: str, arguments: Sequence[str]) -> int:
    """Run one command of a room and return its exit code: 0, 1 or 2, or that of an interrupt."""
    as_json = "--json" in arguments
    try:
        _speak_unicode()
        command = _parse(room, commands, about, arguments, as_json)
        if isinstance(command, int):
            return command
        with warnings.catch_warnings():  # overflow is reported once, in the result, not line by line
            warnings.simplefilter("ignore", RuntimeWarning)
            document = command.run(Output(command.json))
        if command.json:
            print(json.dumps(plain(document), allow_nan=False))
        sys.stdout.flush()
    except BaseException as error:
        if interrupts.heard() or isinstance(error, KeyboardInterrupt):  # what was raised instead is a consequence
            return _fail(interrupts.MESSAGE, interrupts.code(), as_json) if interrupts.first() else interrupts.code()
        if isinstance(
            error, BrokenPipeError
        ):  # the reader went away, e.g. `| head`; let the interpreter flush to nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if not isinstance(error, Exception) or ("EARLY_EXPOSURE_DEBUG" in os.environ and not _is_known(error)):
            raise
        return _fail(*_told(error), as_json)
    return 0


_KNOWN = (WrongUse, Failed, OverflowError, OSError, MemoryError)


def _is_known(error: Exception) -> bool:
    return isinstance(error, _KNOWN)


def _told(error: Exception) -> tuple[str, int]:
    """What to say of an error, and its exit code."""
    if isinstance(error, WrongUse):
        return str(error), 2
    if isinstance(error, Failed):
        return str(error), 1
    if isinstance(error, OverflowError):
        return "These settings leave the range of floating-point numbers. Choose less extreme ones.", 2
    if isinstance(error, MemoryError):
        detail = f" ({error})" if str(error) else ""
        return (
            f"Out of memory{detail}. Ask for less at once: fewer points, rows or workers. Nothing was left half-written.",
            1,
        )
    if isinstance(error, OSError):
        said = str(error).rstrip(".")
        room = error.errno in (errno.ENOSPC, errno.EDQUOT) and "Make room" not in said
        remedy = " Make room on that disk, or write to another one, and run the same command again." if room else ""
        return f"{type(error).__name__}: {said}.{remedy} Nothing was left half-written.", 1
    kind = type(error).__name__
    return f"{kind}: {error}. This is a fault of the program; set EARLY_EXPOSURE_DEBUG=1 to see where it happened.", 1


def _speak_unicode() -> None:
    """Greek letters are printed under any locale: as they are, or as escapes where the encoding lacks them."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parse(
    room: str, commands: Mapping[str, type[Command]], about: str, arguments: Sequence[str], as_json: bool
) -> Any:
    heard = io.StringIO()
    spelt = any(text.startswith("--") and is_lambda(text.partition("=")[0].removeprefix("--")) for text in arguments)
    remark = "lambda is called exposure here: --exposure 0.5 as an option, exposure=0.5 as a setting or an axis."
    try:
        if as_json:  # tyro explains wrong use at length; keep standard output for the document
            with redirect_stdout(heard), redirect_stderr(heard):
                return _cli(room, commands, about, arguments)
        return _cli(room, commands, about, arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
        if as_json and "--help" not in arguments and "-h" not in arguments:
            reason = re.sub(r"[\s│╭╮╰╯─]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", heard.getvalue())).strip()
            reason = f"{reason} {remark}" if spelt else reason
            print(json.dumps({"error": reason or "The command line is not understood."}))
        elif as_json:
            sys.stdout.write(heard.getvalue())
        elif code and spelt:
            print(f"error: {remark}", file=sys.stderr)
        return code


def _cli(room: str, commands: Mapping[str, type[Command]], about: str, arguments: Sequence[str]) -> Any:
    return tyro.extras.subcommand_cli_from_dict(
        dict(commands),
        prog=f"python -m {room}",
        description=about,
        args=list(arguments),
        config=(tyro.conf.OmitArgPrefixes,),
    )


def _fail(message: str, code: int, as_json: bool) -> int:
    print(f"error: {message}", file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message}))
    return code


def plain(value: Any) -> Any:
    """A value as JSON data: arrays and paths converted, dataclasses by field, numbers that are not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def seconds_since(start: float) -> float:
    """Seconds since a `time.perf_counter()` reading."""
    return time.perf_counter() - start
