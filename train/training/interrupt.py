"""Ctrl-C, SIGTERM and SIGHUP during training: finish the step and write a checkpoint before stopping."""

import os
import signal
import threading
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any

from ...augment.shared.signals import ENDING, Interrupted


class Stopped(Interrupted):
    """A signal stopped the training run. The text says how to resume."""


class Interruption:
    """A context in which the first SIGINT, SIGTERM or SIGHUP is only recorded, and the second one stops at once.

    It changes nothing outside the main thread, nor for signals that are ignored.
    """

    signal: int | None = None
    """The first signal received."""

    def __init__(self) -> None:
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in ENDING:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._previous[number] = signal.signal(number, self._record)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise Stopped("", self.signal)
        self.signal = number
        # print() is not reentrant: the signal may arrive in the middle of one.
        with suppress(OSError):  # After SIGHUP there is no terminal.
            os.write(
                2, b"\nStopping after this step and writing a checkpoint. Send the signal again to stop at once.\n"
            )
