"""Ctrl-C and SIGTERM while training: the step is finished and a checkpoint written first."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """Training was stopped by a signal. Its text says how to go on."""

    def __init__(self, text: str, number: int = signal.SIGINT):
        super().__init__(text)
        self.number = number
        self.exit_code = 128 + number


class Interruption:
    """A context in which the first SIGINT or SIGTERM is only noted, and a second one stops at once.

    Outside the main thread, and for signals that are ignored, all stays as it is.
    """

    signal: int | None = None
    """The first signal that came."""

    def __init__(self) -> None:
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise Stopped("", self.signal)
        self.signal = number
        # Not print(): a signal may come in the middle of one.
        os.write(2, b"\nStopping after this step, with a checkpoint; once more stops at once.\n")
