"""A task on another machine whose result is no longer wanted ends, and removes what it was writing.

Nothing can stop a task that runs in a thread of a worker process. The process that wants the result therefore keeps a
file, the lease, in a directory that both see, and the task looks for it from time to time.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EpochbankError

_thread = threading.local()


class LeaseEnded(EpochbankError):
    """The result of a task is no longer wanted."""


@contextmanager
def leased(path: Path | None) -> Iterator[None]:
    """Within the block, `check_lease` in this thread looks for the file `path`; None for no file."""
    before = getattr(_thread, "path", None)
    _thread.path = path
    try:
        yield
    finally:
        _thread.path = before


def check_lease() -> None:
    """Raise `LeaseEnded` if this thread has a lease, and its file no longer exists."""
    path: Path | None = getattr(_thread, "path", None)
    if path is not None and not path.exists():
        raise LeaseEnded(f"the run that this task belongs to has ended: {path} does not exist.")
