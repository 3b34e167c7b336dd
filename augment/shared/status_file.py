"""A status file: how far long work is, for other programs. JSON, written atomically every few seconds.

Keys: `state` (`running`, `done`, `failed`, `interrupted`), `step` (`import`, `generate`), `done` and `total` of the
step, `unit`, `rate` (per second), `started`, `updated` and `expected_end` (ISO 8601, UTC; the end of the step; null if
unknown), `process` and `host`, `set` (path; null until it is known) and `error` (null if there is none).
"""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .atomic import make_directory, write_text

_SECONDS_BETWEEN_WRITES = 2.0

_CURRENT: ContextVar["StatusFile | None"] = ContextVar("status", default=None)


class StatusFile:
    """The state of one command; methods may be called from any thread."""

    def __init__(self, path: Path):
        self._path, self._started = path, time.time()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._step: tuple[str, int, int | None, str, float] | None = None
        self._set: str | None = None

    def begin(self, label: str, total: int | None, unit: str) -> None:
        """Begin a step: `total` is its number of items, None if it is unknown."""
        with self._lock:
            self._step = (label, 0, total, unit, time.time())

    def advance(self, label: str, count: int) -> None:
        """Add `count` to the items of the step `label` that are done, if it is the current step."""
        with self._lock:
            if self._step is not None and self._step[0] == label:
                _, done, total, unit, begun = self._step
                self._step = (label, done + count, total, unit, begun)

    def name_set(self, directory: Path) -> None:
        """Record which set is written."""
        self._set = str(directory.absolute())

    def write(self, state: str, error: str | None = None) -> None:
        """Write the file. Raises `OSError` if that is impossible."""
        with self._lock:
            step = self._step
        now = time.time()
        document: dict[str, Any] = {"state": state, **_progress(step, now), "started": _text(self._started)}
        document |= {"updated": _text(now), "process": os.getpid(), "host": socket.gethostname()}
        document |= {"set": self._set, "error": error}
        write_text(self._path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")

    def end(self, thread: threading.Thread, state: str, error: str | None = None) -> None:
        """Stop `thread`, which runs `keep_current`, and write the final state."""
        self._ended.set()
        thread.join()
        self.write(state, error)

    def keep_current(self) -> None:
        """Write the file every few seconds until `end`. A failed write is tried again, as the next is due anyway."""
        while not self._ended.wait(_SECONDS_BETWEEN_WRITES):
            try:
                self.write("running")
            except OSError:
                continue


def _progress(step: tuple[str, int, int | None, str, float] | None, now: float) -> dict[str, Any]:
    if step is None:
        return {"step": None, "done": 0, "total": None, "unit": None, "rate": None, "expected_end": None}
    label, done, total, unit, begun = step
    rate = done / max(now - begun, 1e-9) if done else None
    end = None if rate is None or total is None else _text(now + max(0, total - done) / rate)
    return {
        "step": label, "done": done, "total": total, "unit": unit,
        "rate": None if rate is None else round(rate, 1), "expected_end": end,
    }  # fmt: skip


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _text(seconds: float) -> str:
    """Return a time as ISO 8601 in UTC, to the second."""
    return (datetime.fromtimestamp(0, UTC) + timedelta(seconds=round(seconds))).isoformat()


def current_status() -> StatusFile | None:
    """Return the status file of the current work; None if there is none."""
    return _CURRENT.get()


@contextmanager
def status_file(path: Path | None) -> Iterator[StatusFile | None]:
    """Keep the status file `path` up to date inside the `with` block; with None, do nothing.

    After the block its state is `done`, or `failed` or `interrupted` after an exception, whose text is in `error`.
    Raises `OSError` or `EpochbankError` if the file cannot be written at the beginning or the end.
    """
    if path is None:
        yield None
        return
    make_directory(path.absolute().parent)
    status = StatusFile(path)
    status.write("running")
    thread = threading.Thread(target=status.keep_current, daemon=True, name="status file")
    thread.start()
    token = _CURRENT.set(status)
    try:
        yield status
    except BaseException as error:
        with suppress(OSError):  # What ended the work matters more, and may be a full disk.
            status.end(thread, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed", _said(error))
        raise
    else:
        status.end(thread, "done")
    finally:
        _CURRENT.reset(token)
