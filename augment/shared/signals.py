"""Signals that end a command: SIGINT, SIGTERM and SIGHUP raise an exception, so that unfinished files are removed."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command. Windows has no SIGHUP."""

_IGNORED_SECONDS = 1.0
"""A shell and the kernel may both send a signal; what follows this soon is the same request."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. The text says what is kept and how to continue."""

    def __init__(self, text: str = "", number: int = signal.SIGINT):
        super().__init__(text)
        self.number = number
        self.exit_code = 128 + number


def interrupted(error: KeyboardInterrupt, text: str) -> Interrupted:
    """Return an exception for the same signal as `error`, with another text."""
    return Interrupted(text, number_of(error))


def number_of(error: KeyboardInterrupt) -> int:
    """Return the number of the signal that `error` stands for; Python's own `KeyboardInterrupt` is SIGINT."""
    return error.number if isinstance(error, Interrupted) else signal.SIGINT


@contextmanager
def raising() -> Iterator[None]:
    """Raise `Interrupted` when the process receives one of `ENDING`.

    Later signals are ignored, so that the cleanup is not interrupted; except Ctrl-C a second or more after the first
    signal. Ignored signals, such as SIGHUP under nohup, stay ignored. Outside the main thread nothing changes.
    """
    first: float | None = None

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is not None and (number != signal.SIGINT or now - first < _IGNORED_SECONDS):
            return
        first = first or now
        raise Interrupted(number=number)

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, handle)
    try:
        yield
    finally:
        for changed, handler in previous.items():
            signal.signal(changed, handler)
