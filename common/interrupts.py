"""Ctrl-C and SIGTERM end a command with one line and exit code 130 or 143, from any moment.

    signal --> the main thread: KeyboardInterrupt, what is half made is put away, the line, the end
           --> a thread that gives it GRACE seconds, and then ends the process itself

The thread is there for a main thread that does not come round to it, because it waits for others, compiles, or is in a library that
takes the exception for its own. Ending at once loses nothing: files appear under their name only when complete, and what a killed
process leaves is removed by the next. The interpreter is not asked to shut down, because threads that still compute would crash it.

Imported by `__main__` modules before anything else, so it imports nothing heavy. While the interpreter itself starts
nothing can be done: a signal in that time (what `python -c pass` takes, about 40 ms) ends it in Python's own way.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

GRACE = 1.5
"""Seconds that a command has for putting away what is half made."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MESSAGE = "Interrupted. No file was left half-written; where the command keeps what is finished, it goes on there."


class _Heard:
    """What has come so far, in this process."""

    number = 0
    """The first signal; 0 for none."""
    done: int | None = None
    """Exit code of a command that has ended: nothing can be interrupted any more."""
    listening = False
    said = threading.Lock()
    """Taken by who prints the line, and never given back."""


def listen() -> None:
    """From now on signals end this process in one line; called first thing in a `__main__`. Does nothing outside the main thread."""
    with contextlib.suppress(ValueError):  # not the main thread: then somebody else handles signals
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        threading.Thread(target=_watch, args=(reading,), daemon=True).start()
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup, or in the background of a script
                signal.signal(number, _interrupt)
        _Heard.listening = True
        sys.excepthook = _escaped
        sys.unraisablehook = _swallowed


def code() -> int:
    """The exit code of an interrupted command: 128 and the number of the signal, that of the keyboard where none was heard."""
    return 128 + (_Heard.number or signal.SIGINT)


def heard() -> bool:
    """Whether a signal has come: then any exception may be its consequence."""
    return bool(_Heard.number)


def finished(exit_code: int) -> None:
    """The command has said all it has to say: a signal from now on ends the process with this code, and without a word."""
    _Heard.done = exit_code


def first() -> bool:
    """Whether the caller is the one to print the line: nobody else has, or will."""
    return not _Heard.listening or _Heard.said.acquire(blocking=False)


def leave(exit_code: int) -> NoReturn:
    """End this process and the worker processes that it started, now."""
    _end_children()
    os._exit(exit_code)


def _end_children() -> None:
    if (multiprocessing := sys.modules.get("multiprocessing")) is not None:
        with contextlib.suppress(Exception):
            for child in multiprocessing.active_children():
                child.kill()


@contextlib.contextmanager
def deaf_children() -> Iterator[None]:
    """Processes that start in this block never hear Ctrl-C, which the terminal sends to all: it is for the one that started them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _interrupt(number: int, _: Any) -> None:
    if _Heard.done is not None:
        leave(_Heard.done)
    if not _Heard.number:  # a second one would interrupt the tidying up
        _Heard.number = number
        _end_children()  # or a pool would be waited for until its work is done
        raise KeyboardInterrupt


def _watch(reading: int) -> None:
    while (number := os.read(reading, 1)[0]) not in SIGNALS:
        pass
    time.sleep(GRACE)
    if _Heard.done is not None:
        leave(_Heard.done)
    _Heard.number = _Heard.number or number
    _end()


def _escaped(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """In the place of a traceback, wherever the interrupt came: while modules were imported, say."""
    if not (heard() or kind is KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _end()


def _swallowed(unraisable: Any) -> None:
    """An interrupt that came in a place from which exceptions do not travel, such as a destructor, is one all the same."""
    if unraisable.exc_type is KeyboardInterrupt:
        _end()
    sys.__unraisablehook__(unraisable)


def _end() -> NoReturn:
    """The line, past Python's buffers, which the main thread may hold; and the end."""
    if first():
        shown = sys.stderr is not None and sys.stderr.isatty()
        clean = "\r\x1b[2K\x1b[?25h" if shown else ""  # a progress bar may stand there, with the cursor hidden
        with contextlib.suppress(OSError):
            os.write(2, f"{clean}error: {MESSAGE}\n".encode())
            if "--json" in sys.argv:
                os.write(1, f'{{"error": "{MESSAGE}"}}\n'.encode())
    leave(code())
