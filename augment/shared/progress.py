"""Progress of long work: a bar with rate and remaining time on a terminal, otherwise a line every ten seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_UPDATES = 0.25

_QUIET = ContextVar("quiet", default=False)


@contextmanager
def quiet_progress(quiet: bool) -> Iterator[None]:
    """Show no progress inside the `with` block if `quiet` is True."""
    before = _QUIET.set(quiet or _QUIET.get())
    try:
        yield
    finally:
        _QUIET.reset(before)


class Progress:
    """Show progress on standard error; a context manager.

    Parameters
    ----------
    label
        Name of the work.
    total
        Number of items; None if it is unknown.
    unit
        What is counted, in the plural.
    quiet
        Show nothing.
    """

    def __init__(self, label: str, total: int | None, unit: str = "images", *, quiet: bool = False):
        self._label, self._total, self._unit, self._done = label, total, unit, 0
        self._quiet = quiet or _QUIET.get()
        self._start = self._last = time.monotonic()
        self._bar = None
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(label, total=total, rate="")

    def advance(self, count: int) -> None:
        """Add `count` to the items that are done."""
        self._done += count
        if self._bar is not None:
            self._bar.update(self._task, advance=count, rate=f"{self._rate():,.0f} {self._unit}/s")
        elif not self._quiet and time.monotonic() - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            print(f"{self._label}: {self._line()}", file=sys.stderr, flush=True)

    def _line(self) -> str:
        if self._total is None:
            return f"{self._done:,} {self._unit}, {self._rate():,.0f}/s"
        left = (self._total - self._done) / max(self._rate(), 1e-9)
        return (
            f"{self._done:,} of {self._total:,} {self._unit} "
            f"({100 * self._done / max(self._total, 1):.0f} %), {self._rate():,.0f}/s, {duration(left)} left"
        )

    def _rate(self) -> float:
        return self._done / max(time.monotonic() - self._start, 1e-9)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif error is None and not self._quiet:
            seconds = time.monotonic() - self._start
            print(
                f"{self._label}: {self._done:,} {self._unit} in {duration(seconds)} ({self._rate():,.0f}/s)",
                file=sys.stderr,
                flush=True,
            )


class Count:
    """Show a running count on standard error, for work that is usually short; a context manager.

    The first count appears after one second on a terminal, and after ten seconds otherwise. `label` names the work and
    `unit` what is counted.
    """

    def __init__(self, label: str, unit: str = "files"):
        self._label, self._unit, self._done = label, unit, 0
        self._terminal = sys.stderr.isatty()
        self._next = time.monotonic() + (1.0 if self._terminal else _SECONDS_BETWEEN_LINES)
        self._shown = False

    def advance(self, count: int) -> None:
        """Add `count` to the items that are done."""
        self._done += count
        self.show()

    def show(self, more: int = 0) -> None:
        """Show the count plus `more`, which will be counted later, if enough time has passed since the last update."""
        if time.monotonic() < self._next or _QUIET.get():
            return
        self._next = time.monotonic() + (_SECONDS_BETWEEN_UPDATES if self._terminal else _SECONDS_BETWEEN_LINES)
        self._shown = True
        start, end = ("\r", "\x1b[K") if self._terminal else ("", "\n")
        print(f"{start}{self._label}: {self._done + more:,} {self._unit}", end=end, file=sys.stderr, flush=True)

    def __enter__(self) -> "Count":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Format seconds: `3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun: `1 group`, `1,200 groups`."""
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def size(count: float) -> str:
    """Format bytes in powers of 1000: `1.8 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
