"""Progress of long work: a bar on a terminal or in a notebook, otherwise lines; and texts for counts and times."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from .notebook import NotebookLine, in_notebook
from .progress_bars import SECONDS_BETWEEN_LINES, SECONDS_BETWEEN_UPDATES, bar_for
from .status_file import current_status
from .streams import is_terminal, write_message

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
    """Show progress on standard error, or in the output of a notebook's cell; a context manager.

    Parameters
    ----------
    label
        What is done, such as "import".
    total
        Number of items; None if it is unknown.
    unit
        What is counted, in the plural.
    quiet
        Show nothing.
    item_bytes
        Bytes of an item, to show bytes per second too; 0 to show items only.
    waiting
        Another process does the work: show neither a rate nor the remaining time.
    """

    def __init__(
        self, label: str, total: int | None, unit: str = "images", *, quiet: bool = False, item_bytes: int = 0,
        waiting: bool = False,
    ):  # fmt: skip
        self._label, self._unit, self._done, self._item_bytes = label, unit, 0, item_bytes
        self._waiting = waiting
        self._start = time.monotonic()
        self._status = current_status()
        if self._status is not None:
            self._status.begin(label, total, unit)

        def state(done: int, seconds: float) -> str:
            return progress_text(done, total, unit, seconds, item_bytes, waiting)

        self._bar = None if quiet or _QUIET.get() else bar_for(label, total, state)

    def advance(self, count: int, label: str | None = None) -> None:
        """Add `count` to the items that are done; `label` says what is done from now on."""
        self._done += count
        if self._status is not None:
            self._status.advance(self._label, count)
        if self._bar is not None:
            self._bar.label = label or self._bar.label
            self._bar.update(self._done)

    def __enter__(self) -> "Progress":
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is None:
            return
        seconds = time.monotonic() - self._start
        done = f"{self._done:,} {self._unit}"
        rate = f" ({_rate(self._done / max(seconds, 1e-9), self._item_bytes)})" if self._done else ""
        took = f"after {duration(seconds)}" if self._waiting else f"in {duration(seconds)}{rate}"
        summary = f"{self._label}: {done} {took}" if error is None else f"{self._label}: stopped after {done}"
        self._bar.stop(summary, failed=error is not None)


def progress_text(
    done: int, total: int | None, unit: str, seconds: float, item_bytes: int = 0, waiting: bool = False
) -> str:
    """Return what a bar says: items done, their share, the rate, and the elapsed and the remaining time.

    With `item_bytes`, the bytes of an item, the rate is also in bytes. The rate is omitted before the first item, and
    if the command is `waiting` for another process. The remaining time is omitted then, too, and if `total` is unknown
    or more than `total` are done.
    """
    rate = done / max(seconds, 1e-9)
    known = total is not None and 0 < total >= done
    parts = [f"{done:,} of {total:,} {unit} ({100 * done / total:.0f} %)" if known and total else f"{done:,} {unit}"]
    parts += [_rate(rate, item_bytes)] if done and not waiting else []
    parts.append(f"elapsed {duration(seconds)}")
    if known and total and done and not waiting:
        parts.append(f"remaining {duration((total - done) / rate)}")
    return ", ".join(parts)


def _rate(rate: float, item_bytes: int) -> str:
    """Format a rate: `1,200/s`, `2.5/s`, and `6/min` for less than one item per second."""
    text = f"{60 * rate:.2g}/min" if rate < 1 else f"{rate:.2g}/s" if rate < 9.95 else f"{rate:,.0f}/s"
    return text + (f", {size(rate * item_bytes)}/s" if item_bytes else "")


class Count:
    """Show a running count, for work that is usually short; a context manager.

    The first count appears after one second on a terminal or in a notebook, and after ten seconds otherwise. `label`
    names the work and `unit` what is counted.
    """

    def __init__(self, label: str, unit: str = "files"):
        self._label, self._unit, self._done = label, unit, 0
        self._line = NotebookLine() if in_notebook() else None
        self._terminal = self._line is None and is_terminal()
        self._often = self._terminal or self._line is not None
        self._next = time.monotonic() + (1.0 if self._often else SECONDS_BETWEEN_LINES)
        self._shown = False

    def advance(self, count: int) -> None:
        """Add `count` to the items that are done."""
        self._done += count
        self.show()

    def show(self, more: int = 0) -> None:
        """Show the count plus `more`, which will be counted later, if enough time has passed since the last update."""
        if time.monotonic() < self._next or _QUIET.get():
            return
        self._next = time.monotonic() + (SECONDS_BETWEEN_UPDATES if self._often else SECONDS_BETWEEN_LINES)
        self._shown = True
        text = f"{self._label}: {self._done + more:,} {self._unit}"
        if self._line is not None:
            self._line.show(text)
        else:
            start, end = ("\r", "\x1b[K") if self._terminal else ("", "\n")
            write_message(f"{start}{text}", end)

    def __enter__(self) -> "Count":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown and self._terminal:
            write_message("\r\x1b[K", "")


def duration(seconds: float) -> str:
    """Format seconds: `3.2 s`, `4 min 05 s`, `2 h 10 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d} min"


def age(seconds: float) -> str:
    """Format how long ago something happened: `just now`, `3 minutes ago`, `5 days ago`."""
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            return f"{counted(int(seconds // length), unit)} ago"
    return "just now"


def counted(count: int, noun: str) -> str:
    """Format a count with its noun: `1 group`, `1,200 groups`, `2 classes`."""
    plural = "es" if noun.endswith(("s", "x", "tch")) else "s"
    return f"{count:,} {noun}" + ("" if count == 1 else plural)


def size(count: float) -> str:
    """Format bytes in powers of 1000: `1.8 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
