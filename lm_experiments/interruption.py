"""A request, from a signal, that training write a checkpoint after the step it is at and end: for time limits and pre-emption."""

import signal
import threading
from typing import Any

_requested = threading.Event()
request, requested, forget = _requested.set, _requested.is_set, _requested.clear


class Stopped(Exception):
    """Training ended because it was asked to; the same stage goes on from its last checkpoint."""


def on(*numbers: signal.Signals) -> None:
    """Take these signals as the request, from now on."""

    def handle(*_: Any) -> None:
        request()

    for number in numbers:
        signal.signal(number, handle)
