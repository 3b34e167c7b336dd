"""Signals that end a command: SIGINT, SIGTERM and SIGHUP raise an exception, so that unfinished files are removed."""

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..errors import short_traceback

ENDING: tuple[signal.Signals, ...] = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Signals that end a command. Windows has no SIGHUP."""

_IGNORED_SECONDS = 1.0
"""A shell and the kernel may both send a signal; what follows this soon is the same request."""

_SECONDS_TO_SEND_AGAIN = 0.01
"""After this time the code that ignored the exception of a signal has usually ended."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the work. The text says what is kept and how to continue."""

    def __init__(self, text: str = "", number: int = signal.SIGINT):
        super().__init__(text)
        self.number = number
        self.exit_code = 128 + number

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython and Jupyter show instead of a traceback."""
        return short_traceback(self)


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
    signal. If Python ignores the exception, because the signal came within a `__del__` or a callback of a C library,
    the signal is sent again. Ignored signals, such as SIGHUP under nohup, stay ignored. Outside the main thread nothing
    changes.
    """
    first: float | None = None
    again: threading.Timer | None = None
    previous: dict[int, Any] = {}
    previous_hook = sys.unraisablehook

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is not None and (number != signal.SIGINT or now - first < _IGNORED_SECONDS):
            return
        first = first or now
        raise Interrupted(number=number)

    def send_again(ignored: "sys.UnraisableHookArgs") -> None:
        nonlocal first, again
        if not isinstance(ignored.exc_value, Interrupted):
            previous_hook(ignored)
            return
        first = None
        main = threading.main_thread().ident
        again = threading.Timer(_SECONDS_TO_SEND_AGAIN, signal.pthread_kill, (main, ignored.exc_value.number))
        again.daemon = True
        again.start()

    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, handle)
        sys.unraisablehook = send_again
    try:
        yield
    finally:
        if again is not None:
            again.cancel()
            again.join()
        if sys.unraisablehook is send_again:
            sys.unraisablehook = previous_hook
        for changed, handler in previous.items():
            signal.signal(changed, handler)


@contextmanager
def deferred() -> Iterator[Callable[[], None]]:
    """Handle the signals of `ENDING` that arrive within the block at its end, or when the yielded function is called.

    This is for C libraries that call Python functions, and cannot handle the exception of a signal there.
    """
    noted: list[int] = []
    previous: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def handle_noted() -> None:
        while noted:
            number = noted.pop()
            previous[number](number, None)

    if threading.current_thread() is threading.main_thread():
        for number in ENDING:
            handler = signal.getsignal(number)
            if callable(handler):
                previous[number] = handler
                signal.signal(number, lambda number, frame: noted.append(number))
    try:
        yield handle_noted
    finally:
        for changed, before in previous.items():
            signal.signal(changed, before)
        handle_noted()
